import { setTimeout as pause } from "node:timers/promises";
import type { Scheduler } from "../../src/index.ts";
import { FlowFile } from "./flow-file.ts";

/** What came of the numbers of one flow. */
export interface FlowCounts {
  readonly records: number;
  /** Numbers up to the last one that are not there. */
  readonly lost: number;
  /** Numbers that came for the first time after a larger one. */
  readonly outOfOrder: number;
  readonly repeated: number;
}

/** Of what was delivered to the file of a flow, in its order: a record that comes for the first time has to be the one after the last such. */
export function countsOf(folder: string, _flowId: string): FlowCounts {
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
export function sumOf(all: readonly FlowCounts[]): FlowCounts {
  const sum = (name: keyof FlowCounts) => all.reduce((total, one) => total + one[name], 0);
  return { records: sum("records"), lost: sum("lost"), outOfOrder: sum("outOfOrder"), repeated: sum("repeated") };
}

/** Queues a run until the database has taken it: a host does so as well, as it gets an error. */
export async function queued(scheduler: Scheduler, _flowId: string): Promise<void> {
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
