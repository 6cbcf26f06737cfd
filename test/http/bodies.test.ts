import { describe, expect, test } from "vitest";
import { type Export, type Flow, StorageFailedError } from "../../src/index.ts";
import { bearerToken } from "../../src/http/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { routes } from "../../src/http/routes/routes.ts";
import { ApiHarness, type ApiSetting } from "./harness.ts";

const orders: Export<unknown> = { listen: () => () => undefined };
const input = { name: "Orders", _exportId: "orders", _importId: "ledger" };

interface Line {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

function opened(setting: ApiSetting = {}) {
  const lines: Line[] = [];
  const line = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields: { ...fields }, message });
  const logger = { debug: line("debug"), info: () => undefined, warn: line("warn"), error: line("error") };
  const ledger = collectingImport<unknown>();
  const api = new ApiHarness({
    exports: { orders },
    imports: { ledger },
    ...setting,
    http: { logger, ...setting.http },
  });
  return { api, ledger, lines };
}

const bytes = (...parts: (string | number)[]) =>
  new Uint8Array(parts.flatMap((part) => (typeof part === "number" ? [part] : [...Buffer.from(part)])));

describe("a body", () => {
  test.each<[string, string | Uint8Array]>([
    ["nothing at all", ""],
    ["half of an object", '{"hunter2":"x"'],
    ["a word", "hunter2"],
    ["a word for a value", '{"password": hunter2}'],
    ["a word in the midst of more", `{"password": ${" ".repeat(50)}hunter2${" ".repeat(50)}}`],
    ["two values", "{} {}"],
    ["a trailing comma", '{"hunter2":"x",}'],
    ["bytes that are no UTF-8", bytes('{"hunter2":"', 0xff, 0xfe, '"}')],
    ["an overlong encoding", bytes('{"hunter2":"', 0xc0, 0xaf, '"}')],
    ["UTF-16", new Uint8Array(Buffer.from('{"hunter2":"x"}', "utf16le"))],
    ["a bare NUL", bytes('{"hunter2":"', 0, '"}')],
  ])("of %s is refused with 400, and nothing of it is shown", async (_what, body) => {
    const { api } = opened();

    const { status, json, text } = await api.send("POST", "/flows", { body });

    expect([status, json]).toMatchObject([400, { errors: [{ code: "invalid_request" }] }]);
    expect(text).not.toContain("hunter2");
  });

  test.each<[string, Record<string, string>]>([
    ["text", { "content-type": "text/plain" }],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }],
    ["JSON of another kind", { "content-type": "application/merge-patch+json" }],
    ["another charset", { "content-type": "application/json; charset=utf-16" }],
    ["a compressed one", { "content-encoding": "gzip" }],
    ["no type", { "content-type": "" }],
  ])("that says it is %s is refused with 415", async (_what, headers) => {
    const { api } = opened();

    expect((await api.send("POST", "/flows", { body: JSON.stringify(input), headers })).status).toBe(415);
    expect((await api.send("GET", "/flows")).json).toEqual([]);
  });

  test.each([
    "application/json",
    "Application/JSON ; charset=UTF-8",
    'application/json; charset="utf-8"',
    "application/json;x=y",
  ])("that says it is %s is read", async (type) => {
    const { api } = opened();

    const sent = { body: JSON.stringify(input), headers: { "content-type": type, "content-encoding": "identity" } };
    expect((await api.send("POST", "/flows", sent)).status).toBe(201);
  });

  test("may begin with a byte order mark", async () => {
    const { api } = opened();

    expect((await api.send("POST", "/flows", { body: `\uFEFF${JSON.stringify(input)}` })).status).toBe(201);
  });

  test("of maxBodyBytes is read, a longer one refused with 413", async () => {
    const { api } = opened({ http: { maxBodyBytes: 100 } });
    const sized = (length: number) => JSON.stringify(input).padEnd(length);

    expect((await api.send("POST", "/flows", { body: sized(100) })).status).toBe(201);
    expect((await api.send("POST", "/flows", { body: sized(101) })).status).toBe(413);
    expect((await api.send("GET", "/flows")).json).toHaveLength(1);
  });

  test("of a megabyte is read by default, and one byte more is not", async () => {
    const { api } = opened();

    expect((await api.send("POST", "/flows", { body: JSON.stringify(input).padEnd(2 ** 20) })).status).toBe(201);
    expect((await api.send("POST", "/flows", { body: JSON.stringify(input).padEnd(2 ** 20 + 1) })).status).toBe(413);
  });

  test("that breaks off is refused with 400", async () => {
    const { api } = opened();
    const broken = new ReadableStream({ pull: (to) => to.error(new Error("socket hang up")) });
    const headers = { "content-type": "application/json" };
    const request = new Request("http://api.test/flows", { method: "POST", headers, body: broken, duplex: "half" });

    expect((await api.read(await api.handler(request), "POST", "/flows")).status).toBe(400);
  });

  test("of keys that mean something to objects does no harm to any", async () => {
    const { api, ledger } = opened();
    await api.host.scheduler.start();
    await api.host.flow();
    const hostile =
      '{"name":"x","_exportId":"orders","_importId":"ledger","__proto__":{"disabled":true},"constructor":{"prototype":{"bad":1}}}';

    const made = await api.send("POST", "/flows", { body: hostile });
    const patch =
      '[{"op":"replace","path":"/__proto__","value":{"bad":1}},{"op":"replace","path":"/name","value":"y"}]';
    const patched = await api.send("PATCH", `/flows/${(await api.host.flow())._id}`, { body: patch });
    const merged = await api.send("PATCH", `/flows/${(await api.host.flow())._id}`, {
      body: '{"__proto__":{"name":"z"}}',
    });
    const ran = await api.send("POST", `/flows/${(await api.host.flow())._id}/run`, {
      body: '{"__proto__":{"limit":1}}',
    });
    const taken = await api.send("POST", "/exports/orders/records", { body: '{"id":1,"__proto__":{"bad":1}}' });
    await api.host.clock.settle();

    expect([made.status, patched.status, merged.status, ran.status, taken.status]).toEqual([422, 422, 422, 400, 202]);
    expect(({} as { bad?: unknown }).bad).toBeUndefined();
    const [record] = ledger.written as [Record<string, unknown>];
    expect([Object.keys(record), record.bad]).toEqual([["id", "__proto__"], undefined]);
  });

  test("of a key given twice means the last one, in what is checked and in what is stored", async () => {
    const { api } = opened();

    const { json } = await api.send("POST", "/flows", {
      body: '{"name":"first","_exportId":"none","_exportId":"orders","_importId":"ledger","name":"last"}',
    });

    expect(json).toMatchObject({ name: "last", _exportId: "orders" });
  });

  test.each([
    [900, 422],
    [1_001, 400],
    [100_000, 400],
  ])("nested %i deep is refused with %i, and harms nothing", async (depth, expected) => {
    const { api } = opened();
    await api.host.flow();
    const deep = "[".repeat(depth) + "]".repeat(depth);

    expect((await api.send("POST", "/flows", { body: `{"name":${deep}}` })).status).toBe(expected);
    expect((await api.send("POST", "/flows", { body: deep })).status).toBe(expected);
    const { status, json } = await api.send("POST", "/exports/orders/records", { body: `[${deep}]` });
    expect([status, json]).toMatchObject([expected, { errors: [{ code: "invalid_request" }] }]);
  });

  test("with strings that no storage keeps is refused, and one with long strings, too", async () => {
    const { api } = opened();

    for (const name of ["\\u0000", "\\ud800", "x".repeat(256), "x".repeat(900_000)])
      expect((await api.send("POST", "/flows", { body: JSON.stringify(input).replace("Orders", name) })).status).toBe(
        422,
      );
    const { text } = await api.send("POST", "/flows", { body: { ...input, name: "x".repeat(900_000) } });
    expect(text.length).toBeLessThan(1_000);
  });

  test("with lone surrogates in records is stored unchanged", async () => {
    const { api, ledger } = opened();
    await api.host.scheduler.start();
    await api.host.flow();

    const { status } = await api.send("POST", "/exports/orders/records", { body: '{"name":"\\ud800"}' });
    await api.host.clock.settle();

    expect([status, ledger.written]).toEqual([202, [{ name: "\ud800" }]]);
  });
});

describe("every route", () => {
  const all = routes.map(({ method, path, body }) => [`${method} ${path}`, method, path, body] as const);
  const withBody = all.filter(([, , , body]) => body !== undefined);

  async function reached(path: string) {
    const { api } = opened();
    const { _id } = await api.host.flow();
    return { api, path: path.replace("{_id}", path.startsWith("/exports/") ? "orders" : _id) };
  }

  test.each(all)("%s refuses a parameter that it does not know", async (_name, method, template) => {
    const { api, path } = await reached(template);

    const { status, json } = await api.send(method, `${path}?hunter2=x`);

    const refused: unknown = expect.objectContaining({ code: "invalid_request", field: "hunter2" });
    expect(status).toBe(400);
    expect((json as { errors: unknown }).errors).toContainEqual(refused);
  });

  test.each(withBody)("%s refuses what is no JSON, or says that it is something else", async (_n, method, template) => {
    const { api, path } = await reached(template);
    const headers = { "content-type": "text/plain" };

    expect((await api.send(method, path, { body: "{" })).status).toBe(400);
    expect((await api.send(method, path, { body: "{}", headers })).status).toBe(415);
  });

  test.each(withBody)("%s refuses what is 100,000 levels deep, wherever it is", async (_name, method, template) => {
    const { api, path } = await reached(template);
    const array = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const object = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;
    const bodies = [
      ...[array, object, `{"name":${object}}`, `{"_importIds":${array}}`, `{"limit":${array}}`, `{"_ids":[${object}]}`],
      ...[`[{"op":"replace","path":"/name","value":${array}}]`, `{"records":${array},"ids":${array}}`],
    ];

    for (const body of bodies) {
      const { status, text } = await api.send(method, path, { body });
      expect([400, 422], `${body.slice(0, 40)} → ${text.slice(0, 200)}`).toContain(status);
      expect(text.length).toBeLessThan(2_000);
    }
  });
});

describe("an unexpected error", () => {
  const secret = "hunter2-very-secret";

  async function broken(error: unknown) {
    const { api, lines } = opened({ http: { authorize: bearerToken(secret) } });
    api.host.storage.findFlow = () =>
      new Promise(() => {
        throw error;
      });
    const request = api.request("PATCH", "/flows/a", {
      body: { name: secret },
      headers: { authorization: `Bearer ${secret}`, cookie: secret },
    });
    const response = await api.handler(request);
    return { response, text: await response.text(), lines };
  }

  test("becomes a 500 with an id and nothing else, and is logged under that id", async () => {
    const { response, text, lines } = await broken(new Error("SELECT * FROM passwords at /srv/app"));

    const [line] = lines;
    const errorId = String(line?.fields.errorId);
    expect(response.status).toBe(500);
    expect(JSON.parse(text)).toEqual({ errors: [{ code: "unexpected", message: `Unexpected error ${errorId}` }] });
    expect(line).toMatchObject({ level: "error", message: "request failed" });
    expect(line?.fields).toMatchObject({ method: "PATCH", error: "SELECT * FROM passwords at /srv/app" });
    expect(lines).toHaveLength(1);
  });

  test("of a backend becomes a 503 without the backend's message, and is logged, too", async () => {
    const { response, text, lines } = await broken(new StorageFailedError("findFlow", new Error("/var/db is full")));

    expect([response.status, response.headers.has("retry-after")]).toEqual([503, true]);
    expect(JSON.parse(text)).toMatchObject({ errors: [{ code: "storage_failed" }] });
    expect(text).not.toContain("/var/db");
    expect(JSON.stringify(lines)).toContain("/var/db");
  });

  test.each([[undefined], [null], ["text"], [{ code: "x" }]])("may be anything: %j", async (thrown) => {
    const { response, lines } = await broken(thrown);

    expect([response.status, lines.length]).toEqual([500, 1]);
  });

  test("puts no header, query or body into the log", async () => {
    const { lines } = await broken(new Error("boom"));
    const { api, lines: others } = opened({
      http: {
        authorize: () => {
          throw new Error("session store is down");
        },
      },
    });
    const { status } = await api.handler(api.request("GET", `/flows?after=${secret}`, { headers: { cookie: secret } }));

    expect(status).toBe(500);
    expect(others).toHaveLength(1);
    expect(JSON.stringify([lines, others])).not.toContain(secret);
  });

  test("becomes a 500 even if the logger throws", async () => {
    const fails = () => {
      throw new Error("disk full");
    };
    const { api } = opened({ http: { logger: { debug: fails, info: fails, warn: fails, error: fails } } });
    api.host.storage.findFlow = () => Promise.reject(new Error("boom"));

    expect((await api.handler(api.request("GET", "/flows/a"))).status).toBe(500);
  });

  test("what is refused is not logged", async () => {
    const { api, lines } = opened();
    await api.send("GET", "/flows/gone");
    await api.send("POST", "/flows", { body: "{" });
    await api.send("POST", "/flows", { body: {} });

    expect(lines).toEqual([]);
  });
});

test("a handler without what it needs is refused at once, by name", () => {
  const { api } = opened();
  const { scheduler } = api.host;
  const make = (options: object) => () =>
    new ApiHarness({ http: { scheduler, ...options } as Exclude<ApiSetting["http"], undefined> });
  const wrong: [string, object][] = [
    ["registry", { registry: api.host.registry }],
    ["scheduler", { scheduler: undefined }],
    ["authorize", { authorize: undefined }],
    ["authorize", { authorize: "everybody" }],
    ["verify", { verify: { orders: true } }],
    ["verify.order", { verify: { order: () => true } }],
    ["basePath", { basePath: "api" }],
    ["basePath", { basePath: "/api/" }],
    ["basePath", { basePath: "/:x" }],
    ["maxBodyBytes", { maxBodyBytes: 0 }],
    ["maxRecordsBytes", { maxRecordsBytes: 1.5 }],
    ["maxWaitMs", { maxWaitMs: -1 }],
    ["eventBuffer", { eventBuffer: 0 }],
    ["heartbeatMs", { heartbeatMs: 0 }],
    ["logger", { logger: () => undefined }],
    ["authorise", { authorise: () => true }],
  ];

  for (const [option, options] of wrong)
    expect(make(options), option).toThrow(expect.objectContaining({ code: "invalid_option", option }) as Error);
});

test("the API returns a flow exactly as the registry made it", async () => {
  const { api } = opened();
  const flow: Flow = await api.host.flow();

  expect((await api.send("GET", `/flows/${flow._id}`)).text).toBe(JSON.stringify(flow));
});
