import { setTimeout as pause } from "node:timers/promises";
import type { Scheduler } from "../../src/index.ts";
import { FlowFile, overlapsIn } from "./flow-file.ts";
import { recordsPerRun } from "./numbers.ts";
import type { Observer } from "./observer.ts";

/** What came of the numbers of one flow. */
interface FlowCounts {
  readonly records: number;
  /** Numbers up to the last one that are not there. */
  readonly lost: number;
  /** Numbers that came for the first time after a larger one. */
  readonly outOfOrder: number;
  readonly repeated: number;
}

/** Of what was delivered to the file of a flow, in its order: a record that comes for the first time has to be the one after the last such. */
function countsOf(folder: string, _flowId: string): FlowCounts {
  const seen = new Set<number>();
  let [last, outOfOrder, repeated] = [0, 0, 0];
  for (const { key } of new FlowFile(folder, _flowId).read()) {
    const n = Number(key);
    if (seen.has(n)) repeated++;
    else if (n < last) outOfOrder++;
    seen.add(n);
    last = Math.max(last, n);
  }
  return { records: seen.size, lost: last - seen.size, outOfOrder, repeated };
}

/** The counts of all flows together. */
function sumOf(all: readonly FlowCounts[]): FlowCounts {
  const sum = (name: keyof FlowCounts) => all.reduce((total, one) => total + one[name], 0);
  return { records: sum("records"), lost: sum("lost"), outOfOrder: sum("outOfOrder"), repeated: sum("repeated") };
}

/** What a trial does while faults happen. */
export interface Strikes {
  readonly scheduler: Scheduler;
  readonly observer: Observer;
  readonly flowIds: readonly string[];
  /** Of each flow, at least; more until all faults have happened. */
  readonly runsOfEach: number;
  readonly faults: number;
  /** More do not wait at once, so that faults meet flows in every state. */
  readonly mostWaiting: number;
  /** How many runs have completed by now. */
  readonly completed: () => number;
  /** How many more complete between two faults, so that each meets processes at work. */
  readonly between: number;
  readonly strike: () => Promise<void>;
}

/** Queues runs of all flows, again and again, while one fault follows the other. How many runs each flow was asked for. */
export async function strikeAll(strikes: Strikes): Promise<number> {
  const { between, completed, faults, strike } = strikes;
  let struck = 0;
  const queueing = queueAll(strikes, () => struck === faults);
  // Also if a fault is not over in time, and nobody awaits it any more.
  queueing.catch(() => undefined);
  for (; struck < faults; struck++) {
    const before = completed();
    await until("runs complete", () => completed() >= before + between);
    await strike();
  }
  return queueing;
}

async function queueAll(strikes: Strikes, isOver: () => boolean): Promise<number> {
  const { flowIds, mostWaiting, observer, runsOfEach, scheduler } = strikes;
  let asked = 0;
  while (asked < runsOfEach || !isOver()) {
    for (let at = 0; at < flowIds.length; at += queuedTogether)
      await Promise.all(flowIds.slice(at, at + queuedTogether).map((_id) => queued(scheduler, _id)));
    asked++;
    await until("workers keep up", async () => ((await observer.unended()) ?? mostWaiting) < mostWaiting);
  }
  return asked;
}

const queuedTogether = 50;

/** Waits until every run has ended. How many have not in time; -1 if the database did not say. */
export async function drained(observer: Observer): Promise<number> {
  let left: number | undefined;
  await until("all runs end", async () => {
    left = await observer.unended();
    return left === 0;
  }).catch(() => undefined);
  return left ?? -1;
}

/** What is to be seen after any trial. */
export interface Outcome extends FlowCounts {
  readonly runs: number;
  readonly failed: number;
  /** What nobody may see: two active runs of a flow, two processes that write for one. */
  readonly atOnce: readonly string[];
}

/** Looks at what became of so many runs of each flow. */
export async function outcomeOf(
  observer: Observer,
  { asked, flowIds, folder }: { readonly asked: number; readonly flowIds: readonly string[]; readonly folder: string },
): Promise<Outcome> {
  const statuses = await observer.statuses();
  // A run that goes on elsewhere yields as many pages as one that begins there: more may come than were asked for.
  const unread = (records: number) => Math.max(0, asked * recordsPerRun - records);
  const all = flowIds.map((_id) => countsOf(folder, _id));
  return {
    ...sumOf(all.map((one) => ({ ...one, lost: one.lost + unread(one.records + one.lost) }))),
    runs: statuses.filter((status) => status === "completed").length,
    failed: statuses.filter((status) => status === "failed" || status === "canceled").length,
    atOnce: [...observer.violations, ...overlapsIn(folder)],
  };
}

/** Queues a run until the database has taken it: a host does so as well, as it gets an error. */
async function queued(scheduler: Scheduler, _flowId: string): Promise<void> {
  for (const end = performance.now() + limitMs; ;)
    try {
      await scheduler.run(_flowId);
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
      await pause(50);
    }
}

/** How long nothing may take. */
const limitMs = 90_000;

/** Rejects if it is not so in time, so that the processes of a trial that fails are ended. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`expected that ${what}: it did not within ${limitMs / 1_000} seconds`);
    await pause(20);
  }
}
