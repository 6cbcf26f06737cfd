import { delay } from "../../clock.ts";
import { ContractViolationError, StoppedByImportError } from "../../errors.ts";
import { copyForImport } from "../../model/record/copy.ts";
import { type Fault, faults } from "../../model/failure.ts";
import type { Import } from "../../model/host/import.ts";
import { formatValue } from "../../model/record/json.ts";
import { messageOf } from "../../model/message.ts";
import { disown, isPromise } from "../../model/host/awaitable.ts";
import { outcomeOf } from "../../model/host/outcome.ts";
import { excessiveWait, longestWaitMs, retryDelay, waitMsOf } from "../retry.ts";
import type { ResultOf, Tracer } from "../tracer.ts";
import type { Batch } from "./batch.ts";
import type { Destination, Halt, RecordError } from "./destination.ts";
import { WriteContext } from "./write-context.ts";

/** How long a `write` or a `find` may take without a timeout of the import's own, in milliseconds. */
export const defaultWriteTimeoutMs = 300_000;

/** How long a call whose timeout is over may take to return after all. Then it is left behind. */
export const timeoutGraceMs = 1_000;

/** How a call of the import's code ended. */
type Reply =
  | { readonly kind: "returned"; readonly value: unknown }
  | { readonly kind: "threw"; readonly error: unknown }
  | { readonly kind: "timeout"; readonly error: Error };

/** How often a batch was tried, and how often its records were sent in all. */
interface Tries {
  readonly attempt: number;
  readonly sent: number;
}

/** A record that is not written yet: its place in the batch, and what was wrong with it. */
interface Unwritten {
  readonly at: number;
  readonly fault: Fault;
  readonly error: unknown;
  readonly afterMs?: number;
}

/** What a call of `write` says of its batch. */
interface Answer {
  readonly unwritten: readonly Unwritten[];
  /** The batch was rejected as a whole: which of its records are at fault is not known. */
  readonly isRejected: boolean;
}

const returnedNothing: Reply = Object.freeze({ kind: "returned", value: undefined });

const allWritten: Answer = Object.freeze({ unwritten: Object.freeze([]), isRejected: false });

/** The import is halted, and what became of the batch does not matter any more. */
const halted: Answer = Object.freeze({ unwritten: Object.freeze([]), isRejected: false });

/** By the signals of their attempts: imports of runs in which a wait of more than a day was reported. */
const excessReported = new WeakSet<object>();

/** Writes batches of one page into one import, again where that is safe, and collects which records were not written. */
export class BatchWriter {
  /** In no particular order. */
  readonly errors: RecordError[] = [];
  /** Records that the import left out on purpose. */
  numIgnored = 0;
  readonly #to: Destination;
  #halt: Halt | undefined;

  constructor(to: Destination) {
    this.#to = to;
  }

  /** Once set, no batch is begun any more. */
  get halt(): Halt | undefined {
    return this.#halt;
  }

  /**
   * Resolves when each record of the batch is settled: written, or one of `errors`. By then the import's code has ended,
   * or has ignored the abort after its timeout. `sent`: how often its records were sent before, in a larger batch.
   */
  async write(batch: Batch, sent = 0): Promise<void> {
    let open: Batch | undefined = batch;
    for (let attempt = 1; open !== undefined; attempt++) {
      if (this.#halt !== undefined || this.#to.signal.aborted) {
        this.#leave(open, sent + attempt - 1);
        return;
      }
      const { tracer } = this.#to;
      const answer: Answer =
        tracer === undefined
          ? this.#read(await this.#call("write", open, attempt), open, attempt)
          : await this.#traced(tracer, open, attempt);
      if (answer === allWritten) return;
      open = await this.#settle(answer, open, { attempt, sent: sent + attempt });
    }
  }

  /**
   * What the import's `find` says of these records: an entry that is not undefined was written. Undefined as a whole if
   * there is no `find`, or if it failed, or broke its contract (then `halt` is set): nothing is known.
   */
  async find(batch: Batch): Promise<readonly unknown[] | undefined> {
    if (this.#to.import.find === undefined) return undefined;
    const reply = await this.#call("find", batch, 1);
    if (reply.kind !== "returned") {
      const error = messageOf(reply.error);
      this.#to.log.warn({ error }, "find failed, so the outcome stays unknown");
      return undefined;
    }
    return this.#readFound(reply.value, batch);
  }

  #traced(tracer: Tracer, batch: Batch, attempt: number): Promise<Answer> {
    const { _importId, run } = this.#to;
    let result: ResultOf<"write"> = { outcome: "unknown" };
    const work = async () => {
      const reply = await this.#call("write", batch, attempt);
      const ignoredBefore = this.numIgnored;
      const answer = this.#read(reply, batch, attempt);
      const halt = answer === halted ? this.#halt : undefined;
      result = stepResultOf(reply, answer, { halt, size: batch.size, numIgnore: this.numIgnored - ignoredBefore });
      return answer;
    };
    return tracer.around({ kind: "write", run, _importId, attempt, records: batch.size }, work, {
      returned: () => result,
      threw: (error) => ({ ...result, error }),
    });
  }

  // A copy, whatever the array's own properties do.
  #readFound(found: unknown, { size }: Batch): readonly unknown[] | undefined {
    try {
      const copy =
        Array.isArray(found) && found.length === size
          ? Array.from({ length: size }, (_, at): unknown => found[at])
          : [];
      // A promise is not undefined, and so would count as a record that was found.
      const promised = copy.findIndex(isPromise);
      if (copy.length === size && promised < 0) return copy;
      disown(found);
      const what = promised < 0 ? `${formatValue(found)} for ${size} records` : `${unawaited} ${promised}`;
      this.#violate(`find returned ${what}`);
    } catch (error) {
      this.#violate(`what find returned cannot be read: ${messageOf(error)}`);
    }
    return undefined;
  }

  /** Each of the records is at fault in the same way. */
  fail(batch: Batch, fault: Omit<RecordError, "index">): void {
    for (let at = 0; at < batch.size; at++) this.errors.push({ index: batch.positionOf(at), ...fault });
  }

  // What is to be written in another attempt; undefined if all is settled.
  async #settle(answer: Answer, open: Batch, tries: Tries): Promise<Batch | undefined> {
    if (answer === halted) this.#leave(open, tries.sent);
    else if (answer.isRejected && open.size > 1) await this.#writeHalves(open, tries.sent);
    else {
      const again = await this.#unsettled(answer.unwritten, open, tries.sent);
      if (again.length > 0 && (await this.#maySendAgain(again, tries.attempt)))
        return open.select(again.map(({ at }) => at));
      this.#fail(again, open, tries.sent);
    }
    return undefined;
  }

  // What is not sent has not used its attempts up: the run that resumes sends it again.
  #leave(open: Batch, attempts: number): void {
    const halt = this.#halt;
    if (halt === undefined || this.#to.signal.aborted)
      this.fail(open, { fault: "unsent", error: abortedError(this.#to.signal), attempts });
    else if (halt.kind === "wait")
      this.fail(open, { fault: "retry", error: halt.error, attempts, afterMs: halt.afterMs });
    else this.fail(open, { fault: "unsent", error: halt.error, attempts });
  }

  // At least one record is at fault, and the others are not to be condemned with it.
  async #writeHalves(batch: Batch, sent: number): Promise<void> {
    const middle = Math.ceil(batch.size / 2);
    await this.write(batch.slice(0, middle), sent);
    await this.write(batch.slice(middle, batch.size), sent);
  }

  // True after a wait for the next attempt, at once if the run is aborted: then it is as good as not sent. False: the
  // retries are exhausted, or the destination asks for a wait that is too long to keep the run's slot.
  async #maySendAgain(again: readonly Unwritten[], attempt: number): Promise<boolean> {
    const { backoff, clock, maxAttempts, maxWaitMs, onRetry, signal } = this.#to;
    if (signal.aborted) return true;
    const afterMs = longestOf(again);
    const error = again[0]?.error;
    if (afterMs > maxWaitMs) this.#halt ??= { kind: "wait", error, afterMs };
    if (afterMs > maxWaitMs || attempt >= maxAttempts) return false;
    const delayMs = retryDelay(attempt, backoff, afterMs);
    onRetry(attempt, delayMs, messageOf(error));
    await delay(clock, delayMs, signal);
    return true;
  }

  #call(method: "write" | "find", batch: Batch, attempt: number): Promise<Reply> {
    const { clock, import: into, log } = this.#to;
    const { writeTimeoutMs = defaultWriteTimeoutMs } = into;
    const context = new WriteContext(batch, attempt, this.#to);
    return new Promise((resolve) => {
      const settle = (reply: Reply) => {
        cancelTimer();
        context.end();
        resolve(reply);
      };
      let cancelTimer = clock.setTimer(() => {
        const error = new Error(`${method} did not return within ${writeTimeoutMs} ms`);
        context.abort(error);
        cancelTimer = clock.setTimer(() => {
          log.warn({ error: error.message }, `${method} ignored its signal, and is left behind`);
          settle({ kind: "timeout", error });
        }, timeoutGraceMs);
      }, writeTimeoutMs);
      void callImport(into, method, this.#viewOf(batch), context).then(settle);
    });
  }

  // What cannot be frozen is made anew for each call: one that changed it would change what others get to see.
  #viewOf(batch: Batch): readonly unknown[] {
    if (!batch.mutable || !this.#to.shared) return batch.records;
    return Object.freeze(batch.records.map(copyForImport));
  }

  #read(reply: Reply, batch: Batch, attempt: number): Answer {
    if (reply === returnedNothing) return allWritten;
    if (reply.kind === "timeout") return wholeOf(batch, "unknown", reply.error);
    if (reply.kind === "threw") return this.#readThrown(reply.error, batch, attempt);
    try {
      return this.#readResults(reply.value, batch);
    } catch (error) {
      disown(reply.value);
      return this.#violate(`its results cannot be read: ${messageOf(error)}`);
    }
  }

  #readResults(results: unknown, batch: Batch): Answer {
    if (!Array.isArray(results))
      return this.#violate(`write returned ${formatValue(results)} instead of nothing or an array`);
    if (results.length !== batch.size) {
      disown(results);
      return this.#violate(`write returned ${results.length} results for ${batch.size} records`);
    }
    const unwritten: Unwritten[] = [];
    let ignored = 0;
    for (let at = 0; at < batch.size; at++) {
      const result: unknown = results[at];
      if (isOk(result)) {
        if (result.ignored === true) ignored++;
        continue;
      }
      const failed = this.#readFailed(result, at);
      if (failed === undefined) {
        disown(results);
        return this.#violate(
          `write returned ${isPromise(result) ? unawaited : `${formatValue(result)} as result`} ${at}`,
        );
      }
      unwritten.push(failed);
    }
    this.numIgnored += ignored;
    return unwritten.length === 0 ? allWritten : { unwritten, isRejected: false };
  }

  #readFailed(result: unknown, at: number): Unwritten | undefined {
    if (typeof result !== "object" || result === null) return undefined;
    const { ok, fault, afterMs } = result as { ok?: unknown; fault?: unknown; afterMs?: unknown };
    if (ok !== false || !isFault(fault)) return undefined;
    const error = readError(result);
    return afterMs === undefined ? { at, fault, error } : { at, fault, error, afterMs: this.#waitMs(afterMs) };
  }

  #readThrown(error: unknown, batch: Batch, attempt: number): Answer {
    const { log, _importId } = this.#to;
    const outcome = outcomeOf(error);
    switch (outcome?.kind) {
      case "stop":
        this.#halt ??= { kind: "stopped", error: new StoppedByImportError(_importId, causeOf(error)) };
        return halted;
      case "reject":
        return wholeOf(batch, "reject", causeOf(error));
      case "retryLater":
        return wholeOf(batch, "retry", causeOf(error), this.#waitMs(outcome.afterMs));
      case "expired":
      case undefined:
        // With its stack, since it may as well be a mistake in `write` itself; once, not for every attempt.
        if (attempt === 1) log.warn({ err: error }, "write threw, so its outcome is unknown");
        return wholeOf(batch, "unknown", error);
    }
  }

  #waitMs(asked: unknown): number {
    const waitMs = waitMsOf(asked, this.#to.clock.now());
    if (waitMs <= longestWaitMs) return waitMs;
    this.#reportExcess(asked);
    return longestWaitMs;
  }

  #reportExcess(asked: unknown): void {
    if (excessReported.has(this.#to.attempts)) return;
    excessReported.add(this.#to.attempts);
    this.#to.log.warn({ afterMs: asked }, excessiveWait);
  }

  // Keeps as errors what is settled, and returns what another attempt may change.
  async #unsettled(unwritten: readonly Unwritten[], open: Batch, sent: number): Promise<readonly Unwritten[]> {
    const again: Unwritten[] = [];
    const unsure: Unwritten[] = [];
    for (const one of unwritten) {
      if (one.fault === "reject") this.#failOne(one, open, sent);
      else if (one.fault === "retry" || this.#to.import.idempotent) again.push(one);
      else unsure.push(one);
    }
    return unsure.length === 0 ? again : [...again, ...(await this.#absent(unsure, open, sent))].sort(byPlace);
  }

  // Sending these again is not harmless. So the import is asked, and if it cannot tell, they are never sent again.
  async #absent(unsure: readonly Unwritten[], open: Batch, sent: number): Promise<readonly Unwritten[]> {
    const found = this.#to.signal.aborted ? undefined : await this.find(open.select(unsure.map(({ at }) => at)));
    if (found === undefined) this.#fail(unsure, open, sent);
    return unsure.flatMap((one, nth) =>
      found !== undefined && found[nth] === undefined ? [{ ...one, fault: "retry" as const }] : [],
    );
  }

  #fail(unwritten: readonly Unwritten[], open: Batch, attempts: number): void {
    for (const one of unwritten) this.#failOne(one, open, attempts);
  }

  #failOne({ at, fault, error, afterMs }: Unwritten, open: Batch, attempts: number): void {
    const index = open.positionOf(at);
    this.errors.push(
      afterMs === undefined ? { index, fault, error, attempts } : { index, fault, error, attempts, afterMs },
    );
  }

  #violate(problem: string): Answer {
    this.#halt ??= { kind: "violation", error: new ContractViolationError("Import", this.#to._importId, problem) };
    return halted;
  }
}

/** To be followed by its number. */
const unawaited = "a promise where nothing is awaited (use Promise.all) as result";

// Never rejects.
async function callImport(
  into: Import<unknown>,
  method: "write" | "find",
  records: readonly unknown[],
  context: WriteContext,
): Promise<Reply> {
  try {
    const value: unknown = await (method === "write" ? into.write(records, context) : into.find?.(records, context));
    return value === undefined ? returnedNothing : { kind: "returned", value };
  } catch (error) {
    return { kind: "threw", error };
  }
}

function wholeOf(batch: Batch, fault: Fault, error: unknown, afterMs = 0): Answer {
  const wait = afterMs === 0 ? {} : { afterMs };
  return {
    unwritten: batch.records.map((_, at) => ({ at, fault, error, ...wait })),
    isRejected: fault === "reject",
  };
}

/** How a call of `write` went, as a step. */
function stepResultOf(
  reply: Reply,
  { isRejected, unwritten }: Answer,
  { halt, size, numIgnore }: { readonly halt: Halt | undefined; readonly size: number; readonly numIgnore: number },
): ResultOf<"write"> {
  if (halt !== undefined) return { outcome: halt.kind === "violation" ? "violation" : "stop", error: halt.error };
  const [first] = unwritten;
  const counts = { numSuccess: size - unwritten.length - numIgnore, numError: unwritten.length, numIgnore };
  if (first === undefined) return { outcome: "written", counts };
  const isUniform = unwritten.length === size && unwritten.every(({ fault }) => fault === first.fault);
  const outcome = isUniform ? first.fault : "mixed";
  const failed = reply.kind === "returned" ? unwritten.find(({ fault }) => fault === "unknown") : first;
  if (failed === undefined || isRejected) return { outcome, counts };
  return { outcome, counts, error: failed.error ?? new Error("write gave no error") };
}

function isOk(result: unknown): result is { readonly ok: true; readonly ignored?: unknown } {
  return typeof result === "object" && result !== null && "ok" in result && result.ok === true;
}

function isFault(value: unknown): value is Fault {
  return faults.some((known) => known === value);
}

function readError(result: object): unknown {
  try {
    return (result as { error?: unknown }).error;
  } catch (error) {
    return error;
  }
}

function byPlace(one: Unwritten, other: Unwritten): number {
  return one.at - other.at;
}

function longestOf(unwritten: readonly Unwritten[]): number {
  return unwritten.reduce((longest, { afterMs = 0 }) => Math.max(longest, afterMs), 0);
}

function causeOf(outcome: unknown): unknown {
  try {
    return outcome instanceof Error && outcome.cause !== undefined ? outcome.cause : outcome;
  } catch {
    return outcome;
  }
}

function abortedError(signal: AbortSignal): unknown {
  return signal.reason instanceof Error ? signal.reason : new Error("the run was aborted");
}
