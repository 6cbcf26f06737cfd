import { type Flow, definitionOf } from "./flow.ts";

/**
 * What an update must be given so that only the fields `changes` names change; `null` takes an optional field away.
 * Naming one of `_importId` and `_importIds` replaces both.
 */
export function patched(flow: Flow, changes: unknown): unknown {
  if (typeof changes !== "object" || changes === null || Array.isArray(changes)) return changes;
  const { _importIds, ...fields } = definitionOf(flow);
  const renamesImports = "_importId" in changes || "_importIds" in changes;
  return { ...fields, ...(renamesImports ? {} : { _importIds }), ...changes };
}
