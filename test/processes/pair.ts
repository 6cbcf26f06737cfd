import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Run } from "../../src/index.ts";
import { DeliveryFile, linesOf } from "../support/deliveries.ts";
import { openStorage } from "./open-storage.ts";
import type { PairReport, PairSetting } from "./pair-child.ts";
import { HostProcess, type Program } from "./child-process.ts";

/** What came of two processes running the same flows. */
export interface PairFigures {
  readonly flows: number;
  readonly runs: number;
  /** Runs that each process completed. */
  readonly shares: readonly number[];
  /** Times that two runs of one flow ran at once. */
  readonly overlaps: number;
}

/**
 * Two processes on one file, each of which queues runs of all flows as fast as it can, and runs what it finds.
 *
 * @throws if two runs of a flow run at once, out of the order in which they were queued, or not exactly once.
 */
export async function runInPair(
  program: Program,
  { flows, runs }: { readonly flows: number; readonly runs: number },
): Promise<PairFigures> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-pair-"));
  const settings = ["one", "other"].map((name): PairSetting => ({ folder, name, flows, runs }));
  const pair = settings.map((setting) => new HostProcess<PairReport>(program, setting));
  await Promise.all(pair.map((process) => process.until(() => process.all("ready").length > 0)));
  for (const process of pair) process.goOn();
  const completed = () => pair.map((process) => process.all("completed").length);
  const ended = () =>
    pair.reduce((sum, process) => sum + process.all("completed").length + process.all("failed").length, 0);
  const total = flows * runs * pair.length;
  await Promise.race(pair.map((process) => process.until(() => ended() >= total)));
  for (const process of pair) process.goOn();
  const codes = await Promise.all(pair.map(({ ended }) => ended));

  assert.deepEqual(linesOf(join(folder, "overlaps")), []);
  for (const process of pair)
    for (const what of ["background:error", "lost", "failed"] as const) assert.deepEqual(process.all(what), []);
  assert.deepEqual(codes, ["0", "0"]);
  const storage = await openStorage(join(folder, "file"));
  for (let flow = 0; flow < flows; flow++) {
    const queued: Run[] = [];
    let after: string | undefined;
    do {
      const page = { _flowId: `flow-${flow}`, limit: 1_000, ...(after === undefined ? {} : { after }) };
      const { items, next } = await storage.listRuns(page);
      queued.unshift(...[...items].reverse());
      after = next;
    } while (after !== undefined);
    assert.equal(queued.length, runs * pair.length);
    for (const { status, crashes } of queued)
      assert.deepEqual({ status, crashes }, { status: "completed", crashes: 0 });
    const written = new DeliveryFile(folder, `flow-${flow}`).read();
    const expected = queued.flatMap(({ _id }) => ["1/0", "1/1", "2/0", "2/1"].map((place) => `${_id}/${place}`));
    assert.deepEqual(
      written.map(({ key }) => key),
      expected,
    );
  }
  await storage.close();
  await rm(folder, { recursive: true });
  return { flows, runs: total, shares: completed(), overlaps: 0 };
}
