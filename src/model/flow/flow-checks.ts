import { type CodeDefinition, saysDisabled } from "./flow-change.ts";
import { type Chain, checkChains } from "./flow-chain.ts";
import { FlowIssues, type KnownIds, addUnknownRefs } from "./flow-issues.ts";
import { type Flow, type FlowDefinition, namedIds, readFlow } from "./flow.ts";
import { formatValue } from "../record/json.ts";
import { chosenId, expectation } from "../validate.ts";

/** What flows are checked against, and where the problems go. */
export interface FlowChecks extends KnownIds {
  readonly issues: FlowIssues;
  /** The zone of schedules that name none. */
  readonly timezone: string;
  readonly checkSchedule: (
    expression: string,
    timezone: string,
  ) => readonly { readonly field: string; readonly message: string }[];
  readonly findFlow: (_id: string) => Promise<Flow | undefined>;
}

/** Which flow is checked. */
export interface Subject {
  /** Absent: it has none yet. */
  readonly _id?: string;
  /** True: the host chose the id, and it is checked too. */
  readonly chosen?: boolean;
  /** The only fields that are new, and so are checked for more than their shape. Absent: all are. */
  readonly named?: ReadonlySet<string>;
}

/** The definition in `input`; undefined if `checks.issues` got every problem of it. */
export async function checkFlow(
  input: unknown,
  checks: FlowChecks,
  subject: Subject = {},
): Promise<FlowDefinition | undefined> {
  const { _id = "", named } = subject;
  const definition = checkAlone(input, checks, subject);
  const next = named?.has("_runNextFlowIds") === false ? [] : namedIds(input, "_runNextFlowIds");
  if (next.length > 0) await checkChains(new Map([[_id, { next, issues: checks.issues }]]), checks.findFlow);
  return checks.issues.count > 0 ? undefined : definition;
}

/** The definitions in these flows that code defines, by their ids; they may run each other. */
export async function checkFlows(
  flows: ReadonlyMap<string, unknown>,
  checks: FlowChecks,
): Promise<ReadonlyMap<string, CodeDefinition>> {
  const definitions = new Map<string, CodeDefinition>();
  const chains = new Map<string, Chain>();
  for (const [_id, input] of flows) {
    const issues = new FlowIssues(`${_id}.`);
    const definition = checkAlone(input, { ...checks, issues }, { _id, chosen: true });
    if (definition !== undefined) definitions.set(_id, { definition, saysDisabled: saysDisabled(input) });
    chains.set(_id, { next: namedIds(input, "_runNextFlowIds"), issues });
  }
  await checkChains(chains, checks.findFlow);
  for (const { issues } of chains.values()) checks.issues.addAll(issues);
  return definitions;
}

/** {@link checkFlow}, but for what depends on other flows. */
export function checkAlone(
  input: unknown,
  checks: Omit<FlowChecks, "findFlow">,
  { _id, chosen, named }: Subject = {},
): FlowDefinition | undefined {
  const { issues } = checks;
  const expected = chosen ? expectation(_id, chosenId) : undefined;
  if (expected !== undefined)
    issues.add("invalid_field", "_id", () => `expected ${expected}, found ${formatValue(_id)}`);
  const definition = readFlow(input, issues);
  const fields = typeof input === "object" && input !== null ? (input as Readonly<Record<string, unknown>>) : {};
  const isNew = (...of: string[]) => named === undefined || of.some((field) => named.has(field));
  if (isNew("schedule", "timezone", "disabled")) addScheduleIssues(fields, checks);
  if (isNew("_exportId")) addUnknownRefs(issues, { _exportId: fields._exportId }, checks);
  const { _importId, _importIds } = fields;
  if (isNew("_importId", "_importIds")) addUnknownRefs(issues, { _importId, _importIds }, checks);
  return issues.count > 0 ? undefined : definition;
}

function addScheduleIssues(
  { schedule, timezone }: Readonly<Record<string, unknown>>,
  checks: Omit<FlowChecks, "findFlow">,
): void {
  // The registry's own zone was checked with its options, and what a process loads to read one takes milliseconds.
  if (typeof schedule !== "string" && typeof timezone !== "string") return;
  // What is blank, or no string, was refused by its shape; the other is looked at all the same.
  const stringOr = (given: unknown, otherwise: string) => (typeof given === "string" && given.trim()) || otherwise;
  const problems = checks.checkSchedule(stringOr(schedule, "* * * * *"), stringOr(timezone, checks.timezone));
  for (const { field, message } of problems.filter((problem) => !checks.issues.has(problem.field)))
    checks.issues.add("invalid_field", field, () => message);
}
