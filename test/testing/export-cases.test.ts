import { describe, expect, test } from "vitest";
import type { Export, Page } from "../../src/index.ts";
import {
  type ExportCaseOptions,
  type MakeExport,
  type TestCases,
  arrayExport,
  exportCases,
} from "../../src/testing/index.ts";

interface Order {
  readonly id: string;
  readonly at: number;
  tags: string[];
}

/** Three orders for each instant, so that pages of four end amid equal ones. */
const orderAt = (index: number): Order => ({ id: `order ${index}`, at: Math.floor(index / 3), tags: [] });
const manyOrders = () => Array.from({ length: 10 }, (_, index) => orderAt(index));
const key = ({ id }: Order) => id;

/** Where a reading stands: an instant, and the orders of that instant that were read. */
type Place = Readonly<{ at: number; ids: readonly string[] }>;

type Orders = Export<Order, Place>;

/** A good export: its checkpoint tells orders of one instant apart, and looks back far enough for late ones. */
class Shop {
  readonly orders: Order[];

  constructor(orders = manyOrders()) {
    this.orders = orders;
  }

  export(changes: Partial<Orders> = {}): Orders {
    return { order: "ordered", pageSize: 4, key, pages: (context) => this.pages(context), ...changes };
  }

  async *pages({ checkpoint, pageSize, signal }: Parameters<NonNullable<Orders["pages"]>>[0]) {
    let place = checkpoint ?? { at: -1, ids: [] };
    for (;;) {
      signal.throwIfAborted();
      await Promise.resolve();
      const records = this.after(place).slice(0, pageSize);
      if (records.length === 0) return;
      place = placeAfter(place, records);
      yield { records, checkpoint: place };
    }
  }

  after(place: Place): Order[] {
    return this.orders.filter(({ at, id }) => at > place.at || (at === place.at && !place.ids.includes(id)));
  }
}

function placeAfter(before: Place, records: readonly Order[]): Place {
  const at = records.at(-1)?.at ?? before.at;
  const ids = records.filter((order) => order.at === at).map(({ id }) => id);
  return { at, ids: at === before.at ? [...before.ids, ...ids] : ids };
}

const shops = new WeakMap<Orders, Shop>();
const openShop = (changes: Partial<Orders> = {}, orders?: Order[]): Orders => {
  const shop = new Shop(orders);
  const from = shop.export(changes);
  shops.set(from, shop);
  return from;
};

const options: ExportCaseOptions<Order, Place> = {
  abortWithinMs: 100,
  empty: () => openShop({}, []),
  addLate(from) {
    const late = { id: "late", at: 3, tags: [] };
    shops.get(from)?.orders.push(late);
    return late;
  },
};

/** Pages made some other way than the good export's. */
function pagesOf(
  pages: (shop: Shop, context: Parameters<Shop["pages"]>[0]) => ReturnType<NonNullable<Orders["pages"]>>,
) {
  const shop = new Shop();
  const from = shop.export({ pages: (context) => pages(shop, context) });
  shops.set(from, shop);
  return from;
}

const never = new Promise<never>(() => undefined);
let pagesMade = 0;

/** Title of a case that has to fail → an export that breaks this promise. */
const saboteurs: Readonly<Record<string, MakeExport<Order, Place>>> = {
  "it has the parts that it is tested for": () => {
    const from = openShop();
    Reflect.deleteProperty(from, "key");
    return from;
  },

  "its source has two pages or more, so that the other cases can fail": () => openShop({}, [orderAt(0)]),

  "each page is one: records, and at most a checkpoint and a total": () =>
    pagesOf(async function* () {
      yield await Promise.resolve({ orders: [] } as unknown as Page<Order, Place>);
    }),

  "it changes no record that it has given away": () =>
    pagesOf(async function* (shop, context) {
      let last: readonly Order[] = [];
      for await (const page of shop.pages(context)) {
        for (const order of last) order.tags.push("exported");
        last = page.records;
        yield page;
      }
    }),

  "reading it again from the start yields the same records": () => {
    let read = 0;
    return pagesOf(async function* (shop, context) {
      if (read++ > 0) shop.orders.pop();
      yield* shop.pages(context);
    });
  },

  "each page's checkpoint is JSON, and reads back the same": () =>
    pagesOf(async function* (shop, context) {
      for await (const page of shop.pages(context))
        yield { ...page, checkpoint: { ...page.checkpoint, at: new Date(page.checkpoint.at) as unknown as number } };
    }),

  "its last page with records has a checkpoint, so that the next run reads only what is new": () =>
    pagesOf(async function* (shop, context) {
      // Each page carries the checkpoint of the one before.
      let before: Place | undefined;
      for await (const { records, checkpoint } of shop.pages(context)) {
        yield before === undefined || records.length < 4 ? records : { records, checkpoint: before };
        before = checkpoint;
      }
    }),

  "resuming from any page's checkpoint yields exactly the records after that page": () =>
    // The classic: everything after the instant of the last record read, so that equal ones are missed.
    pagesOf(async function* (shop, context) {
      for await (const page of shop.pages(context))
        yield { ...page, checkpoint: { at: page.checkpoint.at, ids: shop.orders.map(key) } };
    }),

  "a record that comes late is read by the next run": () =>
    pagesOf(async function* (shop, { checkpoint, ...context }) {
      const place = checkpoint?.at === 3 ? { at: 4, ids: [] } : checkpoint;
      yield* shop.pages({ ...context, checkpoint: place });
    }),

  "once it is aborted it ends within its time, and no page follows": () =>
    pagesOf((shop, context) => shop.pages({ ...context, signal: new AbortController().signal })),

  "aborted while it reads a page, it ends within its time, with that page at the most": () =>
    pagesOf(async function* (shop, context) {
      // A request without a response, which ignores the signal.
      for await (const page of shop.pages(context)) {
        yield page;
        await never;
      }
    }),

  "aborted before it begins, it reads no page": () =>
    pagesOf(async function* (shop, context) {
      let nth = 0;
      for await (const page of shop.pages({ ...context, signal: new AbortController().signal }))
        if (nth++ === 0 || !context.signal.aborted) yield page;
    }),

  "it ends within its time when it is read no further": () =>
    pagesOf(async function* (shop, context) {
      try {
        yield* shop.pages(context);
      } finally {
        if (context.signal.aborted) await never;
      }
    }),

  "a sample begins with the same records, and has as many as are asked for": () =>
    pagesOf(async function* (shop, context) {
      const { limit } = context;
      if (limit === undefined) yield* shop.pages(context);
      else yield await Promise.resolve(shop.orders.slice(-limit).reverse());
    }),

  "keys are strings that are not empty, and all different": () => openShop({ key: ({ at }) => `order of ${at}` }),

  "keys are the same when the records are read again": () => openShop({ key: ({ id }) => `${id} ${pagesMade++}` }),
};

async function run(cases: TestCases, title: string): Promise<void> {
  const found = cases.find((each) => each.title === title);
  await (found ?? expect.fail(`there is no case ${title}`)).run();
}

describe("exportCases", () => {
  describe("pass an export that does all it should:", () => {
    for (const { title, run: check } of exportCases(openShop, options)) test(title, check);
  });

  describe("pass arrayExport:", () => {
    const cases = exportCases(() => arrayExport(manyOrders(), { pageSize: 4, key }));
    for (const { title, run: check } of cases) test(title, check);
  });

  describe("pass an unordered export without checkpoints and keys, whose readings differ in order:", () => {
    let readings = 0;
    const make = (): Export<Order> => ({
      async *pages({ signal }) {
        const orders = readings++ % 2 === 0 ? manyOrders() : manyOrders().reverse();
        for (let start = 0; start < orders.length && !signal.aborted; start += 4) {
          await Promise.resolve();
          yield orders.slice(start, start + 4);
        }
      },
    });
    const cases = exportCases(make, { checkpoints: false, keys: false });

    for (const { title, run: check } of cases) test(title, check);
  });

  test.each(Object.entries(saboteurs))("catch what breaks: %s", async (title, make) => {
    await expect(run(exportCases(make, options), title)).rejects.toThrow();
  });

  test("catch an export over an empty source that makes a record up", async () => {
    const empty = () => openShop({}, [orderAt(0)]);

    const checked = run(exportCases(openShop, { ...options, empty }), "an empty source yields no records, and ends");

    await expect(checked).rejects.toThrow();
  });

  test("have a saboteur each", () => {
    const titles = exportCases(openShop, options).map(({ title }) => title);

    expect(titles.filter((title) => !(title in saboteurs))).toEqual(["an empty source yields no records, and ends"]);
  });

  test("say what is missing and what is too many, after which page", async () => {
    const make = () =>
      pagesOf((shop, context) => shop.pages({ ...context, checkpoint: context.checkpoint && { at: 1, ids: [] } }));
    const title = "resuming from any page's checkpoint yields exactly the records after that page";

    await expect(run(exportCases(make, options), title)).rejects.toThrow(
      `resumed after page 1 of 3, at {"at":1,"ids":["order 3"]}: too many: 1, the first: {"at":1,"id":"order 3","tags":[]}`,
    );
  });

  test("list what is left out, and why", () => {
    const { skipped } = exportCases(openShop, { checkpoints: false, keys: false });

    expect(skipped).toEqual([
      { title: "each page's checkpoint is JSON, and reads back the same", reason: "`checkpoints: false`" },
      {
        title: "its last page with records has a checkpoint, so that the next run reads only what is new",
        reason: "`checkpoints: false`",
      },
      {
        title: "resuming from any page's checkpoint yields exactly the records after that page",
        reason: "`checkpoints: false`",
      },
      { title: "a record that comes late is read by the next run", reason: "`checkpoints: false`" },
      { title: "an empty source yields no records, and ends", reason: "`empty` is not given" },
      { title: "keys are strings that are not empty, and all different", reason: "`keys: false`" },
      { title: "keys are the same when the records are read again", reason: "`keys: false`" },
    ]);
    expect(exportCases(openShop, options).skipped).toEqual([]);
  });
});
