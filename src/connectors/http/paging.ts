import { InvalidOptionError } from "../../errors.ts";
import { type Json, isPlainObject } from "../../model/record/json.ts";
import { type Shape, callable, string, v, validate, wholeNumber } from "../../model/validate.ts";
import type { Answer } from "./answer.ts";
import type { HttpRequest } from "./request.ts";

/**
 * What the next page is asked for with, beside what the first one was: JSON, since it is part of the checkpoint. `path`
 * takes the place of the first one's, and one that is a whole URL that of its query as well; the names of `query` and of
 * a `body` that is an object are added to the first one's, or take the place of the same names.
 */
export interface Next {
  readonly path?: string;
  readonly query?: Readonly<Record<string, string | number | boolean | null>>;
  readonly body?: Json;
}

/** A page that was read, as far as it says how to go on. */
export interface PageAnswer<B, T = unknown> {
  readonly body: B;
  readonly headers: Headers;
  /** As the source returned them, with those that were read before. */
  readonly records: readonly T[];
  /** Its number in this reading, from 1 on. */
  readonly page: number;
  /** Records of this reading so far, those of this page included. */
  readonly read: number;
  /** Records that a page was asked to have. */
  readonly pageSize: number;
  /** The page's address, for links that are relative. */
  readonly url: URL;
}

/** How one page leads to the next; undefined: it is the last. */
export type Paging<B> = ((page: PageAnswer<B>) => Next | undefined) & {
  /** Set by {@link sinceLast}: each page is asked for as the first one, with a later `since`. */
  readonly bySince?: true;
};

/** A token, a cursor: what one page gives is sent for the next. */
export interface NextTokenOptions<B> {
  /** The token; undefined, null or an empty string: there is no other page. */
  readonly from: (body: B, headers: Headers) => string | number | bigint | null | undefined;
  /** Its name in the query. */
  readonly to: string;
}

/** Asks for the next page with a token of the one before. */
export function nextToken<B>(options: NextTokenOptions<B>): Paging<B> {
  validate(options, { from: callable, to: string }, InvalidOptionError, "nextToken.");
  const { from, to } = options;
  return ({ body, headers }) => {
    const token = from(body, headers);
    if (token === undefined || token === null || token === "") return undefined;
    return { query: { [to]: typeof token === "bigint" ? String(token) : token } };
  };
}

/** Asks for the URL that a page gives; undefined, null or an empty string: there is no other page. */
export function nextUrl<B>(from: (body: B, headers: Headers) => string | null | undefined): Paging<B> {
  checkCallable(from, "nextUrl");
  return ({ body, headers, url }) => {
    const link = from(body, headers);
    return link === undefined || link === null || link === "" ? undefined : { path: absolute(link, url) };
  };
}

/**
 * Asks for the URL of the `link` header with this relation.
 *
 * @param rel @default "next"
 * @see https://www.rfc-editor.org/rfc/rfc8288#section-3
 */
export function linkHeader<B>(rel = "next"): Paging<B> {
  return ({ headers, url }) => {
    const link = linksIn(headers.get("link") ?? "").find(({ relations }) => relations.includes(rel.toLowerCase()));
    return link === undefined ? undefined : { path: absolute(link.target, url) };
  };
}

/** Pages that are numbered. */
export interface PageNumberOptions<B> {
  /** Name of the page's number in the query. */
  readonly to: string;
  /** Number of the first page. @default 1 */
  readonly first?: number;
  /** Records of a whole page: a shorter one is the last. Without it and `total` an empty one is. */
  readonly size?: number;
  /** How many records there are. */
  readonly total?: (body: B, headers: Headers) => number | null | undefined;
}

/** Asks for the page with the next number. */
export function pageNumber<B>(options: PageNumberOptions<B>): Paging<B> {
  validate(options, { ...endRules, first: v.optional(wholeNumber(0)) }, InvalidOptionError, "pageNumber.");
  const { to, first = 1 } = options;
  return (page) => (isLast(page, options) ? undefined : { query: { [to]: first + page.page } });
}

/** Pages that begin at a number of records. */
export type OffsetOptions<B> = Omit<PageNumberOptions<B>, "first">;

/** Asks for what comes after the records so far. */
export function offset<B>(options: OffsetOptions<B>): Paging<B> {
  validate(options, endRules, InvalidOptionError, "offset.");
  return (page) => (isLast(page, options) ? undefined : { query: { [options.to]: page.read } });
}

/**
 * Asks again with the change time of the newest record so far as `since`: for sources that are ordered by it. Ends with
 * a page on which nothing is new. Takes a `delta`.
 */
export function sinceLast(): Paging<unknown> {
  return Object.assign(() => undefined, { bySince: true as const });
}

const endRules: Shape<OffsetOptions<never>> = {
  to: string,
  size: v.optional(wholeNumber(1)),
  total: v.optional(callable),
};

function isLast<B>({ body, headers, read, records }: PageAnswer<B>, { size, total }: OffsetOptions<B>): boolean {
  if (records.length === 0) return true;
  const all = total?.(body, headers);
  if (typeof all === "number") return read >= all;
  return size !== undefined && records.length < size;
}

function checkCallable(value: unknown, option: string): void {
  if (typeof value !== "function") throw new InvalidOptionError(option, "a function", value);
}

function absolute(link: string, url: URL): string {
  if (!URL.canParse(link, url.href)) throw new Error("the URL of the next page cannot be read");
  return new URL(link, url).href;
}

interface Link {
  readonly target: string;
  /** In lower case. */
  readonly relations: readonly string[];
}

// A target may contain commas and semicolons, and so may a quoted value.
const linkPattern = /<([^>]*)>((?:\s*;\s*[^\s;,="]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)/g;
const parameterPattern = /;\s*([^\s;,="]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/g;

function linksIn(header: string): readonly Link[] {
  return [...header.matchAll(linkPattern)].map(([, target = "", parameters = ""]) => {
    const all = [...parameters.matchAll(parameterPattern)];
    // Of several only the first one counts.
    const [, , quoted, plain = ""] = all.find(([, name]) => name?.toLowerCase() === "rel") ?? [];
    return { target, relations: (quoted ?? plain).toLowerCase().split(/\s+/) };
  });
}

/** The first request with what the next page is asked for laid over it. */
export function layOver(first: HttpRequest, next: Next | undefined): HttpRequest {
  if (next === undefined) return first;
  const { path, query, body } = next;
  const isWholeUrl = path?.includes("://") === true;
  const merged = {
    ...first,
    ...(path === undefined ? {} : { path }),
    query: { ...(isWholeUrl ? {} : first.query), ...query },
  };
  if (body === undefined) return merged;
  return { ...merged, body: isObject(first.body) && isObject(body) ? { ...first.body, ...body } : body };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && isPlainObject(value);
}

/** A page as {@link LoopGuard} knows it. */
interface GuardState {
  readonly text: string;
  readonly page: number;
}

/** Ends a reading that goes in circles, which would fill a destination for ever. */
export class LoopGuard {
  /** Brent's algorithm: one page to compare with, replaced after 1, 2, 4, 8 … pages, finds a circle of any length. */
  #mark: GuardState | undefined;
  #steps = 0;
  #power = 1;
  #text: string | undefined;

  /** @throws Error if `next` was the next page before: of page `page` itself, or of an earlier one. */
  checkNext(next: Next, current: Next | undefined, page: number): void {
    const text = JSON.stringify(next);
    if (current !== undefined && text === JSON.stringify(current))
      throw new Error(`page ${page} names itself as the next one: ${nextText(next)}`);
    if (this.#mark?.text === text)
      throw new Error(`page ${page} names the same next page as page ${this.#mark.page} did: ${nextText(next)}`);
    if (this.#mark === undefined || ++this.#steps === this.#power) {
      this.#mark = { text, page };
      this.#power *= 2;
      this.#steps = 0;
    }
  }

  /** @throws Error if a page with records equals the one before, character by character. */
  checkText({ text }: Pick<Answer, "text">, { count, page, next }: PageOfText): void {
    if (count > 0 && text === this.#text)
      throw new Error(`page ${page} is the same as the one before: does the API heed ${nextText(next)}?`);
    this.#text = text;
  }
}

interface PageOfText {
  /** Records on it. */
  readonly count: number;
  readonly page: number;
  /** What it was asked for with. */
  readonly next: Next | undefined;
}

// A URL may carry in its query what nobody should read.
function nextText(next: Next | undefined): string {
  const { path } = next ?? {};
  if (path?.includes("?") !== true) return JSON.stringify(next ?? {});
  return JSON.stringify({ ...next, path: `${path.slice(0, path.indexOf("?"))}?…` });
}
