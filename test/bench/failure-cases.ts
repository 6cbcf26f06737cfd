import { setImmediate } from "node:timers/promises";
import type { Export, Import, Result, Scheduler } from "../../src/index.ts";
import { type StorageKind, withStorage } from "./disk.ts";
import { withFlow } from "./hosts.ts";
import { type BenchCase, type Figures, summary } from "./measure.ts";

interface Row {
  readonly id: number;
  readonly name: string;
}

const pageSize = 100;
const numPages = 100;
const numOpen = 1_000;

/** What the next run moves: rows from `first` on, and whether they are rejected. */
interface Job {
  first: number;
  pages: number;
  rejects: boolean;
}

function rowsOf(job: Job): Export<Row, { readonly at: number }> {
  return {
    order: "ordered",
    key: ({ id }) => `order-${id}`,
    async *pages() {
      for (let page = 0; page < job.pages; page++) {
        const first = job.first + page * pageSize;
        const records = Array.from({ length: pageSize }, (_, index) => ({ id: first + index, name: `n ${index}` }));
        yield { records, checkpoint: { at: first } };
      }
    },
  };
}

function picky(job: Job): Import<unknown> {
  return {
    idempotent: true,
    async write(records): Promise<void | Result[]> {
      if (!job.rejects) return;
      const errors = (records as readonly Row[]).map(({ id }) => `there is no customer ${id}`);
      return errors.map((error) => ({ ok: false, fault: "reject", error }));
    },
  };
}

/** Microseconds of CPU that each page of a run takes, collecting garbage included. */
async function cpuOf(scheduler: Scheduler, _flowId: string, pages: number): Promise<number> {
  const before = process.cpuUsage();
  // One in which everything is rejected fails, and has committed all the same.
  await scheduler.waitFor((await scheduler.run(_flowId))._id);
  const { system, user } = process.cpuUsage(before);
  return (user + system) / pages;
}

const noLine = () => undefined;

// In turns, so that a machine that slows down slows all of them alike.
async function pages(kept: StorageKind): Promise<Figures> {
  const job: Job = { first: 0, pages: numPages, rejects: false };
  const limits = { maxFailures: 1_000_000, maxOpenFailures: 1_000_000, autoRetry: false as const };
  const options = { ...limits, logger: { debug: noLine, info: noLine, warn: noLine, error: noLine } };
  const figures: { clean: number[]; rejected: number[]; beside: number[] } = { clean: [], rejected: [], beside: [] };
  for (let round = 0; round < 7; round++)
    await withStorage(kept, (storage) =>
      withFlow(
        { storage, from: rowsOf(job), into: picky(job) },
        async (scheduler, _flowId) => {
          const measured = async (change: Partial<Job>) => {
            Object.assign(job, change, { first: job.first + job.pages * pageSize });
            return cpuOf(scheduler, _flowId, job.pages);
          };
          await measured({ pages: numOpen / pageSize, rejects: true });
          await measured({ pages: numPages * 10, rejects: false });
          figures.beside.push(await measured({}));
          const { items } = await scheduler.listFailures({ _flowId, status: "open", limit: numOpen });
          await scheduler.resolveFailures(items.map(({ _id }) => _id));
          figures.clean.push(await measured({}));
          figures.rejected.push(await measured({ pages: numPages, rejects: true }));
        },
        options,
      ),
    );
  const medianOf = (values: readonly number[]) => summary(values.slice(2)).median;
  const cleanUs = medianOf(figures.clean);
  return {
    cleanUs,
    rejectedUs: medianOf(figures.rejected),
    ratio: medianOf(figures.rejected) / cleanUs,
    besideRatio: medianOf(figures.beside) / cleanUs,
  };
}

function pagesCase(title: string, kept: StorageKind): BenchCase {
  return {
    title,
    units: {
      cleanUs: "µs of CPU a page of 100 records with keys, with a checkpoint",
      rejectedUs: "µs of CPU a page of 100 records that are all rejected",
      ratio: "× the page that is taken",
      besideRatio: "× a page that is taken, while 1,000 failures are open",
    },
    measure: () => pages(kept),
  };
}

const numDeleted = 50_000;

/** Rows that maintenance removes at once. */
const portion = 200;

/** How long each call blocks the event loop, in milliseconds of CPU: on a busy machine time says more of others. */
class Blocks {
  readonly #all: number[] = [];
  #start = process.cpuUsage();

  begin(): void {
    this.#start = process.cpuUsage();
  }

  end(): number {
    const { system, user } = process.cpuUsage(this.#start);
    this.#all.push((user + system) / 1_000);
    return this.#all.at(-1) ?? NaN;
  }

  get figures(): Figures {
    const { median, max } = summary(this.#all.slice(1));
    return { medianMs: median, longestMs: max, cpuMs: this.#all.reduce((sum, one) => sum + one, 0) };
  }
}

// What maintenance does, without its other duties.
async function deletion(kept: StorageKind): Promise<Figures> {
  const job: Job = { first: 0, pages: numDeleted / pageSize, rejects: true };
  const limits = { maxFailures: 1_000_000, maxOpenFailures: 1_000_000, autoRetry: false as const };
  const options = { ...limits, logger: { debug: noLine, info: noLine, warn: noLine, error: noLine } };
  return withStorage(kept, (storage) =>
    withFlow(
      { storage, from: rowsOf(job), into: picky(job) },
      async (scheduler, _flowId) => {
        await scheduler.waitFor((await scheduler.run(_flowId))._id);
        await setImmediate();
        const blocks = new Blocks();
        await storage.deleteFlow(_flowId, { at: Date.now() });
        const deleteMs = blocks.end();
        for (let isLeft = true; isLeft; blocks.end()) {
          await setImmediate();
          blocks.begin();
          isLeft = await storage.purgeFlows({ limit: portion });
        }
        return { deleteMs, ...blocks.figures };
      },
      options,
    ),
  );
}

function deletionCase(title: string, kept: StorageKind): BenchCase {
  return {
    title,
    units: {
      deleteMs: "ms of CPU until a flow with 50,000 open failures is deleted",
      medianMs: "ms of CPU for each portion of 200 that is removed then",
      longestMs: "ms of CPU for the portion that takes longest",
      cpuMs: "ms of CPU for all of it",
    },
    measure: () => deletion(kept),
  };
}

/** What failures cost the page that they are of, the pages beside them, and whoever deletes their flow. */
export const failureCases: readonly BenchCase[] = [
  pagesCase("failures: pages of 100, in memory", "memory"),
  pagesCase("failures: pages of 100, durable", "sqlite"),
  deletionCase("failures: deletion of 50,000, in memory", "memory"),
  deletionCase("failures: deletion of 50,000, durable", "sqlite"),
];
