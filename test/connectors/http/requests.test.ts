// What requests may be, and what odd responses, limits and errors of a fetch come to.
import {
  apiKey,
  bearer,
  connection,
  hmac,
  httpExport,
  httpImport,
  linkHeader,
  nextUrl,
} from "poundlock/connectors/http";
import { reject, retryLater, stop } from "poundlock";
import { ManualClock } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import { errorOf, fateOf, importContext, kindOf, readAll } from "./contexts.ts";
import { startServer } from "./server.ts";

const base = "https://erp.example";
const answering = (make: () => Response) => connection({ baseUrl: base, attempts: 1, fetch: async () => make() });
const failing = (error: Error) => connection({ baseUrl: base, attempts: 1, fetch: () => Promise.reject(error) });

describe("connection refuses", () => {
  test.each<[baseUrl: unknown, found: string]>([
    [undefined, "found undefined"],
    ["erp", 'found "erp"'],
    ["ftp://erp.example", 'found "another"'],
    ["https://user:s3cret@erp.example", 'found "another"'],
    ["https://erp.example?key=s3cret", 'found "another"'],
  ])("the baseUrl %o, and quotes no secret", (baseUrl, found) => {
    const make = () => connection({ baseUrl } as never);

    expect(make).toThrow(found);
    expect(make).not.toThrow("s3cret");
  });

  test.each([["files"], ["ftp://files.example"], [7]])("the origin %o", (origin) => {
    expect(() => connection({ baseUrl: base, origins: [origin as string] })).toThrow("connection.origins");
  });

  test("a path, a query or a body that no request can have", async () => {
    const to = answering(() => Response.json({}));

    expect((await errorOf(to.read({ path: "https://[" }))).message).toContain("has a URL that cannot be read");
    for (const part of ["", {}, Number.NaN, ".."] as never[])
      expect((await errorOf(to.read({ path: ["items", part] }))).message).toContain("which names nothing");
    expect((await errorOf(to.read({ query: { a: {} } as never }))).message).toContain('an object as "a"');
    expect((await errorOf(to.read({ query: { a: () => 1 } as never }))).message).toContain('a function as "a"');
    expect((await errorOf(to.send({ headers: { "x-a": "a\nb" } }))).message).toContain("that HTTP cannot carry");
  });
});

test("a request has bytes, numbers in its path, its own content type, and no header that is undefined", async () => {
  const server = await startServer(() => ({ body: {} }));
  const to = connection({ baseUrl: server.url });

  await to.send({ path: ["items", 7n, 8], body: new TextEncoder().encode("bytes").buffer });
  await to.send({
    headers: { "content-type": "application/vnd.erp+json", "x-none": undefined },
    body: { a: 1 },
  });

  expect(server.seen.map(({ path, body }) => [path, body])).toEqual([
    ["/items/7/8", "bytes"],
    ["/", '{"a":1}'],
  ]);
  expect(server.seen[1]?.headers).toMatchObject({ "content-type": "application/vnd.erp+json" });
  expect(server.seen[1]?.headers).not.toHaveProperty("x-none");
});

test.each<[path: string, query: Record<string, string> | undefined, url: string]>([
  ["items?q=a%20b+c", { page: "2" }, "/items?q=a%20b+c&page=2"],
  ["items?", { page: "a b&" }, "/items?page=a+b%26"],
  ["items?a=1&", { page: "2" }, "/items?a=1&page=2"],
  ["?a=1", undefined, "/?a=1"],
  [`${base}/items#part`, { page: "2" }, "/items?page=2"],
  [`${base}/items?a=1#b?c`, {}, "/items?a=1"],
])("what the path %o has of a query stays as it is before the query %o", async (path, query, url) => {
  const seen: string[] = [];
  const fetch = async ({ href }: URL) => (seen.push(href), Response.json({}));
  const to = connection({ baseUrl: base, fetch });

  await to.read({ path, query });

  expect(seen).toEqual([base + url]);
});

test.each([
  ["text/plain; charset=iso-8859-1", [0xe9], "é"],
  ['text/plain; charset="UTF-8"', [0xc3, 0xa9], "é"],
  ["text/plain; charset=klingon", [0xc3, 0xa9], "é"],
])(
  "a body of the content type %s is read as it says, and in UTF-8 if nobody knows that charset",
  async (type, bytes, text) => {
    const to = answering(() => new Response(new Uint8Array(bytes), { headers: { "content-type": type } }));

    expect((await to.exchange({})).text).toBe(text);
  },
);

test.each([
  ["application/json", [0x22, 0xe9, 0x22], "utf-8"],
  ["application/json; charset=shift_jis", [0x22, 0x81, 0x22], "shift_jis"],
])("a body of the content type %s in another encoding is none", async (type, bytes, encoding) => {
  const to = answering(() => new Response(new Uint8Array(bytes), { headers: { "content-type": type } }));

  expect((await errorOf(to.read({}))).message).toContain(`answered 200 with a body that is not ${encoding}: "`);
});

test("a body may have the replacement character itself", async () => {
  const to = answering(() => new Response(new Uint8Array([0x22, 0xef, 0xbf, 0xbd, 0x22])));

  expect(await to.read({})).toBe("\uFFFD");
});

describe("an answer", () => {
  test("that redirects to what is no URL stays what it is", async () => {
    const to = answering(() => new Response("", { status: 302, headers: { location: "http://[" } }));

    expect((await errorOf(to.read({}))).message).toContain("answered 302");
  });

  test("asks for a wait until the date that waitOf makes of it", async () => {
    const clock = new ManualClock("2030-01-01T00:00:00Z");
    const waitOf = () => new Date("2030-01-01T00:00:09Z");
    const fetch = async () => new Response("", { status: 429 });
    const to = connection({ baseUrl: base, attempts: 1, clock, fetch, waitOf });

    expect(await errorOf(to.send({}))).toMatchObject({ afterMs: 9_000 });
  });

  test("of 401 that a verdict takes is no reason for other credentials", async () => {
    let renewals = 0;
    const auth = {
      apply: () => undefined,
      renew: async () => {
        renewals++;
      },
    };
    const to = connection({ baseUrl: base, auth, fetch: async () => Response.json([], { status: 401 }) });
    const from = httpExport({ connection: to, request: () => ({}), records: () => [], verdict: () => "ok" });

    await readAll(from);

    expect(renewals).toBe(0);
  });

  test("that is to be tried again later than anybody waits is a stop, whoever says so", async () => {
    const to = answering(() => new Response("{}", { status: 503, headers: { "retry-after": "9999999" } }));
    const into = httpImport({ connection: to, idempotent: true, request: () => ({}), verdict: () => "retryLater" });

    expect(await fateOf(Promise.resolve(into.write([1], importContext(1))))).toBe("stop");
  });

  test("is looked at with ok, and what parse throws is quoted only if it is an error", async () => {
    const seen: boolean[] = [];
    const to = answering(() => new Response("{}"));
    const parse = () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- as a parser of the host's might
      throw "s3cret";
    };
    const verdict = ({ ok }: { readonly ok: boolean }) => (seen.push(ok), undefined);
    const from = httpExport({ connection: to, request: () => ({}), records: () => [], verdict, parse });

    const { message } = await errorOf(readAll(from));

    expect(message).toContain("not as expected");
    expect([message.includes("s3cret"), seen[0]]).toEqual([false, true]);
  });

  test.each([
    ["reject", reject],
    ["stop", stop],
  ])("of which check says %s is an error to an export, and that to an import", async (name, outcome) => {
    const to = answering(() => Response.json([]));
    const check = () => outcome("no");

    const from = httpExport({ connection: to, request: () => ({}), records: () => [], check });
    const into = httpImport({ connection: to, idempotent: true, batch: () => ({}), check });

    expect((await errorOf(readAll(from))).message).toContain("no");
    expect(await fateOf(Promise.resolve(into.write([1], importContext(1))))).toBe(name);
  });

  test("of a failure is what its status says, however long its body is, and wherever it breaks off", async () => {
    const broken = () =>
      new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode("half"));
          controller.error(new Error("cut"));
        },
      });
    const long = connection({
      ...{ baseUrl: base, attempts: 1, maxBytes: 10 },
      fetch: async () => new Response("x".repeat(1_000), { status: 422 }),
    });

    expect((await errorOf(answering(() => new Response(broken(), { status: 422 })).send({}))).message).toContain("422");
    expect((await errorOf(long.send({}))).message).toContain("422");
  });

  test("without a content type is read as UTF-8", async () => {
    const fetch = async () => {
      const response = new Response('{"a":"é"}');
      response.headers.delete("content-type");
      return response;
    };

    expect(await connection({ baseUrl: base, fetch }).read({})).toEqual({ a: "é" });
  });
});

describe("an error of fetch", () => {
  test.each<[title: string, error: unknown, code: string | undefined, words: string]>([
    ["without a code", new Error("s3cret"), "http_interrupted", "Error"],
    ["that is no error", {}, "http_interrupted", "it failed"],
    ["that is nothing", undefined, "http_interrupted", "it failed"],
    [
      "of two addresses",
      new TypeError("fetch failed", {
        cause: new AggregateError([Object.assign(new Error("no"), { code: "ECONNREFUSED", syscall: "connect" })]),
      }),
      "ECONNREFUSED",
      "ECONNREFUSED, no",
    ],
  ])("%s", async (_title, error, code, words) => {
    const thrown = await errorOf(failing(error as Error).read({}));

    expect(thrown.cause ?? thrown).toMatchObject({ code });
    expect(thrown.message).toContain(words);
    expect(thrown.message).not.toContain("s3cret");
  });
});

describe("limits of the host's own", () => {
  test.each<[title: string, error: Error, afterMs: number | undefined]>([
    ["until a date", retryLater("not yet", { afterMs: new Date("2030-01-01T00:00:03Z") }), 3_000],
    ["for a while", retryLater("not yet", { afterMs: 5 }), 5],
    ["without a time", new Error("closed"), undefined],
  ])("put a request off %s", async (_title, error, afterMs) => {
    const limits = { enter: () => Promise.reject(error), pause: () => undefined };
    const clock = new ManualClock("2030-01-01T00:00:00Z");
    const to = connection({ baseUrl: base, attempts: 1, clock, limits: limits });

    const thrown = await errorOf(to.send({}));

    expect([kindOf(thrown), thrown.afterMs]).toEqual(["retryLater", afterMs]);
  });
});

describe("an import", () => {
  const to = () => answering(() => Response.json({ n: 1 }));

  test("of a batch takes an answer as it is without results, and refuses results that are no array", async () => {
    const options = { connection: to(), idempotent: true, batch: () => ({}), check: () => undefined };

    expect(await httpImport(options).write([1, 2], importContext(2))).toBeUndefined();
    const odd = httpImport({ ...options, results: () => 7 as never });
    expect((await errorOf(Promise.resolve(odd.write([1], importContext(1))))).message).toContain("results made 7");
  });

  test("stops where its request says so, and tries again where it says that", async () => {
    const into = httpImport<Error>({
      ...{ connection: to(), idempotent: true },
      request: (error) => {
        throw error;
      },
    });
    const write = (error: Error) => Promise.resolve(into.write([error], importContext(1)));

    expect(await fateOf(write(stop("no")))).toBe("stop");
    expect(await write(retryLater("later", { afterMs: 7 }))).toMatchObject([{ fault: "retry", afterMs: 7 }]);
    expect(await write(retryLater("later"))).toMatchObject([{ fault: "retry" }]);
    expect(await write(reject("bad"))).toMatchObject([{ fault: "reject" }]);
  });
});

describe("credentials", () => {
  test("that are waited for are given up with the request", async () => {
    const abort = new AbortController();
    const auth = { apply: () => (abort.abort(new Error("canceled")), Promise.reject(new Error("s3cret"))) };
    const to = connection({ baseUrl: base, auth, attempts: 1 });

    const { message } = await errorOf(to.send({}, abort.signal));

    expect(message).toContain("was given up: canceled");
  });

  test("of which a function gives a number are none, and are not shown", async () => {
    const to = connection({ baseUrl: base, auth: bearer((() => 7) as never), attempts: 1 });

    expect((await errorOf(to.send({}))).message).toContain('found "a number"');
  });

  test.each([new FormData(), new Blob(["x"])])("cannot be a signature over %o", async (body) => {
    const to = connection({ baseUrl: base, auth: hmac({ secret: "s", header: "x-signature" }), attempts: 1 });

    expect((await errorOf(to.send({ body }))).message).toContain("expected a body of JSON, a string, bytes");
  });

  test("are in the query where that is asked for", async () => {
    const server = await startServer(() => ({ body: {} }));

    await connection({ baseUrl: server.url, auth: apiKey({ key: "k", query: "key" }) }).read({});

    expect(server.paths).toEqual(["/?key=k"]);
  });
});

describe("paging", () => {
  test("refuses what is no function, and a next page that is no URL", async () => {
    expect(() => nextUrl("next" as never)).toThrow("nextUrl: expected a function");
    const from = httpExport({
      connection: answering(() => Response.json([1])),
      request: () => ({}),
      records: (body: number[]) => body,
      paging: nextUrl(() => "http://["),
    });

    expect((await errorOf(readAll(from))).message).toContain("the URL of the next page cannot be read");
  });

  test("takes a body that is no object as it is, and ends at a link without a relation", async () => {
    const bodies: string[] = [];
    const server = await startServer(({ body }) => {
      bodies.push(body);
      return { headers: { link: "</next>; title=next" }, body: [bodies.length] };
    });
    const records = (body: number[]) => body;
    const posting = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({ method: "POST", body: { a: 1 } }),
      records,
      paging: ({ page }) => (page < 2 ? { body: ["next"] } : undefined),
    });
    const linked = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({}),
      records,
      paging: linkHeader(),
    });

    expect((await readAll(posting)).records).toEqual([1, 2]);
    expect(bodies).toEqual(['{"a":1}', '["next"]']);
    expect((await readAll(linked)).records).toEqual([3]);
  });
});
