import assert from "node:assert/strict";
import { types } from "node:util";
import type { Fault } from "../model/failure.ts";
import { systemClock } from "../clock.ts";
import type { ImportContext, ImportMembers, Result } from "../model/host/import.ts";
import { formatValue } from "../model/record/json.ts";
import { silentLogger } from "../model/logger.ts";
import { freezeRecord } from "../model/record/copy.ts";
import { idempotencyKey } from "../model/record/idempotency-key.ts";
import { messageOf } from "../model/message.ts";
import { outcomeOf } from "../model/host/outcome.ts";
import { sampleFlow, sampleRun } from "./connector-harness.ts";

/** What is known of an import under test, beside how to make it. Each part that is given makes more cases apply. */
export interface ImportCaseOptions<In, Out = In, R = unknown> {
  /** A good record, a different one for each `nth` from 0 on, and the same one each time for the same `nth`. */
  record(nth: number): In;
  /** How many records make the batches of these cases; 2 or more. @default 3 */
  readonly batch?: number;
  /** How long `write` may take to end once it is aborted, in milliseconds. @default 1000 */
  readonly abortWithinMs?: number;
  /** False: it says that it is not idempotent. @default true */
  readonly idempotent?: boolean;
  /** True: it has a `find`. @default false */
  readonly find?: boolean;
  /**
   * True: it goes by page instead of by key: the same page of a run again, with other records perhaps, replaces what was
   * written of it. @default false
   */
  readonly rewrites?: boolean;
  /** True: it has a `finish`. @default false */
  readonly finish?: boolean;
  /**
   * Everything the destination has now, without what differs from time to time and in an order of its own, so that
   * deeply equal results mean equal contents.
   */
  read?(into: ImportMembers<In, Out, R>): unknown;
  /**
   * The record `nth` in a later state, which goes by the same key.
   *
   * @default another record under that key, which an import does not notice that goes by an id in the record
   */
  changed?(nth: number): In;
  /** A record that can never be written, another one for each `nth`. */
  poison?(nth: number): In;
  /** Makes the next write fail because the destination is down; nothing of it is applied. */
  goDown?(into: ImportMembers<In, Out, R>): Promise<void> | void;
  /** Makes the destination refuse the next write, to be sent again in `afterMs`, as with 429 and Retry-After. */
  throttle?(into: ImportMembers<In, Out, R>, afterMs: number): Promise<void> | void;
  /** Makes the destination apply the next write, and its response get lost. */
  loseResponse?(into: ImportMembers<In, Out, R>): Promise<void> | void;
  /** Makes the destination neither apply nor respond to the next write, until it is given up. */
  stall?(into: ImportMembers<In, Out, R>): Promise<void> | void;
}

/** Makes the import under test, over a destination of its own that is empty. */
export type MakeImport<In, Out = In, R = unknown> = () =>
  Promise<ImportMembers<In, Out, R>> | ImportMembers<In, Out, R>;

/** What became of one record. */
export interface Outcome {
  readonly fate: "written" | Fault;
  readonly message?: string;
  readonly afterMs?: number;
}

/** How a batch is offered. */
export interface OfferOptions {
  /** @default a page for itself, the same one for the same first record */
  readonly page?: number;
  readonly runId?: string;
  readonly attempt?: number;
  readonly signal?: AbortSignal;
}

/** An import under test, and the ways in which runs write into it. */
export class ImportHarness {
  readonly make: MakeImport<unknown>;
  readonly options: ImportCaseOptions<unknown>;

  constructor(make: MakeImport<unknown>, options: ImportCaseOptions<unknown>) {
    this.make = make;
    this.options = options;
  }

  /** Records of one batch. */
  get size(): number {
    return this.options.batch ?? 3;
  }

  get abortWithinMs(): number {
    return this.options.abortWithinMs ?? 1_000;
  }

  /** `count` numbers of good records. */
  numbers(first: number, count: number): readonly number[] {
    return Array.from({ length: count }, (_, index) => first + index);
  }

  /** The numbers of good records that go out in one call. */
  oneBatch(into: ImportMembers<unknown>): readonly number[] {
    return this.numbers(0, Math.min(this.size, into.batchSize ?? this.size));
  }

  /** The record `nth` in another state, for which the record `spare` stands in if need be. */
  changed(nth: number, spare: number): KeyedRecord {
    const { options } = this;
    const record = options.changed === undefined ? options.record(spare) : options.changed(nth);
    return keyedRecord(`record ${nth}`, record);
  }

  /** A batch of good records, but for one. */
  withPoison(place: number): readonly KeyedRecord[] {
    return this.numbers(0, this.size).map((nth) =>
      nth === place ? keyedRecord(`poison ${nth}`, this.options.poison?.(nth)) : this.#good(nth),
    );
  }

  /** What the destination has, so that later changes do not show. */
  async read(into: ImportMembers<unknown>): Promise<unknown> {
    return structuredClone(await this.options.read?.(into));
  }

  /** A good record as the import wants it; fails if it does not come through. */
  shape(into: ImportMembers<unknown>, record: unknown): unknown {
    freezeRecord(record);
    const keeps: unknown = into.filter === undefined ? true : into.filter(record);
    assert.ok(keeps === true, `filter returned ${formatValue(keeps)} for a good record`);
    return shapeOf(into, record);
  }

  /** One call of `write` with good records, and what it returned. */
  async call(
    into: ImportMembers<unknown>,
    numbers: readonly number[],
  ): Promise<{ results: unknown; records: readonly unknown[] }> {
    const batch = numbers.map((nth) => this.#good(nth)).slice(0, into.batchSize);
    const records = batch.map(({ record }) => this.shape(into, record));
    return { results: await into.write(Object.freeze(records), contextOf(batch)), records };
  }

  /** Good records, offered as a run does, and what became of each when all was said. */
  async offer(
    into: ImportMembers<unknown>,
    numbers: readonly number[],
    how: OfferOptions = {},
  ): Promise<readonly Outcome[]> {
    return this.offerRecords(
      into,
      numbers.map((nth) => this.#good(nth)),
      how,
    );
  }

  /** One call of `write` with good records, and what became of each. */
  async attempt(
    into: ImportMembers<unknown>,
    numbers: readonly number[],
    how: OfferOptions = {},
  ): Promise<readonly Outcome[]> {
    const batch = numbers.map((nth) => this.#good(nth));
    const shaped = batch.map((each) => ({ ...each, record: this.shape(into, each.record) }));
    return (await this.#write(into, shaped, how)).each;
  }

  /** Calls `finish` as a run does that has read for the import. */
  async finish(into: ImportMembers<unknown>, how: { readonly runId?: string; readonly whole: boolean }): Promise<void> {
    const { signal } = new AbortController();
    const run = sampleRun(how.runId);
    await into.finish?.({ whole: how.whole, run, flow: sampleFlow, signal, log: silentLogger });
  }

  /** Like {@link offer}, with any records. */
  async offerRecords(
    into: ImportMembers<unknown>,
    batch: readonly KeyedRecord[],
    how: OfferOptions = {},
  ): Promise<readonly Outcome[]> {
    const shaped = batch.map((each) => ({ ...each, ...tryShape(into, each.record) }));
    const written = await this.#settle(
      into,
      shaped.filter(({ refused }) => refused === undefined),
      how,
    );
    let next = 0;
    return shaped.map(({ refused }) => refused ?? written[next++] ?? assert.fail("a record has no outcome"));
  }

  /** What `find` says of good records. */
  async find(into: ImportMembers<unknown>, numbers: readonly number[]): Promise<readonly unknown[]> {
    const batch = numbers.map((nth) => this.#good(nth));
    const records = Object.freeze(batch.map(({ record }) => this.shape(into, record)));
    const found = await into.find?.(records, contextOf(batch));
    assert.ok(Array.isArray(found), `find returned ${formatValue(found)}`);
    assert.equal(found.length, numbers.length, `find returned ${found.length} entries for ${numbers.length} records`);
    return found as readonly unknown[];
  }

  async #settle(
    into: ImportMembers<unknown>,
    batch: readonly KeyedRecord[],
    how: OfferOptions,
  ): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const each of batchesOf(batch, into.batchSize)) {
      const outcome = await this.#write(into, each, how);
      // As in a run: those that are not at fault are not to be condemned with the one that is.
      if (outcome.rejectedWhole && each.length > 1)
        for (const one of each) outcomes.push(...(await this.#write(into, [one], how)).each);
      else outcomes.push(...outcome.each);
    }
    return outcomes;
  }

  async #write(into: ImportMembers<unknown>, batch: readonly KeyedRecord[], how: OfferOptions): Promise<WriteOutcome> {
    const records = Object.freeze(batch.map(({ record }) => record));
    let results: unknown;
    try {
      results = await into.write(records, contextOf(batch, how));
    } catch (error) {
      const outcome = readThrown(error);
      return { rejectedWhole: outcome.fate === "reject", each: batch.map(() => outcome) };
    }
    return { rejectedWhole: false, each: readResults(results, batch.length) };
  }

  #good(nth: number): KeyedRecord {
    return keyedRecord(`record ${nth}`, this.options.record(nth));
  }
}

/** A record, the key it goes by, and the one of its state. */
export interface KeyedRecord {
  readonly key: string;
  readonly idempotencyKey: string;
  readonly record: unknown;
}

function keyedRecord(key: string, record: unknown): KeyedRecord {
  const at = { _flowId: sampleFlow._id, _importId: sampleFlow._importId };
  return { key, idempotencyKey: idempotencyKey({ ...at, key, version: undefined, record }), record };
}

function contextOf(
  batch: readonly KeyedRecord[],
  { page, runId, attempt = 1, signal }: OfferOptions = {},
): ImportContext {
  return {
    page: page ?? pageOf(batch),
    keys: Object.freeze(batch.map(({ key }) => key)),
    idempotencyKeys: Object.freeze(batch.map((each) => each.idempotencyKey)),
    attempt,
    run: sampleRun(runId),
    flow: sampleFlow,
    signal: signal ?? new AbortController().signal,
    log: silentLogger,
  };
}

// Records have their numbers in their keys.
function pageOf([first]: readonly KeyedRecord[]): number {
  return 1 + Number(first?.key.split(" ").at(-1) ?? 0);
}

/** What one call of `write` said. */
interface WriteOutcome {
  /** The whole batch was rejected by what `write` threw. */
  readonly rejectedWhole: boolean;
  readonly each: readonly Outcome[];
}

function batchesOf(batch: readonly KeyedRecord[], size = Infinity): readonly (readonly KeyedRecord[])[] {
  if (batch.length === 0) return [];
  return [batch.slice(0, size), ...batchesOf(batch.slice(size), size)];
}

function tryShape(
  into: ImportMembers<unknown>,
  record: unknown,
): { readonly record: unknown; readonly refused?: Outcome } {
  let keeps: unknown;
  try {
    keeps = into.filter === undefined || into.filter(freezeRecord(record));
    if (keeps === true) return { record: shapeOf(into, freezeRecord(record)) };
  } catch (error) {
    return { record, refused: { fate: "reject", message: messageOf(error) } };
  }
  assert.fail(`filter returned ${formatValue(keeps)}, so the record is left out, and never written`);
}

function shapeOf(into: ImportMembers<unknown>, record: unknown): unknown {
  const mapped = into.map === undefined ? record : into.map(record);
  assert.ok(!types.isPromise(mapped), "map returned a promise, but it is synchronous");
  const result = into.schema?.["~standard"].validate(mapped);
  assert.ok(!types.isPromise(result), "the schema validates asynchronously, but has to return at once");
  if (result?.issues !== undefined) throw new Error(result.issues.map(({ message }) => message).join("; "));
  return freezeRecord(result === undefined ? mapped : result.value);
}

function readResults(results: unknown, expected: number): readonly Outcome[] {
  if (results === undefined) return Array.from({ length: expected }, () => ({ fate: "written" }));
  assert.ok(Array.isArray(results), `write returned ${formatValue(results)} instead of nothing or an array`);
  assert.equal(results.length, expected, `write returned ${results.length} results for ${expected} records`);
  return (results as readonly Result[]).map((result) => {
    if (result.ok) return { fate: "written" };
    const { fault, error, afterMs } = result;
    return { fate: fault, message: messageOf(error), ...waitOf(afterMs) };
  });
}

function readThrown(error: unknown): Outcome {
  const outcome = outcomeOf(error);
  const message = messageOf(error);
  switch (outcome?.kind) {
    case "retryLater":
      return { fate: "retry", message, ...waitOf(outcome.afterMs) };
    case "reject":
      return { fate: "reject", message };
    case "stop":
      throw new assert.AssertionError({ message: `write stopped the run: ${message}` });
    case "expired":
    case undefined:
      return { fate: "unknown", message };
  }
}

function waitOf(afterMs: number | Date | undefined): Pick<Outcome, "afterMs"> {
  if (afterMs === undefined) return {};
  return { afterMs: typeof afterMs === "number" ? afterMs : afterMs.getTime() - systemClock.now() };
}
