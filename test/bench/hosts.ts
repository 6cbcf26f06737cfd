import { type Export, FlowRegistry, type Import, type Run, Scheduler, type SchedulerOptions } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { timed } from "./measure.ts";

/** An export of one page without records. */
export const emptyPages: Export<unknown> = {
  async *pages() {
    yield [];
  },
};

/** An import that takes everything at once. */
export function noOp(): Import<unknown> {
  return { idempotent: true, write: async () => undefined };
}

/** @throws unless the run completed. */
export function expectCompleted(run: Run): Run {
  if (run.status !== "completed") throw new Error(`the run ${run.status}: ${run.error?.message ?? ""}`);
  return run;
}

/** A host whose one flow goes from `from` to `into`; `work` gets what it needs to run it. The scheduler has started. */
export async function withFlow<T>(
  host: { readonly storage: Storage; readonly from: Export<unknown>; readonly into: Import<unknown> },
  work: (scheduler: Scheduler, _flowId: string) => Promise<T>,
  options: SchedulerOptions = {},
): Promise<T> {
  const { storage, from, into } = host;
  const registry = new FlowRegistry({ exports: { from }, imports: { into }, storage });
  const scheduler = new Scheduler(registry, options);
  const flow = await registry.create({ name: "bench", _exportId: "from", _importId: "into" });
  await scheduler.start();
  try {
    return await work(scheduler as Scheduler, flow._id);
  } finally {
    await scheduler.stop();
  }
}

/** Milliseconds from asking for a run until it has completed. */
export async function runMs(queue: () => Promise<Run>, scheduler: Scheduler): Promise<number> {
  return timed(async () => expectCompleted(await scheduler.waitFor((await queue())._id)));
}
