import { ForbiddenError, InvalidFlowError, NotFoundError } from "../../errors.ts";
import { type Flow, namedIds } from "../../model/flow/flow.ts";
import { type FlowIssue, FlowIssues, addUnknownId, addUnknownRefs } from "../../model/flow/flow-issues.ts";
import { formatValue } from "../../model/record/json.ts";
import { patched } from "../../model/flow/patch.ts";
import type { Run } from "../../model/run.ts";
import { itemAt } from "../../model/item-at.ts";
import { type TenantScope, sees } from "../access/authorization.ts";
import { HttpError } from "../http-error.ts";
import type { Viewer } from "../access/redaction.ts";
import type { Call } from "./route.ts";

/**
 * The flow in the path. To a caller that may not see it, it does not exist.
 *
 * @throws `not_found`
 */
export async function findFlow({ deps, scope, _id }: Call): Promise<Flow> {
  const flow = await deps.registry.find(_id);
  if (flow === undefined || !sees(scope, flow)) throw new NotFoundError("flow", _id);
  return flow;
}

/**
 * The run in the path. To a caller that may not see it, it does not exist.
 *
 * @throws `not_found`
 */
export async function findRun({ deps, scope, _id }: Call): Promise<Run> {
  const run = await deps.scheduler.getRun(_id);
  if (!sees(scope, run)) throw new NotFoundError("run", _id);
  return run;
}

/**
 * The filter of runs and failures that the caller may see. When a flow moves from one integration to another, its
 * earlier runs and failures stay with the former.
 */
export function scopeFilter({ scope }: Call): { readonly _integrationId?: string } {
  return scope === undefined ? {} : { _integrationId: scope._integrationId };
}

/** For whom a record is shown. */
export function viewerOf({ request, scope }: Call): Viewer {
  return scope === undefined ? { request } : { request, scope };
}

/** What failures are found by that may be hidden. */
interface HiddenFilters {
  readonly key?: string | undefined;
  readonly keyPrefix?: string | undefined;
  readonly text?: string | undefined;
}

/**
 * Whether something was retried or resolved would say that there is such a key or record.
 *
 * @throws `forbidden` if failures are chosen by what is not shown as it is.
 */
export function expectShown({ deps }: Call, { key, keyPrefix, text }: HiddenFilters): void {
  if (!deps.redaction.isActive || [key, keyPrefix, text].every((one) => one === undefined)) return;
  throw new ForbiddenError("Keys and records are not shown as they are, so failures cannot be chosen by them");
}

/**
 * What a caller writes of a flow, within the caller's scope: the flow belongs to that integration, whether the input
 * says so or not. Of a patch (`now` is the flow that it changes) only the named fields are checked.
 *
 * @throws HttpError 403 if it is to belong to another integration; `invalid_flow` for an export, import or flow that
 * the caller may not use, as if it did not exist, together with every other problem.
 */
export async function inScope({ deps, scope }: Call, input: unknown, now?: Flow): Promise<unknown> {
  if (scope === undefined || typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const { _integrationId } = input as { readonly _integrationId?: unknown };
  // Other types are for the registry to refuse.
  if (typeof _integrationId === "string" && _integrationId.trim() !== scope._integrationId)
    throw foreignIntegration(scope._integrationId, _integrationId);
  const given = now === undefined || "_integrationId" in input;
  const owned = given && _integrationId == null ? { ...input, _integrationId: scope._integrationId } : input;
  const foreign = await foreignRefs(input, scope, (_id) => deps.registry.find(_id));
  if (foreign.length === 0) return owned;
  const fields = new Set(foreign.map(({ field }) => field));
  // What the registry says of these fields may name what the caller may not see.
  const others = deps.registry.check(now === undefined ? owned : patched(now, owned));
  const all = [...foreign, ...others.filter(({ field }) => !fields.has(field))];
  throw new InvalidFlowError(all.slice(0, 100), all.length);
}

function foreignIntegration(expected: string, found: string): HttpError {
  const field = "_integrationId";
  const message = `${field}: expected ${formatValue(expected)}, found ${formatValue(found)}`;
  return new HttpError(403, [{ code: new ForbiddenError().code, message, field }]);
}

/** An issue for each export, import and flow that there is not, or that the caller may not use, which looks the same. */
async function foreignRefs(
  input: object,
  scope: TenantScope,
  find: (_id: string) => Promise<Flow | undefined>,
): Promise<readonly FlowIssue[]> {
  const issues = new FlowIssues();
  const { _exportIds, _importIds } = scope;
  addUnknownRefs(issues, input, {
    exports: _exportIds && new Set(_exportIds),
    imports: _importIds && new Set(_importIds),
  });
  const next = namedIds(input, "_runNextFlowIds");
  const flows = await Promise.all(next.map(async (_id) => (_id === "" ? undefined : find(_id))));
  for (const [index, flow] of flows.entries())
    if (next[index] !== "" && (flow === undefined || !sees(scope, flow)))
      addUnknownId(issues, { field: `_runNextFlowIds.${index}`, kind: "flow", _id: itemAt(next, index) });
  return issues.all;
}
