import { ContractViolationError, type StoppedByImportError } from "../../errors.ts";
import { isInstance } from "../../model/host/instance.ts";
import { disown, isAwaitable } from "../../model/host/awaitable.ts";
import { copyForImport, freezeAndSearch } from "../../model/record/copy.ts";
import type { Counts } from "../../model/run.ts";
import type { Batch } from "./batch.ts";
import type { Destination, Halt, RecordError } from "./destination.ts";
import { BatchWriter } from "./write-batch.ts";

/**
 * What one import made of a page. Its records are `numIgnore`, `numSuccess` or one of `errors`. At most one of
 * `stopped`, `violation` and `unavailable` is set: then nothing of the page may be committed for this import.
 */
export interface ImportResult {
  /** Records that its filter, or its `write`, left out. */
  readonly numIgnore: number;
  /** Records it took. */
  readonly numSuccess: number;
  /** How many records were to be written, after filter, map and validation, but for those that `write` left out. */
  readonly sent: number;
  /** Records it did not take, `index` being the place in the page; ascending. */
  readonly errors: readonly RecordError[];
  /** It threw `stop(cause)`. */
  readonly stopped?: StoppedByImportError;
  /** Its code returned what the contract does not allow. */
  readonly violation?: ContractViolationError;
  /** The destination takes nothing now: the import is to be paused, and the page to be sent again after the pause. */
  readonly unavailable?: PauseReason;
  /** The page is to be committed, and the import to be paused then. */
  readonly pause?: PauseReason;
}

/** Why an import is to be paused. */
export interface PauseReason {
  /** As `write` threw or returned it. */
  readonly error: unknown;
  /** Milliseconds from now, if the destination asked for them. */
  readonly afterMs?: number;
}

/** What is left to write of a page, and what has already gone wrong with the rest. */
interface PreparedBatch {
  readonly batch: Batch;
  readonly errors: readonly RecordError[];
  readonly numIgnore: number;
}

const noErrors: readonly RecordError[] = Object.freeze([]);

/**
 * Filters, maps and validates the records of a page for one import, and writes them in its batches. Resolves when all
 * are settled; rejects for nothing that the import's code does.
 *
 * `doubtful`: places of records whose outcome an earlier run left unknown.
 */
export async function importPage(page: Batch, to: Destination, doubtful?: ReadonlySet<number>): Promise<ImportResult> {
  const writer = new BatchWriter(to);
  let prepared: PreparedBatch;
  try {
    prepared = prepare(page, to);
  } catch (error) {
    if (!(error instanceof ContractViolationError)) throw error;
    return { numIgnore: 0, numSuccess: 0, sent: 0, errors: noErrors, violation: error };
  }
  const { errors, numIgnore } = prepared;
  const batch = doubtful === undefined ? prepared.batch : await withoutFound(prepared.batch, doubtful, to, writer);
  if (batch.size > 0) await writeInBatches(batch, to, writer);
  const all = writer.errors.length === 0 ? errors : inOrder(errors, writer.errors);
  const ignored = numIgnore + writer.numIgnored;
  const sent = batch.size - writer.numIgnored;
  const settled = { numIgnore: ignored, numSuccess: page.size - ignored - all.length, sent, errors: all };
  return all.length === 0 && writer.halt === undefined ? settled : { ...settled, ...verdict(settled, writer.halt, to) };
}

/** The counts of a result in which nothing is unsent. */
export function countsOf(result: ImportResult): Counts {
  const { numSuccess, numIgnore, errors } = result;
  return { numSuccess, numIgnore, numError: errors.length };
}

// What the errors of a page say about the destination as a whole.
function verdict(
  { errors, sent }: ImportResult,
  halt: Halt | undefined,
  to: Destination,
): Pick<ImportResult, "stopped" | "violation" | "unavailable" | "pause"> {
  if (halt?.kind === "stopped") return { stopped: halt.error };
  if (halt?.kind === "violation") return { violation: halt.error };
  if (to.signal.aborted || sent === 0) return {};
  const down = errors.filter((failed) => isDown(failed, to));
  const last = down.at(-1);
  const reason = halt === undefined ? { error: last?.error } : { error: halt.error, afterMs: halt.afterMs };
  if (down.length === sent) return { unavailable: reason };
  if (halt !== undefined) return { pause: reason };
  // An outage that is seen as timeouts must not store page after page.
  const unsure = errors.filter(({ fault }) => fault === "unknown");
  return !to.import.idempotent && unsure.length === sent ? { pause: { error: unsure.at(-1)?.error } } : {};
}

// The retries are exhausted, or the destination asked for a longer wait, and the record's outcome can still change.
function isDown({ fault }: RecordError, to: Destination): boolean {
  return fault === "retry" || (fault === "unknown" && to.import.idempotent);
}

// What one call of `write` returned is in order.
function inOrder(some: readonly RecordError[], others: readonly RecordError[]): readonly RecordError[] {
  if (some.length === 0 && isAscending(others)) return others;
  return [...some, ...others].sort((one, other) => one.index - other.index);
}

function isAscending(errors: readonly RecordError[]): boolean {
  return errors.every(({ index }, at) => at === 0 || index > (errors[at - 1]?.index ?? -1));
}

function prepare(page: Batch, to: Destination): PreparedBatch {
  const into = to.import;
  const { problems } = page.keys;
  if (into.filter === undefined && into.map === undefined && into.schema === undefined && problems === undefined)
    return { batch: page, errors: noErrors, numIgnore: 0 };
  // Unmapped records are those of the page, frozen with it.
  const isMapped = into.map !== undefined || into.schema !== undefined;
  const freezes = isMapped && to.freeze;
  // Cut to what is left in the end: to let it grow would cost more than the copy.
  const records = [...page.records];
  const leftOut: number[] = [];
  const errors: RecordError[] = [];
  let mutable = page.mutable && !isMapped;
  let kept = 0;
  for (let index = 0; index < records.length; index++) {
    try {
      const problem = problems?.get(index);
      if (problem !== undefined) throw problem;
      const record = page.mutable && to.shared ? copyForImport(records[index]) : records[index];
      if (into.filter !== undefined && !keeps(to, record)) leftOut.push(index);
      else {
        const shaped = shape(to, record);
        if (freezes) mutable = freezeAndSearch(shaped, page.mutable) || mutable;
        records[kept] = shaped;
        kept++;
      }
    } catch (error) {
      if (isInstance(error, ContractViolationError)) throw error;
      errors.push({ index, fault: "reject", error, attempts: 0 });
      leftOut.push(index);
    }
  }
  records.length = kept;
  return { batch: page.part({ records, leftOut, mutable }), errors, numIgnore: leftOut.length - errors.length };
}

function keeps(to: Destination, record: unknown): boolean {
  const keep: unknown = to.import.filter?.(record);
  if (isAwaitable(keep)) throw promised(to, keep, "filter returned a promise, but it is synchronous");
  return Boolean(keep);
}

function shape(to: Destination, record: unknown): unknown {
  const mapped = to.import.map === undefined ? record : to.import.map(record);
  if (isAwaitable(mapped)) throw promised(to, mapped, "map returned a promise, but it is synchronous");
  return to.import.schema === undefined ? mapped : valid(to, mapped);
}

function valid(to: Destination, mapped: unknown): unknown {
  const result = to.import.schema?.["~standard"].validate(mapped);
  if (isAwaitable(result)) throw promised(to, result, "its schema validates asynchronously, but has to return at once");
  if (result?.issues !== undefined) throw new Error(result.issues.map(({ message }) => message).join("; "));
  return result?.value;
}

// What an import finds of its doubtful records needs no second write.
async function withoutFound(
  batch: Batch,
  doubtful: ReadonlySet<number>,
  to: Destination,
  writer: BatchWriter,
): Promise<Batch> {
  // Without `find` nobody can tell, and whoever asked for the retry has decided.
  if (doubtful.size === 0 || to.import.idempotent || to.import.find === undefined) return batch;
  const inDoubt = indexesOf(batch, (index) => doubtful.has(batch.positionOf(index)));
  if (inDoubt.length === 0) return batch;
  const doubted = batch.select(inDoubt);
  const found = await writer.find(doubted);
  const error = new Error("find failed, so it is still unknown");
  if (found === undefined) writer.fail(doubted, { fault: "unknown", error, attempts: 0 });
  const settled = new Set(inDoubt.filter((_, nth) => found === undefined || found[nth] !== undefined));
  return batch.select(indexesOf(batch, (index) => !settled.has(index)));
}

function indexesOf(batch: Batch, isWanted: (index: number) => boolean): readonly number[] {
  return Array.from({ length: batch.size }, (_, index) => index).filter(isWanted);
}

// Not asynchronous itself, nor is what it calls for a page that is one batch: each would cost another promise a page.
function writeInBatches(batch: Batch, to: Destination, writer: BatchWriter): Promise<void> {
  const { batchSize = Infinity, concurrency = 1, sameKey = "apart" } = to.import;
  if (!batch.repeats) return writeSideBySide(batch, { batchSize, concurrency }, writer);
  // States of one thing stay in order.
  if (sameKey === "together") return writeSideBySide(batch, { batchSize, concurrency: 1 }, writer);
  return writeByOccurrence(batch, { batchSize, concurrency }, writer);
}

/** How an import wants the records of a page. */
interface BatchRule {
  readonly batchSize: number;
  readonly concurrency: number;
}

async function writeByOccurrence(batch: Batch, rule: BatchRule, writer: BatchWriter): Promise<void> {
  for (const part of batch.byOccurrence()) await writeSideBySide(part, rule, writer);
}

function writeSideBySide(batch: Batch, rule: BatchRule, writer: BatchWriter): Promise<void> {
  return batch.size <= rule.batchSize ? writer.write(batch) : writeParts(batch, rule, writer);
}

async function writeParts(batch: Batch, { batchSize, concurrency }: BatchRule, writer: BatchWriter): Promise<void> {
  let next = 0;
  // Once the import is halted the writer settles the rest of the batches without sending them.
  const writeOn = async () => {
    for (let start = next; start < batch.size; start = next) {
      next = start + batchSize;
      await writer.write(batch.slice(start, next));
    }
  };
  const atOnce = Math.min(concurrency, Math.ceil(batch.size / batchSize));
  await Promise.all(Array.from({ length: atOnce }, writeOn));
}

function promised(to: Destination, promise: unknown, problem: string): ContractViolationError {
  disown(promise);
  return new ContractViolationError("Import", to._importId, problem);
}
