import { ForbiddenError, InvalidFlowError, NotFoundError } from "../../errors.ts";
import type { Flow, FlowIssue } from "../../model/flow.ts";
import { formatValue } from "../../model/json.ts";
import { patched } from "../../model/patch.ts";
import type { Run } from "../../model/run.ts";
import { type TenantScope, sees } from "../authorization.ts";
import { HttpError } from "../http-error.ts";
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

/**
 * What a caller writes of a flow, within the caller's scope: the flow belongs to that integration, whether the input
 * says so or not. Of a patch (`now` is the flow that it changes) only the named fields are checked.
 *
 * @throws HttpError 403 if it is to belong to another integration; `invalid_flow` for an export or import that the
 * caller may not use, as if it did not exist, together with every other problem.
 */
export function inScope({ deps, scope }: Call, input: unknown, now?: Flow): unknown {
  if (scope === undefined || typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const { _integrationId } = input as { readonly _integrationId?: unknown };
  // Other types are for the registry to refuse.
  if (typeof _integrationId === "string" && _integrationId.trim() !== scope._integrationId)
    throw foreignIntegration(scope._integrationId, _integrationId);
  const given = now === undefined || "_integrationId" in input;
  const owned = given && _integrationId == null ? { ...input, _integrationId: scope._integrationId } : input;
  const foreign = foreignRefs(input, scope);
  if (foreign.length === 0) return owned;
  const others = deps.registry.check(now === undefined ? owned : patched(now, owned));
  const reported = new Set(others.map(({ field }) => field));
  throw new InvalidFlowError([...others, ...foreign.filter(({ field }) => !reported.has(field))]);
}

function foreignIntegration(expected: string, found: string): HttpError {
  const field = "_integrationId";
  const message = `${field}: expected ${formatValue(expected)}, found ${formatValue(found)}`;
  return new HttpError(403, [{ code: new ForbiddenError().code, message, field }]);
}

function foreignRefs(input: object, { _exportIds, _importIds }: TenantScope): FlowIssue[] {
  const fields = input as { readonly _exportId?: unknown; readonly _importId?: unknown; readonly _importIds?: unknown };
  const several: readonly unknown[] = Array.isArray(fields._importIds) ? fields._importIds : [];
  const exportIds = _exportIds && new Set(_exportIds);
  const importIds = _importIds && new Set(_importIds);
  const refs = [
    { field: "_exportId", kind: "export", _id: fields._exportId, allowed: exportIds },
    { field: "_importId", kind: "import", _id: fields._importId, allowed: importIds },
    ...several.map((_id, index) => ({ field: `_importIds.${index}`, kind: "import", _id, allowed: importIds })),
  ];
  return refs.flatMap(({ field, kind, _id, allowed }) => {
    if (allowed === undefined || typeof _id !== "string" || allowed.has(_id.trim())) return [];
    return [{ code: "invalid_ref", field, message: `${field}: no ${kind} ${JSON.stringify(_id)} is registered` }];
  });
}
