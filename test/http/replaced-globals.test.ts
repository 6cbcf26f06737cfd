import { once } from "node:events";
import type { Server } from "node:http";
import { serve } from "@hono/node-server";
import express from "express";
import { Hono } from "hono";
import { expect, test } from "vitest";
import type { Flow } from "../../src/index.ts";
import {} from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { input, json, served, setting, withExpress } from "./servers.ts";

// In a file of its own: `serve` replaces Request and Response for the rest of the process.
test("a host may have replaced Request and Response, as Hono's own serve does", async () => {
  const native = globalThis.Request;
  const { handler, scheduler } = setting("/api");
  const app = new Hono();
  app.all("/api/*", (context) => handler(context.req.raw));
  app.get("/own", (context) => context.text("mine"));
  const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }) as Server;
  await once(server, "listening");
  const origins = [
    await served(server),
    await withExpress((host) => host.use("/api", toNodeListener(handler))),
    await withExpress((host) => host.use(express.json()).use("/api", toNodeListener(handler))),
  ];
  expect(globalThis.Request).not.toBe(native);

  for (const origin of origins) {
    const flows = `${origin}/api/flows`;
    const made = await fetch(flows, { method: "POST", headers: json, body: JSON.stringify(input) });
    const { _id } = (await made.json()) as Flow;
    expect(made.status).toBe(201);
    expect(await (await fetch(`${flows}/${_id}`)).json()).toMatchObject(input);
    const head = await fetch(`${flows}/${_id}`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect((await fetch(`${flows}/${_id}`, { method: "DELETE" })).status).toBe(204);
    expect((await fetch(`${origin}/api/nowhere`)).status).toBe(404);
    // A stream stays open, also before the scheduler has begun.
    expect(scheduler.state).toBe("stopped");
    const reader = (await fetch(`${origin}/api/events`)).body?.getReader();
    const first = (await reader?.read())?.value as Uint8Array | undefined;
    await reader?.cancel();
    expect(new TextDecoder().decode(first)).toContain("retry: ");
  }
  expect(await (await fetch(`${origins[0] ?? ""}/own`)).text()).toBe("mine");
});
