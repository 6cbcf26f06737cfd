import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A request as the server got it. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** What a server responds with. */
export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** A string is sent as it is, anything else as JSON. */
  readonly body?: unknown;
}

/**
 * What happens instead of a response. `reset`: the connection breaks before one. `cut`: half of a body. `short`: a body
 * shorter than its length. `stall`: nothing, until the client gives up. `stallBody`: the head and half of a body, then
 * nothing. `noHttp`: bytes that are no HTTP.
 */
export type Fault = "reset" | "cut" | "short" | "stall" | "stallBody" | "noHttp";

/** Responds to requests; undefined is 404. */
export type Responder = (request: SeenRequest) => Reply | Fault | undefined | Promise<Reply | Fault | undefined>;

/** A server of this process, with everything that it was asked. */
export class TestServer {
  readonly seen: SeenRequest[] = [];
  /** For the next requests, one each, before the responder is asked. */
  readonly next: (Reply | Fault)[] = [];
  respond: Responder;
  readonly #server: Server;
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(respond: Responder) {
    this.respond = respond;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Path and query of each request. */
  get paths(): readonly string[] {
    return this.seen.map(({ path }) => path);
  }

  /** Resolves when so many requests have arrived. */
  arrived(count: number): Promise<void> {
    if (this.seen.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  open(): Promise<this> {
    return new Promise((resolve) => this.#server.listen(0, "127.0.0.1", () => resolve(this)));
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const path = request.url ?? "";
    const { searchParams: query } = new URL(path, this.url);
    const seen = { method: request.method ?? "", path, query, headers: request.headers, body };
    this.seen.push(seen);
    for (const { count, resolve } of this.#waiting) if (this.seen.length >= count) resolve();
    const reply = this.next.shift() ?? (await this.respond(seen)) ?? { status: 404 };
    if (typeof reply === "string") breakOff(reply, response);
    else send(reply, response);
  }
}

function send({ status = 200, headers = {}, body }: Reply, response: ServerResponse): void {
  const text = typeof body === "string" ? body : body === undefined ? "" : JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", ...headers } as Record<string, string>);
  response.end(text);
}

function breakOff(fault: Fault, response: ServerResponse): void {
  const { socket } = response;
  if (fault === "reset") socket?.resetAndDestroy();
  if (fault === "noHttp") socket?.end("SSH-2.0-OpenSSH_9.2\r\n");
  if (fault === "stall" || fault === "reset" || fault === "noHttp") return;
  response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
  response.write('{"half": [1, 2');
  // Once what was written is on its way.
  if (fault === "cut" || fault === "short") setImmediate(() => socket?.end());
}

/** A server for one test, closed when the test is over. */
export async function startServer(respond: Responder = () => ({ body: {} })): Promise<TestServer> {
  const server = await new TestServer(respond).open();
  onTestFinished(() => server.close());
  return server;
}

/** A port of this computer on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = await new TestServer(() => undefined).open();
  const { port } = server;
  await server.close();
  return port;
}
