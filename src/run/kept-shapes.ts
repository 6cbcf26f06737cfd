import { type Clock, Yielder } from "../clock.ts";
import type { Export } from "../model/host/export.ts";
import type { Import } from "../model/host/import.ts";
import { silentLogger } from "../model/logger.ts";
import { newRun, transitionRun, withPage } from "../model/run.ts";
import type { CommitResult, PageCommit } from "../storage/storage.ts";
import { executeRun } from "./execute-run.ts";
import type { RunJob, RunJobStorage } from "./run-job.ts";

/** Numbers decide of a field's representation, so it is one as the system clock returns. */
const someTime = 1_600_000_000_000;

const someIso = new Date(someTime).toISOString();

const never = new Promise<never>(() => undefined);

let kept: readonly unknown[] | undefined;

/**
 * Keeps one object of each hidden class alive that pages are moved with, in a run that moves its last page for ever. Between
 * the runs of a process there is no other one, and V8 discards a hidden class in a full collection once its last object is
 * gone, together with all code that was optimized for it: each run would begin with code to be compiled anew.
 * Done once, however often it is called. Costs about a millisecond, later on no time, and some kilobytes.
 */
export function keepShapes(): void {
  kept ??= [["one"], ["one", "other"]].map((_importIds) => executeRun(jobOf(_importIds)).catch(() => undefined));
}

/** The last page is read but not moved, the one before it is being moved, and the first two are committed. */
function jobOf(_importIds: readonly string[]): RunJob {
  const flow = {
    _id: "flow",
    name: "flow",
    _exportId: "from",
    _importId: "one",
    ...(_importIds.length > 1 ? { _importIds } : {}),
    disabled: false,
    createdAt: someIso,
    lastModified: someIso,
  };
  const queued = newRun({ _id: "run", _flowId: "flow", trigger: "schedule", queuedAt: someIso, dueAt: someIso }, flow);
  const run = transitionRun(queued, "running", { startedAt: someIso });
  let made = 0;
  return {
    claimed: { run, flow, commits: 0, places: {} },
    lease: { _runId: "run", token: "process/1" },
    export: source,
    imports: new Map(_importIds.map((_importId) => [_importId, destination()])),
    storage: new ShapeStorage(run),
    clock: stoppedClock,
    yielder: new Yielder(stoppedClock),
    signal: new AbortController().signal,
    limits: {
      prefetch: 1,
      maxAttempts: 5,
      maxWaitMs: 30_000,
      maxFailures: 1_000,
      maxOpenFailures: 10_000,
      positionMaxAgeMs: 86_400_000,
      autoRetry: { afterMs: 300_000, maxDelayMs: 21_600_000, days: 3 },
      backoff: { retryDelayMs: 1_000, random: () => 0.5 },
    },
    freeze: true,
    newId: () => `failure ${++made}`,
    log: silentLogger,
    tracer: undefined,
    emit: () => undefined,
  };
}

/** Its time stands still, so that nothing is due, and none of its timers keeps a process alive. */
const stoppedClock: Clock = {
  now: () => someTime,
  setTimer: () => () => undefined,
  yieldToEventLoop: () => never,
};

const source: Export<{ readonly id: string }> = {
  order: "ordered",
  key: ({ id }) => id,
  async *pages() {
    for (let page = 1; page <= 4; page++)
      yield { records: [{ id: `${page}-1` }, { id: `${page}-2` }], checkpoint: { page } };
    return never;
  },
};

function destination(): Import<unknown> {
  let pages = 0;
  return {
    idempotent: true,
    async write(records, { keys }) {
      if (++pages === 3) return never;
      return pages === 1 ? undefined : keys.map(() => ({ ok: false, fault: "reject", error: `${records.length}` }));
    },
  };
}

/** Keeps what is committed, as those that storages do not keep have shapes of their own. */
class ShapeStorage implements RunJobStorage {
  readonly #commits: PageCommit[] = [];
  #run: CommitResult["run"];

  constructor(run: CommitResult["run"]) {
    this.#run = run;
  }

  async commitPage(_lease: unknown, page: PageCommit): Promise<CommitResult> {
    this.#commits.push(page);
    this.#run = withPage(this.#run, page);
    return { run: this.#run, failures: page.failures };
  }

  async readInbox(): Promise<never> {
    return never;
  }

  async listFailures(): Promise<never> {
    return never;
  }

  async listRuns(): Promise<never> {
    return never;
  }

  async openKeys(): Promise<Awaited<ReturnType<RunJobStorage["openKeys"]>>> {
    return { items: [] };
  }

  async countOpenFailures(): Promise<Readonly<Record<string, number>>> {
    return {};
  }
}
