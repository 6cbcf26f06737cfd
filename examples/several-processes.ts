// One idea: several processes may open the same file, and the one-run rule still holds. Two processes queue runs of the
// same three flows here, and share the work as it comes; two runs of one flow never overlap, whoever runs them.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Export, FlowRegistry, type Import, type Run, Scheduler } from "poundlock";
import { SqliteStorage } from "poundlock/storage/sqlite";

const flowIds = ["flow-1", "flow-2", "flow-3"];
const runsEach = 3;
const runsInAll = 2 * runsEach * flowIds.length;

/** Its runs put a file there while they read, which fails if there is one: any overlap would break a run. */
function numbersIn(folder: string): Export<number> {
  return {
    async *pages({ flow, signal }) {
      const mark = join(folder, `${flow._id} is running`);
      await writeFile(mark, "", { flag: "wx" });
      for (let page = 0; page < 3; page++) {
        await pause(30, undefined, { signal }); // another application takes its time
        yield [page];
      }
      await rm(mark);
    },
  };
}

const nowhere: Import<number> = { idempotent: true, write: async () => undefined };

/** One of the two processes: the same code, the same file. Its parent says when to begin and when to stop. */
async function work(folder: string): Promise<void> {
  const end = () => process.exit(1);
  process.once("disconnect", end); // its parent is gone
  const storage = await SqliteStorage.open(join(folder, "flows.db"));
  const exports = { numbers: numbersIn(folder) };
  const registry = new FlowRegistry({ exports, imports: { nowhere }, storage });
  for (const _id of flowIds) await registry.define(_id, { name: _id, _exportId: "numbers", _importId: "nowhere" });
  const scheduler = new Scheduler(registry, { concurrency: 1 });
  for (const event of ["run:completed", "run:failed"] as const) scheduler.on(event, ({ run }) => process.send?.(run));
  await scheduler.start();

  process.send?.("ready");
  await once(process, "message");
  for (let round = 0; round < runsEach; round++) for (const _id of flowIds) await scheduler.run(_id);
  await once(process, "message");
  await scheduler.stop();
  await storage.close();
  process.off("disconnect", end).disconnect();
}

async function runTwo(folder: string): Promise<void> {
  const begin = async (): Promise<ChildProcess> => {
    const child = fork(fileURLToPath(import.meta.url), [folder]);
    await once(child, "message");
    return child;
  };
  const children = await Promise.all([begin(), begin()]);

  const ended: { readonly number: number; readonly run: Run }[] = [];
  await new Promise<void>((resolve, reject) => {
    for (const [index, child] of children.entries()) {
      child.once("exit", (code) => reject(new Error(`process ${index + 1} ended early, with code ${code}`)));
      child.on("message", (run: Run) => {
        if (ended.push({ number: index + 1, run }) === runsInAll) resolve();
      });
      child.send("begin");
    }
  });
  for (const child of children) child.send("stop");
  await Promise.all(children.map((child) => once(child, "exit")));

  console.log(`two processes queued ${runsInAll} runs; which process ran them:`);
  for (const flowId of flowIds) {
    const numbers = ended.filter(({ run }) => run._flowId === flowId).map(({ number }) => number);
    console.log(`  ${flowId}  ${numbers.join(" ")}`);
  }
  for (const { run } of ended) if (run.error !== undefined) throw new Error(run.error.message);
  console.log("all of them completed, and none began while another one of its flow was running");
}

const [folderOfParent] = process.argv.slice(2);
if (folderOfParent !== undefined) await work(folderOfParent);
else {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-"));
  await runTwo(folder);
  await rm(folder, { recursive: true });
}
