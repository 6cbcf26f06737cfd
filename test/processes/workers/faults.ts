import type { Chance } from "../../support/chance.ts";
import type { ClusterKind } from "./cluster.ts";
import type { Trial, Worker } from "./trial.ts";

/** Something that happens to workers while they work. */
export interface Fault {
  readonly title: string;
  /** What it needs. @default "server" */
  readonly on?: ClusterKind;
  /** How far the clocks of two workers may differ. @default 0 */
  readonly clocksApartMs?: number;
  /** Done once for each fault; resolves when what it did is over. */
  readonly strike: (trial: Trial, chance: Chance) => Promise<void>;
  /** Whether no process dies or stops answering, so that no run may be taken for one of a dead process. */
  readonly isHarmless?: boolean;
}

function anyOf(trial: Trial, chance: Chance): Worker {
  const worker = chance.anyOf(trial.workers);
  if (worker === undefined) throw new Error("there is no worker");
  return worker;
}

const tenMinutes = 600_000;

async function killOne(trial: Trial, chance: Chance): Promise<void> {
  const worker = anyOf(trial, chance);
  await trial.kill(worker);
  await trial.replace(worker);
}

/** What happens, each under its name on the command line. */
export const faults: Readonly<Record<string, Fault>> = {
  kill: { title: "kill -9 of a random worker", strike: killOne },
  stop: {
    title: "SIGSTOP of a random worker until others have reclaimed its runs",
    strike: (trial, chance) => trial.stopUntilReclaimed(anyOf(trial, chance)),
  },
  terminate: {
    title: "pg_terminate_backend of each connection of a random worker",
    strike: (trial, chance) => trial.terminate(anyOf(trial, chance)),
  },
  restart: {
    title: "the database crashes (as by restart -m immediate)",
    strike: (trial) => trial.cluster.restart(),
  },
  clocks: {
    title: "a worker is replaced by one whose clock is up to 10 minutes ahead or behind",
    clocksApartMs: tenMinutes,
    isHarmless: true,
    strike: (trial, chance) => trial.redeploy(anyOf(trial, chance)),
  },
  deploy: {
    title: "a worker is replaced by one that has, or has not, one of the exports",
    isHarmless: true,
    async strike(trial, chance) {
      const worker = anyOf(trial, chance);
      // One worker at least has both: the runs of an export that nobody has wait, and after a while there is room for no more.
      const isElsewhere = trial.workers.some((other) => other !== worker && other.exportIds.length > 1);
      await trial.redeploy(worker, worker.exportIds.length > 1 && isElsewhere ? ["orders"] : ["orders", "invoices"]);
    },
  },
  schema: {
    title: "a worker is replaced while the schema gets a table and a column that it does not know",
    isHarmless: true,
    async strike(trial, chance) {
      await trial.addToSchema();
      await trial.redeploy(anyOf(trial, chance));
    },
  },
  disk: {
    title: "the disk of the database is full, until a worker has noticed",
    on: "small disk",
    strike: (trial) => trial.fillDisk(),
  },
  pooler: { title: "kill -9 of a random worker behind PgBouncer in transaction mode", on: "pooler", strike: killOne },
  poolerRestart: {
    title: "kill -9 of PgBouncer in transaction mode",
    on: "pooler",
    strike: (trial) => trial.cluster.restartPooler(),
  },
};
