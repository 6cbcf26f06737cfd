import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { build } from "tsup";
import { type Export, FlowRegistry, type Import, Scheduler } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { Chance } from "../../support/chance.ts";
import { type PostgresServer, connectionTo, startPostgres } from "../../support/postgres-server.ts";
import { type RedisServer, sent, startRedis } from "../../support/redis-server.ts";
import { noteStopped } from "../flow-file.ts";
import { Observer } from "../observer.ts";
import { type Outcome, drained, outcomeOf, strikeAll, until } from "../trials.ts";
import type { EngineName, WorkerReport, WorkerSetting } from "./settings.ts";
import { executorOf } from "./worker.ts";

/** What happens while flows run. */
export type FaultName = "kill" | "stop" | "flush" | "restart";

/** How much is done meanwhile. */
export interface TrialOptions {
  readonly engine: EngineName;
  readonly fault: FaultName;
  /** How often it happens. */
  readonly faults: number;
  readonly flows: number;
  /** Of each flow, at least; more of them until all faults have happened. */
  readonly runs: number;
  readonly seed: number;
}

/** What came of it. */
export interface TrialResult extends Outcome {
  /** Runs that nobody ended within 90 seconds after the last fault. */
  readonly stuck: number;
  readonly unhandled: readonly string[];
  readonly leasesLost: number;
  /** Of each process that was killed or stopped: how long, in milliseconds, until none of its runs was its any more. */
  readonly takenOverMs: readonly number[];
}

type RunningRedis = Extract<RedisServer, { readonly port: number }>;

const leaseMs = 2_000;
const workersAtOnce = 3;
/** More do not wait at once, so that faults meet flows in every state. */
const mostWaiting = 500;

/** Why there can be no such trial here, if there can be none. */
export async function missingFor(engine: EngineName): Promise<string | undefined> {
  if (engine !== "BullMQ on Redis") return undefined;
  const redis = await startRedis();
  if ("missing" in redis) return redis.missing;
  await redis.stop();
  return undefined;
}

/** Does it all, and leaves nothing behind. */
export async function runTrial(options: TrialOptions): Promise<TrialResult> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-engines-"));
  const program = await bundle();
  const redis = options.engine === "BullMQ on Redis" ? await startRedis({ keeps: true }) : undefined;
  if (redis !== undefined && "missing" in redis) throw new Error(redis.missing);
  const postgres = await startPostgres();
  const trial = new Trial(options, { folder, postgres, program, redis });
  try {
    return await trial.run();
  } finally {
    await trial.end();
    await redis?.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
    await rm(program, { recursive: true });
  }
}

/** The workers' program in one file that starts fast, in a folder of its own. */
async function bundle(): Promise<string> {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  await mkdir(join(root, ".work"), { recursive: true });
  const outDir = await mkdtemp(join(root, ".work/engines-"));
  await build({
    entry: { worker: join(root, "test/processes/engines/worker.ts") },
    ...{ config: false, dts: false, silent: true, clean: false, outDir },
    ...{ format: ["esm"], platform: "node", target: "node20", removeNodeProtocol: false },
    external: ["cron-parser"],
  });
  return outDir;
}

interface Place {
  readonly folder: string;
  readonly program: string;
  readonly postgres: PostgresServer;
  readonly redis: RunningRedis | undefined;
}

class Trial {
  readonly #options: TrialOptions;
  readonly #place: Place;
  readonly #observer: Observer;
  readonly #chance: Chance;
  readonly #reports: WorkerReport[] = [];
  readonly #takenOverMs: number[] = [];
  #workers: Worker[] = [];
  #started = 0;

  constructor(options: TrialOptions, place: Place) {
    this.#options = options;
    this.#place = place;
    this.#observer = new Observer(connectionTo(place.postgres.port));
    this.#chance = new Chance(options.seed);
  }

  async run(): Promise<TrialResult> {
    const pool = new pg.Pool({ ...connectionTo(this.#place.postgres.port), max: 6 });
    pool.on("error", () => undefined);
    const storage = await PostgresStorage.open(pool);
    const scheduler = await this.#openQueue(storage, pool);
    try {
      return await this.#strikeAll(scheduler);
    } finally {
      await scheduler.stop();
      await storage.close();
      await pool.end();
    }
  }

  async #strikeAll(scheduler: Scheduler): Promise<TrialResult> {
    for (let n = 0; n < workersAtOnce; n++) await this.#startWorker();
    const { faults, runs } = this.#options;
    const asked = await strikeAll({
      ...{ scheduler, observer: this.#observer, faults, mostWaiting, flowIds: this.#flowIds() },
      ...{ runsOfEach: runs, between: 30 },
      completed: () => this.#reports.filter(({ what }) => what === "completed").length,
      strike: () => this.#strike(),
    });
    const stuck = await drained(this.#observer);
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    return this.#result(asked, stuck);
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    await this.#observer.close();
  }

  async #strike(): Promise<void> {
    const { engine, fault } = this.#options;
    if (fault === "kill") await this.#killOne();
    else if (fault === "stop") await this.#stopOne();
    else if (fault === "flush") await this.#flush(engine);
    else await this.#restart();
  }

  async #killOne(): Promise<void> {
    const worker = this.#anyWorker();
    const processId = await this.#observer.processId(worker.name);
    await worker.kill();
    this.#workers = this.#workers.filter((one) => one !== worker);
    await this.#untilTakenOver(processId);
    await this.#startWorker();
  }

  async #stopOne(): Promise<void> {
    const worker = this.#anyWorker();
    const processId = await this.#observer.processId(worker.name);
    noteStopped(this.#place.folder, worker.pid);
    worker.signal("SIGSTOP");
    await this.#untilTakenOver(processId);
    worker.signal("SIGCONT");
  }

  #anyWorker(): Worker {
    const worker = this.#chance.anyOf(this.#workers);
    if (worker === undefined) throw new Error("there is no worker");
    return worker;
  }

  /** Until no run is active under a lease of the process any more. */
  async #untilTakenOver(processId: string): Promise<void> {
    const start = performance.now();
    const had = await this.#observer.leasesOf(processId);
    await until("others take its runs over", async () => (await this.#observer.leasesOf(processId)) === 0);
    if (had !== undefined && had > 0) this.#takenOverMs.push(performance.now() - start);
  }

  async #flush(engine: EngineName): Promise<void> {
    if (this.#place.redis !== undefined) await sent(this.#place.redis.port, "FLUSHALL\r\n");
    else if (engine === "graphile-worker") await this.#observer.execute("delete from graphile_worker._private_jobs");
    else await this.#observer.execute("truncate bullmq.job, bullmq.dedup, bullmq.dedup_next cascade");
    await pause(200);
  }

  /** Of the engine: Redis itself; of one in PostgreSQL every connection of every process. */
  async #restart(): Promise<void> {
    const { redis } = this.#place;
    if (redis === undefined)
      await this.#observer.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'",
      );
    else {
      await redis.kill();
      await pause(this.#chance.between(0, 1_000));
      await redis.restart();
    }
    await pause(200);
  }

  async #openQueue(storage: PostgresStorage, pool: pg.Pool): Promise<Scheduler> {
    const nothing: Export<number> = {
      order: "ordered",
      async *pages() {
        yield [];
      },
    };
    const nowhere: Import<number> = { idempotent: true, write: async () => undefined };
    const registry = new FlowRegistry({ exports: { numbers: nothing }, imports: { ledger: nowhere }, storage });
    for (const _id of this.#flowIds())
      await registry.define(_id, { name: _id, _exportId: "numbers", _importId: "ledger" });
    const executor = executorOf(this.#setting("queue"), pool);
    const scheduler = new Scheduler(registry, { roles: [], executor, leaseMs, logger: silentLogger });
    await scheduler.start();
    return scheduler;
  }

  #setting(name: string): WorkerSetting {
    const { folder, postgres, redis } = this.#place;
    const { engine } = this.#options;
    return { name, folder, engine, postgres: connectionTo(postgres.port), redisPort: redis?.port ?? 0, leaseMs };
  }

  async #startWorker(): Promise<void> {
    const worker = new Worker(this.#place.program, this.#setting(`worker ${++this.#started}`), this.#reports);
    this.#workers.push(worker);
    await worker.ready;
  }

  #flowIds(): readonly string[] {
    return Array.from({ length: this.#options.flows }, (_, index) => `flow-${index}`);
  }

  async #result(asked: number, stuck: number): Promise<TrialResult> {
    const reports = (what: WorkerReport["what"]) => this.#reports.filter((report) => report.what === what);
    return {
      ...(await outcomeOf(this.#observer, { asked, folder: this.#place.folder, flowIds: this.#flowIds() })),
      stuck,
      unhandled: reports("unhandled").map((report) => ("message" in report ? report.message : "")),
      leasesLost: reports("lost").length,
      takenOverMs: this.#takenOverMs,
    };
  }
}

class Worker {
  readonly name: string;
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;

  constructor(program: string, setting: WorkerSetting, reports: WorkerReport[]) {
    this.name = setting.name;
    this.#child = fork(join(program, "worker.js"), [JSON.stringify(setting)], { execArgv: [] });
    this.ready = new Promise((resolve, reject) => {
      this.#child.on("message", (report: WorkerReport) => {
        reports.push(report);
        if (report.what === "ready") resolve();
      });
      this.#child.on("exit", (code, signal) => reject(new Error(`${setting.name} ended: ${signal ?? String(code)}`)));
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.signal(signal);
    await ended;
  }
}
