import type { Clock } from "../../clock.ts";
import type { Codec } from "../../model/host/export.ts";
import type { Failure, Fault } from "../../model/failure.ts";
import { isInstance } from "../../model/host/instance.ts";
import { codeOf, longestMessage, messageOf, storableText } from "../../model/message.ts";
import { storable } from "../../model/record/storable.ts";
import type { Run } from "../../model/run.ts";
import type { Batch } from "../destination/batch.ts";
import type { RecordError } from "../destination/destination.ts";
import { UndecodedError } from "../source/decode.ts";
import type { FailureOrigin } from "../source/source.ts";

/** When failures with fault `retry` are sent again by themselves. */
export interface AutoRetry {
  /** Milliseconds until the first time; doubled with each. */
  readonly afterMs: number;
  /** The longest time between two, in milliseconds. */
  readonly maxDelayMs: number;
  /** Days after the first failure for which it goes on. */
  readonly days: number;
}

/** What failures are made with. */
export interface FailureMakerDeps {
  readonly run: Run;
  readonly _importId: string;
  readonly codec: Codec | undefined;
  readonly autoRetry: AutoRetry | false;
  readonly clock: Clock;
  readonly newId: () => string;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Makes the failures of one page at one import: all of them at one instant, and the same error is read once. */
export class FailureMaker {
  readonly #batch: Batch;
  readonly #origin: FailureOrigin | undefined;
  readonly #deps: FailureMakerDeps;
  readonly #now: number;
  readonly #at: string;
  #lastRetry: { readonly delayMs: number; readonly at: string } | undefined;
  #last: { readonly error: unknown; readonly message: string; readonly code: string | undefined } | undefined;

  /** `origin`: the failures that the records of the page are, if it is a page of a retry. */
  constructor(batch: Batch, origin: FailureOrigin | undefined, deps: FailureMakerDeps) {
    this.#batch = batch;
    this.#origin = origin;
    this.#deps = deps;
    this.#now = deps.clock.now();
    this.#at = new Date(this.#now).toISOString();
  }

  /** A failure for each of them, frozen. */
  ofAll(errors: readonly RecordError[]): readonly Failure[] {
    return errors.map((error) => this.#of(error));
  }

  // Field by field: with a page of failures, copies are most of what it costs.
  #of({ index, error, attempts, fault, afterMs = 0 }: RecordError): Failure {
    const { _id: _runId, _flowId, _exportId, _integrationId, _connectorId } = this.#deps.run;
    const batch = this.#batch;
    const stored = this.#origin?.items[index];
    const { message, code } = this.#read(error);
    const failure: Writable<Failure> = {
      _id: stored?._id ?? this.#deps.newId(),
      _flowId,
      _exportId,
      _importId: this.#deps._importId,
      _runId,
      key: batch.keyOf(index),
      record: undefined,
      fault: faultOf(fault),
      message,
      attempts: attempts + (stored?.attempts ?? 0),
      occurrences: 1,
      status: "open",
      createdAt: stored?.createdAt ?? this.#at,
      lastFailedAt: this.#at,
    };
    if (stored !== undefined) keepStored(failure, stored);
    else keepRecord(failure, batch, index, isInstance(error, UndecodedError) ? undefined : this.#deps.codec);
    const version = stored?.version ?? batch.keys.versionOf?.(index);
    if (version !== undefined) failure.version = version;
    if (code !== undefined) failure.code = code;
    if (_integrationId !== undefined) failure._integrationId = _integrationId;
    if (_connectorId !== undefined) failure._connectorId = _connectorId;
    const delayMs = retryDelayOf(failure, stored?.occurrences ?? 0, afterMs, this.#now, this.#deps.autoRetry);
    if (delayMs !== undefined) failure.retryAt = this.#after(delayMs);
    return Object.freeze(failure);
  }

  #after(delayMs: number): string {
    if (this.#lastRetry?.delayMs !== delayMs)
      this.#lastRetry = { delayMs, at: new Date(this.#now + delayMs).toISOString() };
    return this.#lastRetry.at;
  }

  #read(error: unknown): { readonly message: string; readonly code: string | undefined } {
    if (this.#last === undefined || this.#last.error !== error)
      this.#last = { error, message: messageOf(error), code: codeOf(error) };
    return this.#last;
  }
}

function keepRecord(failure: Writable<Failure>, batch: Batch, index: number, codec: Codec | undefined): void {
  const isRecord = batch.positionOf(index) < (batch.keys.unreadableFrom ?? Infinity);
  if (!isRecord) failure.unreadable = true;
  const result = storable(batch.records[index], isRecord ? codec : undefined);
  if (result.problem === undefined) {
    failure.record = result.record;
    return;
  }
  failure.unstorable = true;
  const note = ` (its record cannot be kept, nor sent again: ${result.problem})`;
  failure.message = storableText(failure.message, longestMessage - note.length) + note;
}

function keepStored(failure: Writable<Failure>, { record, original, editedAt, unreadable }: Failure): void {
  failure.record = record;
  if (unreadable !== undefined) failure.unreadable = unreadable;
  if (editedAt === undefined) return;
  failure.original = original;
  failure.editedAt = editedAt;
}

function faultOf(fault: RecordError["fault"]): Fault {
  return fault === "unsent" ? "retry" : fault;
}

// Undefined: never by itself.
function retryDelayOf(
  { fault, createdAt, unstorable }: Pick<Failure, "fault" | "createdAt" | "unstorable">,
  occurrences: number,
  askedMs: number,
  now: number,
  rule: AutoRetry | false,
): number | undefined {
  if (rule === false || fault !== "retry" || unstorable === true) return undefined;
  const delayMs = Math.max(askedMs, Math.min(rule.maxDelayMs, rule.afterMs * 2 ** Math.min(occurrences, 40)));
  if (now + delayMs > Date.parse(createdAt) + rule.days * 86_400_000) return undefined;
  return delayMs;
}
