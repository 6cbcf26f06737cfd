import type { Export } from "poundlock";
import {
  type HttpCheckpoint,
  type HttpExportOptions,
  type Paging,
  connection,
  httpExport,
  linkHeader,
  nextToken,
  nextUrl,
  offset,
  pageNumber,
  sinceLast,
} from "poundlock/connectors/http";
import { ndjson } from "poundlock/connectors/files";
import { type ExportCaseOptions, type TestCases, exportCases } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import { errorOf, fateOf, readAll, run } from "./contexts.ts";
import { FakeShop, type Order } from "./fake-shop.ts";
import { type Reply, type TestServer, startServer } from "./server.ts";

interface OrderPage {
  readonly orders: readonly Order[];
  readonly total: number;
  readonly cursor?: string;
  readonly next?: string;
}

/** Each way of paging, with the path of the shop that is paged so. */
const pagings: Readonly<Record<string, readonly [path: string, paging: Paging<OrderPage>]>> = {
  nextToken: ["/token", nextToken({ from: (body) => body.cursor, to: "cursor" })],
  nextUrl: ["/url", nextUrl((body) => body.next)],
  linkHeader: ["/link", linkHeader()],
  "pageNumber by total": ["/page", pageNumber({ to: "page", total: ({ total }) => total })],
  "pageNumber by size": ["/page/size", pageNumber({ to: "page", size: 7 })],
  "pageNumber to an empty page": ["/page", pageNumber({ to: "page" })],
  "offset by total": ["/offset", offset({ to: "offset", total: ({ total }) => total })],
  "offset by size": ["/offset/size", offset({ to: "offset", size: 7 })],
  "offset to an empty page": ["/offset", offset({ to: "offset" })],
  "a function": [
    "/function",
    ({ body }) => (body.cursor === undefined ? undefined : { query: { cursor: body.cursor } }),
  ],
};

type ShopExport = Export<Order, HttpCheckpoint>;
type ShopOptions = Partial<HttpExportOptions<Order, OrderPage>>;

const shops = new WeakMap<ShopExport, FakeShop>();
const servers = new WeakMap<FakeShop, TestServer>();

async function shopExport(path: string, more: ShopOptions, shop = new FakeShop()): Promise<ShopExport> {
  const server = servers.get(shop) ?? (await startServer(shop.respond));
  servers.set(shop, server);
  // Pages whose size ends the reading have one size.
  const size = path.endsWith("size") ? 7 : undefined;
  const from = httpExport<Order, OrderPage>({
    connection: connection({ baseUrl: server.url }),
    request: ({ since, pageSize }) => ({ path, query: { limit: size ?? pageSize, since: since?.toISOString() } }),
    records: ({ orders }) => orders,
    key: ({ id }) => id,
    ...more,
  });
  shops.set(from, shop);
  return from;
}

function shopOf(from: ShopExport): FakeShop {
  return shops.get(from) ?? expect.unreachable();
}

function casesOf(path: string, options: ShopOptions, more: ExportCaseOptions<Order, HttpCheckpoint> = {}): TestCases {
  return exportCases<Order, HttpCheckpoint>(() => shopExport(path, options), {
    pageSize: 7,
    empty: () => shopExport(path, options, new FakeShop(0)),
    records: (from) => shopOf(from).orders,
    reopen: (from) => shopExport(path, options, shopOf(from)),
    ...more,
  });
}

const delta = { at: ({ updatedAt }: Order) => updatedAt, lookbackMs: 90_000 };

describe.each(Object.entries(pagings))("reading everything, paged by %s", (_name, [path, paging]) => {
  for (const { title, run: check } of casesOf(path, { paging })) test(title, check);
});

describe.each([...Object.entries(pagings), ["sinceLast", ["/since", sinceLast()]] as const])(
  "reading what has changed, paged by %s",
  (_name, [path, paging]) => {
    const cases = casesOf(path, { paging, delta }, { addLate: (from) => shopOf(from).addLate() });
    for (const { title, run: check } of cases) test(title, check);

    test("no case is left out", () => {
      expect(cases.skipped).toEqual([]);
    });
  },
);

describe("an export reads", () => {
  test("one page without paging", async () => {
    expect((await readAll(await shopExport("/single", {}), { pageSize: 7 })).records.length).toBe(7);
  });

  test("everything again in the next run, and nothing again when the last page's run is resumed", async () => {
    const from = await shopExport("/token", { paging: pagings.nextToken?.[1] ?? expect.unreachable() });
    const { checkpoints } = await readAll(from);
    const checkpoint = checkpoints.at(-1);

    expect(checkpoint).toEqual({ run: "run-1", next: null });
    expect((await readAll(from, { checkpoint })).records).toEqual([]);
    expect((await readAll(from, { checkpoint, run: run("run-2") })).records.length).toBe(40);
  });

  test("on where an earlier run has stopped", async () => {
    const from = await shopExport("/token", { paging: pagings.nextToken?.[1] ?? expect.unreachable() });
    const { checkpoints } = await readAll(from, { pageSize: 7 });

    const rest = await readAll(from, { checkpoint: checkpoints[1], run: run("run-2"), pageSize: 7 });

    expect(checkpoints[1]).toEqual({ run: "run-1", next: { query: { cursor: "14" } }, page: 2, read: 14 });
    expect(rest.records.length).toBe(26);
  });

  test("nothing more after a status of endsAt", async () => {
    const server = await startServer(({ query }) =>
      query.get("page") === "3" ? { status: 404 } : { body: [{ id: query.get("page") }] },
    );
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({ query: { page: 1 } }),
      records: (body: { id: string }[]) => body,
      paging: pageNumber({ to: "page" }),
      endsAt: [404],
    });

    const { checkpoints, records } = await readAll(from);

    expect(records).toEqual([{ id: "1" }, { id: "2" }]);
    expect(checkpoints.at(-1)).toEqual({ run: "run-1", next: null });
  });

  test("a search that is posted: what comes next is laid over its body", async () => {
    const shop = new FakeShop(20);
    const server = await startServer(shop.respond);
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: ({ pageSize }) => ({ path: "search", body: { filter: "open", limit: pageSize } }),
      records: ({ orders }: OrderPage) => orders,
      paging: ({ body }) => (body.cursor === undefined ? undefined : { body: { cursor: body.cursor } }),
    });

    expect((await readAll(from, { pageSize: 8 })).records).toEqual(shop.orders);
    expect(server.seen.map(({ body }) => JSON.parse(body) as unknown)).toEqual([
      { filter: "open", limit: 8 },
      { filter: "open", limit: 8, cursor: "8" },
      { filter: "open", limit: 8, cursor: "16" },
    ]);
  });

  test("a report that has to be waited for", async () => {
    const server = await startServer(({ path, method }): Reply => {
      if (method === "POST") return { status: 202, body: { report: 7 } };
      return { body: path === "/reports/7" ? { file: "files/7" } : [{ id: "a" }] };
    });
    const to = connection({ baseUrl: server.url });
    const from = httpExport({
      connection: to,
      async request({ signal }) {
        const { report } = await to.send<{ report: number }>({ path: "reports", body: {} }, signal);
        const { file } = await to.read<{ file: string }>({ path: ["reports", report] }, signal);
        return { path: file };
      },
      records: (body: { id: string }[]) => body,
    });

    expect((await readAll(from)).records).toEqual([{ id: "a" }]);
  });

  test("other formats by parse, with the headers", async () => {
    const server = await startServer(() => ({
      body: "a\nb",
      headers: { "content-type": "text/plain", "x-count": "2" },
    }));
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({}),
      parse: (text, headers) => ({ lines: text.split("\n"), count: Number(headers.get("x-count")) }),
      records: ({ lines }) => lines,
      total: ({ count }) => count,
    });

    expect((await readAll(from)).records).toEqual(["a", "b"]);
  });

  test("in the encoding that the answer says", async () => {
    const server = await startServer();
    const fetch = async () =>
      new Response(new Uint8Array([0x5b, 0x22, 0xe9, 0x22, 0x5d]), {
        headers: { "content-type": "application/json; charset=iso-8859-1" },
      });

    expect(await connection({ baseUrl: server.url, fetch }).read({})).toEqual(["é"]);
  });
});

describe("integers that JavaScript's numbers would round", () => {
  const first = '{"orders":[{"id":9007199254740993,"n":1},{"id":9007199254740992,"n":2}],"cursor":9007199254740995}';
  const last = '{"orders":[],"cursor":null}';

  async function reading(integers?: "refuse" | "string" | "bigint") {
    const asked: string[] = [];
    const fetch = async (url: URL) => {
      asked.push(url.search);
      return new Response(asked.length === 1 ? first : last);
    };
    const from = httpExport({
      connection: connection({ baseUrl: "https://api.example", fetch }),
      request: () => ({}),
      records: ({ orders }: { orders: { id: unknown; n: number }[]; cursor: bigint | null }) => orders,
      paging: nextToken({ from: ({ cursor }) => cursor, to: "cursor" }),
      ...(integers === undefined ? {} : { integers }),
    });
    return { asked, read: () => readAll(from) };
  }

  test.each([
    ["string" as const, ["9007199254740993", "9007199254740992"]],
    ["bigint" as const, [9007199254740993n, 9007199254740992n]],
  ])("are read as %s, in records and in the token of the next page", async (integers, ids) => {
    const { asked, read } = await reading(integers);

    expect((await read()).records).toEqual(ids.map((id, index) => ({ id, n: index + 1 })));
    expect(asked).toEqual(["", "?cursor=9007199254740995"]);
  });

  test.each([undefined, "refuse" as const])("are an error that names the field (%s)", async (integers) => {
    const { read } = await reading(integers);

    await expect(read()).rejects.toThrow(
      "cannot be parsed (set integers: a number would change the digits of orders.0.id)",
    );
  });

  test("take no parse and no format beside", () => {
    const options = { connection: connection({ baseUrl: "https://api.example" }), request: () => ({}) };

    expect(() => httpExport({ ...options, records: () => [], parse: () => 1, integers: "string" })).toThrow(
      "httpExport.integers",
    );
    expect(() => httpExport({ ...options, format: ndjson(), integers: "string" })).toThrow("httpExport.integers");
  });
});

describe("a page that is not there any more when a run is resumed", () => {
  test.each([400, 404, 410])("makes the reading begin again, at %i", async (status) => {
    const server = await startServer(({ query }) =>
      query.has("cursor") ? { status } : { body: { orders: [], total: 0 } },
    );
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({}),
      records: ({ orders }: OrderPage) => orders,
      paging: nextToken({ from: ({ cursor }) => cursor, to: "cursor" }),
    });
    const checkpoint = { run: "run-0", next: { query: { cursor: "old" } }, page: 3, read: 30 };

    expect(await fateOf(readAll(from, { checkpoint }))).toBe("expired");
  });

  test("is an error on a later page", async () => {
    const server = await startServer(({ query }) =>
      query.get("cursor") === "b" ? { status: 410 } : { body: { orders: [{ id: "1" }], cursor: "b" } },
    );
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({}),
      records: ({ orders }: OrderPage) => orders,
      paging: nextToken({ from: ({ cursor }) => cursor, to: "cursor" }),
    });

    expect(await fateOf(readAll(from, { checkpoint: undefined }))).toBe("error");
  });
});

describe("a reading that goes in circles ends with an error:", () => {
  const circling = async (paging: Paging<{ items: unknown[]; next?: unknown }>, pages: (page: number) => object) => {
    let page = 0;
    const server = await startServer(() => ({ body: pages(++page) }));
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({}),
      records: (body: { items: unknown[] }) => body.items,
      paging,
    });
    return (await errorOf(readAll(from))).message;
  };

  test("a page that names itself as the next one", async () => {
    const paging = nextToken<{ items: unknown[]; next?: unknown }>({
      from: ({ next }) => next as string,
      to: "cursor",
    });

    expect(await circling(paging, (page) => ({ items: [page], next: "x" }))).toBe(
      'page 2 names itself as the next one: {"query":{"cursor":"x"}}',
    );
  });

  test.each([2, 3, 5])("%i pages that lead to each other", async (length) => {
    const paging = nextToken<{ items: unknown[]; next?: unknown }>({
      from: ({ next }) => next as string,
      to: "cursor",
    });

    expect(await circling(paging, (page) => ({ items: [page], next: String(page % length) }))).toMatch(
      /^page \d+ names the same next page as page \d+ did: /,
    );
  });

  test("a page that is the same as the one before, since the API does not heed what it is asked with", async () => {
    expect(await circling(pageNumber({ to: "page" }), () => ({ items: [1, 2] }))).toBe(
      'page 2 is the same as the one before: does the API heed {"query":{"page":2}}?',
    );
  });

  test("and shows no query of a URL", async () => {
    const paging = nextUrl<{ items: unknown[]; next?: unknown }>(() => "/items?token=s3cret");

    const message = await circling(paging, (page) => ({ items: [page] }));

    expect(message).toContain("names itself as the next one");
    expect(message).not.toContain("s3cret");
  });

  test("but not two empty pages that are the same", async () => {
    const server = await startServer(({ query }) => ({
      body: { items: [], ...(query.get("cursor") === "2" ? {} : { next: query.get("cursor") === "1" ? "2" : "1" }) },
    }));
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: () => ({}),
      records: (body: { items: unknown[]; next?: string }) => body.items,
      paging: nextToken({ from: ({ next }) => next, to: "cursor" }),
    });

    expect((await readAll(from)).records).toEqual([]);
    expect(server.seen.length).toBe(3);
  });
});

describe("sinceLast", () => {
  const at = (record: { readonly at: string }) => record.at;

  const reading = async (records: readonly { readonly id: string; readonly at: string }[], pageSize: number) => {
    const server = await startServer(({ query }) => ({
      body: records.filter((record) => record.at >= (query.get("since") ?? "")).slice(0, pageSize),
    }));
    const from = httpExport({
      connection: connection({ baseUrl: server.url }),
      request: ({ since }) => ({ query: { since: since?.toISOString() } }),
      records: (body: { readonly id: string; readonly at: string }[]) => body,
      paging: sinceLast(),
      delta: { at },
      key: ({ id }) => id,
    });
    return { from, server };
  };

  const items = (...times: number[]) =>
    times.map((ms, nth) => ({ id: String(nth), at: new Date(Date.UTC(2029, 0, 1) + ms).toISOString() }));

  test("reads on from the newest record, each one once", async () => {
    const { from, server } = await reading(items(0, 1, 2, 2, 3, 4, 4, 5), 3);

    const { records } = await readAll(from, { pageSize: 3 });

    expect(records.map(({ id }) => id)).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
    expect(server.paths[1]).toContain(encodeURIComponent("2029-01-01T00:00:00.002Z"));
  });

  test("ends with an error at a page full of records of one instant", async () => {
    const { from } = await reading(items(0, 1, 1, 1, 1, 2), 3);

    expect((await errorOf(readAll(from, { pageSize: 3 }))).message).toBe(
      "page 2 is full of records of one instant, 2029-01-01T00:00:00.001Z: there may be more of them, which sinceLast cannot ask for; a larger pageSize can",
    );
  });
});

describe("links of the next page", () => {
  const linked = (header: string, rel?: string) =>
    linkHeader(rel)({
      ...{ body: undefined, records: [], page: 1, read: 0, pageSize: 1 },
      headers: new Headers({ link: header }),
      url: new URL("https://shop.example/api/items?page=1"),
    })?.path;

  test.each<[header: string, path: string | undefined]>([
    ['<https://shop.example/api/items?page=2>; rel="next"', "https://shop.example/api/items?page=2"],
    ["</api/items?page=2>;rel=next", "https://shop.example/api/items?page=2"],
    ["<?page=2>; REL=Next", "https://shop.example/api/items?page=2"],
    ['<a>; rel="prev", <b>; rel="next"', "https://shop.example/api/b"],
    ['<a>; title="x, <y>; rel=next"; rel="prev"', undefined],
    ['<a,b;c>; rel="last next"', "https://shop.example/api/a,b;c"],
    ['<a>; rel="nextish"', undefined],
    ["", undefined],
    ["nonsense", undefined],
  ])("%j: %s", (header, path) => {
    expect(linked(header)).toBe(path);
  });

  test("have the relation that is asked for", () => {
    expect(linked('<a>; rel="next", <b>; rel="older"', "older")).toBe("https://shop.example/api/b");
  });
});

describe("httpExport refuses", () => {
  const to = connection({ baseUrl: "https://shop.example" });
  const good = { connection: to, request: () => ({}), records: () => [] };

  test.each<[options: object, message: string]>([
    [{ ...good, connection: {} }, "httpExport.connection: expected what connection() returns"],
    [{ ...good, request: undefined }, "httpExport.request: expected a function, found undefined"],
    [{ ...good, pagging: 1 }, 'did you mean "paging"?'],
    [{ ...good, delta: {} }, "httpExport.delta.at: expected a function, found undefined"],
    [{ ...good, delta: { at: () => 0 } }, "httpExport.key: expected a function, as delta needs one, found undefined"],
    [{ ...good, paging: sinceLast() }, "httpExport.delta: expected a delta, which sinceLast goes by, found undefined"],
    [{ ...good, endsAt: [200] }, "httpExport.endsAt: expected a whole number from 300 to 599, found an array of 1"],
    [{ ...good, pageSize: 0 }, "httpExport.pageSize: expected a whole number, 1 or more, found 0"],
  ])("%j", (options, message) => {
    expect(() => httpExport(options as HttpExportOptions<unknown>)).toThrow(message);
  });
});
