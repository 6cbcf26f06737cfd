import { createHmac } from "node:crypto";
import { once } from "node:events";
import { Agent, type IncomingMessage, createServer, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import express, { type RequestHandler } from "express";
import { describe, expect, test, vi } from "vitest";
import { type Handler, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { input, json, served, setting, withExpress } from "./servers.ts";

const globals = [globalThis.Request, globalThis.Response];

describe("behind a parser that has read the body", () => {
  const text = '{ "a" : "ü" }';
  const parsed = '{"a":"ü"}';
  const keep = (what: (bytes: Buffer) => unknown) =>
    express.json({
      verify: (request: object, _response, bytes) => void Object.assign(request, { rawBody: what(bytes) }),
    });
  const throwAway: RequestHandler = (request, _response, next) => void request.resume().once("end", next);
  const unknown = { code: "unexpected" };
  const cases: readonly [string, RequestHandler, string | { code: string }][] = [
    ["as JSON", express.json(), parsed],
    ["as JSON, and kept its bytes", keep((bytes) => bytes), text],
    ["as JSON, and kept its text", keep((bytes) => bytes.toString()), text],
    ["as text", express.text({ type: "*/*" }), text],
    ["as bytes", express.raw({ type: "*/*" }), text],
    ["and thrown it away", throwAway, unknown],
  ];
  const ways: readonly [string, () => RequestInit][] = [
    ["of a stated length", () => ({ body: text })],
    ["in chunks", () => ({ body: new Blob([text]).stream(), duplex: "half" })],
    ["compressed", () => ({ body: gzipSync(text), headers: { ...json, "content-encoding": "gzip" } })],
  ];

  test.each(cases)("%s, the body is what is left of it", async (_name, parser, expected) => {
    const seen: Request[] = [];
    const echo: Handler = async (request) => {
      seen.push(request);
      return new Response(await request.text());
    };
    const origin = await withExpress((app) => app.use(parser).use(toNodeListener(echo)));

    for (const [way, init] of ways) {
      const response = await fetch(origin, { method: "POST", headers: json, ...init() });
      const got = await response.text();
      if (typeof expected === "string") expect([way, response.status, got]).toEqual([way, 200, expected]);
      else expect([response.status, JSON.parse(got)]).toMatchObject([500, { errors: [expected] }]);
    }
    // What received of the bytes that were sent is not true of these.
    const received = ["content-type", "content-encoding", "content-length"];
    for (const { headers } of seen)
      expect(received.map((name) => headers.get(name))).toEqual(["application/json", null, null]);
  });

  test.each(cases)("%s, a body without a byte stays empty", async (_name, parser) => {
    const origin = await withExpress((app) =>
      app.use(parser).use(toNodeListener(async (request) => new Response(`<${await request.text()}>`))),
    );
    const bodies: RequestInit[] = [{}, { body: "" }, { body: new Blob([]).stream(), duplex: "half" }];

    for (const body of bodies) {
      const response = await fetch(origin, { method: "POST", headers: json, ...body });
      expect([response.status, await response.text()]).toEqual([200, "<>"]);
    }
  });

  test("a body of a GET, which has none, is passed over", async () => {
    const { handler } = setting();
    const origin = await withExpress((app) => app.use(express.json()).use(toNodeListener(handler)));

    const headers = { ...json, "content-length": 2 };
    const request = httpRequest(`${origin}/flows`, { method: "GET", headers, agent: false }).end("{}");
    const [response] = (await once(request, "response")) as [IncomingMessage];

    expect([response.statusCode, (await response.toArray()).join("")]).toEqual([200, "[]"]);
  });

  test("what cannot be written again is refused without a word of what it was", async () => {
    const { handler } = setting();
    const origin = await withExpress((app) =>
      app
        .use(express.json(), (request, _response, next) => {
          request.body = { secret: 1n };
          next();
        })
        .use(toNodeListener(handler)),
    );

    const response = await fetch(`${origin}/flows`, { method: "POST", headers: json, body: "{}" });

    expect([response.status, await response.json()]).toEqual([
      500,
      { errors: [{ code: "unexpected", message: "Unexpected error" }] },
    ]);
  });

  test("a form that it parsed is still no JSON, and a compressed flow is one", async () => {
    const { handler } = setting();
    const origin = await withExpress((app) =>
      app.use(express.json(), express.urlencoded()).use(toNodeListener(handler)),
    );
    const send = async (init: RequestInit) => (await fetch(`${origin}/flows`, { method: "POST", ...init })).status;

    expect(await send({ body: new URLSearchParams({ name: "x" }) })).toBe(415);
    const headers = { ...json, "content-encoding": "gzip" };
    expect(await send({ headers, body: gzipSync(JSON.stringify(input)) })).toBe(201);
  });

  test("a signature fits the bytes that it kept; without them the sender is not to blame", async () => {
    const { handler, registry } = setting();
    await registry.create({ ...input, _exportId: "shop" });
    const body = '{ "id" : 1 }';
    const signature = createHmac("sha256", "s").update(body).digest("hex");
    const responses: [number, string][] = [];

    for (const parser of [keep((bytes) => bytes), express.json()]) {
      const origin = await withExpress((app) => app.use(parser).use(toNodeListener(handler)));
      const headers = { ...json, "x-signature": signature };
      for (const sent of [body, `${body} `]) {
        const response = await fetch(`${origin}/exports/shop/records`, { method: "POST", headers, body: sent });
        responses.push([response.status, await response.text()]);
      }
    }

    const hint = expect.stringContaining("keep the bytes as rawBody") as string;
    expect(responses).toEqual([
      [202, expect.any(String)],
      [401, expect.any(String)],
      [500, hint],
      [500, hint],
    ]);
  });
});

describe("a listener of node:http", () => {
  test("leaves the host's Request and Response, and the host's own request, as they are", async () => {
    const seen: unknown[] = [];
    const { handler } = setting("/api");
    const listener = toNodeListener(handler);
    const origin = await withExpress((app) =>
      app.use("/api", express.json(), (request, response) => {
        const before = { ...request };
        listener(request, response);
        const { url, originalUrl } = request;
        response.once("close", () => seen.push(url, originalUrl, "rawBody" in request, request.body === before.body));
      }),
    );

    expect((await fetch(`${origin}/api/flows?limit=1`)).status).toBe(200);
    const made = await fetch(`${origin}/api/flows`, { method: "POST", headers: json, body: JSON.stringify(input) });
    expect(made.status).toBe(201);
    expect(seen).toEqual(["/flows?limit=1", "/api/flows?limit=1", false, true, "/flows", "/api/flows", false, true]);
    expect([globalThis.Request, globalThis.Response]).toEqual(globals);
  });

  /** What comes back on a connection on which that is written. */
  async function exchanged(origin: string, text: string): Promise<string> {
    const socket = connect(Number(new URL(origin).port), "127.0.0.1");
    socket.write(text);
    let answer = "";
    for await (const part of socket) answer += String(part);
    return answer;
  }

  test.each([
    "GET /flows HTTP/1.1\r\nHost: a b",
    "GET /flows HTTP/1.1\r\nHost: a/b",
    "GET /flows HTTP/1.1\r\nHost: a@b",
    "GET /flows HTTP/1.1\r\nHost: [::1",
  ])("refuses with the API's own error: %j", async (head) => {
    const origin = await served(createServer(toNodeListener(setting().handler)));

    const answer = await exchanged(origin, `${head}\r\nConnection: close\r\n\r\n`);

    expect(answer).toMatch(/^HTTP\/1\.1 400 .*\r\ncontent-type: application\/json\r\n/s);
    expect(answer).toMatch(/\r\n\r\n\{"errors":\[\{"code":"invalid_request","message":"[^"]+"\}\]\}$/);
  });

  test.each([
    "GET /flows\\x HTTP/1.1\r\nHost: x",
    "GET http://[/flows HTTP/1.1\r\nHost: x",
    "GET http://other.example/flows HTTP/1.1\r\nHost: x",
    "OPTIONS * HTTP/1.1\r\nHost: x",
  ])("finds nothing at a target that is no plain path: %j", async (head) => {
    const origin = await served(createServer(toNodeListener(setting().handler)));

    const response = await exchanged(origin, `${head}\r\nConnection: close\r\n\r\n`);

    expect(response).toMatch(/^HTTP\/1\.1 404 .*\r\ncontent-type: application\/json\r\n/s);
  });

  test("serves a request of HTTP/1.0, without a Host", async () => {
    const origin = await served(createServer(toNodeListener(setting().handler)));

    const response = await exchanged(origin, "GET /flows HTTP/1.0\r\nConnection: close\r\n\r\n");

    expect(response).toMatch(/^HTTP\/1\.1 200 .*\r\n\[\]$/s);
  });

  test.each([
    ["GET", "/flows", 200],
    ["HEAD", "/flows", 200],
    ["GET", "/nowhere", 404],
    ["OPTIONS", "/flows", 204],
    ["POST", "/flows", 415],
    ["GET", "/events", 200],
  ])("responds to %s %s as the handler does: %i", async (method, path, status) => {
    const { handler, registry, scheduler } = setting();
    await registry.create({ ...input, name: "Ærøskøbing \u{1F6A2}" });
    const origin = await served(createServer(toNodeListener(handler)));
    const ofItsOwn = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];
    const received = async (response: Response) => ({
      status: response.status,
      text: (await response.text()).replace(/^id: .*$/gm, "id: …"),
      headers: [...response.headers].filter(([name]) => !ofItsOwn.includes(name)),
    });

    const own = await handler(new Request(`${origin}${path}`, { method }));
    const response = await fetch(`${origin}${path}`, { method });
    const length = response.headers.get("content-length");
    // A stream of events ends with it.
    await scheduler.stop();
    const given = await received(own);

    expect(await received(response)).toEqual(given);
    expect(given.status).toBe(status);
    if (given.text !== "" && path !== "/events") expect(length).toBe(String(Buffer.byteLength(given.text)));
  });

  test("does not touch a response that the host has sent meanwhile", async () => {
    let answerInstead: () => void = () => undefined;
    const { scheduler } = setting();
    const authorize = () => {
      answerInstead();
      return true;
    };
    const listener = toNodeListener(createHandler({ scheduler, authorize }));
    const server = createServer((incoming, outgoing) => {
      answerInstead = () => outgoing.writeHead(503).end("too late");
      listener(incoming, outgoing);
    });
    const said = vi.spyOn(console, "error");

    const response = await fetch(`${await served(server)}/flows`);

    expect([response.status, await response.text()]).toEqual([503, "too late"]);
    expect(said).not.toHaveBeenCalled();
    said.mockRestore();
  });

  test("responds with 500 without details if the handler rejects", async () => {
    const broken: Handler[] = [
      () => Promise.reject(new Error("secret")),
      () => {
        throw new Error("secret");
      },
    ];

    for (const handler of broken) {
      const response = await fetch(await served(createServer(toNodeListener(handler))));
      expect([response.status, await response.json()]).toEqual([
        500,
        { errors: [{ code: "unexpected", message: "Unexpected error" }] },
      ]);
    }
  });

  test("keeps a connection whose request body was not read, and responds however long it is", async () => {
    const { handler } = setting();
    const origin = await served(createServer(toNodeListener(handler)));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = (body: string) =>
      new Promise<readonly [number | undefined, number | undefined]>((resolve, reject) => {
        const request = httpRequest(`${origin}/flows`, { method: "POST", agent, headers: json }, (response) => {
          const port = request.socket?.localPort;
          response.resume().once("end", () => resolve([response.statusCode, port]));
        });
        // Node.js leaves a connection that breaks in the middle of a refused body, after the response, without a listener.
        request.on("socket", (socket) => socket.on("error", () => undefined));
        request.on("error", reject).end(body);
      });

    const [refused, port] = await ask("x".repeat(100_000));
    expect([refused, await ask(JSON.stringify(input))]).toEqual([413, [201, port]]);
    expect((await ask("x".repeat(10_000_000)))[0]).toBe(413);
    expect((await ask(JSON.stringify(input)))[0]).toBe(201);
    agent.destroy();
  });

  test("ends a stream, and aborts the request's signal, when the client goes away", async () => {
    const gone: string[] = [];
    let tell: (what: string) => void = () => undefined;
    const both = new Promise<void>((resolve) => {
      tell = (what) => {
        if (gone.push(what) === 2) resolve();
      };
    });
    const endless: Handler = async ({ signal }) => {
      signal.addEventListener("abort", () => tell("aborted"));
      const start = (to: ReadableStreamDefaultController) => to.enqueue(new TextEncoder().encode("x"));
      return new Response(new ReadableStream({ start, cancel: () => tell("canceled") }));
    };
    const origin = await served(createServer(toNodeListener(endless)));
    const client = new AbortController();
    const response = await fetch(origin, { signal: client.signal });
    await response.body?.getReader().read();

    client.abort();
    await both;

    expect(gone.sort()).toEqual(["aborted", "canceled"]);
  });

  test.each([
    ["unread", express()],
    ["read by a parser", express().use(express.json())],
  ])("aborts the signal of a request whose client has gone away, its body %s", async (_name, app) => {
    const client = new AbortController();
    let tell: (gone: boolean) => void = () => undefined;
    const aborted = new Promise<boolean>((resolve) => (tell = resolve));
    const waiting: Handler = async (request) => {
      request.signal.addEventListener("abort", () => tell(request.signal.aborted));
      await request.text();
      client.abort();
      await aborted;
      return new Response();
    };
    const origin = await withExpress((host) => host.use(app.use(toNodeListener(waiting))));

    await expect(fetch(origin, { method: "POST", headers: json, body: "{}", signal: client.signal })).rejects.toThrow();

    expect(await aborted).toBe(true);
  });

  test("does not abort the signal of a request with a complete response", async () => {
    const signals: AbortSignal[] = [];
    const server = createServer(
      toNodeListener(async ({ signal }) => {
        signals.push(signal);
        return new Response("x");
      }),
    );
    const origin = await served(server);
    const ended = new Promise<unknown>((resolve) => {
      server.prependListener("request", (_request, response) => response.once("close", () => setImmediate(resolve)));
    });

    await (await fetch(origin)).text();
    await ended;

    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  });

  test("asks a stream for no more than a client takes", async () => {
    const chunk = new Uint8Array(2 ** 20);
    const most = 100;
    let pulled = 0;
    const server = createServer(
      toNodeListener(async () => {
        const pull = (to: ReadableStreamDefaultController) => (++pulled > most ? to.close() : to.enqueue(chunk));
        return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }));
      }),
    );
    const origin = await served(server);
    const socket = connect(Number(new URL(origin).port), "127.0.0.1").pause();
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    await once(server, "request");

    // Until it has been asked for nothing for a while, or for all.
    for (let still = 0, before = -1; still < 1_000 && pulled <= most; before = pulled) {
      await turn();
      still = pulled > 0 && pulled === before ? still + 1 : 0;
    }
    const atRest = pulled;
    let received = 0;
    for await (const part of socket) received += (part as Buffer).length;

    expect(atRest).toBeLessThan(most);
    expect(received).toBeGreaterThan(most * chunk.length);
  });
});

test("a server that closes as the guide says has no connection left", async () => {
  const { handler, scheduler, registry } = setting();
  await scheduler.start();
  const server = createServer(toNodeListener(handler));
  server.on("request", (_request, response) => {
    response.once("close", () => {
      if (!server.listening) server.closeIdleConnections();
    });
  });
  const origin = await served(server);
  server.keepAliveTimeout = 0; // an idle connection stays, and so does its client
  const agent = new Agent({ keepAlive: true });
  const [response] = (await once(httpRequest(`${origin}/events`, { agent }).end(), "response")) as [IncomingMessage];
  const reading = response.setEncoding("utf8").toArray();
  await registry.create(input);

  const closed = once(server, "close");
  server.close();
  await scheduler.stop();

  expect((await reading).join("")).toContain("event: flow:created");
  await closed;
  agent.destroy();
});
