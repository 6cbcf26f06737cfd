import { formatValue } from "../../model/record/json.ts";
import { v } from "../../model/validate.ts";
import type { Schema } from "../documents.ts";
import { badRequest } from "../http-error.ts";
import { jsonText } from "../json-text.ts";
import { type Reply, jsonString } from "../reply.ts";
import { pathOf } from "../router.ts";
import type { Call, ResponseSpec } from "../routes/route.ts";
import { type Projection, projectionOf } from "./projection.ts";

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

/**
 * The filters of a query: everything but `include` and `exclude`.
 *
 * @throws HttpError 400 if `after` was not made for the caller.
 */
export function filtersOf<Query extends ListQuery>(
  { deps, scope }: Call,
  query: Query,
): DefinedIn<Omit<Query, "include" | "exclude">> {
  const { include, exclude, ...filters } = query;
  const given = filters as DefinedIn<Omit<Query, "include" | "exclude">>;
  if (scope === undefined || query.after === undefined) return given;
  const after = deps.cursors.decrypt(query.after, scope._integrationId);
  if (after !== undefined) return { ...given, after };
  const message = `after: expected the value in the Link header of the page before, found ${formatValue(query.after)}`;
  throw badRequest("after", message);
}

// What `readQuery` returns has no field that is undefined.
type DefinedIn<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Where a body says that a list continues. @throws HttpError 400 if that was not made for the caller. */
export function cursorOf(call: Call, after: string | undefined): { readonly after?: string } {
  return after === undefined ? {} : filtersOf(call, { after });
}

/** Where a list continues, as it is shown to the caller. */
export function encryptedCursor({ deps, scope }: Call, next: string | undefined): { readonly next?: string } {
  if (next === undefined) return {};
  return { next: scope === undefined ? next : deps.cursors.encrypt(next, scope._integrationId) };
}

/** The reply with a page of a list: an array, and in `Link` where the list continues. */
export function listReply(call: Call, { items, next }: ListPage, shown: Projection = {}): Reply {
  const whole = shown.include === undefined && shown.exclude === undefined;
  const text = jsonText(whole ? items : items.map(projectionOf(shown)));
  return jsonString(200, text, next === undefined ? undefined : { link: `<${nextAddress(call, next)}>; rel="next"` });
}

/** A page of a list that is there as a whole: `after` is the id of the last item of the page before. */
export function pageOf<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  { limit = 100, after }: { readonly limit?: number; readonly after?: string },
): { readonly items: readonly T[]; readonly next?: string } {
  const start = after === undefined ? 0 : items.findIndex((item) => idOf(item) === after) + 1;
  const page = items.slice(start, start + limit);
  const last = page.at(-1);
  return { items: page, ...(last === undefined || start + limit >= items.length ? {} : { next: idOf(last) }) };
}

/** The response with a list of documents. */
export function listResponse(
  description: string,
  document: Schema,
  headers: Readonly<Record<string, string>> = {},
): ResponseSpec {
  return {
    description: `${description} With \`include\` or \`exclude\` they have fewer fields than their shape requires.`,
    content: { "application/json": v.array(document) },
    headers,
  };
}

/** The header of lists with more than one page. */
export const linkHeader = {
  link: "With `rel=next`, the address of the next page, relative to that of this one; absent on the last page.",
};

/** Relative to the address of the request, unless the public path is known. */
function nextAddress(call: Call, next: string): string {
  const { request, deps } = call;
  const { searchParams } = new URL(request.url);
  searchParams.set("after", String(encryptedCursor(call, next).next));
  const path = deps.publicPath === undefined ? "" : deps.publicPath + pathOf(request.url).slice(deps.basePath.length);
  return `${path}?${searchParams.toString()}`;
}
