import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ChildSetting } from "./child.ts";
import { FileHost, importIds, keyOf, ordersOf, pageSize, readingsOf } from "./file-host.ts";
import { DeliveryFile, checkDeliveries } from "../support/deliveries.ts";
import { type Place, type Point, nameOf, placesOf, points } from "./points.ts";
import { HostProcess, type Program, bundle } from "./child-process.ts";

const pages = 4;
const minuteMs = 60_000;
/** Pages that may be written and not committed when a process dies: the one that is being moved. */
const pagesInFlight = 1;
const keys = Array.from({ length: pages }, (_, index) => ordersOf(index + 1).map(keyOf)).flat();

/** The statements of a transaction after each of which a process dies. */
const changes = {
  /** Checkpoint, run. */
  orders: [1, 2],
  /** Inbox, how much is in it, run. */
  events: [1, 2, 3],
  /** Ten event ids, those that are outdated, how much is in the inbox, the page. */
  append: [1, 10, 12, 13],
};

let program: Program;
beforeAll(async () => {
  program = await bundle("child");
});
afterAll(() => program.remove());

/** A process that is killed while it stands at `place`; what it leaves behind is in the folder. */
async function killedAt(place: Place, task: ChildSetting["task"]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-crash-"));
  const setting: ChildSetting = { folder, name: "victim", pages, task, halt: place };
  const victim = new HostProcess(program, setting);
  await victim.halted();
  await victim.kill();
  return folder;
}

/** Opens what was left behind, by whose clock the victim's lease has run out. */
function openAfter(folder: string): Promise<FileHost> {
  return FileHost.open({ folder, name: "heir", pages, aheadMs: minuteMs });
}

async function onlyRun(host: FileHost, _flowId: string) {
  const { items } = await host.scheduler.listRuns({ _flowId });
  const [run] = items;
  if (run === undefined || items.length > 1) throw new Error(`expected one run, found ${items.length}`);
  return run;
}

/** What each import received, against what there was to receive. */
function checks(folder: string) {
  return importIds.map((_importId) => checkDeliveries(new DeliveryFile(folder, _importId), keys));
}

const everything = { numSuccess: keys.length, numError: 0, numIgnore: 0 };
const completed = {
  status: "completed",
  numPagesProcessed: pages,
  imports: Object.fromEntries(importIds.map((_importId) => [_importId, everything])),
  numSuccess: keys.length * importIds.length,
  numError: 0,
  numIgnore: 0,
};

describe.concurrent.each(["orders", "events"] as const)("a process running flow %s dies", (task) => {
  const isPassed = ({ point }: Place) => task === "orders" || point !== "queued";
  const places = placesOf(pages, importIds, changes[task]).filter(isPassed);

  test.each(places.map((place) => [nameOf(place), place] as const))("at %s", async (_title, place) => {
    const { held, inFlight, committed }: Point = points[place.point as keyof typeof points];
    const folder = await killedAt(place, task);
    const heir = await openAfter(folder);
    const left = await onlyRun(heir, task);

    await heir.scheduler.start();
    await heir.scheduler.waitFor(left._id);

    const expected = committed(place.page, pages) ?? left.numPagesProcessed;
    expect(left.numPagesProcessed).toBe(expected);
    expect(expected).toBeGreaterThanOrEqual(place.page - 2);
    const trigger = task === "orders" ? "manual" : "realtime";
    // Crashes count up to the next commit.
    const crashes = held && expected === pages ? 1 : 0;
    expect(await onlyRun(heir, task)).toMatchObject({ ...completed, _id: left._id, trigger, crashes });
    for (const { lost, invented, repeated } of checks(folder)) {
      expect({ lost, invented }).toEqual({ lost: [], invented: [] });
      expect(repeated).toBeLessThanOrEqual(inFlight ? pagesInFlight * pageSize : 0);
    }
    expect(await heir.storage.readInbox("events", { maxRecords: 1 })).toEqual([]);
    if (task === "orders") {
      expect(await heir.scheduler.getCheckpoint("orders")).toEqual({ page: pages });
      // Resumed where it was, not begun again.
      const resumed = readingsOf(folder).filter(({ process }) => process === "heir");
      expect(resumed).toEqual(place.point === "ended" ? [] : [{ process: "heir", page: expected + 1 }]);
    }
    await heir.close();
    await rm(folder, { recursive: true });
  });
});

describe.concurrent("a process taking records in dies", () => {
  const places = [1, 2, pages].flatMap((page): Place[] => [
    { point: "before append", page },
    ...changes.append.map((statement): Place => ({ point: "mid append", page, statement })),
    { point: "appended", page },
  ]);

  test.each(places.map((place) => [nameOf(place), place] as const))("%s", async (_title, place) => {
    const folder = await killedAt(place, "events");
    const heir = await openAfter(folder);
    const ids = (page: number) => ordersOf(page).map(({ n }) => `event-${n}`);

    // Their sender sends again what nobody said OK to.
    const again = await heir.scheduler.accept("events", ordersOf(place.page), { ids: ids(place.page) });
    for (let page = place.page + 1; page <= pages; page++)
      await heir.scheduler.accept("events", ordersOf(page), { ids: ids(page) });
    const { _id } = await onlyRun(heir, "events");
    await heir.scheduler.start();
    await heir.scheduler.waitFor(_id);

    const isKept = place.point === "appended";
    expect(again).toEqual({ accepted: isKept ? 0 : pageSize, duplicates: isKept ? pageSize : 0 });
    expect(await onlyRun(heir, "events")).toMatchObject({ ...completed, trigger: "realtime", crashes: 0 });
    for (const check of checks(folder)) expect(check).toEqual({ lost: [], invented: [], repeated: 0 });
    await heir.close();
    await rm(folder, { recursive: true });
  });
});
