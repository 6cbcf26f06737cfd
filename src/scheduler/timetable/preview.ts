import { checkCron, cronOf, resolvedExpression } from "../../cron/cron.ts";
import { InvalidFlowError, InvalidRequestError } from "../../errors.ts";
import { FlowIssues } from "../../model/flow/flow-issues.ts";
import { type Shape, string, v, validate, wholeNumber } from "../../model/validate.ts";

/** A schedule that somebody thinks of. */
export interface SchedulePreviewInput {
  readonly schedule: string;
  /** IANA zone. @default the registry's */
  readonly timezone?: string;
  /** The flow it is for: `H` draws by its id. @default none */
  readonly _flowId?: string;
  /** Due times that are wanted; 1 to 50. @default 10 */
  readonly count?: number;
}

/** What a schedule means. */
export interface SchedulePreview {
  /** Five fields with the slots that `H` draws; six, seconds first, if it names another second than 0. */
  readonly expression: string;
  readonly timezone: string;
  /** The next due times; ISO 8601 UTC. */
  readonly dueAt: readonly string[];
}

const rules: Shape<SchedulePreviewInput> = {
  schedule: string,
  timezone: v.optional(string),
  _flowId: v.optional(string),
  count: v.optional(wholeNumber(1, 50)),
};

/**
 * When the schedule is due after `now`.
 *
 * @throws `invalid_flow` with everything wrong with it; `invalid_request` for a field that is unknown or out of range.
 */
export function previewSchedule(
  input: SchedulePreviewInput,
  { now, zone }: { readonly now: number; readonly zone: string },
): SchedulePreview {
  validate(input, rules, InvalidRequestError);
  const { schedule, timezone = zone, _flowId = "", count = 10 } = input;
  const issues = new FlowIssues();
  for (const { field, message } of checkCron(schedule, timezone)) issues.add("invalid_field", field, () => message);
  if (issues.count > 0) throw new InvalidFlowError(issues.all, issues.count);
  const cron = cronOf(schedule, timezone, _flowId);
  const dueAt: string[] = [];
  for (let at = cron.next(now); at !== undefined && dueAt.length < count; at = cron.next(at))
    dueAt.push(new Date(at).toISOString());
  return Object.freeze({ expression: resolvedExpression(schedule, _flowId), timezone, dueAt: Object.freeze(dueAt) });
}
