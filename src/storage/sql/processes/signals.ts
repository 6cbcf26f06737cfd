/** What a storage can say to others at once. `changes`: something became of a run or a flow. */
export type Topic = "flows" | "cancel" | "changes";

/** Says to whoever may be waiting for it that there is something to look at. */
export interface Signals {
  /** What it rings for has been committed. */
  ring(topic: Topic): void;
}

const flows: readonly Topic[] = ["flows", "changes"];
const runs: readonly Topic[] = ["changes"];

/** What a call of a storage's method is worth ringing for. */
export const topicsOf: ReadonlyMap<string, readonly Topic[]> = new Map<string, readonly Topic[]>([
  ["insertFlow", flows],
  ["replaceFlow", flows],
  ["deleteFlow", ["flows", "cancel", "changes"]],
  ["cancelRun", ["cancel", "changes"]],
  ["queueRun", runs],
  ["queueDue", runs],
  ["claimRun", runs],
  ["endRun", runs],
  ["releaseRun", runs],
  ["reclaimExpiredRuns", runs],
  ["appendInbox", runs],
]);
