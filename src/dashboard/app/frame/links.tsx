import { flowName } from "../api/names.ts";
import { href } from "../browser/address.ts";

/** A link to a flow, by its name. */
export function FlowLink({ _id }: { readonly _id: string }) {
  return <a href={href(["flows", _id])}>{flowName(_id).value}</a>;
}
