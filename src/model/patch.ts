import { type Flow, definitionOf } from "./flow.ts";

/**
 * What an update must be given so that only the fields `changes` names change; `null` takes an optional field away,
 * and one that is undefined is not named. Naming one of `_importId` and `_importIds` replaces both.
 */
export function patched(flow: Flow, changes: unknown): unknown {
  if (typeof changes !== "object" || changes === null || Array.isArray(changes)) return changes;
  const { _importIds, ...fields } = definitionOf(flow);
  const named = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
  const renamesImports = "_importId" in named || "_importIds" in named;
  return { ...fields, ...(renamesImports ? {} : { _importIds }), ...named };
}
