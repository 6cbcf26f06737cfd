import { InvalidOptionError } from "../errors.ts";
import type { FlowRegistry, Scheduler } from "../index.ts";
import { type Shape, boolean, duration, objectWith, v, validate, wholeNumber } from "../model/validate.ts";

/** What is alerted of, and when. */
export interface AlertOptions {
  /** After how many failed runs of a flow in a row, 1 to 1000. @default { runs: 1 } */
  readonly failing?: { readonly runs?: number } | false;
  /** Flows of which no run began, though two due times have passed. @default true */
  readonly overdue?: boolean;
  /** Imports that are paused, and after how many milliseconds, 0 or more. @default { afterMs: 900000 } */
  readonly paused?: { readonly afterMs?: number } | false;
  /** Flows with more open failures than this, 0 or more. @default false */
  readonly openFailures?: { readonly above: number } | false;
  /** Whether a run waits for longer than this, in milliseconds, 0 or more. @default false */
  readonly queueAge?: { readonly aboveMs: number } | false;
  /** How long after the last alert of an incident that is still open another one comes: 60000 or more. @default 86400000 */
  readonly remindAfterMs?: number | false;
}

/** {@link AlertOptions} with every default filled in; undefined: off. */
export interface AlertRules {
  readonly failedRuns: number | undefined;
  readonly overdue: boolean;
  readonly pausedMs: number | undefined;
  readonly openFailures: number | undefined;
  readonly queueAgeMs: number | undefined;
  readonly remindAfterMs: number | undefined;
}

/** What alerts need of a scheduler. */
export type AlertSource = Pick<
  Scheduler,
  "activities" | "deliveries" | "listRuns" | "logger" | "on" | "overview" | "run" | "state"
> & { readonly registry: Pick<FlowRegistry, "clock" | "exportIds" | "find" | "findExport" | "list"> };

const groupOf = (members: string) =>
  v.optional(
    v.custom(
      (value) => value === false || (typeof value === "object" && value !== null),
      `false, or an object with ${members}`,
    ),
  );

const optionRules: Shape<AlertOptions> = {
  failing: groupOf("runs"),
  overdue: v.optional(boolean),
  paused: groupOf("afterMs"),
  openFailures: groupOf("above"),
  queueAge: groupOf("aboveMs"),
  remindAfterMs: v.optional(
    v.custom(
      (value) => value === false || v.is(wholeNumber(60_000), value),
      "false, or a whole number of milliseconds, 60000 or more",
    ),
  ),
};

/** What is checked of each group of options that is not off. */
const groupRules = {
  failing: { runs: v.optional(wholeNumber(1, 1_000)) },
  paused: { afterMs: v.optional(duration) },
  openFailures: { above: wholeNumber(0) },
  queueAge: { aboveMs: duration },
};

const sourceRules = { scheduler: objectWith(["activities", "listRuns", "overview"], "a Scheduler") };

/** @throws `invalid_option` */
export function checkSource(scheduler: unknown): void {
  validate({ scheduler }, sourceRules, InvalidOptionError);
}

/**
 * The options with their defaults.
 *
 * @throws `invalid_option` naming the first one that is unknown, or out of range.
 */
export function rulesOf(options: AlertOptions): AlertRules {
  validate(options, optionRules, InvalidOptionError);
  const { failing = {}, overdue = true, paused = {}, openFailures = false, queueAge = false } = options;
  const { remindAfterMs = 86_400_000 } = options;
  for (const [name, group] of Object.entries({ failing, paused, openFailures, queueAge }))
    if (group !== false) validate(group, groupRules[name as keyof typeof groupRules], InvalidOptionError, `${name}.`);
  return Object.freeze({
    failedRuns: failing === false ? undefined : (failing.runs ?? 1),
    overdue,
    pausedMs: paused === false ? undefined : (paused.afterMs ?? 900_000),
    openFailures: openFailures === false ? undefined : openFailures.above,
    queueAgeMs: queueAge === false ? undefined : queueAge.aboveMs,
    remindAfterMs: remindAfterMs === false ? undefined : remindAfterMs,
  });
}
