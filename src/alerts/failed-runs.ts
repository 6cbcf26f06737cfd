import type { Run } from "../index.ts";
import { showsHealth } from "../model/run.ts";
import type { AlertSource } from "./options.ts";

/** Runs that are looked at, at most: as many as are kept of a flow by default. */
const mostRuns = 1_000;

/** Runs read at once, at most. */
const mostAtOnce = 100;

/** The runs of a flow that have failed in a row. */
export interface FailedRuns {
  readonly count: number;
  /** False: there are more than were looked at. */
  readonly isExact: boolean;
  /** The newest of them. */
  readonly last?: Run;
}

/** Runs of the flow that have failed since then, the newest first, until there are `enough`. */
export async function failedRuns(
  scheduler: Pick<AlertSource, "listRuns">,
  { _flowId, since }: { readonly _flowId: string; readonly since: string },
  enough = mostRuns,
): Promise<FailedRuns> {
  let [count, looked] = [0, 0];
  let last: Run | undefined;
  const result = (isExact: boolean): FailedRuns => ({ count, isExact, ...(last === undefined ? {} : { last }) });
  for (let after: string | undefined; ;) {
    // Mostly they are the newest ones, or nearly so.
    const limit = after === undefined ? Math.min(mostAtOnce, enough * 2) : mostAtOnce;
    const page = await scheduler.listRuns({ _flowId, limit, ...(after === undefined ? {} : { after }) });
    for (const run of page.items) {
      if (!showsHealth(run) || (run.status !== "failed" && run.status !== "completed")) continue;
      if (run.status === "completed" || (run.endedAt ?? "") < since) return result(true);
      count++;
      last ??= run;
      if (count >= enough) return result(false);
    }
    after = page.next;
    looked += page.items.length;
    if (after === undefined) return result(true);
    if (looked >= mostRuns) return result(false);
  }
}
