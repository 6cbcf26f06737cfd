import { InvalidOptionError, expired } from "../../errors.ts";
import { type Export, type ExportContext, exportRules } from "../../model/host/export.ts";
import { type Json, formatValue } from "../../model/record/json.ts";
import type { Page, UnreadableRecord } from "../../model/host/page.ts";
import { type Shape, callable, objectWith, oneOf, v, validate, wholeNumber } from "../../model/validate.ts";
import type { Format } from "../files/format.ts";
import { type Delta, type DeltaCheckpoint, type DeltaPage, delta, deltaRules, readChangeTime } from "../delta.ts";
import {
  type Answer,
  type BodyCheck,
  HttpError,
  type Judgement,
  type Verdict,
  fateOf,
  judge,
  judgeBody,
  readJson,
  thrownAs,
} from "./answer.ts";
import type { Connection } from "./connection.ts";
import { StreamParts } from "./stream-parts.ts";
import { LoopGuard, type Next, type Paging, layOver } from "./paging.ts";
import type { HttpRequest } from "./request.ts";

/** An export that reads an HTTP API, beside what exports have anyway. */
export interface HttpExportOptions<T, B = unknown> extends Omit<
  Export<T, HttpCheckpoint>,
  "pages" | "order" | "migrate" | "checkpointVersion"
> {
  readonly connection: Connection;
  /** The first request of a reading. It may take its time: begin a report, wait for it, and return where it is. */
  readonly request: (context: RequestContext) => HttpRequest | Promise<HttpRequest>;
  /** The records of a page. Required without `format`. */
  readonly records?: (body: B, headers: Headers) => readonly T[];
  /** How records stand in a body that is read piece by piece, such as `ndjson()`: instead of `records`, without `paging`. */
  readonly format?: Format<T>;
  /** Bytes that one record of a `format` may have; 1 or more. @default 1048576 */
  readonly maxRecordBytes?: number;
  /** How one page leads to the next. @default one page is all */
  readonly paging?: Paging<B>;
  /** Reads only what has changed. Takes a `key`. @default each run reads everything */
  readonly delta?: Delta<T>;
  /** How many records the reading has in all, for progress only. */
  readonly total?: (body: B, headers: Headers) => number | null | undefined;
  /** Statuses that mean that there are no more pages. @default none */
  readonly endsAt?: readonly number[];
  /** Looks at the body of a success: returns a verdict, or throws, if it is none. @default a 2xx is a success */
  readonly check?: BodyCheck<B>;
  /** Asked first what an answer means; undefined leaves it to the outcomes table. */
  readonly verdict?: (answer: Answer<B>) => Verdict;
  /** What an answer's text is parsed with. @default as JSON, with `integers` */
  readonly parse?: (text: string, headers: Headers) => B;
  /**
   * `refuse`: an answer with an integer whose digits a JavaScript number would change is an error, naming the field. `string`,
   * `bigint`: integers beyond ±(2^53 - 1) are read so, the others as numbers. Not with `parse` or `format`.
   *
   * @default "refuse"
   */
  readonly integers?: "refuse" | "string" | "bigint";
}

/** What `request` is given. */
export interface RequestContext extends Pick<ExportContext, "run" | "flow" | "pageSize" | "limit" | "signal" | "log"> {
  /** Read what has changed at this time or later; undefined: everything, as without `delta`. */
  readonly since: Date | undefined;
}

/** How far a reading has got, in the words of the API. */
interface ReadingState {
  /** What the next page is asked for with. */
  readonly next: Next;
  /** Pages and records so far. */
  readonly page: number;
  readonly read: number;
}

/** Where reading goes on without `delta`: after the last page of a run, only in that run. */
export type FullCheckpoint = { readonly run: string } & ({ readonly next: null } | ReadingState);

/** Where reading goes on. */
export type HttpCheckpoint = FullCheckpoint | DeltaCheckpoint;

const { pages: _pages, order: _order, migrate: _migrate, checkpointVersion: _version, ...settingRules } = exportRules;

const ownRules = {
  connection: objectWith(["read", "send", "exchange"], "what connection() returns"),
  request: callable,
  records: v.optional(callable),
  format: v.optional(objectWith(["reader"], "a format, such as ndjson()")),
  maxRecordBytes: v.optional(wholeNumber(1)),
  paging: v.optional(callable),
  delta: v.optional(v.looseObject({}, "an object with at")),
  total: v.optional(callable),
  endsAt: v.optional(v.array(wholeNumber(300, 599), "an array of statuses from 300 to 599")),
  check: v.optional(callable),
  verdict: v.optional(callable),
  parse: v.optional(callable),
  integers: v.optional(oneOf("refuse", "string", "bigint")),
};
const rules: Shape = { ...settingRules, ...ownRules };

/**
 * Reads an HTTP API page by page. What each status means: docs/connectors/http.md.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function httpExport<T, B = unknown>(options: HttpExportOptions<T, B>): Export<T, HttpCheckpoint> {
  validate(options, rules, InvalidOptionError, "httpExport.");
  const { format, paging, records } = options;
  if ((records === undefined) === (format === undefined))
    throw new InvalidOptionError("httpExport.records", "either records or format", records);
  if (format !== undefined && paging !== undefined)
    throw new InvalidOptionError("httpExport.paging", "no paging with format: one body is all", paging);
  if (options.integers !== undefined && (format ?? options.parse) !== undefined)
    throw new InvalidOptionError("httpExport.integers", "no integers with parse or format", options.integers);
  const settings = settingsOf(options);
  if (options.delta === undefined) {
    if (paging?.bySince === true)
      throw new InvalidOptionError("httpExport.delta", "a delta, which sinceLast goes by", undefined);
    return { ...settings, order: "unordered", pages: (context) => fullPages(options, context) };
  }
  return deltaExport(options, settings, options.delta);
}

/** What of the options is any export's. */
type Settings<T> = Omit<Export<T, HttpCheckpoint>, "pages" | "order" | "migrate" | "checkpointVersion">;

function settingsOf<T, B>(options: HttpExportOptions<T, B>): Settings<T> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !Object.hasOwn(ownRules, name)));
}

function deltaExport<T, B>(
  options: HttpExportOptions<T, B>,
  settings: Settings<T>,
  rule: Delta<T>,
): Export<T, DeltaCheckpoint> {
  validate(rule, deltaRules, InvalidOptionError, "httpExport.delta.");
  const { key } = options;
  if (key === undefined) throw new InvalidOptionError("httpExport.key", "a function, as delta needs one", key);
  const bySince = options.paging?.bySince === true;
  return delta<T>({
    ...settings,
    ...rule,
    key,
    sorted: bySince,
    read: (context) => {
      const reading = new Reading(options, context);
      return bySince ? reading.bySince(context.since, { ...rule, key }) : deltaPages(reading, context);
    },
  });
}

async function* deltaPages<T, B>(
  reading: Reading<T, B>,
  { since, next }: { readonly since: Date | undefined; readonly next: Json | undefined },
): AsyncGenerator<DeltaPage<T>> {
  for await (const { records, state, total, unreadable } of reading.pages(since, next as ReadingState | undefined))
    yield {
      records,
      // Spread, as an interface is no JSON by its type.
      ...(state === undefined ? {} : { next: { ...state, next: { ...state.next } } }),
      ...totalOf(total),
      ...unreadableOf(unreadable),
    };
}

async function* fullPages<T, B>(
  options: HttpExportOptions<T, B>,
  context: ReadingContext & { readonly checkpoint: HttpCheckpoint | undefined },
): AsyncGenerator<Page<T, FullCheckpoint>> {
  const run = context.run._id;
  // That of a `delta` which the export had before says nothing of a whole reading.
  const from = context.checkpoint !== undefined && "run" in context.checkpoint ? context.checkpoint : undefined;
  // Read to its end by this run before a crash, and by an earlier one otherwise.
  if (from?.next === null && from.run === run) return;
  const start = from === undefined || from.next === null ? undefined : from;
  for await (const { records, state, total, unreadable } of new Reading(options, context).pages(undefined, start)) {
    const checkpoint = state === undefined ? { run, next: null } : { run, ...state };
    yield { records, checkpoint, ...totalOf(total), ...unreadableOf(unreadable) };
  }
}

function unreadableOf(unreadable: readonly UnreadableRecord[] = []): Pick<Page<unknown>, "unreadable"> {
  return unreadable.length === 0 ? {} : { unreadable };
}

function totalOf(total: number | undefined): { readonly total?: number } {
  return total === undefined ? {} : { total };
}

/** A page, and how reading goes on after it; undefined: it is the last. */
interface ReadingPage<T> {
  readonly records: readonly T[];
  readonly state: ReadingState | undefined;
  readonly total?: number | undefined;
  readonly unreadable?: readonly UnreadableRecord[];
}

interface FetchedPage<T, B> {
  readonly answer: Answer<B>;
  readonly records: readonly T[];
}

/** What a reading takes of a run's context. */
type ReadingContext = Omit<RequestContext, "since">;

/** One reading of the API, page by page. */
class Reading<T, B> {
  readonly #options: HttpExportOptions<T, B>;
  readonly #context: ReadingContext;
  readonly #guard = new LoopGuard();

  constructor(options: HttpExportOptions<T, B>, context: ReadingContext) {
    this.#options = options;
    this.#context = context;
  }

  /** @throws what an export may throw; `expired` if the page that it goes on with is not there any more. */
  async *pages(since: Date | undefined, start: ReadingState | undefined): AsyncGenerator<ReadingPage<T>> {
    const first = await this.#options.request(this.#requestContext(since));
    const { format } = this.#options;
    if (format !== undefined) {
      yield* this.#streamed(first, format, start);
      return;
    }
    let { next, page = 0, read = 0 }: Partial<ReadingState> = start ?? {};
    for (let isResumed = start !== undefined; ; isResumed = false) {
      page++;
      const fetched = await this.#fetch(layOver(first, next), isResumed);
      const records = fetched?.records ?? [];
      read += records.length;
      const following = fetched === undefined ? undefined : this.#nextOf(fetched, { page, read, next });
      const state = following === undefined ? undefined : { next: following, page, read };
      yield { records, state, total: fetched === undefined ? undefined : this.#totalOf(fetched.answer) };
      if (following === undefined) return;
      next = following;
    }
  }

  /**
   * One body, piece by piece. A run that is resumed asks for it again, and leaves out what it has read; with `delta` that is
   * known by its versions, since a list of what has changed is another one by then.
   */
  async *#streamed(
    request: HttpRequest,
    format: Format<T>,
    start: ReadingState | undefined,
  ): AsyncGenerator<ReadingPage<T>> {
    const { delta: rule, maxRecordBytes = 1_048_576 } = this.#options;
    const answer = await this.#ask(request, start !== undefined, true);
    if (answer?.stream === undefined) {
      yield { records: [], state: undefined };
      return;
    }
    const parts = new StreamParts(format.reader({ maxRecordBytes }), this.#context.pageSize, start);
    try {
      for (let isOver = false; !isOver;) {
        const chunk = await answer.stream.next().catch((error: unknown) => {
          throw thrownAs(fateOf(error, "read"), error);
        });
        isOver = chunk === undefined;
        for (const { state, ...page } of parts.take(answer, chunk)) {
          yield { ...page, state: rule === undefined ? state : undefined };
          this.#context.signal.throwIfAborted();
        }
      }
    } finally {
      answer.stream.cancel();
    }
  }

  /** Asks again and again for what has changed since the newest record so far. */
  async *bySince(since: Date | undefined, rule: Delta<T> & SinceRule<T>): AsyncGenerator<readonly T[]> {
    const newest = new NewestRecords(rule, this.#context.pageSize);
    for (let page = 1; ; page++) {
      const from: Date | undefined = newest.at ?? since;
      const fetched = await this.#fetch(await this.#options.request(this.#requestContext(from)), false);
      if (fetched === undefined || !newest.take(fetched.records, page)) return;
      yield fetched.records;
    }
  }

  #requestContext(since: Date | undefined): RequestContext {
    const { flow, limit, log, pageSize, run, signal } = this.#context;
    return { since, run, flow, pageSize, ...(limit === undefined ? {} : { limit }), signal, log };
  }

  /** Undefined: there are no more pages. */
  async #fetch(request: HttpRequest, isResumed: boolean): Promise<FetchedPage<T, B> | undefined> {
    const { check } = this.#options;
    const answer = await this.#ask(request, isResumed, false);
    if (answer === undefined) return undefined;
    if (check !== undefined) this.#throwFor(answer, judgeBody(answer, "read", check), isResumed);
    return { answer, records: this.#recordsOf(answer) };
  }

  async #ask(request: HttpRequest, isResumed: boolean, streams: boolean): Promise<Answer<B> | undefined> {
    const { connection, endsAt = [], integers = "refuse", verdict } = this.#options;
    const { parse = (text: string) => readJson(text, integers) as B } = this.#options;
    const { signal } = this.#context;
    signal.throwIfAborted();
    const fate = (answer: Answer<B>) => judge(answer, "read", { verdict }).fate;
    const how = { direction: "read", signal, parse, fateOf: fate, streams } as const;
    const answer = await connection.exchange<B>(request, how).catch((error: unknown) => {
      // The API has moved, and the page is where it was.
      throw isResumed && error instanceof HttpError && error.kind === "refused" ? expired(error) : error;
    });
    // 204: the server says that there is nothing.
    const isEnd = endsAt.includes(answer.status) || answer.status === 204;
    const judged = judge(answer, "read", { verdict });
    if (isEnd || judged.error !== undefined) answer.stream?.cancel();
    if (endsAt.includes(answer.status)) return undefined;
    this.#throwFor(answer, judged, isResumed);
    return isEnd ? undefined : answer;
  }

  // The page with which a reading is resumed may be gone: then it begins at the checkpoint again.
  #throwFor({ status }: Answer<B>, { error, fate }: Judgement, isResumed: boolean): void {
    if (error === undefined) return;
    if (isResumed && [400, 404, 410].includes(status)) throw expired(error);
    throw thrownAs(fate, error);
  }

  #recordsOf(answer: Answer<B>): readonly T[] {
    const body = answer.parsed();
    if (body === undefined) throw answer.unexpected("an empty body");
    const records: unknown = this.#options.records?.(body, answer.headers);
    if (!Array.isArray(records))
      throw answer.unexpected(`a body of which records made ${formatValue(records)}: ${answer.excerpt()}`);
    return records as readonly T[];
  }

  #nextOf({ answer, records }: FetchedPage<T, B>, at: PagePlace): Next | undefined {
    const { page, read } = at;
    this.#guard.checkText(answer, { count: records.length, page, next: at.next });
    const body = answer.body as B;
    const { pageSize } = this.#context;
    const { headers, source: url } = answer;
    const next = this.#options.paging?.({ body, headers, records, page, read, pageSize, url });
    if (next === undefined) return undefined;
    const { path } = next;
    const safe = path === undefined ? next : { ...next, path: answer.linkWithoutCredentials(path) };
    this.#guard.checkNext(safe, at.next, page);
    return safe;
  }

  #totalOf({ body, headers }: Answer<B>): number | undefined {
    const total = this.#options.total?.(body as B, headers);
    return typeof total === "number" && total >= 0 ? total : undefined;
  }
}

interface PagePlace {
  readonly page: number;
  readonly read: number;
  readonly next: Next | undefined;
}

interface SinceRule<T> {
  readonly key: (record: T) => string;
}

/** The newest records so far, and those of the same instant. */
class NewestRecords<T> {
  readonly #rule: Delta<T> & SinceRule<T>;
  readonly #pageSize: number;
  #ms = -Infinity;
  #versions = new Set<string>();

  constructor(rule: Delta<T> & SinceRule<T>, pageSize: number) {
    this.#rule = rule;
    this.#pageSize = pageSize;
  }

  /** When they changed; undefined if there are none. */
  get at(): Date | undefined {
    return this.#ms === -Infinity ? undefined : new Date(this.#ms);
  }

  /**
   * Whether anything on the page is new.
   *
   * @throws Error if the page is full of records of one instant, since there may be more of them.
   */
  take(records: readonly T[], page: number): boolean {
    const before = new Set(this.#versions);
    let least = Infinity;
    let isNew = false;
    for (const record of records) {
      const version = this.#versionOf(record);
      // Without a change time it is a failure, and no reason to go on.
      if (version === undefined) continue;
      least = Math.min(least, version.ms);
      if (!before.has(version.text)) isNew = true;
      this.#add(version);
    }
    if (records.length >= this.#pageSize && least === this.#ms)
      throw new Error(
        `page ${page} is full of records of one instant, ${new Date(least).toISOString()}: there may be more of them, which sinceLast cannot ask for; a larger pageSize can`,
      );
    return isNew;
  }

  #add({ ms, text }: RecordVersion): void {
    if (ms < this.#ms) return;
    if (ms > this.#ms) this.#versions.clear();
    this.#ms = ms;
    this.#versions.add(text);
  }

  #versionOf(record: T): RecordVersion | undefined {
    try {
      const ms = readChangeTime(this.#rule.at(record));
      return { ms, text: JSON.stringify([this.#rule.key(record), ms]) };
    } catch {
      return undefined;
    }
  }
}

interface RecordVersion {
  readonly ms: number;
  readonly text: string;
}
