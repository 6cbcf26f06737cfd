import { createHmac } from "node:crypto";
import {
  type Auth,
  apiKey,
  basic,
  bearer,
  connection,
  hmac,
  httpExport,
  linkHeader,
  localLimits,
} from "poundlock/connectors/http";
import { ManualClock } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import { errorOf, fateOf, readAll } from "./contexts.ts";
import { startServer } from "./server.ts";

describe("a request carries", () => {
  const seen = async (auth: Auth, request: object = {}) => {
    const server = await startServer();
    await connection({ baseUrl: server.url, auth }).send(request);
    return server.seen[0] ?? expect.unreachable();
  };

  test("a bearer token, as it is when the request is sent", async () => {
    let token = "first";
    const server = await startServer();
    const to = connection({ baseUrl: server.url, auth: bearer(() => token) });

    await to.read({});
    token = "second";
    await to.read({});

    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer first", "Bearer second"]);
  });

  test("a user and a password, in UTF-8", async () => {
    const { headers } = await seen(basic("jörg", async () => "a:b"));

    expect(Buffer.from(headers.authorization?.slice(6) ?? "", "base64").toString()).toBe("jörg:a:b");
  });

  test("an API key, in a header or in the query", async () => {
    expect((await seen(apiKey({ key: "k3y", header: "x-api-key" }))).headers["x-api-key"]).toBe("k3y");
    expect((await seen(apiKey({ key: "k&y", query: "key" }), { query: { a: 1 } })).path).toBe("/?a=1&key=k%26y");
  });

  test("a signature over its body", async () => {
    const auth = hmac({ secret: "s3cret", header: "x-signature", prefix: "sha256=" });

    const { headers, body } = await seen(auth, { body: { ä: 1 } });

    expect(headers["x-signature"]).toBe(`sha256=${createHmac("sha256", "s3cret").update(body).digest("hex")}`);
  });

  test("a signature over its bytes and the time", async () => {
    const clock = new ManualClock("2030-01-01T00:00:00.999Z");
    const bytes = new Uint8Array([0, 255, 1]);
    const auth = hmac({
      secret: "s3cret",
      header: "x-signature",
      timestampHeader: "x-time",
      encoding: "base64",
      clock,
    });

    const { headers } = await seen(auth, { body: bytes });

    expect(headers["x-time"]).toBe("1893456000");
    const expected = createHmac("sha256", "s3cret").update("1893456000.").update(bytes).digest("base64");
    expect(headers["x-signature"]).toBe(expected);
  });

  test("a signature over what the API says", async () => {
    const auth = hmac({
      ...{ secret: "s3cret", header: "x-signature", algorithm: "sha512" },
      content: ({ method, url, body }) => `${method} ${url.pathname}${url.search} ${body}`,
    });

    const { headers } = await seen(auth, { path: "a", query: { b: 1 }, body: "c" });

    expect(headers["x-signature"]).toBe(createHmac("sha512", "s3cret").update("POST /a?b=1 c").digest("hex"));
  });
});

describe("without credentials a request is not sent: an error, or a stop,", () => {
  test.each<[title: string, auth: Auth, message: string]>([
    [
      "no token",
      bearer(() => undefined),
      "bearer.token: expected a string, now that a request needs it, found undefined",
    ],
    ["an empty one", bearer(() => ""), 'bearer.token: expected a string, now that a request needs it, found ""'],
    ["one with a line break", bearer("abc\nd3f"), "bearer.token: expected characters that a header can carry"],
    ["a user with a colon", basic(() => "us:er", "x"), "basic.user: expected a name without a colon"],
    ["one that cannot be had", bearer(() => Promise.reject(new Error("vault is sealed"))), "vault is sealed"],
  ])("%s", async (_title, auth, message) => {
    const server = await startServer();
    const to = connection({ baseUrl: server.url, auth });

    const error = await errorOf(to.read({}));

    expect(error.message).toContain(`was not sent for lack of credentials: ${message}`);
    expect(error.message).not.toContain("d3f");
    expect(await fateOf(to.read({}))).toBe("error");
    expect(await fateOf(to.send({}))).toBe("stop");
    expect(server.seen).toEqual([]);
  });

  test.each<[make: () => Auth, message: string]>([
    [() => bearer(undefined as never), "bearer.token: expected a string, or a function that returns one"],
    [() => bearer(""), "bearer.token: expected a string"],
    [() => apiKey({ key: "k" }), "apiKey: expected either header or query"],
    [() => apiKey({ key: "k", header: "a", query: "b" }), "apiKey: expected either header or query"],
    [() => hmac({ secret: "s", header: "h", algorithm: "md5" as never }), 'hmac.algorithm: expected "sha1"'],
  ])("%o is refused", (make, message) => {
    expect(make).toThrow(message);
  });
});

describe("after an answer 401", () => {
  const renewing = (onRenew: () => Promise<void> | void = () => undefined) => {
    let token = 0;
    const auth: Auth = {
      apply: ({ headers }) => headers.set("authorization", `Bearer ${token}`),
      async renew() {
        await onRenew();
        token++;
      },
    };
    return auth;
  };
  const accepting = (wanted: string) =>
    startServer(({ headers }) => ({ status: headers.authorization === wanted ? 200 : 401, body: {} }));

  test("credentials are renewed once, however many requests had it, and each is sent again", async () => {
    const server = await accepting("Bearer 1");
    let renewals = 0;
    const to = connection({
      baseUrl: server.url,
      auth: renewing(() => {
        renewals++;
      }),
      limits: localLimits({ concurrency: 50 }),
    });

    await Promise.all(Array.from({ length: 50 }, () => to.send({ body: 1 })));

    expect(renewals).toBe(1);
    expect(server.seen.length).toBe(100);
  });

  test("twice, it is an error, or a stop", async () => {
    const server = await accepting("Bearer never");
    const to = connection({ baseUrl: server.url, auth: renewing() });

    expect(await fateOf(to.read({}))).toBe("error");
    expect(await fateOf(to.send({}))).toBe("stop");
    expect(server.seen.length).toBe(4);
  });

  test("credentials that cannot be renewed now make it a retry", async () => {
    const server = await accepting("Bearer never");
    const { retryLater } = await import("poundlock");
    const to = connection({
      ...{ baseUrl: server.url, attempts: 1 },
      auth: renewing(() => Promise.reject(retryLater("the token server is down", { afterMs: 7_000 }))),
    });

    expect(await errorOf(to.send({}))).toMatchObject({ afterMs: 7_000 });
    expect(await fateOf(to.read({}))).toBe("retryLater");
  });

  test("the next one renews them again", async () => {
    let wanted = "Bearer 1";
    const server = await startServer(({ headers }) => ({
      status: headers.authorization === wanted ? 200 : 401,
      body: {},
    }));
    const to = connection({ baseUrl: server.url, auth: renewing() });
    await to.send({});

    wanted = "Bearer 2";
    await to.send({});

    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer 0",
      "Bearer 1",
      "Bearer 1",
      "Bearer 2",
    ]);
  });
});

describe("redirects", () => {
  test("of a reading are followed within the origin, five times, with credentials", async () => {
    const server = await startServer(({ path }) =>
      path === "/5"
        ? { body: { done: true } }
        : { status: 302, headers: { location: `/${Number(path.slice(1)) + 1}` } },
    );
    const to = connection({ baseUrl: server.url, auth: bearer("t0ken") });

    expect(await to.read({ path: "0" })).toEqual({ done: true });
    expect(server.seen.every(({ headers }) => headers.authorization === "Bearer t0ken")).toBe(true);
    server.seen.length = 0;
    server.respond = () => ({ status: 302, headers: { location: "/again" } });
    expect((await errorOf(to.read({}))).message).toContain("was redirected more than 5 times");
    expect(server.seen.length).toBe(6);
  });

  test.each([301, 302, 303])("%i make a GET of a search that was posted", async (status) => {
    const server = await startServer(({ method }) =>
      method === "POST" ? { status, headers: { location: "/result" } } : { body: { done: true } },
    );

    await connection({ baseUrl: server.url }).read({ body: { q: 1 } });

    expect(server.seen).toMatchObject([{ method: "POST" }, { method: "GET", path: "/result", body: "" }]);
    expect(server.seen[1]?.headers["content-type"]).toBeUndefined();
  });

  test.each([307, 308])("%i of a write are followed with its method and body", async (status) => {
    const server = await startServer(({ path }) =>
      path === "/a" ? { status, headers: { location: "/b" } } : { body: {} },
    );

    await connection({ baseUrl: server.url }).send({ method: "PUT", path: "a", body: { x: 1 } });

    expect(server.seen).toMatchObject([{ path: "/a" }, { path: "/b", method: "PUT", body: '{"x":1}' }]);
  });

  test.each([301, 302, 303])("%i of a write stop it", async (status) => {
    const server = await startServer(() => ({ status, headers: { location: "/b" } }));

    expect(await fateOf(connection({ baseUrl: server.url }).send({ path: "a" }))).toBe("stop");
    expect(server.seen.length).toBe(1);
  });

  test("to another origin are an error, or a stop, and it is sent nothing", async () => {
    const other = await startServer();
    const server = await startServer(() => ({ status: 307, headers: { location: `${other.url}/x?token=t0p` } }));
    const to = connection({ baseUrl: server.url, auth: bearer("t0ken") });

    const error = await errorOf(to.read({}));

    expect(error.message).toContain(`was redirected to another origin, ${other.url}`);
    expect(error.message).not.toContain("t0p");
    expect(await fateOf(to.send({}))).toBe("stop");
    expect(other.seen).toEqual([]);
  });

  test("to one of origins are followed without credentials and the connection's headers", async () => {
    const other = await startServer();
    const server = await startServer(() => ({ status: 307, headers: { location: `${other.url}/file` } }));
    const to = connection({
      ...{ baseUrl: server.url, origins: [other.url], auth: bearer("t0ken") },
      headers: { "x-api-key": "k3y", accept: "text/csv" },
    });

    await to.read({ headers: { cookie: "c00kie" } });

    expect(server.seen[0]?.headers).toMatchObject({
      authorization: "Bearer t0ken",
      "x-api-key": "k3y",
      cookie: "c00kie",
    });
    expect(other.seen[0]?.headers).toMatchObject({ accept: "text/csv" });
    expect(JSON.stringify(other.seen[0])).not.toMatch(/t0ken|k3y|c00kie/);
  });

  test("to one of origins are answered 401 without renewing anything", async () => {
    const other = await startServer(() => ({ status: 401 }));
    const server = await startServer(() => ({ status: 307, headers: { location: other.url } }));
    const auth: Auth = { apply: () => undefined, renew: () => expect.unreachable() };

    expect(await fateOf(connection({ baseUrl: server.url, origins: [other.url], auth }).read({}))).toBe("error");
  });
});

test("a next page at another origin is an error, and is sent nothing", async () => {
  const other = await startServer();
  const server = await startServer(() => ({ body: [1], headers: { link: `<${other.url}/next>; rel="next"` } }));
  const from = httpExport({
    connection: connection({ baseUrl: server.url, auth: bearer("t0ken") }),
    ...{ request: () => ({}), records: (body: number[]) => body, paging: linkHeader() },
  });

  expect((await errorOf(readAll(from))).message).toContain(
    "goes to an origin that is neither baseUrl's nor one of origins",
  );
  expect(other.seen).toEqual([]);
});

test("an API key that the server repeats in its links is not kept in the checkpoint", async () => {
  const server = await startServer(({ query, path }) => ({
    body: [query.get("page") ?? "1"],
    headers: query.has("page") ? {} : { link: `<${path}&page=2>; rel="next"` },
  }));
  const from = httpExport({
    connection: connection({ baseUrl: server.url, auth: apiKey({ key: "k3yk3y", query: "key" }) }),
    ...{ request: () => ({ query: { q: 1 } }), records: (body: string[]) => body, paging: linkHeader() },
  });

  const { checkpoints, records } = await readAll(from);

  expect(records).toEqual(["1", "2"]);
  expect(JSON.stringify(checkpoints)).toContain("page=2");
  expect(JSON.stringify(checkpoints)).not.toContain("k3yk3y");
  expect(server.paths[1]).toBe("/?q=1&page=2&key=k3yk3y");
});
