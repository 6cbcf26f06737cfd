import { ContractViolationError } from "../errors.ts";
import { type Counts } from "../model/run.ts";
import { freezeRecord } from "../model/page.ts";
import { type Batch, type Destination, type RecordError, findWritten, noErrors, writeBatch } from "./write-batch.ts";

/** The records one import is offered, and which of them it may have got before without saying so. */
export interface Offer extends Batch {
  /** Places of records whose outcome an earlier run left unknown (retry runs only). */
  readonly doubtful?: ReadonlySet<number>;
}

/** What one import made of a page. */
export interface ImportResult {
  /** Records it left out, and records it took. */
  readonly numIgnore: number;
  readonly numSuccess: number;
  /** Records it did not take, `index` being the place in the offer; ascending. */
  readonly errors: readonly RecordError[];
  /** How many records were to be written, after filter, map and validation. */
  readonly sent: number;
}

/** What is left to write of an offer, and what has already gone wrong with the rest. */
interface Prepared extends Batch {
  /** Places in the offer; undefined: just where they are. */
  readonly places: readonly number[] | undefined;
  readonly errors: readonly RecordError[];
  readonly numIgnore: number;
}

/**
 * Filters, maps and validates the records of a page for one import, and writes them in its batches.
 *
 * @throws `contract_violation`, `stopped_by_import`: nothing of the page may be committed then.
 */
export async function importPage(offer: Offer, to: Destination): Promise<ImportResult> {
  const whole = prepare(offer, to);
  const prepared = offer.doubtful === undefined ? whole : await withoutFound(whole, offer.doubtful, to);
  const { records, places, numIgnore } = prepared;
  const unwritten = records.length === 0 ? noErrors : await writeInBatches(prepared, to);
  const errors =
    unwritten.length + prepared.errors.length === 0
      ? prepared.errors
      : [
          ...prepared.errors,
          ...unwritten.map((failed) => ({ ...failed, index: places?.[failed.index] ?? failed.index })),
        ];
  return {
    numIgnore,
    numSuccess: offer.records.length - numIgnore - errors.length,
    errors: errors.length > 1 ? [...errors].sort((one, other) => one.index - other.index) : errors,
    sent: records.length,
  };
}

/** The counts of a settlement in which nothing is unsent. */
export function countsOf(settlement: ImportResult): Counts {
  const { numSuccess, numIgnore, errors } = settlement;
  return { numSuccess, numIgnore, numError: errors.length };
}

function prepare(offer: Offer, to: Destination): Prepared {
  const into = to.import;
  if (into.filter === undefined && into.map === undefined && into.schema === undefined)
    return { records: offer.records, keyOf: offer.keyOf, places: undefined, errors: noErrors, numIgnore: 0 };
  const records: unknown[] = [];
  const places: number[] = [];
  const errors: RecordError[] = [];
  let numIgnore = 0;
  for (let index = 0; index < offer.records.length; index++) {
    try {
      const record = offer.records[index];
      if (into.filter !== undefined && !keeps(to, record)) numIgnore++;
      else {
        records.push(shape(to, record));
        places.push(index);
      }
    } catch (error) {
      if (error instanceof ContractViolationError) throw error;
      errors.push({ index, fault: "reject", error, attempts: 0 });
    }
  }
  return {
    records: Object.freeze(records),
    keyOf: (index) => offer.keyOf(places[index] ?? 0),
    places,
    errors,
    numIgnore,
  };
}

function keeps(to: Destination, record: unknown): boolean {
  const keep: unknown = to.import.filter?.(record);
  if (isThenable(keep)) throw broken(to, "filter answered a promise, but it is synchronous");
  return Boolean(keep);
}

function shape(to: Destination, record: unknown): unknown {
  const mapped = to.import.map === undefined ? record : to.import.map(record);
  if (isThenable(mapped)) throw broken(to, "map answered a promise, but it is synchronous");
  const shaped = to.import.schema === undefined ? mapped : valid(to, mapped);
  return to.freeze ? freezeRecord(shaped) : shaped;
}

function valid(to: Destination, mapped: unknown): unknown {
  const result = to.import.schema?.["~standard"].validate(mapped);
  if (isThenable(result)) throw broken(to, "its schema validates asynchronously, but has to answer at once");
  if (result?.issues !== undefined) throw new Error(result.issues.map(({ message }) => message).join("; "));
  return result?.value;
}

// What an import finds of its doubtful records needs no second write.
async function withoutFound(prepared: Prepared, doubtful: ReadonlySet<number>, to: Destination): Promise<Prepared> {
  if (doubtful.size === 0 || to.import.idempotent) return prepared;
  const places = prepared.places ?? prepared.records.map((_, index) => index);
  const inDoubt = places.flatMap((place, index) => (doubtful.has(place) ? [index] : []));
  // Without `find` nobody can tell, and whoever asked for the retry has decided.
  if (inDoubt.length === 0 || to.import.find === undefined) return prepared;
  const found = await findWritten(pick(prepared, inDoubt), to);
  const settled = new Set(found === undefined ? inDoubt : inDoubt.filter((_, nth) => found[nth] !== undefined));
  const left = places.map((_, index) => index).filter((index) => !settled.has(index));
  const unsure = found === undefined ? inDoubt.map((index) => stillInDoubt(places[index] ?? 0)) : [];
  return {
    ...prepared,
    ...pick(prepared, left),
    places: left.map((index) => places[index] ?? 0),
    errors: [...prepared.errors, ...unsure],
  };
}

function stillInDoubt(index: number): RecordError {
  return { index, fault: "unknown", error: new Error("find failed, so it is still unknown"), attempts: 0 };
}

function pick(batch: Batch, indexes: readonly number[]): Batch {
  return {
    records: Object.freeze(indexes.map((index) => batch.records[index])),
    keyOf: (index) => batch.keyOf(indexes[index] ?? 0),
  };
}

function writeInBatches(prepared: Batch, to: Destination): Promise<readonly RecordError[]> {
  const { batchSize = Infinity } = to.import;
  return prepared.records.length <= batchSize ? writeBatch(prepared, to) : writeSideBySide(prepared, batchSize, to);
}

async function writeSideBySide(
  { records, keyOf }: Batch,
  batchSize: number,
  to: Destination,
): Promise<readonly RecordError[]> {
  const { concurrency = 1 } = to.import;
  const errors: RecordError[] = [];
  let next = 0;
  const writeOn = async () => {
    for (let start = next; start < records.length; start = next) {
      next = start + batchSize;
      const batch = {
        records: Object.freeze(records.slice(start, next)),
        keyOf: (index: number) => keyOf(start + index),
      };
      for (const failed of await writeBatch(batch, to)) errors.push({ ...failed, index: start + failed.index });
    }
  };
  const writeOnUnlessBroken = async () => {
    try {
      await writeOn();
    } catch (error) {
      // The page is lost: whatever has not begun would be written in vain.
      next = Infinity;
      throw error;
    }
  };
  // Every batch that began has ended before an error is passed on: nothing of this page is still being written then.
  const lanes = await Promise.allSettled(Array.from({ length: concurrency }, writeOnUnlessBroken));
  for (const lane of lanes) if (lane.status === "rejected") throw lane.reason;
  return errors;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

function broken(to: Destination, problem: string): ContractViolationError {
  return new ContractViolationError("Import", to._importId, problem);
}
