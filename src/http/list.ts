import { jsonText } from "./json-text.ts";
import { type Projection, projected } from "./events/projection.ts";
import { type Reply, jsonOf } from "./reply.ts";
import { type Answer, type Call } from "./routes/route.ts";
import { v } from "../model/validate.ts";

/** A page of a list, as the registry and the scheduler answer it. */
interface Listed {
  readonly items: readonly object[];
  readonly next?: string;
}

/** Query parameters that say how a list is shown, not what is on it. */
interface Shown extends Projection {
  readonly limit?: number | undefined;
  readonly after?: string | undefined;
}

/** The filters of a query: all that does not say how the list is shown; what is not given is left out. */
export function filtersOf<Query extends Shown>(query: Query): DefinedIn<Omit<Query, "include" | "exclude">> {
  const { include, exclude, ...filters } = query;
  return filters as DefinedIn<Omit<Query, "include" | "exclude">>;
}

// What `readQuery` answers holds no field that is undefined.
type DefinedIn<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The list as it is answered: an array, and where it goes on. */
export function listed(call: Call, { items, next }: Listed, shown: Projection = {}): Reply {
  const whole = shown.include === undefined && shown.exclude === undefined;
  const text = jsonText(whole ? items : items.map((item) => projected(item, shown)));
  return jsonOf(200, text, next === undefined ? undefined : { link: `<${nextPath(call, next)}>; rel="next"` });
}

/** What a list answers, of documents of which any field may be left out. */
export function listAnswer(
  description: string,
  document: v.ObjectSchema<v.ObjectEntries, undefined>,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { description, content: { "application/json": v.array(v.partial(document)) }, headers };
}

/** The header of lists that go on. */
export const linkHeader = { link: "With rel=next, where the list goes on; absent at its end." };

function nextPath({ request, parts }: Call, next: string): string {
  const { pathname, searchParams } = new URL(request.url);
  searchParams.set("after", next);
  // Of the path only what the client sent: what stands before it is the host's.
  return `${pathname.startsWith(parts.basePath) ? pathname : parts.basePath + pathname}?${searchParams.toString()}`;
}
