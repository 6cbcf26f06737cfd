import { v } from "../../model/validate.ts";
import { jsonText } from "../json-text.ts";
import { type Reply, jsonString } from "../reply.ts";
import type { Call, ResponseSpec } from "../routes/route.ts";
import { type Projection, project } from "./projection.ts";

/** A page of a list, as the registry and the scheduler return it. */
interface ListPage {
  readonly items: readonly object[];
  readonly next?: string;
}

/** Query parameters that say which part of a list is wanted and how it is shown. */
interface ListQuery extends Projection {
  readonly limit?: number | undefined;
  readonly after?: string | undefined;
}

/** The filters of a query: everything but `include` and `exclude`. */
export function filtersOf<Query extends ListQuery>(query: Query): DefinedIn<Omit<Query, "include" | "exclude">> {
  const { include, exclude, ...filters } = query;
  return filters as DefinedIn<Omit<Query, "include" | "exclude">>;
}

// What `readQuery` returns has no field that is undefined.
type DefinedIn<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The reply with a page of a list: an array, and in `Link` where the list continues. */
export function listReply(call: Call, { items, next }: ListPage, shown: Projection = {}): Reply {
  const whole = shown.include === undefined && shown.exclude === undefined;
  const text = jsonText(whole ? items : items.map((item) => project(item, shown)));
  return jsonString(200, text, next === undefined ? undefined : { link: `<${nextPath(call, next)}>; rel="next"` });
}

/** The response with a list of documents, of which any field may be left out. */
export function listResponse(
  description: string,
  document: v.ObjectSchema<v.ObjectEntries, undefined>,
  headers: Readonly<Record<string, string>> = {},
): ResponseSpec {
  return { description, content: { "application/json": v.array(v.partial(document)) }, headers };
}

/** The header of lists with more than one page. */
export const linkHeader = { link: "With `rel=next`, the address of the next page; absent on the last page." };

function nextPath({ request, deps }: Call, next: string): string {
  const { pathname, searchParams } = new URL(request.url);
  searchParams.set("after", next);
  // Only the part of the path that the client sent: what precedes it is the host's.
  return `${pathname.startsWith(deps.basePath) ? pathname : deps.basePath + pathname}?${searchParams.toString()}`;
}
