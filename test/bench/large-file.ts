import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Clock, FlowRegistry, type Run, systemClock } from "../../src/index.ts";
import { type SqliteDatabase, openDatabase } from "../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { inFolder } from "./disk.ts";
import { emptyPages, noOp } from "./hosts.ts";

const flowCount = 100_000;
const runsPerFlow = 10;

/** The noon at which the large file's processes live, so that a file made once is never out of date. */
const noon = Date.UTC(2030, 5, 1, 12);
const sinceNoon = Date.now() - noon;

/** Goes on from that noon. */
export const noonClock: Clock = { ...systemClock, now: () => Date.now() - sinceNoon };

/** The catalog of whoever opens the large file. */
export const largeCatalog = { exports: { from: emptyPages }, imports: { sink: noOp() } };

/**
 * A file of {@link flowCount} daily flows, none of which is due soon, with {@link runsPerFlow} ended runs each. `builtMs`
 * is 0 if it was there.
 */
export function largeFile(): Promise<KeptFile> {
  return keptFile([flowCount, runsPerFlow], build);
}

/** A file that is kept for the next time. */
export interface KeptFile {
  readonly file: string;
  /** 0: it was there. */
  readonly builtMs: number;
}

/** A file as `build` fills it: made once for each schema and `content`, and kept under `.work`. */
export async function keptFile(content: unknown, build: (file: string) => Promise<void>): Promise<KeptFile> {
  const folder = resolve(".work/bench-files");
  const file = join(folder, `${await keyOf(content)}.db`);
  if ((await stat(file).catch(() => undefined)) !== undefined) return { file, builtMs: 0 };
  await mkdir(folder, { recursive: true });
  const unfinished = await mkdtemp(join(folder, "unfinished-"));
  try {
    const start = performance.now();
    await build(join(unfinished, "flows.db"));
    const builtMs = performance.now() - start;
    await rename(join(unfinished, "flows.db"), file);
    return { file, builtMs };
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** Another schema is another file. */
async function keyOf(content: unknown): Promise<string> {
  return inFolder(async (folder) => {
    const file = join(folder, "schema.db");
    await (await SqliteStorage.open(file)).close();
    const database = openDatabase(file);
    const rows = database.prepare("select sql from sqlite_master order by name").all();
    database.close();
    return createHash("sha256")
      .update(JSON.stringify([rows, content]))
      .digest("hex")
      .slice(0, 16);
  });
}

async function build(file: string): Promise<void> {
  const _flowIds = await makeFlows(file);
  const database = openDatabase(file);
  try {
    for (let round = 0; round < runsPerFlow; round++) {
      database.exec("begin immediate");
      addRuns(database, _flowIds, round);
      database.exec("commit");
    }
    database.exec(`insert into poundlock_histories (flow_id, runs) select id, ${runsPerFlow} from poundlock_flows`);
    database.prepare("pragma wal_checkpoint(truncate)").all();
  } finally {
    database.close();
  }
  await expectRuns(file, _flowIds[0] ?? "");
}

async function makeFlows(file: string): Promise<readonly string[]> {
  const storage = await SqliteStorage.open(file, { synchronous: "normal" });
  const registry = new FlowRegistry({ ...largeCatalog, storage, clock: noonClock });
  const _flowIds: string[] = [];
  while (_flowIds.length < flowCount) {
    const slice = Array.from({ length: 1_000 }, (_, index) =>
      registry.create({
        name: `Flow ${index}`,
        schedule: `${index % 60} 0 * * *`,
        _exportId: "from",
        _importId: "sink",
      }),
    );
    for (const { _id } of await Promise.all(slice)) _flowIds.push(_id);
  }
  await storage.close();
  return _flowIds;
}

// What the storage itself stores of a daily run that has completed, without the million transactions.
function addRuns(database: SqliteDatabase, _flowIds: readonly string[], round: number): void {
  const insert = database.prepare(
    `insert into poundlock_runs (id, flow_id, export_id, cause, status, stage, due_at, ended_at, token, lease_until, doc)
      values (?, ?, 'from', 'schedule', 'completed', 2, ?, ?, ?, ?, ?)`,
  );
  const day = noon - (runsPerFlow - round) * 86_400_000;
  for (const [index, _flowId] of _flowIds.entries()) {
    const dueAt = day - 43_200_000 + (index % 60) * 60_000;
    const endedAt = dueAt + 1_000 + index;
    const number = (round * flowCount + index).toString(16).padStart(12, "0");
    const _id = `018f0000-0000-7000-8000-${number}`;
    const doc = JSON.stringify(endedRun(_id, _flowId, { dueAt, endedAt }));
    insert.run(_id, _flowId, dueAt, endedAt, `${_id}/1`, endedAt + 30_000, doc);
  }
}

function endedRun(_id: string, _flowId: string, times: { readonly dueAt: number; readonly endedAt: number }): Run {
  const dueAt = new Date(times.dueAt).toISOString();
  const counts = { numSuccess: 100, numError: 0, numIgnore: 0 };
  return {
    ...{ _id, trigger: "schedule", queuedAt: dueAt, dueAt, _flowId, _exportId: "from", status: "completed" },
    ...{ coalesced: 0, skipped: 0, crashes: 0, numPagesGenerated: 1, numPagesProcessed: 1, ...counts },
    ...{ imports: { sink: counts }, startedAt: dueAt, endedAt: new Date(times.endedAt).toISOString() },
  };
}

async function expectRuns(file: string, _flowId: string): Promise<void> {
  const storage = await SqliteStorage.open(file);
  const { items } = await storage.listRuns({ _flowId, status: "completed", limit: 1_000 });
  await storage.close();
  if (items.length !== runsPerFlow) throw new Error(`the flow has ${items.length} runs`);
}
