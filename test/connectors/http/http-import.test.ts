import type { ImportMembers } from "poundlock";
import { type HttpImport, connection, httpImport } from "poundlock/connectors/http";
import { type ImportCaseOptions, importCases } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import { errorOf, fateOf, importContext } from "./contexts.ts";
import { type Fault, type Reply, type SeenRequest, type TestServer, startServer } from "./server.ts";

interface Invoice {
  readonly id: string;
  readonly total: number;
}

/** An API that keeps invoices by their ids, with one request for each or for many. */
class FakeErp {
  readonly invoices = new Map<string, Invoice>();
  /** Applied, and then the connection breaks, for so many requests. */
  losing = 0;

  respond = ({ method, path, body }: SeenRequest): Reply | Fault => {
    const reply = path === "/batch" ? this.#batch(JSON.parse(body) as Invoice[]) : this.#one(method, path, body);
    return this.losing-- > 0 ? "reset" : reply;
  };

  #one(method: string, path: string, body: string): Reply {
    const id = decodeURIComponent(path.slice("/invoices/".length));
    const found = this.invoices.get(id);
    if (method === "GET") return found === undefined ? { status: 404 } : { body: found };
    const invoice = JSON.parse(body) as Invoice;
    if (invoice.total < 0) return { status: 422, body: { error: "below zero" } };
    this.invoices.set(id, invoice);
    return { status: 201, body: { number: `N-${id}` } };
  }

  #batch(invoices: readonly Invoice[]): Reply {
    const results = invoices.map((invoice) => {
      if (invoice.total < 0) return { ok: false, reason: "below zero" };
      this.invoices.set(invoice.id, invoice);
      return { ok: true };
    });
    return { body: { results } };
  }
}

interface Setting {
  readonly erp: FakeErp;
  readonly server: TestServer;
}

const settings = new WeakMap<object, Setting>();

async function setUp(make: (url: string) => HttpImport<Invoice>): Promise<HttpImport<Invoice>> {
  const erp = new FakeErp();
  const server = await startServer(erp.respond);
  const into = make(server.url);
  settings.set(into, { erp, server });
  return into;
}

const perRecord = (url: string) =>
  httpImport({
    connection: connection({ baseUrl: url }),
    request: (invoice: Invoice) => ({ method: "PUT", path: ["invoices", invoice.id], body: invoice }),
    value: (body: { readonly number: string }) => body.number,
    idempotent: true,
  });

const perBatch = (url: string) =>
  httpImport({
    connection: connection({ baseUrl: url }),
    batch: (invoices: readonly Invoice[]) => ({ path: "batch", body: invoices }),
    results: (body: { readonly results: { ok: boolean; reason?: string }[] }) =>
      body.results.map(({ ok, reason }) => (ok ? { ok } : { ok, fault: "reject", error: reason })),
    idempotent: true,
  });

function settingOf(into: object): Setting {
  return settings.get(into) ?? expect.unreachable();
}

// A fake of single requests fails as many of them as the batch has records.
function casesOf(requests: number): ImportCaseOptions<Invoice> {
  const next = (into: object, reply: Reply | Fault) => {
    for (let nth = 0; nth < requests; nth++) settingOf(into).server.next.push(reply);
  };
  return {
    record: (nth) => ({ id: `invoice ${nth}/ä`, total: nth }),
    poison: (nth) => ({ id: `poison ${nth}`, total: -1 }),
    read: (into) => [...settingOf(into).erp.invoices.values()].sort((one, other) => (one.id < other.id ? -1 : 1)),
    goDown: (into) => next(into, { status: 503 }),
    throttle: (into, afterMs) => next(into, { status: 429, headers: { "retry-after": String(afterMs / 1_000) } }),
    stall: (into) => next(into, "stall"),
    loseResponse: (into) => void (settingOf(into).erp.losing = requests),
  };
}

describe("a request a record", () => {
  for (const { title, run } of importCases(() => setUp(perRecord) as Promise<ImportMembers<Invoice>>, casesOf(3)))
    test(title, run);
});

describe("a request a batch", () => {
  for (const { title, run } of importCases(() => setUp(perBatch) as Promise<ImportMembers<Invoice>>, casesOf(1)))
    test(title, run);
});

describe("a request a record, not idempotent, with find", () => {
  const make = () =>
    setUp((url) => {
      const to = connection({ baseUrl: url });
      return httpImport({
        connection: to,
        request: (invoice: Invoice) => ({ path: ["invoices", invoice.id], body: invoice }),
        find: (invoices, { signal }) =>
          Promise.all(
            invoices.map(async ({ id }) => {
              const answer = await to.exchange<Invoice>({ path: ["invoices", id] }, { direction: "read", signal });
              return answer.status === 404 ? undefined : answer.parsed();
            }),
          ),
        idempotent: false,
      });
    });
  const options = { ...casesOf(3), idempotent: false, find: true };
  for (const { title, run } of importCases(make, options)) test(title, run);
});

describe("a request a record", () => {
  test("has results in the order of the records, whatever order the responses come in, and concurrency at most under way", async () => {
    let underWay = 0;
    let most = 0;
    const waiting: (() => void)[] = [];
    const server = await startServer(async ({ path }) => {
      most = Math.max(most, ++underWay);
      await new Promise<void>((resolve) => {
        waiting.unshift(resolve);
        // The last that came is the first that is answered.
        if (waiting.length === 3 || path === "/6") while (waiting.length > 0) waiting.shift()?.();
      });
      underWay--;
      return { body: { path } };
    });
    const into = httpImport({
      ...{ connection: connection({ baseUrl: server.url }), concurrency: 3, idempotent: true },
      request: (id: number) => ({ method: "PUT", path: [id], body: id }),
      value: (body: { readonly path: string }) => body.path,
    });

    const results = await into.write([1, 2, 3, 4, 5, 6], importContext(6));

    expect(results).toEqual([1, 2, 3, 4, 5, 6].map((id) => ({ ok: true, value: `/${id}` })));
    expect(most).toBe(3);
  });

  test("that cannot be made is a reject of its record alone", async () => {
    const server = await startServer();
    const into = httpImport({
      ...{ connection: connection({ baseUrl: server.url }), idempotent: true },
      request: (id: string) => {
        if (id === "bad") throw new Error("no such unit");
        return { method: "PUT", path: ["items", id] };
      },
    });

    expect(await into.write(["1", "bad", "", "2"], importContext(4))).toMatchObject([
      { ok: true },
      { ok: false, fault: "reject", error: { message: "no such unit" } },
      { ok: false, fault: "reject" },
      { ok: true },
    ]);
    expect(server.paths.toSorted()).toEqual(["/items/1", "/items/2"]);
  });

  test("stops the batch when credentials are wrong: what is not under way is not sent", async () => {
    const server = await startServer(() => ({ status: 401 }));
    const into = httpImport({
      ...{ connection: connection({ baseUrl: server.url }), idempotent: true, concurrency: 2 },
      request: (id: number) => ({ method: "PUT", path: [id] }),
    });

    expect(await fateOf(into.write([1, 2, 3, 4, 5, 6], importContext(6)))).toBe("stop");
    expect(server.seen.length).toBeLessThanOrEqual(2);
  });

  test("that was given up while it was under way is unknown, and one that was not sent is a retry", async () => {
    const server = await startServer(() => "stall");
    const abort = new AbortController();
    const into = httpImport({
      ...{ connection: connection({ baseUrl: server.url, limits: { concurrency: 1 } }), idempotent: true },
      request: (id: number) => ({ method: "PUT", path: [id] }),
    });

    const writing = into.write([1, 2], importContext(2, { signal: abort.signal }));
    await server.arrived(1);
    abort.abort(new Error("the run was canceled"));

    expect(await writing).toMatchObject([
      { ok: false, fault: "unknown" },
      { ok: false, fault: "retry" },
    ]);
  });

  test("carries the record's idempotency key, the same in each attempt", async () => {
    const server = await startServer();
    const into = httpImport({
      ...{ connection: connection({ baseUrl: server.url }), keyHeader: "Idempotency-Key", concurrency: 1 },
      request: (id: number, { key, idempotencyKey }) => ({ path: [id], body: { key, idempotencyKey } }),
      idempotent: true,
    });

    await into.write([1, 2], importContext(2));
    await into.write([2], importContext(1, { keys: ["key 1"], idempotencyKeys: ["idempotency key 1"], attempt: 2 }));

    const sent = server.seen.map(({ headers, body }) => [headers["idempotency-key"], JSON.parse(body) as unknown]);
    const second = ["idempotency key 1", { key: "key 1", idempotencyKey: "idempotency key 1" }];
    expect(sent).toEqual([
      ["idempotency key 0", { key: "key 0", idempotencyKey: "idempotency key 0" }],
      second,
      second,
    ]);
  });
});

describe("a request a batch", () => {
  const into = async (reply: Reply, more: object = {}) => {
    const server = await startServer(() => reply);
    const made = httpImport({
      ...{ connection: connection({ baseUrl: server.url }), idempotent: true, ...more },
      batch: (ids: readonly number[]) => ({ body: ids }),
      results: (body: { ok: boolean }[]) => body.map(({ ok }) => (ok ? { ok } : { ok, fault: "reject", error: "x" })),
    });
    return { server, made };
  };

  test("carries one key for the same records, and another for others", async () => {
    const { server, made } = await into({ body: [{ ok: true }, { ok: true }] }, { keyHeader: "idempotency-key" });

    await made.write([1, 2], importContext(2));
    await made.write([1, 2], importContext(2, { attempt: 2 }));
    await made.write([1, 2], importContext(2, { idempotencyKeys: ["a", "b"] }));

    const [one, again, other] = server.seen.map(({ headers }) => headers["idempotency-key"]);
    expect(one).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(again).toBe(one);
    expect(other).not.toBe(one);
  });

  test("whose results do not fit the batch has an unknown outcome", async () => {
    const short = await into({ body: [{ ok: true }] });
    const none = await into({ body: {} });

    expect((await errorOf(short.made.write([1, 2], importContext(2)))).message).toContain(
      "answered 200 with 1 results for 2 records",
    );
    expect(await fateOf(none.made.write([1, 2], importContext(2)))).toBe("error");
  });

  test("is a reject as a whole if it cannot be made", async () => {
    const made = httpImport({
      ...{ connection: connection({ baseUrl: "https://erp.example" }), idempotent: true },
      batch: (ids: readonly number[]) => {
        throw new Error(`${ids.length} are too many`);
      },
    });

    expect(await fateOf(made.write([1, 2], importContext(2)))).toBe("reject");
  });

  test("has concurrency as an import has it", async () => {
    expect((await into({}, { concurrency: 3, batchSize: 10 })).made).toMatchObject({ concurrency: 3, batchSize: 10 });
  });
});

test("an import may be spread, and given a map of other records", () => {
  const into = httpImport({
    connection: connection({ baseUrl: "https://erp.example" }),
    request: (invoice: Invoice) => ({ body: invoice }),
    ...{ batchSize: 10, writeTimeoutMs: 5, sameKey: "together", idempotent: true },
  });

  expect(Object.keys({ ...into, map: () => ({}) }).sort()).toEqual([
    "batchSize",
    "idempotent",
    "map",
    "sameKey",
    "write",
    "writeTimeoutMs",
  ]);
});

describe("httpImport refuses", () => {
  const to = connection({ baseUrl: "https://erp.example" });
  const good = { connection: to, request: () => ({}), idempotent: true };

  test.each<[options: object, message: string]>([
    [{ ...good, idempotent: undefined }, "httpImport.idempotent: expected true or false, found undefined"],
    [{ connection: to, idempotent: true }, "httpImport.request: expected a function, found undefined"],
    [{ ...good, batch: () => ({}) }, "httpImport.request: expected one of"],
    [{ ...good, concurrency: 0 }, "httpImport.concurrency: expected a whole number, 1 or more, found 0"],
    [{ ...good, filter: () => true }, "httpImport.filter: expected one of"],
    [{ ...good, keyHeader: 1 }, "httpImport.keyHeader: expected a string, found 1"],
  ])("%j", (options, message) => {
    expect(() => httpImport(options as Parameters<typeof httpImport>[0])).toThrow(message);
  });
});
