import { CommandError } from "../errors.ts";

/** Sends a request to an API; rejects only if there was no response. */
export type Send = (request: Request) => Promise<Response>;

/** Part of a list. */
export interface ListPart<Item> {
  readonly items: readonly Item[];
  /** Where the list goes on; absent: it has ended. */
  readonly next?: string;
  /** How many documents a search has looked at. */
  readonly examined: number;
}

/** Query parameters; those that are undefined are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** The most items that one request asks for. */
const mostOfPage = 1_000;

/** What a handler says of a path that it has no route for. */
const noSuchPath = "There is no such path";

/** The API refused a request. */
export class RefusedError extends CommandError {
  readonly status: number;
  readonly code: string | undefined;

  constructor(status: number, code: string | undefined, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The HTTP API of an application, wherever it is: every command speaks to this, and to nothing else. */
export class Api {
  /** The file or the address, for messages. */
  readonly name: string;
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #send: Send;

  /** `base`: what precedes every path, without a slash at its end. */
  constructor({ base, headers = {}, name, send }: ApiParts) {
    this.name = name;
    this.#base = base;
    this.#headers = headers;
    this.#send = send;
  }

  /** @throws RefusedError, CommandError */
  async get<Document>(path: string, query: Query = {}): Promise<Document> {
    const response = await this.#request("GET", path + textOf(query));
    return (await this.#read(response)) as Document;
  }

  /** The same; undefined if there is no such thing. */
  async find<Document>(path: string, query: Query = {}): Promise<Document | undefined> {
    try {
      return await this.get<Document>(path, query);
    } catch (error) {
      if (error instanceof RefusedError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** @throws RefusedError, CommandError */
  async send<Document>(method: "POST" | "PUT", path: string, body?: unknown): Promise<Document> {
    const response = await this.#request(method, path, body);
    return (response.status === 204 ? undefined : await this.#read(response)) as Document;
  }

  /** One page of a list, of at most 1,000 items. */
  async page<Item>(path: string, query: Query): Promise<ListPart<Item>> {
    const response = await this.#request("GET", path + textOf(query));
    const items = (await this.#read(response)) as readonly Item[];
    const [, link] = /<([^>]*)>; *rel="?next"?/.exec(response.headers.get("link") ?? "") ?? [];
    const next = link === undefined ? undefined : new URLSearchParams(link.slice(link.indexOf("?"))).get("after");
    const examined = Number(response.headers.get("poundlock-examined") ?? items.length);
    return { items, examined, ...(next === undefined || next === null ? {} : { next }) };
  }

  /** The parts of a list that have its next `limit` items together, as they come. */
  async *list<Item>(
    path: string,
    query: Query,
    { limit, after }: { readonly limit: number; readonly after?: string | undefined },
  ): AsyncGenerator<ListPart<Item>> {
    let cursor = after;
    for (let left = limit; left > 0;) {
      const part = await this.page<Item>(path, { ...query, limit: Math.min(left, mostOfPage), after: cursor });
      yield part;
      if (part.next === undefined) return;
      cursor = part.next;
      left -= part.items.length;
    }
  }

  #request(method: string, path: string, body?: unknown): Promise<Response> {
    const headers = new Headers(this.#headers);
    headers.set("accept", "application/json");
    if (body !== undefined) headers.set("content-type", "application/json");
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    return this.#send(new Request(this.#base + path, { ...init, redirect: "manual" }));
  }

  async #read(response: Response): Promise<unknown> {
    const text = await response.text();
    const document = jsonOf(response, text);
    if (response.ok && document !== undefined) return document;
    const { errors } = (document ?? {}) as { readonly errors?: unknown };
    const [first] = Array.isArray(errors) ? (errors as readonly ApiProblem[]) : [];
    if (first !== undefined && first.message !== noSuchPath)
      throw refusal(response.status, errors as readonly ApiProblem[]);
    throw new CommandError(this.#strange(response));
  }

  // Something else responds at this address.
  #strange(response: Response): string {
    const { headers, status } = response;
    const location = headers.get("location");
    if (status >= 300 && status < 400 && location !== null)
      return `${this.name} leads to ${location}: give that address, or the one of the API below it`;
    const isPage = headers.get("content-type")?.startsWith("text/html") === true;
    const hint = isPage ? "; it is a page: the API of a dashboard is below it, at /api" : "";
    return `There is no API of poundlock at ${this.name}: it responds with ${status}${hint}`;
  }
}

interface ApiParts {
  readonly name: string;
  readonly base: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly send: Send;
}

interface ApiProblem {
  readonly code?: string;
  readonly message?: string;
}

function refusal(status: number, errors: readonly ApiProblem[]): RefusedError {
  const messages = errors.map(({ message }) => message ?? "").filter((message) => message !== "");
  return new RefusedError(status, errors[0]?.code, messages.slice(0, 5).join("; "));
}

function jsonOf({ headers }: Response, text: string): unknown {
  if (headers.get("content-type")?.includes("json") !== true) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function textOf(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

/** The path of a document; its id may be anything. */
export function pathTo(kind: "flows" | "runs" | "failures", _id: string, below = ""): string {
  return `/${kind}/${encodeURIComponent(_id)}${below}`;
}
