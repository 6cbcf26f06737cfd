// The workflow of temporal.ts. Temporal bundles this file and runs it in a sandbox, so it imports nothing else.

import { continueAsNew, defineSignal, proxyActivities, setHandler, workflowInfo } from "@temporalio/workflow";

/** What a worker does for workflows. */
export interface FlowActivities {
  /** Executes the flow's oldest waiting run to its end; whether more of them wait. */
  readonly runNext: (_flowId: string) => Promise<boolean>;
}

const { runNext } = proxyActivities<FlowActivities>({
  startToCloseTimeout: "30 days", // a run may take as long as it takes
  // The activity never fails by itself. One whose worker died is tried elsewhere: there the run's lease has to expire first,
  // so it finds nothing to do, and the scheduler's maintenance wakes the flow when it has.
  heartbeatTimeout: "15 seconds",
});

const wake = defineSignal("wake");

/** Runs what waits, once more for each wake-up that comes meanwhile, and ends. */
export async function flow(_flowId: string): Promise<void> {
  let isWoken = true;
  setHandler(wake, () => void (isWoken = true));
  while (isWoken) {
    isWoken = false;
    if (await runNext(_flowId)) isWoken = true;
    // A history that grows without end is slow; a new one begins with the wake-up that is left.
    if (isWoken && workflowInfo().historyLength > 2_000) await continueAsNew(_flowId);
  }
}
