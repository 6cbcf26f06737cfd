import { describe, expect, test } from "vitest";
import type { Export, ExportContext, Page } from "../../src/index.ts";
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
  readonly paid?: boolean;
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

  async *pages({ checkpoint, pageSize, signal }: ExportContext<Place>) {
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

const plain = {
  abortWithinMs: 100,
  empty: () => openShop({}, []),
  records: (from: Orders) => shops.get(from)?.orders ?? [],
};

const options: ExportCaseOptions<Order, Place> = {
  ...plain,
  addLate(from) {
    const orders = shops.get(from)?.orders ?? [];
    const late = { id: `late ${orders.length}`, at: 3, tags: [] };
    orders.push(late);
    return late;
  },
};

type MakePages = (shop: Shop, context: ExportContext<Place>) => ReturnType<NonNullable<Orders["pages"]>>;

/** Pages made some other way than the good export's. */
function pagesOf(pages: MakePages, changes: Partial<Orders> = {}, shop = new Shop()): Orders {
  const from = shop.export({ pages: (context) => pages(shop, context), ...changes });
  shops.set(from, shop);
  return from;
}

/** The classic: everything after the instant of the last record read, so that of equal ones the rest is lost. */
async function* lossyPages(shop: Shop, { checkpoint, pageSize, signal }: ExportContext<Place>) {
  for (let at = checkpoint?.at ?? -1; ;) {
    signal.throwIfAborted();
    await Promise.resolve();
    const records = shop.orders.filter((order) => order.at > at).slice(0, pageSize);
    at = records.at(-1)?.at ?? at;
    if (records.length === 0) return;
    yield { records, checkpoint: { at, ids: [] } };
  }
}

/** Everything from the instant of the last record read on, which reads some records again, but loses none. */
async function* repeatingPages(shop: Shop, { checkpoint, pageSize, signal }: ExportContext<Place>) {
  for (let at = checkpoint?.at ?? 0; ;) {
    signal.throwIfAborted();
    await Promise.resolve();
    const records = shop.orders.filter((order) => order.at >= at).slice(0, pageSize);
    at = records.at(-1)?.at ?? at;
    yield { records, checkpoint: { at, ids: [] } };
    if (records.length < pageSize) return;
  }
}

/** Looks back by one instant at its start, since orders may come late. */
async function* pagesLookingBack(shop: Shop, { checkpoint, ...context }: ExportContext<Place>) {
  let { at, ids } = checkpoint ?? { at: -1, ids: [] };
  for await (const page of shop.pages({ ...context, checkpoint: { at: at - 1, ids: [] } })) {
    // A crash while it reads again must not send it back further still.
    if (page.checkpoint.at >= at) ({ at, ids } = page.checkpoint);
    yield { records: page.records, checkpoint: { at, ids } };
  }
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

  "each page is one: records, with nothing but a checkpoint, a total and what is unreadable": () =>
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

  "resuming from any page's checkpoint yields the records after that page, and none that is not there": () =>
    // Reads an instant to its end, but its checkpoints do not say how far it got in it.
    pagesOf(async function* (shop, context) {
      for await (const page of shop.pages(context))
        yield { ...page, checkpoint: { at: page.checkpoint.at, ids: shop.orders.map(key) } };
    }),

  "resuming from its last checkpoint yields fewer records than reading from the start": () =>
    pagesOf((shop, context) => shop.pages({ ...context, checkpoint: undefined })),

  "pages of another size yield the same records": () => pagesOf(lossyPages),

  "it yields all records of its source, and no others": () =>
    pagesOf(async function* (shop, context) {
      for await (const { records, checkpoint } of shop.pages(context))
        yield { records: records.filter(({ id }) => id !== "order 5"), checkpoint };
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

  "each key is a string of 1 to 1,000 characters, and each version a string or a finite number": () =>
    openShop({ version: () => NaN }),

  "records with the same key and version are the same": () => openShop({ key: ({ at }) => `order of ${at}` }),

  "keys and versions are the same when the records are read again": () => openShop({ version: () => pagesMade++ }),
};

/** Of those in `saboteurs`, the ones that other cases cannot see. */
const newest = [
  "resuming from its last checkpoint yields fewer records than reading from the start",
  "it yields all records of its source, and no others",
  "each key is a string of 1 to 1,000 characters, and each version a string or a finite number",
  "records with the same key and version are the same",
  "keys and versions are the same when the records are read again",
];

async function run(cases: TestCases, title: string): Promise<void> {
  const found = cases.find((each) => each.title === title);
  await (found ?? expect.fail(`there is no case ${title}`)).run();
}

/** Titles of the cases that fail. */
async function failuresOf(cases: TestCases): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const { title, run: check } of cases) await check().catch(() => failed.push(title));
  return failed;
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

  const goodOnes: Readonly<Record<string, MakeExport<Order, Place>>> = {
    "that looks back at each start": () => pagesOf(pagesLookingBack, { version: ({ at }) => at }),
    "that looks back, without versions": () => pagesOf(pagesLookingBack),
    "that reads an instant again at each page's end": () => pagesOf(repeatingPages),
    "that reads each instant to its end, so that its pages are larger than asked for": () =>
      pagesOf(async function* (shop, { checkpoint, signal }) {
        for (let at = (checkpoint?.at ?? -1) + 1; at <= 3; at++) {
          signal.throwIfAborted();
          const records = shop.orders.filter((order) => order.at === at);
          yield await Promise.resolve({ records, checkpoint: { at, ids: [] } });
        }
      }),
    "of changes, several of one thing": () =>
      openShop({ key: ({ at }) => `order ${at}`, version: ({ id }) => Number(id.split(" ")[1]) }),
    "that is unordered": () => openShop({ order: "unordered" }),
  };

  describe.each(Object.entries(goodOnes))("pass an export %s:", (_, make) => {
    // Not all of them look out for late records.
    for (const { title, run: check } of exportCases(make, plain)) test(title, check);
  });

  test("let a source keep what it has got, and be the same for all cases", async () => {
    const shop = new Shop();
    const make = () => {
      const from = shop.export();
      shops.set(from, shop);
      return from;
    };
    const cases = exportCases(make, options);

    expect([await failuresOf(cases), await failuresOf(cases)]).toEqual([[], []]);
    expect(shop.orders).toHaveLength(12);
  });

  test("let the checkpoints of a source be valid there only, if they can reopen it", async () => {
    let sources = 0;
    const openIn = (source: number): Orders => {
      const from = pagesOf(async function* (shop, { checkpoint, ...context }) {
        // As a folder that is made for each case: the checkpoint names a file in it.
        const there = checkpoint?.ids[0] === `source ${source}`;
        const place = there ? { ...checkpoint, ids: checkpoint.ids.slice(1) } : undefined;
        for await (const page of shop.pages({ ...context, checkpoint: place }))
          yield { ...page, checkpoint: { ...page.checkpoint, ids: [`source ${source}`, ...page.checkpoint.ids] } };
      });
      sourceOf.set(from, source);
      return from;
    };
    const sourceOf = new WeakMap<Orders, number>();
    const make = () => openIn(sources++);

    expect(
      await failuresOf(exportCases(make, { ...options, reopen: (from) => openIn(sourceOf.get(from) ?? -1) })),
    ).toEqual([]);
    expect(await failuresOf(exportCases(make, options))).toEqual([newest[0]]);
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
      pagesOf(async function* (shop, context) {
        yield* shop.pages({ ...context, checkpoint: context.checkpoint && { at: 2, ids: [] } });
        if (context.checkpoint) yield [{ id: "another", at: 9, tags: [] }];
      });
    const title = "resuming from any page's checkpoint yields the records after that page, and none that is not there";

    await expect(run(exportCases(make, options), title)).rejects.toThrow(
      `resumed after page 1 of 3, at {"at":1,"ids":["order 3"]}, in what \`make\` returns without a \`reopen\`: ` +
        `missing: 2, the first: {"at":1,"id":"order 4","tags":[]}; too many: 1, the first: {"at":9,"id":"another","tags":[]}`,
    );
  });

  test("catch a look-back of an export without keys: what is read again is another record", async () => {
    const make = () => {
      const from = pagesOf(pagesLookingBack);
      Reflect.deleteProperty(from, "key");
      return from;
    };
    const title = "resuming from any page's checkpoint yields the records after that page, and none that is not there";

    await expect(run(exportCases(make, { ...options, keys: false }), title)).rejects.toThrow("too many: 4");
  });

  test("catch a cursor that stands still in more equal records than a page has, instead of reading for ever", async () => {
    const make = () =>
      pagesOf(repeatingPages, {}, new Shop(Array.from({ length: 10 }, (_, n) => ({ ...orderAt(n), at: 1 }))));

    await expect(exportCases(make, options)[0]?.run()).rejects.toThrow("it reads on and on: 1000 pages in a row");
  });

  test("catch two different records of one key, of which nothing says which is the newer", async () => {
    const orders = manyOrders().flatMap((order) => [order, { ...order, paid: true }]);
    const title = "records with the same key and version are the same";

    await expect(
      run(
        exportCases(() => openShop({}, orders), options),
        title,
      ),
    ).rejects.toThrow(
      `two records have the identity {"key":"order 0","version":undefined}: {"at":0,"id":"order 0","tags":[]} and`,
    );
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])(
    "catch a cursor that loses equal records, with pages of %i of 10",
    async (pageSize) => {
      const cases = exportCases(() => pagesOf(lossyPages), { pageSize });

      expect(await failuresOf(cases)).toEqual(["pages of another size yield the same records"]);
    },
  );

  test("catch one that keeps to no size, if they know what its source has", async () => {
    const make = () => pagesOf((shop, context) => lossyPages(shop, { ...context, pageSize: 4 }));
    expect(await failuresOf(exportCases(make, plain))).toEqual(["it yields all records of its source, and no others"]);
  });

  test.each(newest)("catch by no other case what breaks: %s", async (title) => {
    const make = saboteurs[title] ?? expect.fail(title);

    expect(await failuresOf(exportCases(make, options))).toEqual([title]);
  });

  test("list what is left out, and why", () => {
    const { skipped } = exportCases(openShop, { checkpoints: false, keys: false });

    expect(skipped).toEqual([
      { title: "it yields all records of its source, and no others", reason: "`records` is not given" },
      { title: "each page's checkpoint is JSON, and reads back the same", reason: "`checkpoints: false`" },
      {
        title: "its last page with records has a checkpoint, so that the next run reads only what is new",
        reason: "`checkpoints: false`",
      },
      {
        title: "resuming from any page's checkpoint yields the records after that page, and none that is not there",
        reason: "`checkpoints: false`",
      },
      {
        title: "resuming from its last checkpoint yields fewer records than reading from the start",
        reason: "`checkpoints: false`",
      },
      { title: "a record that comes late is read by the next run", reason: "`checkpoints: false`" },
      { title: "an empty source yields no records, and ends", reason: "`empty` is not given" },
      {
        title: "each key is a string of 1 to 1,000 characters, and each version a string or a finite number",
        reason: "`keys: false`",
      },
      { title: "records with the same key and version are the same", reason: "`keys: false`" },
      { title: "keys and versions are the same when the records are read again", reason: "`keys: false`" },
    ]);
    expect(exportCases(openShop, options).skipped).toEqual([]);
  });

  test.each(["", "a\0", "\ud800", "x".repeat(1_001)])(
    "find the key %j, with which a record would fail",
    async (key) => {
      const cases = exportCases(() => openShop({ key: () => key }), options);
      const title = "each key is a string of 1 to 1,000 characters, and each version a string or a finite number";

      await expect(run(cases, title)).rejects.toThrow("expected a key of 1 to 1000 characters, without NUL");
    },
  );
});
