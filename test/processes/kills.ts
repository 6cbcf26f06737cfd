import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Chance } from "../support/chance.ts";
import type { ChildSetting } from "./child.ts";
import { FileHost, importIds, keyOf, ordersOf, pageSize } from "./file-host.ts";
import { DeliveryFile, checkDeliveries } from "../support/deliveries.ts";
import { HostProcess, type Program } from "./child-process.ts";

/** What came of killing one process after the other. */
export interface KillFigures {
  /** Kills of a process that had committed a page. */
  readonly kills: number;
  /** Kills of one that had not. */
  readonly early: number;
  readonly pages: number;
  readonly records: number;
  /** Over both imports. */
  readonly repeated: number;
  readonly lost: number;
}

/** A process whose lease ran out by the clock of the next one, without anybody waiting for it. */
const stepMs = 2_000;
const endless = 1_000_000;

/**
 * One run, and one process after the other that is killed while it moves it, at a random moment, until so many of them
 * had committed a page. The last one may end the run.
 *
 * @throws if a record is lost, more are repeated than the kills explain, or the run was not one run.
 */
export async function killAtRandom(program: Program, { kills, chance }: { kills: number; chance: Chance }) {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-kills-"));
  const setting = (life: number, pages: number): ChildSetting => ({
    ...{
      folder,
      name: `life-${life}`,
      pages,
      task: "orders",
      aheadMs: life * stepMs,
      maxCrashes: endless,
      answerMs: 2,
    },
  });
  let [effective, early, life, committed] = [0, 0, 0, 0];
  while (effective < kills) {
    const victim = new HostProcess(program, setting(++life, endless));
    if (chance.happens(0.1)) await pause(chance.between(0, 250));
    else {
      const pages = chance.between(1, 8);
      await victim.until(() => victim.all("committed").length >= pages);
      await pause(chance.next() * 10);
    }
    await victim.kill();
    assert.deepEqual(victim.all("background:error"), []);
    if (victim.all("committed").length > 0) effective++;
    else early++;
    committed = Math.max(committed, ...victim.all("committed").map(({ page }) => page));
  }
  const pages = committed + 5;
  const last = new HostProcess(program, setting(++life, pages));
  assert.equal(await last.ended, "0", JSON.stringify(last.reports));
  return { kills, early, ...(await judge(folder, { pages, kills, early })) } satisfies KillFigures;
}

/**
 * One process after the other, each killed at a random moment while it moves pages to two imports, of which the second
 * is down for half of the time, until so many of them had committed a page. Then the second import is up, and the last
 * process moves what is left.
 *
 * @throws if a record is lost, a failure is open, or the first import got more records twice than one page for each kill.
 */
export async function killDuringOutages(program: Program, { kills, chance }: { kills: number; chance: Chance }) {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-outages-"));
  const setting = (life: number, pages: number): ChildSetting => ({
    ...{ folder, name: `life-${life}`, pages, task: "all", aheadMs: life * pauseStepMs, maxCrashes: endless },
  });
  let [effective, early, life, pages] = [0, 0, 0, 0];
  while (effective < kills) {
    pages += chance.between(2, 8);
    const victim = new HostProcess(program, { ...setting(++life, pages), answerMs: 2, downMs: 100 });
    const commits = chance.between(1, 8);
    const hasMoved = victim.until(() => victim.all("committed").length >= commits || victim.all("closed").length > 0);
    // While the second import is paused, and the first has all, there may be nothing to commit.
    await Promise.race([hasMoved, pause(longestLifeMs)]);
    await pause(chance.next() * 10);
    await victim.kill();
    await hasMoved.catch(() => undefined);
    assert.deepEqual(victim.all("background:error"), []);
    if (victim.all("closed").length > 0) continue;
    if (victim.all("committed").length > 0) effective++;
    else early++;
  }
  const last = new HostProcess(program, setting(life + 1_000, pages));
  assert.equal(await last.ended, "0", JSON.stringify(last.reports));
  return { kills, early, pages, ...(await judgeOutages(folder, pages, kills + early)) };
}

const longestLifeMs = 1_000;

/** Between two processes most pauses end by themselves. */
const pauseStepMs = 35_000;

async function judgeOutages(folder: string, pages: number, kills: number) {
  const host = await FileHost.open({ folder, name: "judge", pages });
  const keys = Array.from({ length: pages }, (_, index) => ordersOf(index + 1).map(keyOf)).flat();
  const paused = (await host.scheduler.listRuns({ limit: 1_000 })).items.filter(
    ({ imports }) => imports[importIds[1]]?.status === "paused",
  ).length;
  assert.deepEqual((await host.scheduler.listFailures({ status: "open" })).items, []);
  await host.close();
  const [healthy, other] = importIds.map((_importId) => {
    const check = checkDeliveries(new DeliveryFile(folder, _importId), keys);
    assert.deepEqual({ lost: check.lost, invented: check.invented }, { lost: [], invented: [] });
    return check.repeated;
  });
  assert(
    healthy !== undefined && healthy <= kills * pageSize,
    `${healthy} records were repeated to the healthy import`,
  );
  await rm(folder, { recursive: true });
  return { records: keys.length, repeatedToHealthy: healthy, repeatedToOther: other ?? 0, paused, lost: 0 };
}

async function judge(folder: string, { pages, kills, early }: { pages: number; kills: number; early: number }) {
  const host = await FileHost.open({ folder, name: "judge", pages });
  const { items } = await host.scheduler.listRuns();
  const [run] = items;
  assert.equal(items.length, 1, "there is one run");
  const { status, numPagesProcessed } = run ?? {};
  assert.deepEqual({ status, numPagesProcessed }, { status: "completed", numPagesProcessed: pages });
  assert.deepEqual(await host.scheduler.getCheckpoint("orders"), { page: pages });
  const keys = Array.from({ length: pages }, (_, index) => ordersOf(index + 1).map(keyOf)).flat();
  let repeated = 0;
  for (const _importId of importIds) {
    assert.equal(run?.imports[_importId]?.numSuccess, keys.length);
    const check = checkDeliveries(new DeliveryFile(folder, _importId), keys);
    assert.deepEqual({ lost: check.lost, invented: check.invented }, { lost: [], invented: [] });
    assert(check.repeated <= (kills + early) * pageSize, `${check.repeated} records were repeated`);
    repeated += check.repeated;
  }
  await host.close();
  await rm(folder, { recursive: true });
  return { pages, records: keys.length, repeated, lost: 0 };
}
