import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChildSetting } from "./child.ts";
import { FileHost, importIds, keyOf, ordersOf, pageSize } from "./file-host.ts";
import { DeliveryFile, checkDeliveries } from "../support/deliveries.ts";
import { type Place, type Point, nameOf, placesOf, points } from "./points.ts";
import { HostProcess, type Program } from "./child-process.ts";

const pages = 4;
const minuteMs = 60_000;
const keys = Array.from({ length: pages }, (_, index) => ordersOf(index + 1).map(keyOf)).flat();

/** One process that halts while it has a run, and another one that takes the run over. */
export interface Trial {
  readonly task: ChildSetting["task"];
  readonly place: Place;
  /** When the first one goes on: while the other one moves the run, or after it has ended it. */
  readonly goesOn: "during" | "after";
}

/** Every place outside of a transaction where a run is held. */
export const trials: readonly Trial[] = (["orders", "events"] as const).flatMap((task) =>
  placesOf(pages, importIds)
    .filter(({ point }) => points[point as keyof typeof points].held && point !== "mid commit")
    .flatMap((place, index): Trial[] => {
      const [one, other] = index % 2 === 0 ? (["during", "after"] as const) : (["after", "during"] as const);
      return [one, other].map((goesOn) => ({ task, place, goesOn }));
    }),
);

export function titleOf({ task, place, goesOn }: Trial): string {
  return `${task}, ${nameOf(place)}, and goes on ${goesOn} the other's work`;
}

/** Stops a process with SIGSTOP at the place, lets another one take its run over, and lets the first one go on. */
export async function freeze(program: Program, { task, place, goesOn }: Trial): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-freeze-"));
  const setting: ChildSetting = { folder, name: "stale", pages, task, halt: place };
  const stale = new HostProcess(program, setting);
  await stale.halted();
  stale.send("SIGSTOP");
  const before = stale.reports.length;
  const gate = newGate();
  const isLast = points[place.point as keyof typeof points] as Point;
  // The last thing that the heir does before its last commit, or before it ends the run if nothing is left to commit.
  const halt: Place =
    isLast.committed(place.page, pages) === pages || place.point === "page read"
      ? { point: "before end", page: 0 }
      : { point: "before commit", page: pages };
  const heirSetting = { folder, name: "heir", pages, aheadMs: minuteMs };
  const heir = await FileHost.open(goesOn === "during" ? { ...heirSetting, halt } : heirSetting, {
    halted: gate.stand,
  });
  const [run] = (await heir.scheduler.listRuns()).items;
  assert(run !== undefined);
  await heir.scheduler.start();
  const ended = heir.scheduler.waitFor(run._id);
  await (goesOn === "during" ? gate.reached : ended);

  const stored = await remembered(heir, task);
  stale.send("SIGCONT");
  stale.goOn();
  const code = await stale.ended;
  assert.deepEqual(await remembered(heir, task), stored, "the stale process changed what is stored");
  gate.open();

  const said = stale.reports.slice(before);
  const taken = said.filter((report) => "held" in report && report.held);
  assert.deepEqual(taken, [], "the stale process committed");
  assert.equal(stale.all("lost").length, 1, "the stale process did not report that it lost its lease");
  assert.deepEqual(stale.all("background:error"), []);
  assert.equal(code, "0");
  const { status, numPagesProcessed, numSuccess } = await ended;
  assert.deepEqual(
    { status, numPagesProcessed, numSuccess },
    { status: "completed", numPagesProcessed: pages, numSuccess: keys.length * importIds.length },
  );
  for (const _importId of importIds) {
    const { lost, invented, repeated } = checkDeliveries(new DeliveryFile(folder, _importId), keys);
    assert.deepEqual({ lost, invented }, { lost: [], invented: [] });
    // No fence can stand before a destination: a stale process may write the page it was moving, and no further one.
    assert(repeated <= pageSize, `${repeated} records were repeated`);
  }
  await heir.close();
  await rm(folder, { recursive: true });
}

/** All that a stale process could spoil. */
async function remembered(host: FileHost, _flowId: string): Promise<unknown> {
  const { items } = await host.scheduler.listRuns();
  const checkpoint = await host.scheduler.getCheckpoint(_flowId);
  const failures = await host.scheduler.listFailures();
  return { runs: items, checkpoint, failures, inbox: await host.storage.readInbox("events", { maxRecords: 1_000 }) };
}

function newGate() {
  let open: () => void = () => undefined;
  let arrive: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const reached = new Promise<void>((resolve) => (arrive = resolve));
  const stand = () => {
    arrive();
    return opened;
  };
  return { open: () => open(), reached, stand };
}
