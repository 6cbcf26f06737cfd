import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Export, Import, Result, Run, Scheduler } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { type StorageKind, inFolder, withStorage } from "./disk.ts";
import { expectCompleted, noOp, runMs, withFlow } from "./hosts.ts";
import { type BenchCase, type Figures, inTurns, timed } from "./measure.ts";
import { type Order, expectSameLength, makeOrder, ordersFrom, ordersInto, writeOrders } from "./ndjson.ts";
import { rawCommitUs } from "./raw-sqlite.ts";

const total = 1_000_000;
const warmUp = 20_000;
const failed = total / 100;

/** Files of orders to be copied, and where to. */
interface Files {
  readonly long: string;
  readonly short: string;
  readonly copy: string;
}

async function withFiles<T>(work: (files: Files) => Promise<T>): Promise<T> {
  return inFolder(async (folder) => {
    const files = { long: join(folder, "long"), short: join(folder, "short"), copy: join(folder, "copy") };
    await writeOrders(files.long, total);
    await writeOrders(files.short, warmUp);
    return work(files);
  });
}

/** Milliseconds that a run takes to copy the file line by line. */
async function copyMs(file: string, copy: string, how: { readonly kept: StorageKind; readonly pageSize: number }) {
  const { into, close } = await ordersInto(copy);
  const ms = await withStorage(how.kept, (storage) =>
    withFlow({ storage, from: ordersFrom(file, how.pageSize), into }, (scheduler, _flowId) =>
      runMs(() => scheduler.run(_flowId), scheduler),
    ),
  );
  await close();
  await expectSameLength(file, copy);
  await rm(copy);
  return ms;
}

async function copying(pageSize: number): Promise<Figures> {
  return withFiles(async ({ long, short, copy }) => {
    await inTurns(
      () => copyMs(short, copy, { kept: "memory", pageSize }),
      () => copyMs(short, copy, { kept: "sqlite", pageSize }),
    );
    const rawBefore = await rawCommitUs();
    const [memoryMs, sqliteMs] = await inTurns(
      () => copyMs(long, copy, { kept: "memory", pageSize }),
      () => copyMs(long, copy, { kept: "sqlite", pageSize }),
    );
    return {
      ratio: memoryMs / sqliteMs,
      perSecond: (total / sqliteMs) * 1_000,
      memoryPerSecond: (total / memoryMs) * 1_000,
      perPageUs: ((sqliteMs - memoryMs) / (total / pageSize)) * 1_000,
      rawCommitUs: (rawBefore + (await rawCommitUs())) / 2,
    };
  });
}

function copyingCase(pageSize: number): BenchCase {
  return {
    title: `durable: 1 million lines of a file to a file, pages of ${pageSize.toLocaleString("en")}`,
    units: {
      ratio: "× the rate with MemoryStorage",
      perSecond: "records/s with SqliteStorage",
      memoryPerSecond: "records/s with MemoryStorage",
      perPageUs: "µs a page more than with MemoryStorage",
      rawCommitUs: "µs of one raw SQLite transaction that updates one row, measured before and after",
    },
    measure: () => copying(pageSize),
  };
}

const ok: Result = { ok: true };

type Writer = Pick<Import<Order>, "idempotent" | "write">;

/** Returns a result for each record; while `state.refuses`, it takes all but each hundredth. */
function picky(into: Writer, state: { refuses: boolean }): Import<Order> {
  return {
    ...into,
    async write(records, context) {
      const taken = state.refuses ? records.filter(({ id }) => !id.endsWith("07")) : records;
      await into.write(taken, context);
      return records.map(({ id }) =>
        state.refuses && id.endsWith("07") ? { ok: false, fault: "reject", error: "its id ends in 07" } : ok,
      );
    },
  };
}

/** Orders made anew page by page. */
function madeOrders(count: number): Export<Order, { readonly made: number }> {
  return {
    order: "ordered",
    pageSize: 1_000,
    key: ({ id }) => id,
    async *pages({ checkpoint, pageSize }) {
      for (let made = checkpoint?.made ?? 0; made < count; made += pageSize) {
        const records = Array.from({ length: pageSize }, (_, index) => makeOrder(made + index));
        yield { records, checkpoint: { made: made + pageSize } };
      }
    },
  };
}

interface Job {
  readonly from: Export<Order>;
  readonly into: Writer;
  readonly refuses: boolean;
}

/** Milliseconds of a run; `after` gets the storage as it left it. */
async function pickyMs({ from, into, refuses }: Job, after?: After): Promise<number> {
  const state = { refuses };
  return withStorage("sqlite", (storage) =>
    withFlow(
      { storage, from, into: picky(into, state) },
      async (scheduler, _flowId) => {
        const ms = await runMs(() => scheduler.run(_flowId), scheduler);
        state.refuses = false;
        await after?.({ storage, scheduler, _flowId });
        return ms;
      },
      { maxFailures: total },
    ),
  );
}

type After = (left: {
  readonly storage: Storage;
  readonly scheduler: Scheduler;
  readonly _flowId: string;
}) => Promise<void>;

async function rejecting(): Promise<Figures> {
  return withFiles(async ({ long, short, copy }) => {
    const later: { listMs: number[]; retryMs: number[] } = { listMs: [], retryMs: [] };
    const after: After = async ({ scheduler, _flowId }) => {
      later.listMs.push(await timed(() => listAll(scheduler, _flowId)));
      later.retryMs.push(await timed(() => retryAll(scheduler, _flowId)));
    };
    const copied = async (file: string, refuses: boolean, after?: After) => {
      const { into, close } = await ordersInto(copy);
      const ms = await pickyMs({ from: ordersFrom(file, 1_000), into, refuses }, after);
      await close();
      // The retry has delivered what was refused at first.
      if (!refuses || after !== undefined) await expectSameLength(file, copy);
      await rm(copy);
      return ms;
    };
    const made = (count: number, refuses: boolean) => pickyMs({ from: madeOrders(count), into: noOp(), refuses });
    await inTurns(
      () => copied(short, false),
      () => copied(short, true),
    );
    const [cleanMs, dirtyMs] = await inTurns(
      () => copied(long, false),
      () => copied(long, true, after),
    );
    const [cleanMadeMs, dirtyMadeMs] = await inTurns(
      () => made(total, false),
      () => made(total, true),
    );
    return {
      ratio: cleanMs / dirtyMs,
      perSecond: (total / dirtyMs) * 1_000,
      perFailureUs: ((dirtyMs - cleanMs) / failed) * 1_000,
      madeRatio: cleanMadeMs / dirtyMadeMs,
      madePerSecond: (total / dirtyMadeMs) * 1_000,
      listMs: mean(later.listMs),
      retryMs: mean(later.retryMs),
    };
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** @throws unless all failures are listed. */
async function listAll(scheduler: Scheduler, _flowId: string): Promise<void> {
  const _ids = new Set<string>();
  let after: string | undefined;
  do {
    const filter = { _flowId, status: "open" as const, limit: 1_000, ...(after === undefined ? {} : { after }) };
    const { items, next } = await scheduler.listFailures(filter);
    for (const { _id } of items) _ids.add(_id);
    after = next;
  } while (after !== undefined);
  if (_ids.size !== failed) throw new Error(`${_ids.size} failures are listed`);
}

/** @throws unless one run delivers all failures. */
async function retryAll(scheduler: Scheduler, _flowId: string): Promise<void> {
  const queued: Run = await scheduler.retryFailures(_flowId);
  const { numSuccess } = expectCompleted(await scheduler.waitFor(queued._id));
  if (numSuccess !== failed) throw new Error(`${numSuccess} failures were delivered`);
}

/** What it costs to keep checkpoints, counts and failures of a million records on disk. */
export const moveCases: readonly BenchCase[] = [
  copyingCase(1_000),
  copyingCase(100),
  {
    title: "durable: 1 % of 1 million lines rejected, pages of 1,000",
    units: {
      ratio: "× the rate of the clean run, from file to file",
      perSecond: "records/s, from file to file",
      perFailureUs: "µs a failure stored, from file to file",
      madeRatio: "× the rate of the clean run, if records are made anew and thrown away",
      madePerSecond: "records/s, made anew and thrown away",
      listMs: "ms to list the 10,000 failures in pages of 1,000",
      retryMs: "ms to deliver the 10,000 failures in one run",
    },
    measure: rejecting,
  },
];
