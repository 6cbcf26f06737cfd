import type { Export } from "poundlock";
import { csv } from "../../../src/connectors/files/formats/csv-format.ts";
import { jsonArray } from "../../../src/connectors/files/formats/json-format.ts";
import { ndjson } from "../../../src/connectors/files/formats/ndjson-format.ts";
import {
  type HttpCheckpoint,
  type HttpExportOptions,
  connection,
  httpExport,
  localLimits,
} from "poundlock/connectors/http";
import { ManualClock, exportCases } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import { errorOf, exportContext, fateOf, readAll } from "./contexts.ts";
import { FakeShop, type Order } from "./fake-shop.ts";
import { type TestServer, startServer } from "./server.ts";

type ShopExport = Export<Order, HttpCheckpoint>;

const bodies = {
  ndjson: {
    format: ndjson<Order>(),
    body: (orders: readonly Order[]) => orders.map((order) => `${JSON.stringify(order)}\n`).join(""),
  },
  jsonArray: { format: jsonArray<Order>(), body: (orders: readonly Order[]) => JSON.stringify(orders, null, 1) },
  csv: {
    format: csv<Order>({ read: ({ id = "", updatedAt = "" }) => ({ id, updatedAt }) }),
    body: (orders: readonly Order[]) =>
      `id,updatedAt\n${orders.map(({ id, updatedAt }) => `"${id}",${updatedAt}\n`).join("")}`,
  },
};

const shops = new WeakMap<ShopExport, FakeShop>();
const servers = new WeakMap<FakeShop, TestServer>();

async function streamed(
  { format, body }: (typeof bodies)["ndjson"],
  more: Partial<HttpExportOptions<Order>>,
  shop = new FakeShop(),
): Promise<ShopExport> {
  const server =
    servers.get(shop) ??
    (await startServer((request) => {
      const { orders } = shop.respond({ ...request, path: `${request.path}&limit=1000` }).body as { orders: Order[] };
      return { body: body(orders), headers: { "content-type": "text/plain" } };
    }));
  servers.set(shop, server);
  const from = httpExport<Order>({
    connection: connection({ baseUrl: server.url, maxBytes: 100 }),
    request: ({ since }) => ({ path: "all", query: { limit: 1000, since: since?.toISOString() } }),
    key: ({ id }) => id,
    format,
    ...more,
  });
  shops.set(from, shop);
  return from;
}

const shopOf = (from: ShopExport) => shops.get(from) ?? expect.unreachable();
const delta = { at: ({ updatedAt }: Order) => updatedAt, lookbackMs: 90_000 };

describe.each(Object.entries(bodies))("a body of %s, read piece by piece,", (_name, kind) => {
  describe("in whole", () => {
    const cases = exportCases<Order, HttpCheckpoint>(() => streamed(kind, {}), {
      pageSize: 7,
      empty: () => streamed(kind, {}, new FakeShop(0)),
      records: (from) => shopOf(from).orders,
      reopen: (from) => streamed(kind, {}, shopOf(from)),
    });
    for (const { title, run } of cases) test(title, run);
  });

  describe("as far as it has changed", () => {
    const cases = exportCases<Order, HttpCheckpoint>(() => streamed(kind, { delta }), {
      pageSize: 7,
      empty: () => streamed(kind, { delta }, new FakeShop(0)),
      records: (from) => shopOf(from).orders,
      reopen: (from) => streamed(kind, { delta }, shopOf(from)),
      addLate: (from) => shopOf(from).addLate(),
    });
    for (const { title, run } of cases) test(title, run);
  });
});

describe("a body that is read piece by piece", () => {
  const lines = async (respond: Parameters<typeof startServer>[0], more: object = {}) => {
    const server = await startServer(respond);
    const to = connection({ baseUrl: server.url, attempts: 1, ...more });
    return {
      server,
      from: httpExport<{ id: number }>({ connection: to, request: () => ({}), format: ndjson<{ id: number }>() }),
    };
  };

  test("makes failures of what is no record, and goes on", async () => {
    const { from } = await lines(() => ({ body: '{"id":1}\nnonsense\n{"id":2}\n' }));
    const pages = [];

    for await (const page of from.pages?.(exportContext()) ?? []) pages.push(page);

    expect(pages).toMatchObject([{ records: [{ id: 1 }, { id: 2 }], unreadable: [{ raw: "nonsense" }] }]);
  });

  test("leaves out what was committed when a run is resumed", async () => {
    const { from } = await lines(() => ({ body: '{"id":1}\n{"id":2}\n{"id":3}\n' }));
    const { checkpoints } = await readAll(from, { pageSize: 2 });

    const { records } = await readAll(from, { checkpoint: checkpoints[0] });

    expect(checkpoints[0]).toEqual({ run: "run-1", next: {}, page: 1, read: 2 });
    expect(records).toEqual([{ id: 3 }]);
  });

  test.each(["cut", "short"] as const)("that breaks off is read again later: %s", async (fault) => {
    const { from } = await lines(() => fault);

    expect(await fateOf(readAll(from))).toBe("retryLater");
  });

  test.each<[status: number, fate: string]>([
    [204, "ok"],
    [401, "error"],
    [404, "error"],
    [429, "retryLater"],
    [500, "retryLater"],
  ])("has the outcomes of any other: %i", async (status, fate) => {
    const { from } = await lines(() => ({ status }));

    expect(await fateOf(readAll(from))).toBe(fate);
  });

  test("has timeoutMs for each piece, and none while nobody waits for one", async () => {
    const clock = new ManualClock();
    const { server, from } = await lines(() => "stallBody", { clock, timeoutMs: 5_000 });

    const reading = fateOf(readAll(from));
    await server.arrived(1);
    while (clock.timers === 0) await clock.settle();
    for (let turn = 0; turn < 100; turn++) await clock.settle();
    await clock.advance(5_000);

    expect(await reading).toBe("retryLater");
    expect(clock.timers).toBe(0);
  });

  test("gives its place in the limits back, also when it is read no further", async () => {
    const limits = localLimits({ concurrency: 1 });
    const { from } = await lines(() => ({ body: '{"id":1}\n{"id":2}\n{"id":3}\n' }), { limits });
    const reading = from.pages?.(exportContext({ pageSize: 1 }))[Symbol.asyncIterator]();
    await reading?.next();

    await reading?.return?.();

    expect((await readAll(from)).records.length).toBe(3);
    (await limits.enter(new AbortController().signal))();
  });

  test("that has a record of more than maxRecordBytes is an error", async () => {
    const server = await startServer(() => ({ body: `{"id":"${"x".repeat(2_000)}"}\n` }));
    const to = connection({ baseUrl: server.url });
    const from = httpExport({ connection: to, request: () => ({}), format: ndjson(), maxRecordBytes: 1_000 });

    expect((await errorOf(readAll(from))).message).toContain("more than 1000 bytes (maxRecordBytes)");
  });
});

test("records and format, or format and paging, do not go together", () => {
  const to = connection({ baseUrl: "https://shop.example" });
  const both = { connection: to, request: () => ({}), format: ndjson(), records: () => [] };

  expect(() => httpExport(both)).toThrow("httpExport.records: expected either records or format");
  expect(() => httpExport({ connection: to, request: () => ({}) })).toThrow("expected either records or format");
  expect(() => httpExport({ connection: to, request: () => ({}), format: ndjson(), paging: () => undefined })).toThrow(
    "httpExport.paging: expected no paging with format",
  );
});
