/** What a flow is to become, and by whom: code that defines it, or an operator. */
import { type Flow, type FlowDefinition, type FlowInput, definitionOf, sameDefinition, writtenFields } from "./flow.ts";
import { omitUndefined } from "../record/json.ts";

/** The fields of a flow that do not change by themselves. */
export interface WantedFlow {
  readonly definition: FlowDefinition;
  readonly group: string | undefined;
  readonly disabledBy: "code" | undefined;
}

/** A flow as code defines it. */
export interface CodeDefinition {
  readonly definition: FlowDefinition;
  /** It says itself whether the flow is disabled. */
  readonly saysDisabled: boolean;
  /** The group that it is defined in; absent: whatever group it is in. */
  readonly group?: string;
}

/** True if `input` says whether the flow is disabled. */
export function saysDisabled(input: unknown): boolean {
  return (input as Partial<FlowInput> | null)?.disabled != null;
}

/** What a definition in code makes of a flow. Unless it says otherwise, what an operator disabled stays disabled. */
export function wantedBy(code: CodeDefinition, previous?: Flow): WantedFlow {
  const { definition, group = previous?.group } = code;
  const byOperator = previous?.disabled === true && previous.disabledBy === undefined;
  const disabled = code.saysDisabled ? definition.disabled : byOperator;
  return { definition: { ...definition, disabled }, group, disabledBy: disabled && !byOperator ? "code" : undefined };
}

/** What an update or a patch makes of a flow. */
export function wantedByOperator(definition: FlowDefinition, previous: Flow): WantedFlow {
  const { group, disabledBy } = previous;
  return { definition, group, disabledBy: definition.disabled && previous.disabled ? disabledBy : undefined };
}

/** What becomes of a flow that its group does not name any more: it is disabled, unless it left the group meanwhile. */
export function withoutDefinition(previous: Flow, group: string): WantedFlow {
  const definition = definitionOf(previous);
  if (previous.disabled || previous.group !== group) return wantedByOperator(definition, previous);
  return { definition: { ...definition, disabled: true }, group, disabledBy: "code" };
}

/** The fields of the document. */
export function storedFields({ definition, group, disabledBy }: WantedFlow) {
  return { ...writtenFields(definition), ...omitUndefined({ disabledBy, group }) };
}

/** True if the flow is what is wanted already. */
export function isStored({ definition, group, disabledBy }: WantedFlow, flow: Flow): boolean {
  return sameDefinition(definition, definitionOf(flow)) && group === flow.group && disabledBy === flow.disabledBy;
}
