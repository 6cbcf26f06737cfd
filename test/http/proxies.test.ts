import { createServer, request as httpRequest } from "node:http";
import { connect, createServer as createHttp2Server } from "node:http2";
import { promisify } from "node:util";
import { Hono } from "hono";
import Koa from "koa";
import { describe, expect, test } from "vitest";
import type { Flow, Run } from "../../src/index.ts";
import { type HandlerOptions, allowAll, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { scriptedImport } from "../../src/testing/index.ts";
import { Gate, aborted, pagesExport, second } from "../support/harness.ts";
import { ApiHarness, createApi, createApiWithFlow, flowInput } from "./harness.ts";
import { served } from "./servers.ts";

type Options = Partial<Omit<HandlerOptions, "scheduler">>;

/** A server that forwards what is below `prefix`, which it removes from the path. */
async function behindProxy(prefix: string, http: Options = {}) {
  const api = createApi({ http });
  const { port } = new URL(await served(createServer(toNodeListener(api.handler))));
  const proxy = createServer((incoming, outgoing) => {
    if (incoming.url?.startsWith(`${prefix}/`) !== true) {
      outgoing.writeHead(404).end("another service");
      return;
    }
    const { method, headers } = incoming;
    const path = incoming.url.slice(prefix.length);
    const forwarded = httpRequest({ port, host: "127.0.0.1", method, path, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 0, response.headers);
      response.pipe(outgoing);
    });
    incoming.pipe(forwarded);
  });
  return { api, at: `${await served(proxy)}${prefix}` };
}

describe("behind a proxy that removes a prefix", () => {
  test.each<[string, string, Options]>([
    ["without any option", "/tools/flows-api", {}],
    ["with a base path", "/tools", { basePath: "/v1" }],
    ["with a public path", "/tools/flows-api", { publicPath: "/tools/flows-api" }],
  ])("%s, Location, Link and the servers of the document lead back to the API", async (_how, prefix, http) => {
    const { at: root } = await behindProxy(prefix, http);
    const at = `${root}${http.basePath ?? ""}`;
    const post = (path: string) =>
      fetch(at + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        ...(path === "/flows" ? { body: JSON.stringify(flowInput) } : {}),
      });

    const created = await post("/flows");
    await post("/flows");
    const flow = (await created.json()) as Flow;
    const run = await post(`/flows/${flow._id}/run`);
    const list = await fetch(`${at}/flows?limit=1`);
    const document = (await (await fetch(`${at}/openapi.json`)).json()) as { servers: { url: string }[] };

    const links = [
      new URL(created.headers.get("location") ?? "", created.url),
      new URL(run.headers.get("location") ?? "", run.url),
      new URL(/<(.*)>/.exec(list.headers.get("link") ?? "")?.[1] ?? "", list.url),
      new URL(`${document.servers[0]?.url ?? ""}/health`, `${at}/openapi.json`),
    ];
    expect(await Promise.all(links.map(async (link) => (await fetch(link)).status))).toEqual([200, 200, 200, 200]);
  });

  test("a public address is what Location, Link and the document begin with", async () => {
    const publicPath = "https://example.com/flows";
    const api = createApi({ http: { publicPath, basePath: "/api" } });
    const send = (method: string, path: string, body?: object) => api.handler(api.request(method, path, { body }));

    const created = await send("POST", "/flows", flowInput);
    await send("POST", "/flows", flowInput);
    const list = await send("GET", "/flows?limit=1&disabled=false");
    const document = (await (await send("GET", "/openapi.json")).json()) as { servers: unknown };

    expect(created.headers.get("location")?.startsWith(`${publicPath}/flows/`)).toBe(true);
    expect(list.headers.get("link")?.startsWith(`<${publicPath}/flows?limit=1&disabled=false&after=`)).toBe(true);
    expect(document.servers).toEqual([{ url: publicPath }]);
  });

  test.each(["tools", "/tools/", "https://", "ftp://example.com", "/a?b", ""])(
    "a public path of %j is refused",
    (publicPath) => {
      const make = () => createApi({ http: { publicPath } });
      expect(make).toThrow(expect.objectContaining({ code: "invalid_option", option: "publicPath" }) as Error);
    },
  );
});

describe("mounted in another application", () => {
  test("Hono's mount removes the path, and what responses name leads back", async () => {
    const { api, flow } = await createApiWithFlow();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- what hosts use today
    const app = new Hono().mount("/tools/api", api.handler);

    const read = await app.request(`/tools/api/flows/${flow._id}`);
    const run = await app.request(`http://x/tools/api/flows/${flow._id}/run`, { method: "POST" });
    const { pathname } = new URL(run.headers.get("location") ?? "", `http://x/tools/api/flows/${flow._id}/run`);

    expect([read.status, run.status, (await app.request(pathname)).status]).toEqual([200, 201, 200]);
  });

  test("a body that a middleware has read is an error of the server with a hint, never of the sender", async () => {
    const { api } = await createApiWithFlow();
    for (const read of [
      (request: Request) => request.text(),
      async (request: Request) => void request.body?.getReader(),
    ]) {
      const app = new Hono();
      app.use(async (context, next) => {
        await read(context.req.raw);
        await next();
      });
      app.all("*", (context) => api.handler(context.req.raw));
      const headers = { "content-type": "application/json" };

      const response = await app.request("/exports/orders/records", { method: "POST", headers, body: '{"id":1}' });

      expect([response.status, await response.text()]).toEqual([500, expect.stringContaining("body is unread")]);
    }
  });

  test("a body that a parser of Koa has read is found where the host hands it on, and otherwise a 500", async () => {
    const { api } = await createApiWithFlow();
    const listener = toNodeListener(api.handler);
    const koa = (handsOn: boolean) => {
      const app = new Koa();
      app.use(async (context) => {
        let text = "";
        for await (const chunk of context.req) text += String(chunk);
        if (handsOn) Object.assign(context.req, { rawBody: text });
        context.respond = false;
        listener(context.req, context.res);
      });
      return served(createServer((incoming, outgoing) => void app.callback()(incoming, outgoing)));
    };
    const post = async (origin: string) =>
      (
        await fetch(`${origin}/exports/orders/records`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: '{"id":1}',
        })
      ).status;

    expect([await post(await koa(true)), await post(await koa(false))]).toEqual([202, 500]);
  });

  test("HTTP/2 without TLS is served, streams included", async () => {
    const { api } = await createApiWithFlow();
    await api.host.scheduler.start();
    const listener = toNodeListener(api.handler) as unknown as Parameters<typeof createHttp2Server>[1];
    const server = createHttp2Server({}, listener as never);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = connect(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
    const send = (headers: Record<string, string>, body?: string) =>
      new Promise<{ status: number; text: string }>((resolve, reject) => {
        const stream = client.request(headers);
        const result = { status: 0, text: "" };
        stream.on("response", (received) => (result.status = Number(received[":status"])));
        stream.on("data", (chunk) => (result.text += String(chunk)));
        stream.on("end", () => resolve(result));
        stream.on("error", reject);
        stream.end(body);
      });

    const events = send({ ":path": "/events" });
    const json = { "content-type": "application/json" };
    const created = await send({ ":path": "/flows", ":method": "POST", ...json }, JSON.stringify(flowInput));
    const listed = await send({ ":path": "/flows" });
    await api.host.clock.settle();
    await api.host.scheduler.stop();

    expect([created.status, listed.status, (JSON.parse(listed.text) as object[]).length]).toEqual([201, 200, 2]);
    expect((await events).text).toContain("event: flow:created");
    client.close();
    await promisify(server.close.bind(server))();
  });
});

describe("when the scheduler stops", () => {
  function slowApi() {
    const gate = new Gate();
    const exports = {
      slow: {
        async *pages({ signal }: { signal: AbortSignal }) {
          yield { records: [1] };
          await Promise.race([gate.opened, aborted(signal)]);
          signal.throwIfAborted();
        },
      },
    };
    return { api: new ApiHarness({ exports, imports: { into: scriptedImport(() => undefined) } }), gate };
  }

  test("a request that waits for the end of a run gets the run as it is, at once", async () => {
    const { api } = slowApi();
    const flow = await api.host.flow();
    await api.host.scheduler.start();
    const waiting = api.send("POST", `/flows/${flow._id}/run`, { headers: { prefer: "wait=50" } });
    await api.host.clock.settle();
    const stopping = api.host.scheduler.stop({ graceMs: second });
    await api.host.clock.advance(3 * second);
    await stopping;

    const { status, json } = await waiting;

    expect([status, (json as Run).status]).toEqual([201, "queued"]);
    expect(api.host.clock.timers).toBe(0);
  });

  test("a request that comes later does not wait, and one before the first start does", async () => {
    const { api } = slowApi();
    const flow = await api.host.flow();
    const before = api.send("POST", `/flows/${flow._id}/run`, { headers: { prefer: "wait=5" } });
    await api.host.clock.settle();
    const timers = api.host.clock.timers;
    await api.host.clock.advance(6 * second);
    await before;
    await api.host.scheduler.start();
    const stopping = api.host.scheduler.stop({ graceMs: 0 });
    await api.host.clock.advance(3 * second);
    await stopping;

    const { status } = await api.send("POST", `/flows/${flow._id}/run`, { headers: { prefer: "wait=50" } });

    expect([timers > 0, status, api.host.clock.timers]).toEqual([true, 201, 0]);
  });

  test("a heartbeat comes every ten seconds unless the host says otherwise", async () => {
    const { api } = await createApiWithFlow();
    await api.host.scheduler.start();
    const response = await api.handler(api.request("GET", "/events"));
    const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
    await reader.read();
    const beat = reader.read();
    await api.host.clock.advance(9.9 * second);
    let isSent = false;
    void beat.then(() => (isSent = true));
    await api.host.clock.settle();
    const early = isSent;
    await api.host.clock.advance(0.2 * second);

    expect([early, new TextDecoder().decode((await beat).value as Uint8Array).startsWith(":")]).toEqual([false, true]);
    await reader.cancel();
    await api.host.scheduler.stop();
  });
});

test("a handler needs no option but a scheduler and authorize", async () => {
  const { scheduler } = createApi({ exports: { numbers: pagesExport([[1]]) } }).host;

  expect((await createHandler({ scheduler, authorize: allowAll() })(new Request("http://x/health"))).status).toBe(200);
});
