import { execSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type AuthorizeResult, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { routes } from "../../src/http/routes/routes.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { second, upTo } from "../support/harness.ts";
import {
  ApiHarness,
  type ApiResponse,
  EventReader,
  createApi,
  createApiWithFlow,
  errorCodes,
  flowInput,
} from "./harness.ts";
import { served } from "./servers.ts";

interface Line {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

function recordingLogger() {
  const lines: Line[] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields: { ...fields }, message });
  return { lines, logger: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") } };
}

describe("an error response", () => {
  const errorsOf = ({ json }: ApiResponse) => (json as { errors: { message: string }[] }).errors;

  test.each<[string, string, (size: number) => unknown]>([
    ["import ids", "/flows", (size) => ({ ...flowInput, _importId: null, _importIds: Array(size).fill(1) })],
    ["unknown import ids", "/flows", (size) => ({ ...flowInput, _importId: null, _importIds: Array(size).fill("x") })],
    [
      "unknown fields",
      "/flows",
      (size) => ({ ...flowInput, ...Object.fromEntries(upTo(size).map((n) => [`f${n}`, n])) }),
    ],
    ["failure ids", "/flows/flow/failures/retry", (size) => ({ _ids: Array(size).fill(1) })],
    ["event ids", "/exports/orders/records", (size) => ({ records: [], ids: Array(size).fill(1) })],
    [
      "steps",
      "/flows",
      (size) => ({ name: "x", pageGenerators: Array(size).fill(1), pageProcessors: Array(size).fill(1) }),
    ],
  ])("to a body of wrong %s lists at most 100 problems in 64 KB, at any size", async (_what, path, body) => {
    const api = createApi();
    await api.host.registry.define("flow", flowInput);

    for (const size of [90, 20_000]) {
      const response = await api.send("POST", path, { body: body(size) });
      expect([400, 422]).toContain(response.status);
      expect(response.text.length).toBeLessThanOrEqual(2 ** 16);
      expect(errorsOf(response).length).toBeLessThanOrEqual(101);
    }
  });

  test("says how many problems it leaves out", async () => {
    const api = createApi();
    await api.host.registry.define("flow", flowInput);
    const body = upTo(400).map(() => ({ op: "add", path: "/name", value: 1 }));

    const response = await api.send("PATCH", "/flows/flow", { body });

    expect([response.status, errorsOf(response).length, errorsOf(response).at(-1)?.message]).toEqual([
      400,
      101,
      "and 300 more",
    ]);
  });

  test("is at most 64 KB, however long names and values are", async () => {
    const api = createApi();
    const long = Object.fromEntries(upTo(200).map((n) => [`${n}${"\u0001".repeat(600)}`, n]));

    for (const [path, body] of [
      ["/flows", { ...flowInput, ...long }],
      [`/flows?${"ü".repeat(3_000)}=1`, {}],
    ] as const) {
      const { status, text } = await api.send("POST", path, { body });
      expect([400, 422]).toContain(status);
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(2 ** 16);
    }
  });

  test("to a list of patches that is too long does not look at its items", async () => {
    const { api, path } = await createApiWithFlow();
    let looked = 0;
    const body = Array(1_001).fill(0);
    const parse = JSON.parse;
    JSON.parse = (text: string) => {
      const value: unknown = parse(text);
      if (!Array.isArray(value) || value.length !== 1_001) return value;
      return new Proxy<object>(value, {
        get: (target, name) => (
          typeof name === "string" && /^\d+$/.test(name) && looked++,
          Reflect.get(target, name) as unknown
        ),
      });
    };
    try {
      const request = api.request("PATCH", path, { body: JSON.stringify(body) });
      expect((await api.handler(request)).status).toBe(400);
    } finally {
      JSON.parse = parse;
    }
    expect(looked).toBe(0);
  });
});

test("a list looks at the paths of include and exclude once, however many documents it has", async () => {
  const api = createApi();
  const settings = { a: Object.fromEntries(upTo(20).map((index) => [`f${index}`, index])) };
  for (let index = 0; index < 500; index++) await api.host.registry.create({ ...flowInput, settings });
  const paths = (count: number) =>
    upTo(count)
      .map((index) => `settings.a.f${index}`)
      .join();
  const secondsOf = async (query: string) => {
    const start = process.cpuUsage();
    const { status } = await api.handler(api.request("GET", `/flows?limit=500&${query}`));
    const { user, system } = process.cpuUsage(start);
    expect(status).toBe(200);
    return (user + system) / 1e6;
  };
  await secondsOf(`include=${paths(10)}`);

  // Read for each document anew, they took eight seconds.
  expect(await secondsOf(`include=${paths(50_000)}`)).toBeLessThan(3);
  expect(await secondsOf(`exclude=${paths(50_000)}`)).toBeLessThan(3);
}, 60_000);

describe("a request from another site", () => {
  const unsafe = routes.filter(({ method }) => method !== "GET");
  const foreign = [
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site", origin: "https://other.example" },
    { "sec-fetch-site": "cross-site", origin: "null" },
    { origin: "https://other.example" },
    { origin: "null" },
    { origin: "http://api.test.other.example" },
    { origin: "https://other.example", authorization: "Basic dXNlcjpwYXNz" },
  ];
  const fine = [
    {},
    { "sec-fetch-site": "same-origin", origin: "http://api.test" },
    { "sec-fetch-site": "none" },
    { origin: "http://api.test" },
    { "sec-fetch-site": "cross-site", origin: "https://admin.example" },
    { "sec-fetch-site": "cross-site", origin: "https://other.example", authorization: "Bearer x" },
  ];

  test.each(unsafe.map((route) => [`${route.method} ${route.path}`, route] as const))(
    "%s: is refused with 403 before authorize is called, and changes nothing",
    async (_title, { method, path }) => {
      const asked: string[] = [];
      const authorize = ({ action }: { action: string }) => (asked.push(action), true);
      const { api, flow } = await createApiWithFlow({ http: { authorize, origins: ["https://admin.example"] } });
      asked.length = 0;
      const at = path.replace("{_id}", path.startsWith("/exports") ? "orders" : flow._id);

      for (const headers of foreign)
        expect((await api.send(method, at, { headers })).status, JSON.stringify(headers)).toBe(403);
      expect([asked, await api.host.registry.list()]).toEqual([[], { items: [flow] }]);
      for (const headers of fine)
        expect((await api.send(method, at, { headers })).status, JSON.stringify(headers)).not.toBe(403);
      expect(asked.length).toBe(fine.length);
    },
  );

  test("may read", async () => {
    const { api, path } = await createApiWithFlow();

    for (const method of ["GET", "HEAD"])
      for (const headers of foreign) expect((await api.send(method, path, { headers })).status).toBe(200);
  });

  test("is for verify to decide where there is one", async () => {
    const api = createApi({ http: { verify: { orders: () => true } } });
    await api.host.registry.define("flow", flowInput);
    const headers = { "sec-fetch-site": "cross-site", origin: "https://other.example" };

    expect((await api.send("POST", "/exports/orders/records", { body: { id: 1 }, headers })).status).toBe(202);
    expect((await api.send("POST", "/exports/refunds/records", { body: { id: 1 }, headers })).status).toBe(403);
  });

  test("compares Origin with Host, behind a server", async () => {
    const { api } = await createApiWithFlow();
    const origin = await served(createServer(toNodeListener(api.handler)));
    const post = (from: string) => fetch(`${origin}/flows/x/run`, { method: "POST", headers: { origin: from } });

    expect([(await post(origin)).status, (await post("http://127.0.0.1:1")).status]).toEqual([404, 403]);
  });
});

describe("a path in another spelling than the canonical one", () => {
  test.each([
    "/api/fl%6Fws",
    "/api/%66lows/flow",
    "/api/flow%73/flow/dependencies",
    "/api/flows/%66low",
    "/api//flows",
    "/api/flows//flow",
    "/api/flows%2Fflow",
    "/api/flows%2fflow",
    "/api/flows%5Cflow",
    "/api/flows/a%2Fb",
    "/%61pi/flows",
    "/api/flows/%zz",
  ])("%s is not found", async (path) => {
    const { api } = await createApiWithFlow({ http: { basePath: "/api" } });
    await api.host.registry.define("flow", flowInput);

    for (const method of ["GET", "DELETE", "OPTIONS", "PROPFIND"])
      expect((await api.handler(new Request(`http://api.test${path}`, { method }))).status).toBe(404);
    expect((await api.host.registry.list()).items).toHaveLength(2);
  });

  test("a slash at the end makes no difference", async () => {
    const { api, path } = await createApiWithFlow({ http: { basePath: "/api" } });

    for (const at of ["/flows/", "/exports/", "/runs/?limit=1", `${path}/`, `${path}/failures/`])
      expect((await api.send("GET", at)).status, at).toBe(200);
    const { headers } = await api.send("POST", `${path}/run/`);
    const { pathname } = new URL(headers.get("location") ?? "", `http://api.test/api${path}/run/`);
    expect(pathname).toMatch(/^\/api\/runs\/[^/]+$/);
  });

  test.each(["constructor", "__proto__", "toString", "ALL"])("the method %s is not allowed", async (method) => {
    const response = await createApi().handler(new Request("http://api.test/flows", { method }));

    expect([response.status, "params" in Object]).toEqual([405, false]);
  });

  /** The status of a request whose target is sent as it is. */
  function raw(port: number, target: string, headers = "host: x"): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () =>
        socket.write(`GET ${target} HTTP/1.1\r\n${headers}\r\nconnection: close\r\n\r\n`),
      );
      let text = "";
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("error", reject);
      socket.on("close", () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])));
    });
  }

  test("cannot pass a guard that knows paths by their beginning", async () => {
    const { api } = await createApiWithFlow({ http: { basePath: "/api" } });
    const listener = toNodeListener(api.handler);
    const guarded = createServer((incoming, outgoing) => {
      if (/^\/api\/flows(?=[/?]|$)/i.test(incoming.url ?? "")) outgoing.writeHead(403).end();
      else listener(incoming, outgoing);
    });
    const { port } = new URL(await served(guarded));
    const targets = [
      ...["/api/x/../flows", "/api/./flows", "/api/%2e/flows", "/api/x/%2e%2e/flows", "/api/x/.%2E/flows"],
      ...["/api/x\\..\\flows", "/api\\flows", "/api/flows#x", "http://x/api/flows", "//x/api/flows", "/api/fl%6Fws"],
    ];

    for (const target of targets) expect(await raw(Number(port), target), target).toBe(404);
    expect(await raw(Number(port), "/api/flows")).toBe(403);
    expect(await raw(Number(port), "/api/runs")).toBe(200);
    for (const host of ["x/api/flows?", "x/api/flows#", "x@y", "x\\y"])
      expect(await raw(Number(port), "/api/other", `host: ${host}`), host).toBeGreaterThanOrEqual(400);
  });
});

describe("what a tenant sees of others' activity", () => {
  function tenants(cursorSecret?: string) {
    return new ApiHarness({
      exports: { numbers: arrayExport(upTo(3)) },
      imports: { ledger: collectingImport() },
      http: {
        authorize: ({ request }) => ({ _integrationId: request.headers.get("x-tenant") ?? "a" }),
        ...(cursorSecret === undefined ? {} : { cursorSecret }),
      },
    });
  }
  const cursorOf = ({ next = "" }: ApiResponse) => new URL(next, "http://x").searchParams.get("after") ?? "";

  test("is nothing in cursors: they contain no number, and only their own tenant can use them", async () => {
    const api = tenants();
    const flows = [await api.host.flow({ _integrationId: "a" }), await api.host.flow({ _integrationId: "b" })];
    for (const flow of flows) for (let count = 0; count < 3; count++) await api.host.scheduler.run(flow._id);
    const first = await api.send("GET", "/runs?limit=1");
    const cursor = cursorOf(first);

    const second = await api.send("GET", first.next ?? "");
    const asOther = await api.send("GET", first.next ?? "", { headers: { "x-tenant": "b" } });

    expect(cursor).toMatch(/^[\w-]{30,}$/);
    expect(Buffer.from(cursor, "base64url").toString("latin1")).not.toMatch(/^\d+$/);
    expect([second.status, (second.json as object[]).length]).toEqual([200, 1]);
    expect([asOther.status, errorCodes(asOther.json)]).toEqual([400, ["invalid_request after"]]);
    const changed = `${cursor.startsWith("A") ? "B" : "A"}${cursor.slice(1)}`;
    for (const wrong of ["1", "", "x".repeat(60), changed])
      expect((await api.send("GET", `/runs?after=${wrong}`)).status, wrong).toBe(400);
  });

  test("cursors are the same in every process with the same secret, and in no other", async () => {
    const secrets = ["a secret of some length", "a secret of some length", "a secret of other length", undefined];
    const apis = secrets.map((secret) => tenants(secret));
    const cursors = [];
    for (const api of apis) {
      for (const _id of ["one", "two"])
        await api.host.registry.define(_id, {
          name: _id,
          _exportId: "numbers",
          _importId: "ledger",
          _integrationId: "a",
        });
      cursors.push(cursorOf(await api.send("GET", "/flows?limit=1")));
    }
    const statuses = await Promise.all(
      cursors.map(async (cursor) => (await apis[0]?.send("GET", `/flows?after=${cursor}`))?.status),
    );

    expect(cursors[0]).toBe(cursors[1]);
    expect(statuses).toEqual([200, 200, 400, 400]);
  });

  test("a cursor secret that is too short is refused, and not shown", () => {
    const make = () => createApi({ http: { cursorSecret: "s3cret" } });

    expect(make).toThrow(expect.objectContaining({ code: "invalid_option", option: "cursorSecret" }) as Error);
    expect(make).not.toThrow(/s3cret/);
  });
});

describe("the event streams of a caller", () => {
  const open = async (api: ApiHarness, headers = {}) => {
    const response = await api.handler(api.request("GET", "/events", { headers }));
    return { status: response.status, response };
  };
  const read = async ({ response }: { response: Response }) => {
    const reader = new EventReader(response.body ?? new ReadableStream());
    await reader.read();
    return reader;
  };

  test.each<[string, (headers: Headers) => AuthorizeResult, [string, string]]>([
    ["a named caller", (headers) => ({ fullAccess: true, caller: headers.get("x-who") ?? "" }), ["ann", "bob"]],
    ["a tenant", (headers) => ({ _integrationId: headers.get("x-who") ?? "" }), ["ann", "bob"]],
    [
      "a named caller of a tenant",
      (headers) => ({ _integrationId: "acme", caller: headers.get("x-who") ?? "" }),
      ["ann", "bob"],
    ],
  ])("are limited for %s, and those of others are not affected", async (_what, authorize, [one, other]) => {
    const api = createApi({
      http: { maxStreamsPerCaller: 2, authorize: ({ request }) => authorize(request.headers) },
    });
    await api.host.scheduler.start();
    const as = (name: string) => ({ "x-who": name });
    const opened = [await open(api, as(one)), await open(api, as(one))];
    const readers = await Promise.all(opened.map(read));

    const third = await api.send("GET", "/events", { headers: as(one) });
    const others = await open(api, as(other));

    expect([third.status, errorCodes(third.json), third.headers.get("retry-after")]).toEqual([429, ["busy"], "5"]);
    expect(others.status).toBe(200);
    await readers[0]?.leave();
    expect((await open(api, as(one))).status).toBe(200);
    await others.response.body?.cancel();
    await api.host.scheduler.stop();
  });

  test("of HEAD requests do not count, and those that nobody reads count for 30 seconds", async () => {
    const api = createApi({ http: { maxStreamsPerCaller: 1 } });
    await api.host.scheduler.start();
    for (let count = 0; count < 3; count++) expect((await api.send("HEAD", "/events")).status).toBe(200);

    const statuses = [(await open(api)).status, (await open(api)).status];
    await api.host.clock.advance(31 * second);
    statuses.push((await open(api)).status);

    expect(statuses).toEqual([200, 429, 200]);
    await api.host.scheduler.stop();
  });

  test("are 100 unless the host says otherwise", async () => {
    const api = createApi();
    await api.host.scheduler.start();
    const statuses = [];
    for (let count = 0; count < 101; count++) statuses.push((await open(api)).status);

    expect([statuses.filter((status) => status === 200).length, statuses.at(-1)]).toEqual([100, 429]);
    await api.host.scheduler.stop();
  });
});

describe("the log", () => {
  test("has one line for each request that may change something, with its action, ids, caller and status", async () => {
    const { lines, logger } = recordingLogger();
    const authorize = (): AuthorizeResult => ({ _integrationId: "acme", caller: "ann" });
    const api = createApi({ http: { logger, authorize } });
    const flow = await api.host.flow({ _integrationId: "acme" });
    const by = { caller: "ann", integrationId: "acme" };

    const created = await api.send("POST", "/flows", { body: flowInput });
    const cloned = await api.send("POST", `/flows/${flow._id}/clone`);
    const run = await api.send("POST", `/flows/${flow._id}/run`);
    await api.send("PUT", "/runs/gone/cancel");
    await api.send("POST", "/exports/orders/records", { body: { id: 1 } });
    await api.send("GET", "/flows");
    await api.send("POST", "/flows", { body: "no JSON" });

    const idOf = ({ json }: ApiResponse) => (json as { _id: string })._id;
    expect(lines.map(({ level, fields }) => ({ level, ...fields }))).toEqual([
      { level: "info", action: "flows.create", flowId: idOf(created), ...by, status: 201 },
      { level: "info", action: "flows.clone", flowId: flow._id, copyId: idOf(cloned), ...by, status: 201 },
      { level: "info", action: "flows.run", flowId: flow._id, runId: idOf(run), ...by, status: 201 },
      { level: "info", action: "runs.cancel", runId: "gone", ...by, status: 404 },
      { level: "info", action: "records.accept", exportId: "orders", ...by, status: 202 },
    ]);
  });

  test("names the token of a caller by its number, and never shows it", async () => {
    const { lines, logger } = recordingLogger();
    const { bearerToken } = await import("../../src/http/index.ts");
    const api = createApi({ http: { logger, authorize: bearerToken(["s3cret-1", "s3cret-2"]) } });

    await api.send("POST", "/flows", { body: flowInput, headers: { authorization: "Bearer s3cret-2" } });

    expect(lines[0]?.fields).toMatchObject({ action: "flows.create", caller: "token 2" });
    expect(JSON.stringify(lines)).not.toContain("s3cret");
  });

  test("that throws does not change a response", async () => {
    const logger = {
      debug: () => undefined,
      info: () => {
        throw new Error("disk full");
      },
      warn: () => undefined,
      error: () => undefined,
    };

    expect((await createApi({ http: { logger } }).send("POST", "/flows", { body: flowInput })).status).toBe(201);
  });
});

/** Opens as many connections as it is given, a few hundred at a time, sends nothing, and says when all are open. */
const idleClients = `
  const [port, count] = process.argv.slice(1).map(Number);
  const open = () => new Promise((resolve, reject) => {
    const socket = require("node:net").connect(port, "127.0.0.1", resolve);
    socket.on("error", reject);
  });
  (async () => {
    for (let left = count; left > 0; left -= 250) await Promise.all(Array.from({ length: 250 }, open));
    console.log("open");
  })();
`;

describe("slow clients", () => {
  /** A server with the settings of the guide, shortened. */
  async function slowServer() {
    const { api } = await createApiWithFlow();
    const options = {
      headersTimeout: 300,
      requestTimeout: 600,
      connectionsCheckingInterval: 50,
      keepAliveTimeout: 300,
    };
    const origin = await served(
      createServer(options, toNodeListener(createHandler({ scheduler: api.host.scheduler, authorize: () => true }))),
    );
    return { port: Number(new URL(origin).port) };
  }

  /** Sends a part each 50 ms; resolves with the server's first line when the connection is closed. */
  function trickle(port: number, parts: readonly string[]): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const socket = connect(port, "127.0.0.1");
      const left = [...parts];
      const timer = setInterval(() => socket.write(left.shift() ?? "x"), 50);
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("error", () => undefined);
      socket.on("close", () => {
        clearInterval(timer);
        resolve(text.split("\r\n")[0] ?? "");
      });
    });
  }

  test("that trickle headers or a body are cut off by the server's timeouts, and others are served meanwhile", async () => {
    const { port } = await slowServer();
    const head = "POST /flows HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
    const slow = [
      ...upTo(20).map(() => trickle(port, ["GET /flows HTTP/1.1\r\n", "host: x\r\n"])),
      ...upTo(20).map(() => trickle(port, [head, "{"])),
    ];

    const meanwhile = await Promise.all(
      upTo(20).map(async () => (await fetch(`http://127.0.0.1:${port}/flows`)).status),
    );

    expect(new Set(meanwhile)).toEqual(new Set([200]));
    expect(new Set(await Promise.all(slow))).toEqual(new Set(["HTTP/1.1 408 Request Timeout"]));
  });

  const idleConnections = 10_000;
  const openFiles = Number(execSync("ulimit -n", { encoding: "utf8" }).trim().replace("unlimited", "Infinity"));
  const lacksFiles = openFiles < idleConnections + 500 && `only ${openFiles} files may be open here (ulimit -n)`;

  test(`with ${idleConnections} idle connections do not keep others from being served`, async ({ skip }) => {
    skip(lacksFiles !== false, lacksFiles === false ? "" : lacksFiles);
    const { api } = await createApiWithFlow();
    const server = createServer(toNodeListener(api.handler));
    const origin = await served(server);
    // In a process of their own, which has open files of its own.
    const clients = spawn(process.execPath, ["-e", idleClients, new URL(origin).port, String(idleConnections)]);
    try {
      await once(clients.stdout, "data");

      const statuses = await Promise.all(upTo(20).map(async () => (await fetch(`${origin}/flows`)).status));

      expect(await promisify(server.getConnections.bind(server))()).toBeGreaterThanOrEqual(idleConnections);
      expect(new Set(statuses)).toEqual(new Set([200]));
    } finally {
      clients.kill();
      await once(clients, "exit");
    }
  }, 60_000);

  test("that send no body where one is announced keep no other request of the connection", async () => {
    const { port } = await slowServer();
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = httpRequest(
        { port, method: "POST", path: "/flows/x/run", headers: { "content-length": 0 } },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      sent.on("error", reject).end();
    });

    expect(status).toBe(404);
  });
});
