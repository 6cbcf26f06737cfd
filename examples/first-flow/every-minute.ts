import { type Exports, type Flow, FlowRegistry, type Imports, type Run, Scheduler } from "poundlock";
import type { Storage } from "poundlock/storage";
import { fastClock } from "./fast-clock.ts";
import { count, durationOf, printReport, readBy } from "./report.ts";

/** How many minutes pass in one: nobody wants to wait for them. */
const speed = 120;

/**
 * Runs a flow that is due each minute until two runs of it have completed, by a clock that takes half a second for a
 * minute. The first run is too long for a minute, so what is due meanwhile has to wait.
 */
export async function runEveryMinute(
  flow: Flow,
  parts: {
    readonly exports: Exports;
    readonly imports: Imports;
    readonly storage: Storage;
    /** Called once, while the first run is running. */
    readonly whileRunning: () => Promise<void>;
  },
): Promise<void> {
  const { whileRunning, ...known } = parts;
  const clock = fastClock(Math.ceil(Date.now() / 60_000) * 60_000 + 50_000, speed);
  const registry = new FlowRegistry({ ...known, clock });
  await registry.patch(flow._id, { schedule: "* * * * *" });
  // By this clock, too, a lease is to outlast a disk that is slow for some of our seconds.
  const scheduler = new Scheduler(registry, { leaseMs: 30_000 * speed });

  const say = (text: string) => console.log(`  ${new Date(clock.now()).toISOString().slice(11, 19)}  ${text}`);
  const runIds: string[] = [];
  const ended: Run[] = [];
  const nameOf = (run: Run) => `run ${runIds.indexOf(run._id) + 1}`;
  scheduler.on("run:queued", ({ run }) => {
    runIds.push(run._id);
    say(`due: ${nameOf(run)} joins the queue${runIds.length > 1 ? ", as only one may run at a time" : ""}`);
  });
  scheduler.on("run:started", ({ run }) => say(`${nameOf(run)} starts`));
  scheduler.on("schedule:coalesced", ({ run }) =>
    say(`due: ${nameOf(run)} waits already, so it serves this time, too`),
  );
  scheduler.once("run:progress", async ({ run }) => {
    await whileRunning();
    say(`1,000 more zip codes are added while ${nameOf(run)} is running`);
  });
  const twoRuns = new Promise<void>((resolve) => {
    scheduler.on("run:completed", ({ run }) => {
      say(`${nameOf(run)} completes: ${count(readBy(run))} records in ${durationOf(run)} by this clock`);
      if (ended.push(run) === 2) resolve();
    });
  });

  await scheduler.start();
  await twoRuns;
  await scheduler.stop();
  for (const run of ended) await printReport(scheduler, flow, run);
}
