// One idea: a storage is a contract that you can keep yourself. custom-storage/journal-storage.ts is a durable one in
// under 80 lines (to keep things in a file there is SqliteStorage; this is how you would write one for something else).
// Here it is proved twice: by the cases that every storage has to pass, and by a process that is killed.

import { fork } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Export, FlowRegistry, type Import, Scheduler } from "poundlock";
import { storageCases } from "poundlock/testing";
import { openJournalStorage } from "./custom-storage/journal-storage.ts";

const leaseMs = 1_000;

const orders: Export<number, { after: number }> = {
  order: "ordered",
  key: (order) => `order-${order}`,
  async *pages({ checkpoint }) {
    for (let after = checkpoint?.after ?? 0; after < 100; after += 10) {
      const records = Array.from({ length: 10 }, (_, index) => after + index + 1);
      yield { records, checkpoint: { after: after + 10 } };
    }
  },
};

/** Appends keys to a file, and kills its own process as soon as it has written `fatalKey`. */
function ledgerIn(path: string, fatalKey?: string): Import<number> {
  return {
    idempotent: true, // whoever reads the file takes each key once
    async write(_, { keys }) {
      await appendFile(path, keys.map((key) => `${key}\n`).join(""));
      if (fatalKey !== undefined && keys.includes(fatalKey)) process.kill(process.pid, "SIGKILL");
    },
  };
}

async function open(folder: string, fatalKey?: string) {
  const storage = await openJournalStorage(join(folder, "journal"));
  const imports = { ledger: ledgerIn(join(folder, "ledger"), fatalKey) };
  const registry = new FlowRegistry({ exports: { orders }, imports, storage });
  // A flow written in code: the same call at every start.
  await registry.define("orders", { name: "Orders to ledger", _exportId: "orders", _importId: "ledger" });
  return { storage, scheduler: new Scheduler(registry, { leaseMs }) };
}

/** Every promise of the contract, as a case: with a test runner it would be `test(title, run)`. */
async function passAllCases(folder: string): Promise<void> {
  const cases = storageCases((place) => openJournalStorage(join(folder, place)), { durable: true });
  let passed = 0;
  for (const { title, run } of cases) {
    try {
      await run();
      passed++;
    } catch (error) {
      console.log(`  failed: ${title}\n    ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  console.log(`${passed} of ${cases.length} storage cases passed, ${cases.skipped.length} do not apply:`);
  for (const reason of new Set(cases.skipped.map((skipped) => skipped.reason))) console.log(`  ${reason}`);
  if (passed < cases.length) process.exitCode = 1;
}

/** The process that will be killed in the middle of its sixth page. */
async function runUntilKilled(folder: string): Promise<void> {
  const { scheduler } = await open(folder, "order-55");
  await scheduler.start();
  const run = await scheduler.run("orders");
  await scheduler.waitFor(run._id);
}

async function killAndResume(folder: string): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), [folder]);
  const [, signal] = (await once(child, "exit")) as [number | null, string | null];
  console.log(`a process was killed (${signal ?? "no signal"}) in the middle of a page`);

  const { scheduler, storage } = await open(folder);
  const [interrupted] = (await scheduler.listRuns()).items;
  if (interrupted === undefined) throw new Error("the run is lost");
  console.log(`  opened again: the run is ${interrupted.status}, ${interrupted.numPagesProcessed} pages are committed`);

  // The run stays leased to the dead process until the lease runs out; then the next process that starts reclaims it.
  await pause(leaseMs);
  await scheduler.start();
  const run = await scheduler.waitFor(interrupted._id);
  await scheduler.stop();
  await storage.close();

  const keys = (await readFile(join(folder, "ledger"), "utf8")).trimEnd().split("\n");
  const repeated = keys.length - new Set(keys).size;
  console.log(`  resumed: ${run.status}, ${run.numPagesProcessed} pages, ${run.numSuccess} orders, none lost`);
  console.log(`  ${repeated} were written twice, under the same keys: the page that was not committed yet`);
  if (new Set(keys).size !== 100 || run.numSuccess !== 100) throw new Error("orders were lost");
}

const [folderOfParent] = process.argv.slice(2);
if (folderOfParent !== undefined) await runUntilKilled(folderOfParent);
else {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-"));
  await passAllCases(folder);
  await killAndResume(folder);
  await rm(folder, { recursive: true });
}
