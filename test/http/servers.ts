import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import express, { type Express } from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { afterEach } from "vitest";
import { FlowRegistry, Scheduler } from "../../src/index.ts";
import { type Handler, allowAll, createHandler, hmacSignature } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { collectingImport } from "../../src/testing/index.ts";

/** What makes a flow of what `setting` has. */
export const input = { name: "Orders", _exportId: "orders", _importId: "ledger" };

/** The headers of a body of JSON. */
export const json = { "content-type": "application/json" };

/** A handler, on a clock that runs, and what is behind it. The records of `shop` have to be signed: secret `s`. */
export function setting(basePath = "") {
  const registry = new FlowRegistry({
    exports: { orders: { listen: () => () => undefined }, shop: { listen: () => () => undefined } },
    imports: { ledger: collectingImport() },
  });
  const scheduler = new Scheduler(registry);
  const verify = { shop: hmacSignature({ secret: "s", header: "x-signature" }) };
  const handler = createHandler({ scheduler, authorize: allowAll(), basePath, verify, maxBodyBytes: 1_000 });
  return { registry, scheduler, handler };
}

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Where the server listens. It is closed after the test. */
export async function served(server: Server): Promise<string> {
  if (!server.listening) await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Where an application of Express listens, once `mount` has given it what it serves. */
export function withExpress(mount: (app: Express) => void): Promise<string> {
  const app = express();
  mount(app);
  return served(createServer(app as unknown as Parameters<typeof createServer>[1]));
}

/** Mounts a handler, and returns where its paths begin. */
export type Mount = (handler: Handler, basePath: string) => Promise<string>;

/** In an application of Fastify that has a route of its own: `POST /own` responds with what it got. */
export const withFastify: Mount = async (handler, basePath) => {
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
};

/** Every kind of server, by what it is. */
export const mounts: Readonly<Record<string, Mount>> = {
  "node:http": (handler) => served(createServer(toNodeListener(handler))),
  "Express, before express.json()": (handler, basePath) =>
    withExpress((app) => app.use(basePath || "/", toNodeListener(handler)).use(express.json())),
  "Express, after express.json()": (handler, basePath) =>
    withExpress((app) => app.use(express.json()).use(basePath || "/", toNodeListener(handler))),
  "Express, by a route of its own": (handler, basePath) =>
    withExpress((app) => app.all(`${basePath}/*path`, toNodeListener(handler))),
  Fastify: withFastify,
  Koa(handler, basePath) {
    const listener = toNodeListener(handler);
    const app = new Koa();
    app.use(async (context) => {
      if (!context.path.startsWith(`${basePath}/`)) return;
      context.respond = false;
      listener(context.req, context.res);
    });
    return served(createServer((incoming, outgoing) => void app.callback()(incoming, outgoing)));
  },
  Hono(handler, basePath) {
    const app = new Hono();
    app.all(`${basePath}/*`, (context) => handler(context.req.raw));
    return served(createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false }) as Server);
  },
};
