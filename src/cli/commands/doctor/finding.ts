/** What is looked at, in the order in which it is shown. */
export const checks = [
  "schema",
  "damage",
  "journal",
  "processes",
  "leases",
  "orphans",
  "queue",
  "inbox",
  "overdue",
  "failing",
  "paused",
  "failures",
] as const;
/** One of {@link checks}. */
export type Check = (typeof checks)[number];

/** Something that deserves attention. */
export interface Finding {
  readonly check: Check;
  /** What was found, in a sentence. */
  readonly message: string;
  /** What to do about it, in a sentence. */
  readonly advice: string;
  readonly _flowId?: string;
  readonly _runId?: string;
  readonly _importId?: string;
  readonly cause?: string;
}
