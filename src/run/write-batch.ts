import { type Clock, delay } from "../clock.ts";
import { ContractViolationError, StoppedByImportError } from "../errors.ts";
import { type Fault, faults } from "../model/failure.ts";
import type { Flow } from "../model/flow.ts";
import type { Import, ImportContext, Result } from "../model/import.ts";
import { formatValue } from "../model/json.ts";
import type { Logger } from "../model/logger.ts";
import type { Run } from "../model/run.ts";
import { messageOf, outcomeOf } from "../model/outcome.ts";
import { type RetryPolicy, retryDelay } from "./retry.ts";

/** Records that go out in one call, each with its key, which is made only if somebody asks for it. */
export interface Batch {
  readonly records: readonly unknown[];
  /** The key of `records[index]`. */
  readonly keyOf: (index: number) => string;
}

/** A record that was not written. */
export interface RecordError {
  /** Its place in the batch. */
  readonly index: number;
  /** `unsent`: the run was aborted first, and the record is certainly not applied. */
  readonly fault: Fault | "unsent";
  readonly error: unknown;
  /** How often it was sent. */
  readonly attempts: number;
}

/** One import as one run sees it. */
export interface Destination {
  readonly _importId: string;
  readonly import: Import<unknown>;
  readonly run: Run;
  readonly flow: Flow;
  readonly log: Logger;
  readonly clock: Clock;
  /** Aborts with the run. */
  readonly signal: AbortSignal;
  /** Where each attempt gets a signal of its own. */
  readonly attempts: AttemptSignals;
  /** Whether what this import gets to see is frozen. */
  readonly freeze: boolean;
  readonly maxAttempts: number;
  readonly backoff: RetryPolicy;
  /** Told before each wait. */
  readonly onRetry: (attempt: number, delayMs: number, message: string) => void;
}

/**
 * Signals that abort with a run, or by themselves. One that was never aborted serves the next attempt, since making a
 * new one for every batch costs more than everything else about it.
 */
export class AttemptSignals {
  readonly #run: AbortSignal;
  readonly #free: AbortController[] = [];
  readonly #busy = new Set<AbortController>();
  #listens = false;

  constructor(run: AbortSignal) {
    this.#run = run;
  }

  acquire(): AbortController {
    this.#listen();
    const attempt = this.#free.pop() ?? new AbortController();
    if (this.#run.aborted) attempt.abort(this.#run.reason);
    this.#busy.add(attempt);
    return attempt;
  }

  release(attempt: AbortController): void {
    this.#busy.delete(attempt);
    if (!attempt.signal.aborted) this.#free.push(attempt);
  }

  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    this.#run.addEventListener("abort", () => {
      for (const attempt of this.#busy) attempt.abort(this.#run.reason);
    });
  }
}

/** How long a `write` may take without a timeout of its own, in milliseconds. */
export const defaultWriteTimeoutMs = 300_000;

/** How long a `write` whose timeout is over may take to answer after all. Then its outcome is unknown. */
export const timeoutGraceMs = 1_000;

/** Everything was written. */
export const noErrors: readonly RecordError[] = Object.freeze([]);

/**
 * Writes one batch into one import, again where that is safe, and says which records were not written.
 * Resolves only when the import's code has ended, or has ignored the abort after its timeout.
 *
 * @throws `contract_violation` if the import answers what it may not; `stopped_by_import` if it says so.
 */
export async function writeBatch(batch: Batch, to: Destination): Promise<readonly RecordError[]> {
  let open: Open = { batch, places: undefined };
  let errors = noErrors;
  for (let attempt = 1; ; attempt++) {
    if (isAborted(to)) return [...errors, ...all(open, "unsent", abortedError(to.signal), attempt - 1)];
    const answer = await attemptWrite(open.batch, attempt, to);
    if (answer.kind === "written") return errors;
    if (answer.kind === "rejected" && open.batch.records.length > 1)
      return [...errors, ...(await writeOneByOne(open, attempt, to))];
    const sorted = await sortOut(answer, open, attempt, to);
    errors = [...errors, ...sorted.settled];
    if (sorted.again.length === 0) return errors;
    // What an abort leaves open has not used its attempts up: whoever resumes the run sends it again.
    if (attempt >= to.maxAttempts && !isAborted(to)) return [...errors, ...sorted.again];
    open = narrow(open, sorted.again);
    if (isAborted(to)) continue;
    const delayMs = retryDelay(attempt, to.backoff, sorted.afterMs);
    to.onRetry(attempt, delayMs, messageOf(sorted.again[0]?.error));
    await delay(to.clock, delayMs, to.signal);
  }
}

/** What is still to be written, and where in the whole batch it stands; undefined: just where it is. */
interface Open {
  readonly batch: Batch;
  readonly places: readonly number[] | undefined;
}

type Answer =
  | { readonly kind: "written" }
  | { readonly kind: "results"; readonly results: readonly Result[] }
  | { readonly kind: "rejected"; readonly error: unknown }
  | { readonly kind: "retryLater"; readonly error: unknown; readonly afterMs: number | undefined }
  | { readonly kind: "unknown"; readonly error: unknown };

const written: Answer = Object.freeze({ kind: "written" });

/** What an answer settles, and what it leaves for another attempt. */
interface Sorted {
  readonly settled: readonly RecordError[];
  readonly again: readonly RecordError[];
  readonly afterMs: number;
}

function place(open: Open, index: number): number {
  return open.places?.[index] ?? index;
}

function all(open: Open, fault: RecordError["fault"], error: unknown, attempts: number): RecordError[] {
  return open.batch.records.map((_, index) => ({ index: place(open, index), fault, error, attempts }));
}

function narrow(open: Open, again: readonly RecordError[]): Open {
  if (again.length === open.batch.records.length) return open;
  const inOrder = again.map(({ index }) => index).sort((one, other) => one - other);
  const indexOf = new Map(open.batch.records.map((_, index) => [place(open, index), index]));
  const kept = inOrder.map((index) => indexOf.get(index) ?? 0);
  const records = Object.freeze(kept.map((index) => open.batch.records[index]));
  const { keyOf } = open.batch;
  return { batch: { records, keyOf: (index) => keyOf(kept[index] ?? 0) }, places: inOrder };
}

// A batch that was rejected as a whole has at least one record at fault; the others are not to be condemned with it.
async function writeOneByOne(open: Open, sent: number, to: Destination): Promise<RecordError[]> {
  const errors: RecordError[] = [];
  for (const [index, record] of open.batch.records.entries()) {
    const single = { records: Object.freeze([record]), keyOf: () => open.batch.keyOf(index) };
    for (const failed of await writeBatch(single, to))
      errors.push({ ...failed, index: place(open, index), attempts: sent + failed.attempts });
  }
  return errors;
}

async function attemptWrite(batch: Batch, attempt: number, to: Destination): Promise<Answer> {
  const read = await new Promise<() => Answer>((resolve) => {
    const { writeTimeoutMs = defaultWriteTimeoutMs } = to.import;
    const abort = to.attempts.acquire();
    let cancelTimer = to.clock.setTimer(() => {
      const timeout = new Error(`write did not answer within ${writeTimeoutMs} ms`);
      abort.abort(timeout);
      cancelTimer = to.clock.setTimer(() => settle(() => ({ kind: "unknown", error: timeout })), timeoutGraceMs);
    }, writeTimeoutMs);
    const settle = (answer: () => Answer) => {
      cancelTimer();
      to.attempts.release(abort);
      resolve(answer);
    };
    callWrite(batch, attempt, abort.signal, to).then(
      (results) => settle(() => readResults(results, batch, to)),
      (error: unknown) => settle(() => readThrown(error, attempt, to)),
    );
  });
  return read();
}

async function callWrite(batch: Batch, attempt: number, signal: AbortSignal, to: Destination): Promise<unknown> {
  return to.import.write(batch.records, contextFor(batch, attempt, signal, to));
}

function contextFor(batch: Batch, attempt: number, signal: AbortSignal, to: Destination): ImportContext {
  let keys: readonly string[] | undefined;
  return {
    get keys() {
      return (keys ??= Object.freeze(batch.records.map((_, index) => batch.keyOf(index))));
    },
    attempt,
    run: to.run,
    flow: to.flow,
    signal,
    log: to.log,
  };
}

function readResults(results: unknown, batch: Batch, to: Destination): Answer {
  if (results === undefined) return written;
  if (!Array.isArray(results))
    throw broken(to, `write answered ${formatValue(results)} instead of nothing or an array`);
  if (results.length !== batch.records.length)
    throw broken(to, `write answered ${results.length} results for ${batch.records.length} records`);
  let allOk = true;
  for (const [index, result] of results.entries()) {
    if (!isResult(result)) throw broken(to, `write answered ${formatValue(result)} as result ${index}`);
    allOk &&= result.ok;
  }
  return allOk ? written : { kind: "results", results: results as Result[] };
}

function isResult(value: unknown): value is Result {
  if (typeof value !== "object" || value === null || !("ok" in value)) return false;
  if (value.ok === true) return true;
  const { fault, afterMs = 0 } = value as { readonly fault?: unknown; readonly afterMs?: unknown };
  return (
    value.ok === false && faults.some((known) => known === fault) && Number.isFinite(afterMs) && Number(afterMs) >= 0
  );
}

function readThrown(error: unknown, attempt: number, to: Destination): Answer {
  const outcome = outcomeOf(error);
  switch (outcome?.kind) {
    case "stop":
      throw new StoppedByImportError(to._importId, causeOf(error));
    case "reject":
      return { kind: "rejected", error: causeOf(error) };
    case "retryLater":
      return { kind: "retryLater", error: causeOf(error), afterMs: outcome.afterMs };
    case undefined:
      // With its stack, since it may as well be a mistake in `write` itself; once, not for every attempt.
      if (attempt === 1) to.log.warn({ importId: to._importId, err: error }, "write threw, so its outcome is unknown");
      return { kind: "unknown", error };
  }
}

function causeOf(outcome: unknown): unknown {
  return outcome instanceof Error && outcome.cause !== undefined ? outcome.cause : outcome;
}

async function sortOut(answer: Answer, open: Open, attempts: number, to: Destination): Promise<Sorted> {
  switch (answer.kind) {
    case "written":
      return { settled: noErrors, again: noErrors, afterMs: 0 };
    case "rejected":
      return { settled: all(open, "reject", answer.error, attempts), again: noErrors, afterMs: 0 };
    case "retryLater":
      return { settled: noErrors, again: all(open, "retry", answer.error, attempts), afterMs: answer.afterMs ?? 0 };
    case "unknown":
      return sortUnknown(
        all(open, "unknown", answer.error, attempts),
        { settled: [], again: [], afterMs: 0 },
        open,
        to,
      );
    case "results":
      return sortResults(answer.results, open, attempts, to);
  }
}

async function sortResults(results: readonly Result[], open: Open, attempts: number, to: Destination): Promise<Sorted> {
  const sorted: Record<Fault, RecordError[]> = { retry: [], reject: [], unknown: [] };
  let afterMs = 0;
  for (let index = 0; index < results.length; index++) {
    const result = results[index];
    if (result === undefined || result.ok) continue;
    sorted[result.fault].push({ index: place(open, index), fault: result.fault, error: result.error, attempts });
    afterMs = Math.max(afterMs, result.afterMs ?? 0);
  }
  const certain: Sorted = { settled: sorted.reject, again: sorted.retry, afterMs };
  return sorted.unknown.length === 0 ? certain : sortUnknown(sorted.unknown, certain, open, to);
}

// Whether a record was applied is not known. Writing it again is harmless only if the import says so; else the import
// is asked; and if it cannot tell, the record is never sent again by itself.
async function sortUnknown(
  unknown: readonly RecordError[],
  certain: Sorted,
  open: Open,
  to: Destination,
): Promise<Sorted> {
  if (to.import.idempotent) return { ...certain, again: [...certain.again, ...unknown] };
  const found = to.signal.aborted ? undefined : await findWritten(narrow(open, unknown).batch, to);
  if (found === undefined) return { ...certain, settled: [...certain.settled, ...unknown] };
  const absent = unknown.filter((_, index) => found[index] === undefined);
  return {
    ...certain,
    again: [...certain.again, ...absent.map((failed) => ({ ...failed, fault: "retry" as const }))],
  };
}

/**
 * What the import's `find` says of these records: an entry that is not undefined was written. Undefined as a whole if
 * there is no `find`, or if it failed: then nothing is known.
 *
 * @throws `contract_violation` if it answers another number of entries.
 */
export async function findWritten(batch: Batch, to: Destination): Promise<readonly unknown[] | undefined> {
  if (to.import.find === undefined) return undefined;
  let found: unknown;
  try {
    found = await to.import.find(batch.records, contextFor(batch, 1, to.signal, to));
  } catch (error) {
    to.log.warn({ _importId: to._importId, error: messageOf(error) }, "find failed, so the outcome stays unknown");
    return undefined;
  }
  if (!Array.isArray(found) || found.length !== batch.records.length)
    throw broken(to, `find answered ${formatValue(found)} for ${batch.records.length} records`);
  return found as readonly unknown[];
}

function broken(to: Destination, problem: string): ContractViolationError {
  return new ContractViolationError("Import", to._importId, problem);
}

function isAborted({ signal }: Destination): boolean {
  return signal.aborted;
}

function abortedError(signal: AbortSignal): unknown {
  return signal.reason instanceof Error ? signal.reason : new Error("the run was aborted");
}
