import { expect } from "vitest";
import { type HandlerOptions, allowAll, createHandler } from "../../src/http/index.ts";
import { type Handler } from "../../src/http/handler.ts";
import { Stage, type Setting } from "../support/harness.ts";
import { AnswerCheck } from "./answer-check.ts";

/** What stands behind a door, and how it opens. Everybody may do everything unless `door` says otherwise. */
export interface DoorSetting extends Setting {
  readonly door?: Partial<Omit<HandlerOptions, "registry" | "scheduler">>;
}

/** What a request carries. */
export interface Sent {
  /** An object is sent as JSON; a text or bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer, read to its end. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Of the body, if there is one. */
  readonly json: unknown;
}

const origin = "http://door.test";

/** A stage with a door. Each answer is held against the OpenAPI document that the door itself gives. */
export class Door {
  readonly stage: Stage;
  readonly handler: Handler;
  readonly #basePath: string;

  constructor(setting: DoorSetting = {}) {
    this.stage = new Stage(setting);
    const { registry, scheduler } = this.stage;
    this.handler = createHandler({ registry, scheduler, authorize: allowAll(), ...setting.door });
    this.#basePath = setting.door?.basePath ?? "";
  }

  /** Asks, and reads the whole answer, which has to fit the OpenAPI document. `path` is what follows the base path. */
  async ask(method: string, path: string, sent: Sent = {}): Promise<Answered> {
    const request = this.request(method, path, sent);
    // As it is sent: dots in a path have led to where they lead.
    const { pathname } = new URL(request.url);
    return this.read(await this.handler(request), method, pathname.slice(this.#basePath.length));
  }

  /** The answer, read to its end and held against the document. */
  async read(response: Response, method: string, path: string): Promise<Answered> {
    const text = await response.text();
    const answered = { status: response.status, headers: response.headers, text };
    const json: unknown = response.headers.get("content-type") === "application/json" ? parsed(text) : undefined;
    const check = await this.#check();
    expect(check.problems(method, path, { ...answered, json }), `${method} ${path} → ${text}`).toEqual([]);
    return { ...answered, json };
  }

  /** A request that has not been sent. */
  request(method: string, path: string, { body, headers = {} }: Sent = {}): Request {
    const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
    const type = body === undefined ? {} : { "content-type": "application/json" };
    return new Request(`${origin}${this.#basePath}${path}`, {
      method,
      headers: { ...type, ...headers },
      ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
    });
  }

  #check(): Promise<AnswerCheck> {
    const known = checks.get(this.#basePath) ?? this.#document().then((document) => new AnswerCheck(document));
    checks.set(this.#basePath, known);
    return known;
  }

  // From a door of its own, to which everybody is let in.
  async #document(): Promise<object> {
    const { registry, scheduler } = this.stage;
    const open = createHandler({ registry, scheduler, authorize: allowAll(), basePath: this.#basePath });
    const response = await open(new Request(`${origin}${this.#basePath}/openapi.json`));
    return (await response.json()) as object;
  }
}

/** By base path, the only thing on which the document depends. */
const checks = new Map<string, Promise<AnswerCheck>>();

function parsed(text: string): unknown {
  return text === "" ? undefined : (JSON.parse(text) as unknown);
}
