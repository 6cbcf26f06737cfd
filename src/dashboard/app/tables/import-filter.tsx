import { apiPath } from "../api/client.ts";
import { can } from "../api/permissions.ts";
import { useResource } from "../api/resource.ts";
import { address } from "../browser/address.ts";
import * as say from "../strings.ts";
import { ChoiceFilter } from "./filters.tsx";

/** One of the imports that are known here, and the one that is chosen: it may be of flows that another process runs. */
export function ImportFilter() {
  const imports = useResource<readonly { readonly _id: string }[]>(
    can("imports.list") ? apiPath(["imports"], { limit: "1000", include: "_id" }) : undefined,
  );
  const ids = [address.value.query.get("import") ?? [], imports.value.value?.map(({ _id }) => _id) ?? []].flat();
  if (ids.length === 0) return null;
  const options = { "": say.any, ...Object.fromEntries(ids.map((_id) => [_id, _id])) };
  return <ChoiceFilter name="import" label={say.failuresImport} options={options} />;
}
