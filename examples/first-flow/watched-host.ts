// The host in a process of its own, as it would be; but it sends its events to first-flow.ts, and does what that asks for.

import type { Failure } from "poundlock";
import { scheduler } from "./host.ts";

/** What first-flow.ts is sent: an event, or what a step has found. */
export type Message =
  | { readonly event: "reclaimed" | "paused" | "resumed" | "completed" | "refused"; readonly count: number }
  | { readonly step: Step; readonly result: unknown };

export type Step = keyof typeof steps;

const send = (message: Message) => void process.send?.(message);
scheduler.on("run:requeued", ({ run }) => send({ event: "reclaimed", count: run.numPagesProcessed }));
scheduler.on("import:paused", () => send({ event: "paused", count: 1 }));
scheduler.on("import:resumed", () => send({ event: "resumed", count: 1 }));
scheduler.on("run:completed", () => send({ event: "completed", count: 1 }));
scheduler.on("failures:stored", ({ failures }) => send({ event: "refused", count: failures.length }));
scheduler.on("run:failed", ({ run }) => {
  console.error(run.error?.message);
  process.exit(1);
});

async function openFailures(): Promise<readonly Failure[]> {
  return (await scheduler.listFailures({ _flowId: "flights", status: "open", limit: 1_000 })).items;
}

const steps = {
  /** Runs the flow, or goes on with the run that there is, until both imports have everything. */
  async move(): Promise<void> {
    const caughtUp = new Promise<void>((resolve) => {
      scheduler.on("run:completed", async () => {
        const deliveries = await scheduler.deliveries("flights");
        if (deliveries.every(({ behind, paused }) => !behind && paused === undefined)) resolve();
      });
    });
    await scheduler.start();
    if ((await scheduler.listRuns()).items.length === 0) await scheduler.run("flights");
    await caughtUp;
  },

  /** How many failures are open, by message. */
  async failures(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { message } of await openFailures()) counts[message] = (counts[message] ?? 0) + 1;
    return counts;
  },

  /** Somebody edits the records whose delay is no number; then everything that has failed is sent again. */
  async retry(): Promise<number> {
    for (const { _id, record } of await openFailures())
      if ((record as { delay: unknown }).delay === "n/a")
        await scheduler.editFailure(_id, { ...(record as object), delay: null });
    return (await scheduler.waitFor((await scheduler.retryFailures("flights"))._id)).numSuccess;
  },

  /** The next run, as its schedule would start it. */
  async again(): Promise<Record<string, number>> {
    const { imports } = await scheduler.waitFor((await scheduler.run("flights"))._id);
    return Object.fromEntries(Object.entries(imports).map(([_id, { numSuccess }]) => [_id, numSuccess]));
  },

  async stop(): Promise<void> {
    await scheduler.stop();
    setImmediate(() => process.exit());
  },
};

process.on("message", (step: Step) => void steps[step]().then((result) => send({ step, result })));
