import { appendFileSync, closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Export, FlowRegistry, type Import, Scheduler } from "../../src/index.ts";
import { messageOf } from "../../src/model/message.ts";
import { DeliveryFile } from "../support/deliveries.ts";
import { openStorage } from "./open-storage.ts";

/** What one of two processes on one file is to do. */
export interface PairSetting {
  readonly folder: string;
  readonly name: string;
  readonly flows: number;
  /** Runs that this process queues, of each flow. */
  readonly runs: number;
}

/** What it tells, a line each. */
export type PairReport =
  | { readonly what: "ready" | "completed" | "lost" | "failed" | "closed" }
  | { readonly what: "background:error"; readonly message: string };

/** Records of a run. */
const records = ["one", "two", "three", "four"];
const recordsPerPage = 2;

// As in child.ts: written before anything else happens.
function report(line: PairReport): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

/** A file that only one run of a flow can have at a time, on this machine. */
function lock(folder: string, _flowId: string, _runId: string): () => void {
  const path = join(folder, `running-${_flowId}`);
  try {
    closeSync(openSync(path, "wx"));
    return () => rmSync(path);
  } catch (error) {
    appendFileSync(join(folder, "overlaps"), `${_flowId} ${_runId} ${messageOf(error)}\n`);
    return () => undefined;
  }
}

const go = () => new Promise<void>((resolve) => process.stdin.once("data", () => resolve()));

async function work({ folder, name, flows, runs }: PairSetting): Promise<void> {
  const orders: Export<string> = {
    async *pages({ run, flow }) {
      const release = lock(folder, flow._id, run._id);
      try {
        for (let at = 0; at < records.length; at += recordsPerPage) yield records.slice(at, at + recordsPerPage);
      } finally {
        release();
      }
    },
  };
  const ledger: Import<string> = {
    idempotent: false,
    async write(_, { keys, flow, run }) {
      new DeliveryFile(folder, flow._id).add(keys, run._id, name);
    },
  };
  const storage = await openStorage(join(folder, "file"));
  const registry = new FlowRegistry({ exports: { orders }, imports: { ledger }, storage });
  const ids = Array.from({ length: flows }, (_, index) => `flow-${index}`);
  for (const _id of ids) await registry.define(_id, { name: _id, _exportId: "orders", _importId: "ledger" });
  // Neither can run all flows at once, so both have to take part.
  const scheduler = new Scheduler(registry, { concurrency: Math.ceil(flows / 2) });
  scheduler.on("run:completed", () => report({ what: "completed" }));
  scheduler.on("run:failed", () => report({ what: "failed" }));
  scheduler.on("lease:lost", () => report({ what: "lost" }));
  scheduler.on("background:error", ({ error, during }) =>
    report({ what: "background:error", message: `${during}: ${messageOf(error)}` }),
  );
  await scheduler.start();
  report({ what: "ready" });
  await go();
  const over = go();
  for (let run = 0; run < runs; run++) for (const _id of ids) await scheduler.run(_id);
  await over;
  await scheduler.stop();
  await storage.close();
  process.stdin.destroy();
  report({ what: "closed" });
}

work(JSON.parse(process.argv[2] ?? "") as PairSetting).catch((error: unknown) => {
  report({
    what: "background:error",
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
  process.exit(1);
});
