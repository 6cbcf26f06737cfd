import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { type Connection, type ConnectionOptions, connection, httpExport, httpImport } from "poundlock/connectors/http";
import { ManualClock } from "poundlock/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { errorOf, fateOf, importContext, kindOf, readAll } from "./contexts.ts";
import { type Fault, type Reply, closedPort, startServer } from "./server.ts";

interface Item {
  readonly id: number;
}

/** What an answer, or the lack of one, means to an export and to an import. */
async function fates(
  to: Connection,
  options: { readonly keyHeader?: string; readonly idempotent?: boolean } = {},
): Promise<readonly [asExport: string, asImport: string]> {
  return [await readFate(to), await writeFate(to, options)];
}

async function readFate(to: Connection): Promise<string> {
  const from = httpExport({ connection: to, request: () => ({ path: "items" }), records: (body: Item[]) => body });
  return fateOf(readAll(from));
}

async function writeFate(to: Connection, options: { readonly keyHeader?: string } = {}): Promise<string> {
  const into = httpImport({
    ...options,
    ...{ connection: to, idempotent: true },
    request: ({ id }: Item) => ({ method: "PUT", path: ["items", id], body: { id } }),
    value: (body: { readonly id: number }) => body.id,
  });
  try {
    const [result] = (await into.write([{ id: 1 }], importContext(1))) ?? [];
    return result === undefined || result.ok ? "ok" : result.fault;
  } catch (error) {
    return kindOf(error);
  }
}

async function answering(reply: Reply | Fault, options: Partial<ConnectionOptions> = {}): Promise<Connection> {
  const server = await startServer(() => reply);
  return connection({ baseUrl: server.url, attempts: 1, ...options });
}

describe("an answer's status means to an export and to an import", () => {
  test.each<[status: number, asExport: string, asImport: string]>([
    [301, "error", "stop"],
    [304, "error", "stop"],
    [400, "error", "reject"],
    [401, "error", "stop"],
    [402, "error", "stop"],
    [403, "error", "stop"],
    [404, "error", "reject"],
    [405, "error", "stop"],
    [407, "error", "stop"],
    [408, "retryLater", "retry"],
    [409, "error", "reject"],
    [410, "error", "reject"],
    [415, "error", "stop"],
    [418, "error", "reject"],
    [422, "error", "reject"],
    [423, "retryLater", "retry"],
    [425, "retryLater", "retry"],
    [429, "retryLater", "retry"],
    [500, "retryLater", "unknown"],
    [501, "error", "stop"],
    [502, "retryLater", "unknown"],
    [503, "retryLater", "retry"],
    [504, "retryLater", "unknown"],
    [599, "retryLater", "unknown"],
  ])("%i: %s, %s", async (status, asExport, asImport) => {
    expect(await fates(await answering({ status }))).toEqual([asExport, asImport]);
  });

  test("403 with a time to come back: retryLater, retry", async () => {
    const to = await answering({ status: 403, headers: { "retry-after": "0" } });

    expect(await fates(to)).toEqual(["retryLater", "retry"]);
  });

  test("409 under an idempotency key: the first request is still going on", async () => {
    const to = await answering({ status: 409 });

    expect(await fates(to, { keyHeader: "idempotency-key" })).toEqual(["error", "retry"]);
  });

  test("200 with the body that was expected: ok, ok", async () => {
    const server = await startServer(({ method }) => ({ body: method === "GET" ? [{ id: 1 }] : { id: 1 } }));

    expect(await fates(connection({ baseUrl: server.url }))).toEqual(["ok", "ok"]);
  });

  test.each<[title: string, body: string]>([
    ["a web page", "<!doctype html><title>Sign in</title>"],
    ["half of the JSON", '{"id": 1, "records": ['],
    ["nothing", ""],
    ["null", "null"],
  ])("200 with %s: error, unknown", async (_title, body) => {
    expect(await fates(await answering({ body }))).toEqual(["error", "unknown"]);
  });

  test("204: no records, and written", async () => {
    expect(await fates(await answering({ status: 204 }))).toEqual(["ok", "ok"]);
  });
});

describe("without a whole answer a request is", () => {
  test.each<Fault>(["reset", "cut", "short", "noHttp"])("retryLater or unknown: %s", async (fault) => {
    expect(await fates(await answering(fault))).toEqual(["retryLater", "unknown"]);
  });

  test.each<Fault>(["stall", "stallBody"])("retryLater or unknown after timeoutMs: %s", async (fault) => {
    const server = await startServer(() => fault);
    const clock = new ManualClock();
    const to = connection({ baseUrl: server.url, timeoutMs: 5_000, attempts: 1, clock });
    const late = async (work: Promise<string>, requests: number) => {
      await server.arrived(requests);
      await clock.advance(4_999);
      expect(clock.timers).toBe(1);
      await clock.advance(1);
      return work;
    };

    expect(await late(readFate(to), 1)).toBe("retryLater");
    expect(await late(writeFate(to), 2)).toBe("unknown");
    expect(clock.timers).toBe(0);
  });

  test("retryLater or retry if nobody listens", async () => {
    const to = connection({ baseUrl: `http://127.0.0.1:${await closedPort()}`, attempts: 1 });

    expect(await fates(to)).toEqual(["retryLater", "retry"]);
  });

  test("retryLater or retry if the host has no address", async () => {
    const to = connection({ baseUrl: "http://nowhere.invalid", attempts: 1 });

    expect(await fates(to)).toEqual(["retryLater", "retry"]);
  });

  test.each(["EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "UND_ERR_CONNECT_TIMEOUT"])(
    "retryLater or retry after %s",
    async (code) => {
      const fetch = () =>
        Promise.reject(new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code }) }));

      expect(await fates(connection({ baseUrl: "http://shop.example", attempts: 1, fetch }))).toEqual([
        "retryLater",
        "retry",
      ]);
    },
  );

  test("error or stop if TLS fails: HTTPS to a port that speaks HTTP", async () => {
    const server = await startServer();

    expect(await fates(connection({ baseUrl: `https://127.0.0.1:${server.port}`, attempts: 1 }))).toEqual([
      "error",
      "stop",
    ]);
  });

  test("error or stop if TLS fails: no certificate in common", async () => {
    const server = createTlsServer(() => undefined);
    const { port } = await new Promise<AddressInfo>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve(server.address() as AddressInfo)),
    );
    onTestFinished(() => void server.close());

    expect(await fates(connection({ baseUrl: `https://127.0.0.1:${port}`, attempts: 1 }))).toEqual(["error", "stop"]);
  });

  test.each(["DEPTH_ZERO_SELF_SIGNED_CERT", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "ERR_TLS_CERT_ALTNAME_INVALID"])(
    "error or stop after %s",
    async (code) => {
      const fetch = () =>
        Promise.reject(new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code }) }));

      expect(await fates(connection({ baseUrl: "https://shop.example", attempts: 1, fetch }))).toEqual([
        "error",
        "stop",
      ]);
    },
  );

  test("error or stop at a port that fetch does not go to", async () => {
    expect(await fates(connection({ baseUrl: "http://127.0.0.1:1", attempts: 1 }))).toEqual(["error", "stop"]);
  });

  test("retryLater or unknown if the server hangs up at once", async () => {
    const server = createTcpServer((socket) => socket.end());
    const { port } = await new Promise<AddressInfo>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve(server.address() as AddressInfo)),
    );
    onTestFinished(() => void server.close());

    expect(await fates(connection({ baseUrl: `http://127.0.0.1:${port}`, attempts: 1 }))).toEqual([
      "retryLater",
      "unknown",
    ]);
  });

  test("refused beyond maxBytes: error, unknown", async () => {
    const to = await answering({ body: [{ id: 1, name: "x".repeat(2_000) }] }, { maxBytes: 1_000 });

    expect(await fates(to)).toEqual(["error", "unknown"]);
    expect((await errorOf(to.read({}))).message).toContain("answered 200 with more than maxBytes, 1000");
  });
});

describe("a request that cannot be made is an error, or a reject of its record:", () => {
  test.each<[title: string, request: object]>([
    ["an empty part of the path", { path: ["items", ""] }],
    ["a part that leads elsewhere", { path: ["items", ".."] }],
    ["a path that leads elsewhere", { path: "items/../../admin" }],
    ["a path that leads elsewhere, encoded", { path: "items/%2e%2E/admin" }],
    ["a path with a fragment", { path: "items/a#b" }],
    ["half of a surrogate pair", { path: ["\ud800"] }],
    ["an object in the query", { query: { filter: { a: 1 } } }],
    ["a header with a line break", { headers: { "x-name": "a\nb" } }],
    ["a body that is no JSON", { body: { big: 1n } }],
    ["a body that is a stream", { body: new ReadableStream() }],
  ])("%s", async (_title, request) => {
    const server = await startServer();
    const to = connection({ baseUrl: server.url });

    expect(await fateOf(to.read(request))).toBe("error");
    expect(await fateOf(to.send(request))).toBe("reject");
    expect(server.seen).toEqual([]);
  });

  test("parts of a path are encoded one by one", async () => {
    const server = await startServer();
    const to = connection({ baseUrl: `${server.url}/api/v2/` });

    await to.read({ path: ["items", "a/b?c#d é..", 7], query: { "q&": ["1", 2], none: undefined, not: null } });

    expect(server.paths).toEqual(["/api/v2/items/a%2Fb%3Fc%23d%20%C3%A9../7?q%26=1&q%26=2"]);
  });

  test.each<[path: string, expected: string]>([
    ["orders", "/api/v2/orders"],
    ["/orders", "/api/v2/orders"],
    ["orders?open=1", "/api/v2/orders?open=1"],
    ["?open=1", "/api/v2?open=1"],
    ["", "/api/v2"],
  ])("the path %j comes after baseUrl", async (path, expected) => {
    const server = await startServer();

    await connection({ baseUrl: `${server.url}/api/v2` }).read({ path });

    expect(server.paths).toEqual([expected]);
  });

  test.each<[title: string, body: unknown, type: string | undefined, sent: string]>([
    ["an object", { a: [1, null] }, "application/json", '{"a":[1,null]}'],
    ["null", null, "application/json", "null"],
    ["a string", "<a/>", "text/plain;charset=UTF-8", "<a/>"],
    ["URLSearchParams", new URLSearchParams({ a: "b c" }), "application/x-www-form-urlencoded;charset=UTF-8", "a=b+c"],
    ["bytes", new Uint8Array([104, 105]), undefined, "hi"],
  ])("%s is sent as a body", async (_title, body, type, sent) => {
    const server = await startServer();

    await connection({ baseUrl: server.url }).send({ body });

    expect(server.seen).toMatchObject([{ method: "POST", body: sent }]);
    expect(server.seen[0]?.headers["content-type"]).toBe(type);
  });
});

describe("messages", () => {
  test("name method, origin and path, and quote 500 characters of the body", async () => {
    const to = await answering({ status: 422, body: `{"error":\n "no such customer", "x": "${"y".repeat(1_000)}"}` });

    const { message } = await errorOf(to.send({ method: "PUT", path: ["invoices", 7], query: { token: "t0p" } }));

    expect(message).toMatch(/^PUT http:\/\/127\.0\.0\.1:\d+\/invoices\/7 answered 422: \{"error": "no such customer"/);
    expect(message.length).toBeLessThan(600);
    expect(message).not.toContain("t0p");
  });

  test("have the code of the status, or of what broke", async () => {
    const port = await closedPort();

    expect((await errorOf((await answering({ status: 422 })).send({}))).cause).toMatchObject({ code: "http_422" });
    const refused = connection({ baseUrl: `http://127.0.0.1:${port}`, attempts: 1 });
    expect((await errorOf(refused.send({}))).cause).toMatchObject({ code: "ECONNREFUSED" });
    expect((await errorOf(refused.send({}))).message).toBe(
      `GET http://127.0.0.1:${port}/ was not sent: connect ECONNREFUSED 127.0.0.1:${port}`,
    );
  });
});

describe("a verdict is asked first:", () => {
  test.each<[verdict: "ok" | "retryLater" | "reject" | "stop", asExport: string, asImport: string]>([
    ["retryLater", "retryLater", "retry"],
    ["reject", "error", "reject"],
    ["stop", "error", "stop"],
  ])("%s of a 200", async (verdict, asExport, asImport) => {
    const server = await startServer(() => ({ body: { error: "quota" } }));
    const to = connection({ baseUrl: server.url, attempts: 1 });
    const by = ({ body }: { readonly body: unknown }) => ((body as { error?: string }).error ? verdict : undefined);
    const from = httpExport({ connection: to, request: () => ({}), records: (body: Item[]) => body, verdict: by });
    const into = httpImport({ connection: to, request: () => ({ body: 1 }), verdict: by, idempotent: true });

    expect(await fateOf(readAll(from))).toBe(asExport);
    const written = into.write([1], importContext(1));
    if (asImport === "stop") expect(await fateOf(written)).toBe("stop");
    else expect(await written).toMatchObject([{ ok: false, fault: asImport }]);
  });

  test("ok of a 404: what is to be deleted is not there", async () => {
    const server = await startServer(() => ({ status: 404 }));
    const into = httpImport({
      connection: connection({ baseUrl: server.url }),
      request: (id: number) => ({ method: "DELETE", path: [id] }),
      verdict: ({ status }) => (status === 404 ? "ok" : undefined),
      idempotent: true,
    });

    expect(await into.write([1], importContext(1))).toEqual([{ ok: true }]);
  });

  test("an error of an export is what the run fails with", async () => {
    const server = await startServer(() => ({ status: 429 }));
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({}),
      records: (body: Item[]) => body,
      verdict: () => new Error("the trial is over"),
    });

    expect((await errorOf(readAll(from))).message).toBe("the trial is over");
    expect(server.seen.length).toBe(1);
  });

  test("check looks at the body of a 2xx, and may throw", async () => {
    const server = await startServer(() => ({ body: { status: "error", message: "no such shop" } }));
    const to = connection({ baseUrl: server.url, attempts: 1 });
    const check = ({ message }: { readonly message: string }) => {
      throw new Error(message);
    };
    const from = httpExport({ connection: to, request: () => ({}), records: () => [], check });
    const into = httpImport({ connection: to, request: () => ({ body: 1 }), check, idempotent: true });
    const rejecting = httpImport({
      ...{ connection: to, request: () => ({ body: 1 }), idempotent: true },
      check: () => "reject" as const,
    });

    expect((await errorOf(readAll(from))).message).toBe("no such shop");
    expect(await into.write([1], importContext(1))).toMatchObject([{ ok: false, fault: "unknown" }]);
    expect(await rejecting.write([1], importContext(1))).toMatchObject([{ ok: false, fault: "reject" }]);
  });
});
