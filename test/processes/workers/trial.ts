import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { FlowRegistry, Scheduler, type Import, type Export } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { Chance } from "../../support/chance.ts";
import { HostProcess, type Program } from "../child-process.ts";
import { Cluster } from "./cluster.ts";
import type { Fault } from "./faults.ts";
import { noteStopped } from "../flow-file.ts";
import { Observer } from "../observer.ts";
import { type Outcome, drained, outcomeOf, strikeAll, until } from "../trials.ts";
import type { WorkerReport, WorkerSetting } from "./settings.ts";

/** How much is done while faults happen. */
export interface TrialOptions {
  readonly program: Program;
  readonly fault: Fault;
  readonly flows: number;
  /** Runs in all, at least; as many more as it takes until all faults have happened. */
  readonly runs: number;
  readonly faults: number;
  readonly seed: number;
}

/** What came of it. */
export interface TrialResult extends Outcome {
  readonly faults: number;
  /** Runs that no worker ended within 90 seconds after the last fault. */
  readonly stuck: number;
  readonly unhandled: readonly string[];
  /** Runs that were taken for those of a dead process. */
  readonly reclaimed: number;
  readonly leasesLost: number;
  readonly backgroundErrors: number;
}

/** A worker and what it has. */
export interface Worker {
  readonly process: HostProcess<WorkerReport>;
  readonly setting: WorkerSetting;
  readonly exportIds: readonly string[];
}

/** A process that a busy machine starves is no dead one, where nothing is to be reclaimed. */
const leaseMsOf = ({ isHarmless }: Fault) => (isHarmless === true ? 60_000 : 2_000);
const workersAtOnce = 3;
/** More than that do not wait at once, so that faults meet flows at every step. */
const mostWaiting = 2_000;
const exportIds = ["orders", "invoices"];

/** Three workers on one database to which something happens. */
export class Trial {
  readonly cluster: Cluster;
  workers: Worker[] = [];
  readonly #options: TrialOptions;
  readonly #folder: string;
  readonly #observer: Observer;
  readonly #chance: Chance;
  readonly #past: Worker[] = [];
  #started = 0;
  #additions = 0;

  private constructor(options: TrialOptions, cluster: Cluster, folder: string) {
    this.#options = options;
    this.cluster = cluster;
    this.#folder = folder;
    this.#observer = new Observer(cluster.direct);
    this.#chance = new Chance(options.seed);
  }

  /** Does it all, and leaves nothing behind. */
  static async run(options: TrialOptions): Promise<TrialResult> {
    const folder = await mkdtemp(join(tmpdir(), "poundlock-workers-"));
    const cluster = await Cluster.start(options.fault.on ?? "server");
    const trial = new Trial(options, cluster, folder);
    try {
      return await trial.#run();
    } finally {
      for (const { process } of trial.workers) await process.kill();
      await trial.#observer.close();
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Kills a worker in the middle of some run; another one may take its place. */
  async kill(worker: Worker): Promise<void> {
    const _id = await this.#observer.processId(worker.setting.name);
    await until("it runs something", async () => ((await this.#observer.leasesOf(_id)) ?? 0) > 0);
    await worker.process.kill();
    this.#remove(worker);
  }

  /** Starts another process in the place of one that is gone, as whoever supervises it does. */
  async replace(worker: Worker, has: readonly string[] = worker.exportIds): Promise<void> {
    this.workers.push(await this.#startWorker(has));
  }

  /** Lets a worker stop in its own time, and starts another one. */
  async redeploy(worker: Worker, has: readonly string[] = worker.exportIds): Promise<void> {
    worker.process.send("SIGTERM");
    await worker.process.ended;
    this.#remove(worker);
    await this.replace(worker, has);
  }

  /** Stops a process for so long that its leases run out and its runs go on elsewhere, and lets it continue. */
  async stopUntilReclaimed(worker: Worker): Promise<void> {
    noteStopped(this.#folder, worker.process.pid);
    worker.process.send("SIGSTOP");
    let leases = await this.#observer.expired();
    await until("leases run out, or all is done", async () => {
      leases = await this.#observer.expired();
      return leases.length > 0 || (await this.#observer.unended()) === 0;
    });
    await until("others reclaim its runs", async () => (await this.#observer.stillHeld(leases)) === 0);
    worker.process.send("SIGCONT");
  }

  async terminate(worker: Worker): Promise<void> {
    await this.#observer.terminate(worker.setting.name);
  }

  /** What a newer version of the library might add to the tables while older ones are at work. */
  async addToSchema(): Promise<void> {
    const name = `addition_${++this.#additions}`;
    await this.#observer.execute(`create table poundlock.${name} (id text primary key)`);
    await this.#observer.execute(`alter table poundlock.runs add column ${name} smallint not null default 0`);
  }

  /** Fills the disk until a worker has noticed, and frees it. */
  async fillDisk(): Promise<void> {
    const noticed = () => this.#reports("background:error").length;
    const before = noticed();
    this.cluster.fillDisk();
    await until("a worker notices", () => noticed() > before);
    this.cluster.freeDisk();
  }

  async #run(): Promise<TrialResult> {
    const pool = new pg.Pool({ ...this.cluster.direct, max: 4 });
    const storage = await PostgresStorage.open(pool);
    await this.#observer.countReclaimed();
    const scheduler = await this.#queueOf(storage);
    try {
      return await this.#strikeAll(scheduler);
    } finally {
      await scheduler.stop();
      await storage.close();
      await pool.end();
    }
  }

  async #strikeAll(scheduler: Scheduler): Promise<TrialResult> {
    const { fault, faults, flows, runs } = this.#options;
    for (let n = 0; n < workersAtOnce; n++) this.workers.push(await this.#startWorker(exportIds));
    const asked = await strikeAll({
      ...{ scheduler, observer: this.#observer, faults, mostWaiting, flowIds: this.#flowIds() },
      ...{ runsOfEach: Math.ceil(runs / flows), between: 50 },
      completed: () => this.#reports("completed").length,
      strike: () => fault.strike(this, this.#chance),
    });
    const stuck = await drained(this.#observer);
    for (const { process } of this.workers) process.send("SIGTERM");
    await Promise.all(this.workers.map(({ process }) => process.ended));
    return this.#result(asked, stuck);
  }

  async #queueOf(storage: PostgresStorage): Promise<Scheduler> {
    const never: Export<number> = {
      pages: () => {
        throw new Error("runs are executed by the workers");
      },
    };
    const nowhere: Import<number> = { idempotent: true, write: async () => undefined };
    const exports = Object.fromEntries(exportIds.map((_id) => [_id, never]));
    const registry = new FlowRegistry({ exports, imports: { ledger: nowhere }, storage });
    for (const [index, _id] of this.#flowIds().entries())
      await registry.define(_id, { name: _id, _exportId: exportIds[index % 2] ?? "", _importId: "ledger" });
    const scheduler = new Scheduler(registry, {
      roles: [],
      name: "queue",
      leaseMs: leaseMsOf(this.#options.fault),
      logger: silentLogger,
    });
    await scheduler.start();
    return scheduler;
  }

  async #startWorker(has: readonly string[]): Promise<Worker> {
    const apart = this.#options.fault.clocksApartMs ?? 0;
    const setting: WorkerSetting = {
      name: `worker ${++this.#started}`,
      folder: this.#folder,
      connection: this.cluster.connection,
      ...(this.cluster.isPooled ? { direct: this.cluster.direct } : {}),
      prepare: !this.cluster.isPooled,
      exportIds: has,
      leaseMs: leaseMsOf(this.#options.fault),
      aheadMs: this.#chance.between(-apart, apart),
    };
    const process = new HostProcess<WorkerReport>(this.#options.program, setting);
    await process.until(() => process.all("ready").length > 0);
    return { process, setting, exportIds: has };
  }

  #remove(worker: Worker): void {
    this.workers = this.workers.filter((one) => one !== worker);
    this.#past.push(worker);
  }

  #reports<What extends WorkerReport["what"]>(what: What) {
    return [...this.#past, ...this.workers].flatMap(({ process }) => process.all(what));
  }

  #flowIds(): readonly string[] {
    return Array.from({ length: this.#options.flows }, (_, index) => `flow-${index}`);
  }

  async #result(asked: number, stuck: number): Promise<TrialResult> {
    return {
      ...(await outcomeOf(this.#observer, { asked, folder: this.#folder, flowIds: this.#flowIds() })),
      ...{ faults: this.#options.faults, stuck },
      unhandled: this.#reports("unhandled").map(({ message }) => message),
      reclaimed: await this.#observer.reclaimed(),
      leasesLost: this.#reports("lost").length,
      backgroundErrors: this.#reports("background:error").length,
    };
  }
}
