import { Agent, type Server, createServer, request as httpRequest } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { once } from "node:events";
import express, { type Express } from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import { afterEach, describe, expect, test } from "vitest";
import { type Flow, FlowRegistry, Scheduler } from "../../src/index.ts";
import { type Handler, allowAll, createHandler, hmacSignature, toNodeListener } from "../../src/http/index.ts";
import { collectingImport } from "../../src/testing/index.ts";

/** A handler, and the servers that it is mounted on; on a clock that runs. */
function setting(basePath = "") {
  const registry = new FlowRegistry({
    exports: { orders: { listen: () => () => undefined } },
    imports: { ledger: collectingImport() },
  });
  const scheduler = new Scheduler(registry);
  const verify = { signed: hmacSignature({ secret: "s", header: "x-signature" }) };
  const handler = createHandler({ registry, scheduler, authorize: allowAll(), basePath, verify, maxBodyBytes: 1_000 });
  return { registry, scheduler, handler };
}

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Where the server listens. It is closed after the test. */
async function served(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const withExpress = (mount: (app: Express) => void) => {
  const app = express();
  mount(app);
  return served(createServer(app as unknown as Parameters<typeof createServer>[1]));
};

/** Mounts a handler, and answers where its paths begin. */
type Mount = (handler: Handler, basePath: string) => Promise<string>;

const mounts: Readonly<Record<string, Mount>> = {
  "node:http": (handler) => served(createServer(toNodeListener(handler))),
  "Express, before express.json()": (handler, basePath) =>
    withExpress((app) => app.use(basePath || "/", toNodeListener(handler)).use(express.json())),
  "Express, after express.json()": (handler, basePath) =>
    withExpress((app) => app.use(express.json()).use(basePath || "/", toNodeListener(handler))),
  "Express, by a route of its own": (handler, basePath) =>
    withExpress((app) => app.all(`${basePath}/*path`, toNodeListener(handler))),
  async Fastify(handler, basePath) {
    const app = Fastify();
    const listener = toNodeListener(handler);
    await app.register((plugin, _options, registered) => {
      plugin.removeAllContentTypeParsers();
      plugin.addContentTypeParser("*", (_request, _payload, done) => done(null));
      plugin.all(`${basePath}/*`, (request, reply) => {
        reply.hijack();
        listener(request.raw, reply.raw);
      });
      registered();
    });
    app.post("/own", ({ body }, reply) => void reply.send({ got: body }));
    closing.push(() => app.close());
    return app.listen({ port: 0, host: "127.0.0.1" });
  },
  Hono(handler, basePath) {
    const app = new Hono();
    app.all(`${basePath}/*`, (context) => handler(context.req.raw));
    return served(createServer(toNodeListener(async (request) => app.fetch(request))));
  },
};

const cases = Object.entries(mounts).flatMap(([name, mount]) =>
  ["", "/api/v1"].map((basePath) => [`${name}${basePath && " below "}${basePath}`, mount, basePath] as const),
);
const json = { "content-type": "application/json" };
const input = { name: "Orders", _exportId: "orders", _importId: "ledger" };

describe.each(cases)("mounted on %s", (name, mount, basePath) => {
  async function opened() {
    const { handler, registry, scheduler } = setting(basePath);
    const origin = await mount(handler, basePath);
    const ask = (method: string, path: string, body?: string, headers: Record<string, string> = json) =>
      fetch(`${origin}${basePath}${path}`, {
        method,
        ...(body === undefined ? {} : { headers, body }),
        signal: AbortSignal.timeout(10_000),
      });
    return { origin, ask, registry, scheduler };
  }
  const parsedBefore = name.includes("after express.json");

  test("flows are made, found, changed and deleted", async () => {
    const { ask, registry } = await opened();

    const made = await ask("POST", "/flows", JSON.stringify(input));
    const flow = (await made.json()) as Flow;
    const path = `/flows/${flow._id}`;

    expect([made.status, made.headers.get("location")]).toEqual([201, `${basePath}${path}`]);
    expect(await (await ask("GET", path)).json()).toEqual(flow);
    const head = await ask("HEAD", path);
    expect([head.status, await head.text(), head.headers.get("etag")]).toEqual([200, "", made.headers.get("etag")]);
    const patch = JSON.stringify([{ op: "replace", path: "/name", value: "übermittelt" }]);
    const patched = await ask("PATCH", path, patch);
    expect([patched.status, await patched.text()]).toEqual([204, ""]);
    expect((await registry.get(flow._id)).name).toBe("übermittelt");
    expect((await ask("DELETE", path)).status).toBe(204);
    const gone = await ask("GET", path);
    expect([gone.status, gone.headers.get("content-type"), await gone.json()]).toMatchObject([
      404,
      "application/json",
      { errors: [{ code: "not_found" }] },
    ]);
  });

  test("queries, percent escapes and other methods arrive", async () => {
    const { ask, registry } = await opened();
    await registry.define("a/b ü", input);

    expect((await ask("GET", `/flows/${encodeURIComponent("a/b ü")}?x=1`)).status).toBe(400);
    expect(await (await ask("GET", `/flows/${encodeURIComponent("a/b ü")}`)).json()).toMatchObject({ _id: "a/b ü" });
    expect(await (await ask("GET", "/flows?include=_id&limit=1")).json()).toEqual([{ _id: "a/b ü" }]);
    const other = await ask("PUT", "/flows", "{}");
    expect([other.status, other.headers.get("allow")]).toEqual([405, "GET, POST, HEAD, OPTIONS"]);
  });

  test("records arrive as they are, one or several, and an empty body stays empty", async () => {
    const { ask, registry } = await opened();
    const { _id } = await registry.create(input);

    for (const [body, accepted] of [
      ['{"id":1}', 1],
      ['[{"id":1},{"id":2}]', 2],
      ["[]", 0],
    ] as const) {
      const answered = await ask("POST", "/exports/orders/records", body);
      expect([answered.status, await answered.json()]).toEqual([202, { accepted, duplicates: 0 }]);
    }
    expect((await ask("POST", `/flows/${_id}/run`)).status).toBe(201);
    expect((await ask("POST", `/flows/${_id}/run`, "", {})).status).toBe(201);
  });

  // Where a parser comes first, it refuses these itself.
  if (!parsedBefore)
    test("malformed JSON, another type and too long a body are refused by the door", async () => {
      const { ask } = await opened();

      const statuses = [
        await ask("POST", "/flows", '{"name":'),
        await ask("POST", "/flows", "name=x", { "content-type": "application/x-www-form-urlencoded" }),
        await ask("POST", "/flows", "x".repeat(5_000)),
        await ask("POST", "/flows", "x".repeat(5_000_000)),
      ];

      expect(statuses.map(({ status }) => status)).toEqual([400, 415, 413, 413]);
      for (const answered of statuses)
        expect(await answered.json()).toMatchObject({ errors: [{ code: "invalid_request" }] });
    });

  test("a stream of events arrives while it happens, and ends with the scheduler", async () => {
    const { ask, registry, scheduler } = await opened();
    await scheduler.start();
    const response = await ask("GET", "/events");
    const stream: ReadableStream<Uint8Array> = response.body ?? new ReadableStream<Uint8Array>();
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    const greeting = (await reader.read()).value;

    await registry.create(input);
    let text = "";
    while (!text.includes("\n\n")) text += (await reader.read()).value ?? "";
    const ended = scheduler.stop();
    while (!(await reader.read()).done);
    await ended;

    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect([greeting?.startsWith("retry: "), text.includes("event: flow:created")]).toEqual([true, true]);
  });
});

test("a handler is what Next, Bun and Deno call: a function of a request, whatever else they hand over", async () => {
  const { handler } = setting("/api");
  const route: Record<string, (request: Request, context: unknown) => Promise<Response>> = {
    GET: handler,
    POST: handler,
  };

  const made = await route.POST?.(
    new Request("https://host.example/api/flows", { method: "POST", headers: json, body: JSON.stringify(input) }),
    { params: Promise.resolve({ path: ["flows"] }) },
  );
  const listed = await route.GET?.(new Request("https://host.example/api/flows"), {});

  expect([made?.status, made?.headers.get("location")?.startsWith("/api/flows/")]).toEqual([201, true]);
  expect(await listed?.json()).toHaveLength(1);
});

describe("behind a parser that has read the body", () => {
  test("what it was is what it made of it; the bytes themselves if it kept them", async () => {
    const bodies: string[] = [];
    const echo: Handler = async (request) => {
      bodies.push(await request.text());
      return new Response(null, { status: 204 });
    };
    const keep = {
      verify: (request: object, _response: object, rawBody: Buffer) => void Object.assign(request, { rawBody }),
    };
    const parsers = [express.json(), express.json(keep), express.text({ type: "*/*" }), express.raw({ type: "*/*" })];

    for (const parser of parsers) {
      const origin = await withExpress((app) => app.use(parser).use(toNodeListener(echo)));
      await fetch(origin, { method: "POST", headers: json, body: '{ "a" : 1 }' });
    }

    expect(bodies).toEqual(['{"a":1}', '{ "a" : 1 }', '{ "a" : 1 }', '{ "a" : 1 }']);
  });

  test("a form that it parsed is still no JSON", async () => {
    const { handler } = setting();
    const origin = await withExpress((app) => app.use(express.urlencoded()).use(toNodeListener(handler)));

    expect((await fetch(`${origin}/flows`, { method: "POST", body: new URLSearchParams({ name: "x" }) })).status).toBe(
      415,
    );
  });
});

describe("a listener of node:http", () => {
  test("leaves the host's Request and Response, and the request's own path, as they are", async () => {
    const before = [globalThis.Request, globalThis.Response];
    const paths: (string | undefined)[] = [];
    const { handler } = setting("/api");
    const listener = toNodeListener(handler);
    const origin = await withExpress((app) =>
      app.use("/api", (request, response) => {
        listener(request, response);
        paths.push(request.url);
      }),
    );

    expect((await fetch(`${origin}/api/flows`)).status).toBe(200);
    expect(paths).toEqual(["/flows"]);
    expect([globalThis.Request, globalThis.Response]).toEqual(before);
  });

  test("answers a request that is none in the door's own words", async () => {
    const { handler } = setting();
    const origin = await served(createServer(toNodeListener(handler)));
    const port = Number(new URL(origin).port);

    const raw = async (head: string) => {
      const socket = connect(port, "127.0.0.1");
      socket.end(`${head}\r\nConnection: close\r\n\r\n`);
      let text = "";
      for await (const part of socket) text += String(part);
      return text;
    };

    for (const head of [
      "GET /flows HTTP/1.1\r\nHost: a b",
      "GET /flows\\x HTTP/1.1\r\nHost: x",
      "GET /flows HTTP/1.1\r\nHost: [::1",
    ]) {
      const text = await raw(head);
      expect(text).toMatch(/^HTTP\/1\.1 400 /);
      if (text.includes("application/json")) expect(text).toContain('{"errors":[{"code":"invalid_request"');
    }
    expect(await raw("GET /flows HTTP/1.0")).toMatch(/^HTTP\/1\.1 200 /);
    expect(await raw("GET http://other.example/flows HTTP/1.1\r\nHost: x")).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("answers 500 without a word of why, if the handler breaks its promise", async () => {
    const broken = toNodeListener(() => Promise.reject(new Error("secret")));
    const origin = await served(createServer(broken));

    const response = await fetch(origin);

    expect([response.status, await response.json()]).toEqual([
      500,
      { errors: [{ code: "unexpected", message: "Unexpected error" }] },
    ]);
  });

  test("keeps a connection on which a body was not read", async () => {
    const { handler } = setting();
    const origin = await served(createServer(toNodeListener(handler)));
    const ports = new Set<number | undefined>();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = (body: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const request = httpRequest(`${origin}/flows`, { method: "POST", agent, headers: json }, (response) => {
          ports.add(request.socket?.localPort);
          response.resume().once("end", () => resolve(response.statusCode));
        });
        request.once("error", reject).end(body);
      });

    expect([await ask("x".repeat(100_000)), await ask(JSON.stringify(input))]).toEqual([413, 201]);
    expect(ports.size).toBe(1);
    agent.destroy();
  });

  test("ends a stream, and aborts the request's signal, when the client goes away", async () => {
    let tell: (what: string) => void = () => undefined;
    const told = new Promise<string>((resolve) => (tell = resolve));
    let abort: () => void = () => undefined;
    const aborted = new Promise<void>((resolve) => (abort = resolve));
    const endless: Handler = async ({ signal }) => {
      signal.addEventListener("abort", () => abort());
      const body = new ReadableStream<Uint8Array>({
        start: (to) => to.enqueue(new TextEncoder().encode("x")),
        cancel: () => tell("canceled"),
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    };
    const origin = await served(createServer(toNodeListener(endless)));
    const client = new AbortController();
    const response = await fetch(origin, { signal: client.signal });
    await response.body?.getReader().read();

    client.abort();

    expect(await told).toBe("canceled");
    await aborted;
  });
});

test("Fastify's other routes read bodies as before", async () => {
  const { handler } = setting("/api");
  const origin = (await mounts.Fastify?.(handler, "/api")) ?? "";

  const response = await fetch(`${origin}/own`, { method: "POST", headers: json, body: '{"a":1}' });

  expect(await response.json()).toEqual({ got: { a: 1 } });
});

test("a server that closes as the guide says has nobody left", async () => {
  const { handler, scheduler, registry } = setting();
  await scheduler.start();
  const server = createServer(toNodeListener(handler));
  const origin = await served(server);
  const response = await fetch(`${origin}/events`);
  const reading = response.text();
  await registry.create(input);

  const closed = once(server, "close");
  server.close();
  await scheduler.stop();
  server.closeIdleConnections();
  await closed;

  expect(await reading).toContain("event: flow:created");
});
