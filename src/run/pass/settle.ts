import { CountsMismatchError } from "../../errors.ts";
import { type Failure, isOlder } from "../../model/failure.ts";
import { type Counts, addCounts, countsAddUp } from "../../model/run.ts";
import type { Batch } from "../destination/batch.ts";
import type { RecordError } from "../destination/destination.ts";
import { type ImportResult, countsOf } from "../destination/import-page.ts";
import type { FailureOrigin } from "../source/source.ts";
import { FailureMaker, type FailureMakerDeps } from "./failure-maker.ts";
import type { OpenFailures } from "./open-failures.ts";

/** What settling a page for one import takes. */
export interface SettleDeps extends FailureMakerDeps {
  readonly open: OpenFailures;
}

/** One import's part of a page, as a commit takes it. */
export interface SettledPage {
  readonly counts: Counts;
  readonly failures: readonly Failure[];
  /** Failures that a retry delivered. */
  readonly delivered: readonly string[];
  /** Open failures that are overtaken, and their keys. */
  readonly superseded: readonly string[];
  readonly closedKeys: readonly string[];
  /** Failures under keys that had none open. */
  readonly numNew: number;
  readonly numRejected: number;
}

const none: readonly never[] = Object.freeze([]);

/**
 * What a commit keeps of the page at this import.
 *
 * @throws `counts_mismatch` if its records do not add up.
 */
export function settle(
  batch: Batch,
  result: ImportResult,
  origin: FailureOrigin | undefined,
  deps: SettleDeps,
): SettledPage {
  const counts = countsOf(result);
  if (!countsAddUp(batch.size, counts)) {
    const { numError, numIgnore, numSuccess } = counts;
    throw new CountsMismatchError(deps._importId, batch.size, numSuccess + numIgnore + numError);
  }
  const { errors } = result;
  if (errors.length === 0 && origin === undefined) return allDelivered(batch, counts, deps.open);
  const failed = errors.length === 0 ? undefined : new Set(errors.map(({ index }) => index));
  const failures =
    failed === undefined ? none : new FailureMaker(batch, origin, deps).ofAll(newestOfEachKey(batch, errors));
  const common = { counts, failures, numRejected: countOf(errors, ({ fault }) => fault === "reject") };
  if (origin !== undefined) {
    const delivered = origin.items.filter((_, index) => failed?.has(index) !== true).map(({ _id }) => _id);
    return { ...common, delivered, superseded: none, closedKeys: none, numNew: 0 };
  }
  const numNew = countOf(failures, ({ key }) => !deps.open.has(key));
  return { ...common, delivered: none, ...superseded(batch, failed, failures, deps.open), numNew };
}

// What most pages come to; without open failures, nobody looks at their records.
function allDelivered(batch: Batch, counts: Counts, open: OpenFailures): SettledPage {
  const { superseded: _ids, closedKeys } = superseded(batch, undefined, none, open);
  return { counts, failures: none, delivered: none, superseded: _ids, closedKeys, numNew: 0, numRejected: 0 };
}

/**
 * What one commit keeps of two pages, of which `held` came first: of a key in both, the state in the later one stands,
 * be it delivered, ignored or failed again, unless it is the older state.
 */
export function settledTogether(held: SettledPage, next: SettledPage, page: Batch, open: OpenFailures): SettledPage {
  const states = statesOf(page);
  const isOvertaken = ({ key, version }: Failure) => {
    const index = states.get(key);
    return index !== undefined && !isOlder(page.keys.versionOf?.(index), version);
  };
  const first = held.failures.filter((failure) => !isOvertaken(failure));
  const kept = new Set(first.map(({ key }) => key));
  const failures = [...first, ...next.failures.filter(({ key }) => !kept.has(key))];
  return {
    counts: addCounts(held.counts, next.counts),
    failures,
    delivered: [...held.delivered, ...next.delivered],
    superseded: [...held.superseded, ...next.superseded],
    closedKeys: [...held.closedKeys, ...next.closedKeys],
    numNew: failures.filter(({ key }) => !open.has(key)).length,
    numRejected: held.numRejected + next.numRejected,
  };
}

// Which record stands for each key: the last one, unless it is an older state than one before it.
function statesOf(batch: Batch): ReadonlyMap<string, number> {
  const { versionOf } = batch.keys;
  const states = new Map<string, number>();
  for (let index = 0; index < batch.size; index++) {
    const key = batch.keyOf(index);
    const before = states.get(key);
    if (before === undefined || !isOlder(versionOf?.(index), versionOf?.(before))) states.set(key, index);
  }
  return states;
}

function newestOfEachKey(batch: Batch, errors: readonly RecordError[]): readonly RecordError[] {
  if (!batch.repeats) return errors;
  const states = statesOf(batch);
  // The state that stands for a failed key stands for all of them: if it was delivered, none of them is kept.
  return errors.filter(({ index }) => states.get(batch.keyOf(index)) === index);
}

const noneSuperseded = Object.freeze({ superseded: none, closedKeys: none });

function superseded(
  batch: Batch,
  failed: ReadonlySet<number> | undefined,
  failures: readonly Failure[],
  open: OpenFailures,
): Pick<SettledPage, "superseded" | "closedKeys"> {
  if (open.size === 0) return noneSuperseded;
  // A key that fails after it was delivered, in the same page, fails again: its failure stays open, and takes the new one in.
  const failsAgain = failures.length === 0 ? undefined : new Set(failures.map(({ key }) => key));
  const ids = new Map<string, string>();
  for (const index of batch.indexesOf(open)) {
    if (failed?.has(index) === true) continue;
    const key = batch.keyOf(index);
    if (failsAgain?.has(key) === true) continue;
    const _id = open.supersededBy(key, batch.keys.versionOf?.(index));
    if (_id !== undefined) ids.set(key, _id);
  }
  return ids.size === 0 ? noneSuperseded : { superseded: [...ids.values()], closedKeys: [...ids.keys()] };
}

function countOf<T>(items: readonly T[], isCounted: (item: T) => boolean): number {
  let count = 0;
  for (const item of items) if (isCounted(item)) count++;
  return count;
}
