import { expect } from "vitest";
import type { Flow, Result } from "../../src/index.ts";
import { EventBroadcast } from "../../src/http/events/event-broadcast.ts";
import type { StreamStart } from "../../src/http/events/event-stream.ts";
import { type Handler, type HandlerOptions, allowAll, createHandler } from "../../src/http/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { type Setting, Harness, upTo } from "../support/harness.ts";
import { ResponseCheck } from "./response-check.ts";

/** What the API serves, and its options. Everything is allowed unless `http` says otherwise. */
export interface ApiSetting extends Setting {
  readonly http?: Partial<Omit<HandlerOptions, "scheduler">>;
}

/** What a request carries. */
export interface RequestInput {
  /** An object is sent as JSON; a string or bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A response, read to its end. */
export interface ApiResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body, if there is one. */
  readonly json: unknown;
  /** Where `Location` leads, below the base path; "" without one. */
  readonly location: string;
  /** Where `Link` says that the list continues, below the base path. */
  readonly next: string | undefined;
}

/** Where the API of a test is served. */
export const origin = "http://api.test";

/** A registry and its scheduler behind the HTTP API. Every response is compared with the API's own OpenAPI document. */
export class ApiHarness {
  readonly host: Harness;
  readonly handler: Handler;
  readonly #basePath: string;

  constructor(setting: ApiSetting = {}) {
    this.host = new Harness(setting);
    this.handler = createHandler({ scheduler: this.host.scheduler, authorize: allowAll(), ...setting.http });
    this.#basePath = setting.http?.basePath ?? "";
  }

  /** Sends a request and reads the whole response, which has to match the document. `path` follows the base path. */
  async send(method: string, path: string, input: RequestInput = {}): Promise<ApiResponse> {
    const request = this.request(method, path, input);
    // As it is sent: a URL has no dot segments.
    const { pathname, search } = new URL(request.url);
    const checked = pathname.slice(this.#basePath.length).replace(/(?<=[^/])\/$/, "");
    return this.read(await this.handler(request), method, checked + search);
  }

  /** The response, read to its end and compared with the document. `path` may have a query. */
  async read(response: Response, method: string, path: string): Promise<ApiResponse> {
    const text = await response.text();
    const { status, headers } = response;
    const follow = (reference: string) => {
      const { pathname, search } = new URL(reference, `${origin}${this.#basePath}${path}`);
      return `${pathname.slice(this.#basePath.length)}${search}`;
    };
    const location = headers.has("location") ? follow(headers.get("location") ?? "") : "";
    const link = /^<([^>]+)>; rel="next"$/.exec(headers.get("link") ?? "")?.[1];
    const next = link === undefined ? undefined : follow(link);
    const read = { status, headers, text, location, next };
    const json: unknown = response.headers.get("content-type") === "application/json" ? parsed(text) : undefined;
    const check = await this.#check();
    expect(check.problems(method, path, { ...read, json }), `${method} ${path} → ${text}`).toEqual([]);
    return { ...read, json };
  }

  /** A request that has not been sent. */
  request(method: string, path: string, { body, headers = {} }: RequestInput = {}): Request {
    const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
    const type = body === undefined ? {} : { "content-type": "application/json" };
    return new Request(`${origin}${this.#basePath}${path}`, {
      method,
      headers: { ...type, ...headers },
      ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
    });
  }

  #check(): Promise<ResponseCheck> {
    const known = checks.get(this.#basePath) ?? this.#document().then((document) => new ResponseCheck(document));
    checks.set(this.#basePath, known);
    return known;
  }

  // From a handler of its own, which allows everything.
  async #document(): Promise<object> {
    const { scheduler } = this.host;
    const open = createHandler({ scheduler, authorize: allowAll(), basePath: this.#basePath });
    const response = await open(new Request(`${origin}${this.#basePath}/openapi.json`));
    return (await response.json()) as object;
  }
}

/** By base path, the only thing on which the document depends. */
const checks = new Map<string, Promise<ResponseCheck>>();

function parsed(text: string): unknown {
  return text === "" ? undefined : (JSON.parse(text) as unknown);
}

/** The writable fields of a flow from the export `orders` to the import `ledger`, every hour. */
export const flowInput = { name: "Orders", schedule: "0 * * * *", _exportId: "orders", _importId: "ledger" };

/** The exports `orders` (three records) and `refunds` (none), the imports `ledger` and `mailer`, and no flow. */
export function createApi(setting: ApiSetting = {}): ApiHarness {
  return new ApiHarness({
    exports: { orders: arrayExport(upTo(3)), refunds: arrayExport([]) },
    imports: { ledger: collectingImport(), mailer: collectingImport() },
    ...setting,
  });
}

/** {@link createApi} with the flow of {@link flowInput}, its path and its `ETag`. */
export async function createApiWithFlow(setting: ApiSetting = {}) {
  const api = createApi(setting);
  const created = await api.send("POST", "/flows", { body: flowInput });
  const flow = created.json as Flow;
  return { api, flow, path: `/flows/${flow._id}`, etag: created.headers.get("etag") ?? "" };
}

const rejected: Result = { ok: false, fault: "reject", error: new Error("no") };

/** A flow whose import rejected every record but the first; it takes all once `script.rejects` is false. */
export async function createApiWithFailures(records: readonly unknown[] = upTo(3), setting: ApiSetting = {}) {
  const script = { rejects: true };
  const picky = scriptedImport<unknown>(({ records: batch }) =>
    batch.map((_, index) => (script.rejects && index > 0 ? rejected : { ok: true })),
  );
  const imports = { picky, ledger: collectingImport() };
  const api = new ApiHarness({ exports: { numbers: arrayExport(records) }, imports, ...setting });
  const flow = await api.host.flow({ _importId: "picky" });
  await api.host.scheduler.start();
  await api.host.run(flow._id);
  return { api, flow, script, picky, path: `/flows/${flow._id}`, failures: await api.host.failures() };
}

/** The ids of a list. */
export const idsOf = (json: unknown) => (json as { _id: string }[]).map(({ _id }) => _id);

/** Of each error its code, and its field if it has one. */
export const errorCodes = (json: unknown) =>
  (json as { errors: { code: string; field?: string }[] }).errors.map(({ code, field }) =>
    field === undefined ? code : `${code} ${field}`,
  );

/** One event as a reader understands it. */
export interface ReceivedEvent {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
}

/** Reads a stream as the standard says: https://html.spec.whatwg.org/multipage/server-sent-events.html */
export class EventReader {
  readonly events: ReceivedEvent[] = [];
  readonly chunks: Uint8Array[] = [];
  lastEventId = "";
  retry: number | undefined;
  comments = 0;
  ended = false;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #pending = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** Reads one chunk, or the end. */
  async read(): Promise<void> {
    const { done, value } = await this.#reader.read();
    if (done) this.ended = true;
    else this.#take(value);
  }

  /** Reads until the end. */
  async readAll(): Promise<this> {
    while (!this.ended) await this.read();
    return this;
  }

  async leave(): Promise<void> {
    await this.#reader.cancel();
  }

  get names(): string[] {
    return this.events.map(({ name }) => name);
  }

  #take(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    const blocks = (this.#pending + new TextDecoder().decode(chunk)).split("\n\n");
    this.#pending = blocks.pop() ?? "";
    for (const block of blocks) this.#dispatch(block);
  }

  #dispatch(block: string): void {
    let [name, data]: [string, string | undefined] = ["message", undefined];
    for (const line of block.split(/\r\n|\n|\r/)) {
      const [, field = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (field === "" && line !== "") this.comments++;
      else if (field === "id") this.lastEventId = value;
      else if (field === "event") name = value;
      else if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
      else if (field === "retry") this.retry = Number(value);
      else if (line !== "") throw new Error(`a line that is no field: ${line}`);
    }
    if (data !== undefined) this.events.push({ id: this.lastEventId, name, data: JSON.parse(data) as unknown });
  }
}

/** How a broadcast is made, and of which host. */
export interface BroadcastSetting extends Setting {
  readonly capacity?: number;
  readonly heartbeatMs?: number;
  readonly maxStreamsPerCaller?: number;
}

/** A registry and its scheduler with a broadcast of their events. */
export function createBroadcast(options: BroadcastSetting = {}) {
  const { capacity = 1_000, heartbeatMs = 15_000, maxStreamsPerCaller = 10_000, ...setting } = options;
  const host = new Harness({
    exports: { numbers: arrayExport(upTo(3)) },
    imports: { ledger: collectingImport<number>() },
    ...setting,
  });
  const { registry, scheduler, clock } = host;
  const redaction = { message: (message: string) => message };
  const broadcast = new EventBroadcast({ registry, scheduler, redaction, capacity, heartbeatMs, maxStreamsPerCaller });
  const open = (start: StreamStart = {}) => new EventReader(broadcast.open(start));
  /** A reader that has received the greeting and waits. */
  const listen = async (start: StreamStart = {}) => {
    const reader = open(start);
    await reader.read();
    return reader;
  };
  return { registry, scheduler, clock, host, broadcast, open, listen };
}

/** The same, with a scheduler that has started. */
export async function startedBroadcast(setting: BroadcastSetting = {}) {
  const all = createBroadcast(setting);
  await all.scheduler.start();
  return all;
}
