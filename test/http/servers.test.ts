import { describe, expect, test } from "vitest";
import type { Flow } from "../../src/index.ts";
import type { Handler } from "../../src/http/index.ts";
import { input, json, mounts, setting, withFastify } from "./servers.ts";

const cases = Object.entries(mounts).flatMap(([name, mount]) =>
  ["", "/api/v1"].map((basePath) => [`${name}${basePath && " below "}${basePath}`, mount, basePath] as const),
);

describe.each(cases)("mounted on %s", (name, mount, basePath) => {
  async function opened(other?: Handler) {
    const { handler, registry, scheduler } = setting(basePath);
    const origin = await mount(other ?? handler, basePath);
    const ask = (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = json) =>
      fetch(`${origin}${basePath}${path}`, {
        method,
        ...(body === undefined ? {} : { body }),
        ...(body === undefined && headers === json ? {} : { headers }),
        signal: AbortSignal.timeout(10_000),
      });
    return { ask, registry, scheduler };
  }
  const parsedBefore = name.includes("after express.json");

  test("flows are made, found, changed and deleted", async () => {
    const { ask, registry } = await opened();

    const made = await ask("POST", "/flows", JSON.stringify(input));
    const flow = (await made.json()) as Flow;
    const path = `/flows/${flow._id}`;

    expect([made.status, new URL(made.headers.get("location") ?? "", made.url).pathname]).toEqual([
      201,
      `${basePath}${path}`,
    ]);
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
    await registry.define("a:b ü", input);

    expect((await ask("GET", `/flows/${encodeURIComponent("a:b ü")}?x=1`)).status).toBe(400);
    expect(await (await ask("GET", `/flows/${encodeURIComponent("a:b ü")}`)).json()).toMatchObject({ _id: "a:b ü" });
    expect(await (await ask("GET", "/flows?include=_id&limit=1")).json()).toEqual([{ _id: "a:b ü" }]);
    const other = await ask("PUT", "/flows", "{}");
    expect([other.status, other.headers.get("allow")]).toEqual([405, "GET, POST, HEAD, OPTIONS"]);
  });

  test("a body is as long as it says, and where there is to be none, there is none", async () => {
    const { ask, registry } = await opened();
    const { _id } = await registry.create(input);
    const got = await ask("GET", `/flows/${_id}`);
    const etag = got.headers.get("etag") ?? "";

    const same = await ask("GET", `/flows/${_id}`, undefined, { "if-none-match": etag });
    const gone = await ask("DELETE", `/flows/${_id}`);

    expect(Number(got.headers.get("content-length"))).toBe((await got.arrayBuffer()).byteLength);
    for (const [response, status] of [
      [same, 304],
      [gone, 204],
    ] as const) {
      expect([response.status, await response.text()]).toEqual([status, ""]);
      expect([response.headers.get("content-length"), response.headers.get("transfer-encoding")]).toEqual([null, null]);
    }
  });

  test("records arrive as they are, one or several, and an empty body stays empty", async () => {
    const { ask, registry } = await opened();
    const { _id } = await registry.create(input);

    for (const [body, accepted] of [
      ['{"id":1}', 1],
      ['[{"id":1},{"id":2}]', 2],
      ["[]", 0],
    ] as const) {
      const received = await ask("POST", "/exports/orders/records", body);
      expect([received.status, await received.json()]).toEqual([202, { accepted, duplicates: 0 }]);
    }
    expect((await ask("POST", `/flows/${_id}/run`)).status).toBe(201);
    expect((await ask("POST", `/flows/${_id}/run`, "", {})).status).toBe(201);
    // Nothing is not a record without fields, whatever a parser takes it for.
    expect((await ask("POST", "/exports/orders/records", "")).status).toBe(400);
  });

  // Where a parser comes first, it refuses these itself, and keeps no bytes.
  if (!parsedBefore) {
    test("a body arrives byte for byte, and goes back so", async () => {
      const { ask } = await opened(async (request) => new Response(await request.arrayBuffer()));
      const bodies = [
        Buffer.from('{ "a" :'),
        Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0xff, 0x00, 0x0d, 0x0a]),
        Buffer.alloc(3e6, 7),
      ];

      for (const body of bodies) {
        const back = Buffer.from(await (await ask("POST", "/flows", body)).arrayBuffer());
        expect(back.equals(body)).toBe(true);
      }
    });

    test("malformed JSON, another type and too long a body are refused by the API", async () => {
      const { ask } = await opened();

      const statuses = [
        await ask("POST", "/flows", '{"name":'),
        await ask("POST", "/flows", "name=x", { "content-type": "application/x-www-form-urlencoded" }),
        await ask("POST", "/flows", "x".repeat(5_000)),
        await ask("POST", "/flows", "x".repeat(5_000_000)),
      ];

      expect(statuses.map(({ status }) => status)).toEqual([400, 415, 413, 413]);
      for (const received of statuses)
        expect(await received.json()).toMatchObject({ errors: [{ code: "invalid_request" }] });
    });
  }

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

    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    });
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

  expect([made?.status, made?.headers.get("location")?.startsWith("flows/")]).toEqual([201, true]);
  expect(await listed?.json()).toHaveLength(1);
});

test("Fastify's other routes read bodies as before", async () => {
  const { handler } = setting("/api");
  const origin = await withFastify(handler, "/api");

  const response = await fetch(`${origin}/own`, { method: "POST", headers: json, body: '{"a":1}' });

  expect(await response.json()).toEqual({ got: { a: 1 } });
});
