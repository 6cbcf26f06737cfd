import { ForbiddenError, InvalidFlowError, NotFoundError } from "../errors.ts";
import type { Flow, FlowIssue } from "../model/flow.ts";
import { formatValue } from "../model/json.ts";
import { patched } from "../model/patch.ts";
import type { Run } from "../model/run.ts";
import { type TenantScope, sees } from "./authorization.ts";
import { HttpError } from "./http-error.ts";
import type { Call } from "./routes/route.ts";

/**
 * The flow that the path names. To a caller who may not see it, it does not exist.
 *
 * @throws `not_found`
 */
export async function findFlow({ parts, scope, _id }: Call): Promise<Flow> {
  const flow = await parts.registry.find(_id);
  if (flow === undefined || !sees(scope, flow)) throw new NotFoundError("flow", _id);
  return flow;
}

/**
 * The run that the path names. To a caller who may not see it, it does not exist.
 *
 * @throws `not_found`
 */
export async function findRun({ parts, scope, _id }: Call): Promise<Run> {
  const run = await parts.scheduler.getRun(_id);
  if (!sees(scope, run)) throw new NotFoundError("run", _id);
  return run;
}

/**
 * The filter of runs and failures that a caller may see. A flow may have moved from one integration to another; its runs
 * and failures from before are still the former's.
 */
export function ownOnly({ scope }: Call): { readonly _integrationId?: string } {
  return scope === undefined ? {} : { _integrationId: scope._integrationId };
}

/**
 * What a caller wants to write of a flow, kept in the caller's scope: it belongs to that integration, whether it says so
 * or not. Of a patch (`now` is the flow that is changed) only what it names is looked at.
 *
 * @throws Refusal 403 if it is to belong to another integration; `invalid_flow` for an export or import that the caller
 * may not use, as if there were none, together with every other problem.
 */
export function inScope({ parts, scope }: Call, input: unknown, now?: Flow): unknown {
  if (scope === undefined || typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const { _integrationId } = input as { readonly _integrationId?: unknown };
  // What is no text is for the registry to refuse.
  if (typeof _integrationId === "string" && _integrationId.trim() !== scope._integrationId)
    throw new HttpError(403, [
      {
        code: new ForbiddenError().code,
        message: `_integrationId: expected ${formatValue(scope._integrationId)}, found ${formatValue(_integrationId)}`,
        field: "_integrationId",
      },
    ]);
  const given = now === undefined || "_integrationId" in input;
  const owned = given && _integrationId == null ? { ...input, _integrationId: scope._integrationId } : input;
  const foreign = foreignRefs(input, scope);
  if (foreign.length === 0) return owned;
  const others = parts.registry.check(now === undefined ? owned : patched(now, owned));
  const unseen = foreign.filter(({ field }) => !others.some((other) => other.field === field));
  throw new InvalidFlowError([...others, ...unseen]);
}

function foreignRefs(input: object, { _exportIds, _importIds }: TenantScope): FlowIssue[] {
  const fields = input as { readonly _exportId?: unknown; readonly _importId?: unknown; readonly _importIds?: unknown };
  const several: readonly unknown[] = Array.isArray(fields._importIds) ? fields._importIds : [];
  const refs = [
    { field: "_exportId", kind: "export", _id: fields._exportId, allowed: _exportIds },
    { field: "_importId", kind: "import", _id: fields._importId, allowed: _importIds },
    ...several.map((_id, index) => ({ field: `_importIds.${index}`, kind: "import", _id, allowed: _importIds })),
  ];
  return refs.flatMap(({ field, kind, _id, allowed }) => {
    if (allowed === undefined || typeof _id !== "string" || allowed.includes(_id.trim())) return [];
    return [{ code: "invalid_ref", field, message: `${field}: no ${kind} ${JSON.stringify(_id)} is registered` }];
  });
}
