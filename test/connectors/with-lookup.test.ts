import { describe, expect, test } from "vitest";
import { type LookupOptions, withLookup } from "../../src/connectors/index.ts";
import { type Export, type Import, reject, retryLater, stop } from "../../src/index.ts";
import { ManualClock, collectingImport, importCases, scriptedImport } from "../../src/testing/index.ts";
import { Harness, noon } from "../support/harness.ts";

interface Order {
  readonly id: string;
  readonly customer: string;
}

interface NamedOrder {
  readonly id: string;
  readonly name: string;
}

const order = (nth: number): Order => ({ id: `order ${nth}`, customer: `customer ${nth}` });
const named = async (keys: readonly string[]) => new Map(keys.map((key) => [key, key.toUpperCase()]));

function lookup(options: Partial<LookupOptions<Order, NamedOrder, string>> = {}) {
  return {
    keyOf: ({ customer }: Order) => customer,
    find: named,
    merge: ({ id }: Order, name: string | undefined) => ({ id, name: name ?? "nobody" }),
    ...options,
  };
}

const from: Export<Order> = {
  key: ({ id }) => id,
  async *pages() {
    yield [0, 1, 2, 3].map(order);
  },
};

/** What becomes of four orders. */
async function move(into: Import<NamedOrder>, options: Partial<LookupOptions<Order, NamedOrder, string>>) {
  const harness = new Harness({ exports: { from }, imports: { into: withLookup(into, lookup(options)) } });
  const run = await harness.move();
  return { harness, run, failures: await harness.failures() };
}

const without =
  (...missing: readonly number[]) =>
  async (keys: readonly string[]) =>
    new Map([...(await named(keys))].filter(([key]) => !missing.some((nth) => key === `customer ${nth}`)));

describe("an import that looks up", () => {
  test("takes of what `find` returns only what it has asked for, and that is known", async () => {
    const into = collectingImport<NamedOrder>();
    const find = async ([first = ""]: readonly string[]) =>
      new Map<string, string>([
        [first, "known"],
        ["customer 1", undefined as unknown as string],
        ["somebody else", "unasked"],
      ]);

    const { run } = await move(into, { find });

    expect(into.written.map(({ name }) => name)).toEqual(["known"]);
    expect(run).toMatchObject({ numSuccess: 1, numError: 3 });
  });

  test("asks for nothing where everything is known", async () => {
    const asked: (readonly string[])[] = [];
    const find = (keys: readonly string[]) => (asked.push(keys), named(keys));
    const into = withLookup(
      collectingImport<NamedOrder>({ batchSize: 2 }),
      lookup({ keyOf: () => "one", find, cache: { max: 10, ttlMs: 60_000 } }),
    );
    const harness = new Harness({ exports: { from }, imports: { into } });

    await harness.move();

    expect(asked).toEqual([["one"]]);
  });

  test("rejects a record without a key by itself", async () => {
    const into = collectingImport<NamedOrder>();
    const keyOf = ({ id, customer }: Order) => {
      if (id === "order 1") throw new Error("no customer");
      return customer;
    };

    const { failures } = await move(into, { keyOf });

    expect(into.written.map(({ id }) => id)).toEqual(["order 0", "order 2", "order 3"]);
    expect(failures).toMatchObject([{ key: "order 1", message: "no customer" }]);
  });

  const contents = new WeakMap<object, Map<string, NamedOrder>>();
  const make = () => {
    const into = collectingImport<NamedOrder>();
    const from = withLookup(into, lookup());
    contents.set(from, into.byKey);
    return from;
  };
  const cases = importCases(make, {
    record: order,
    poison: (nth) => ({ id: `poison ${nth}`, customer: undefined as unknown as string }),
    read: (into) => [...(contents.get(into) ?? [])].sort(),
  });
  for (const { title, run } of cases) test(title, run);

  test("asks once a batch, for each key once, and writes what merge makes", async () => {
    const asked: (readonly string[])[] = [];
    const into = collectingImport<NamedOrder>({ batchSize: 2 });
    const find = (keys: readonly string[]) => (asked.push(keys), named(keys));

    await move(into, { find, keyOf: () => "the same" });

    expect(asked).toEqual([["the same"], ["the same"]]);
    expect(into.written.map(({ name }) => name)).toEqual(Array(4).fill("THE SAME"));
    expect(into.calls[1]?.keys).toEqual(["order 2", "order 3"]);
  });

  test.each([
    ["reject", { numSuccess: 2, numError: 2, numIgnore: 0 }, ["order 0", "order 3"]],
    ["ignore", { numSuccess: 2, numError: 0, numIgnore: 2 }, ["order 0", "order 3"]],
    ["pass", { numSuccess: 4, numError: 0, numIgnore: 0 }, ["order 0", "order 1", "order 2", "order 3"]],
  ] as const)("and finds nothing for a record: %s", async (missing, counts, written) => {
    const into = collectingImport<NamedOrder>();

    const { run, failures } = await move(into, { find: without(1, 2), missing });

    expect(run).toMatchObject(counts);
    expect(into.written.map(({ id }) => id)).toEqual(written);
    expect(into.calls[0]?.keys).toEqual(written);
    if (missing === "reject") expect(failures[0]?.message).toBe('nothing was found for "customer 1"');
  });

  test("can leave out what exists already", async () => {
    const into = collectingImport<NamedOrder>();

    const { run } = await move(into, { find: without(1), found: "ignore", missing: "pass" });

    expect(into.written).toEqual([{ id: "order 1", name: "nobody" }]);
    expect(run).toMatchObject({ numSuccess: 1, numIgnore: 3 });
  });

  test("waits when a lookup fails, as nothing was written, though its import is not idempotent", async () => {
    let left = 2;
    const into = collectingImport<NamedOrder>({ idempotent: false });
    const find = async (keys: readonly string[]) => {
      if (left-- > 0) throw new Error("the database is away");
      return named(keys);
    };

    expect((await move(into, { find })).run).toMatchObject({ numSuccess: 4, numError: 0 });
    expect(into.calls).toHaveLength(1);
  });

  test("heeds a lookup that rejects or stops, and refuses one that returns no Map", async () => {
    const into = collectingImport<NamedOrder>();
    const rejecting = await move(into, { find: () => Promise.reject(reject("no such table row")) });
    const stopping = await move(into, { find: () => Promise.reject(stop("no rights")) });
    const empty = await move(into, { find: async () => [] as unknown as Map<string, string> });

    expect(rejecting.failures).toHaveLength(4);
    expect(stopping.run.error?.code).toBe("stopped_by_import");
    expect(empty.run.error?.message).toContain("expected a Map");
  });

  test("keeps apart what its import says, what was not found, and what merge throws", async () => {
    const into = scriptedImport<NamedOrder>(({ records }) =>
      records.map(({ id }) => (id === "order 3" ? { ok: false, fault: "reject", error: "too late" } : { ok: true })),
    );
    const merge = ({ id }: Order, name: string | undefined) => {
      if (id === "order 0") throw new Error("cannot be merged");
      return { id, name: name ?? "" };
    };

    const { failures } = await move(into, { find: without(1), merge });

    expect(failures.map(({ key, message }) => [key, message])).toEqual([
      ["order 0", "cannot be merged"],
      ["order 1", 'nothing was found for "customer 1"'],
      ["order 3", "too late"],
    ]);
  });

  test("condemns no neighbour when its import throws, and settles what it did itself", async () => {
    let isDown = true;
    const into = scriptedImport<NamedOrder>(() => {
      if (isDown) throw retryLater("503", { afterMs: 1_000 });
      return undefined;
    });
    const find = async (keys: readonly string[]) => {
      if (into.calls.length > 0) isDown = false;
      return without(1)(keys);
    };

    const { run, failures } = await move(into, { find });

    expect(run).toMatchObject({ numSuccess: 3, numError: 1 });
    expect(failures.map(({ key }) => key)).toEqual(["order 1"]);
  });

  test("asks its import's find with the records as they are written", async () => {
    const asked: NamedOrder[] = [];
    const into: Import<NamedOrder> = {
      idempotent: false,
      async write() {
        throw new Error("ECONNRESET");
      },
      async find(records) {
        asked.push(...records);
        return records.map(({ id }) => (id === "order 3" ? undefined : true));
      },
    };

    const { failures } = await move(into, { find: without(1) });

    expect(asked.slice(0, 3).map(({ id }) => id)).toEqual(["order 0", "order 2", "order 3"]);
    expect(failures.map(({ key, fault }) => [key, fault])).toEqual([
      ["order 1", "reject"],
      ["order 3", "retry"],
    ]);
  });
});

describe("the cache of a lookup", () => {
  test("keeps what was found, used last, for its time, and asks again for what was not", async () => {
    const clock = new ManualClock(noon);
    const asked: string[][] = [];
    const options = lookup({
      clock,
      find: async (keys) => (asked.push([...keys]), without(9)(keys)),
      missing: "pass",
      cache: { max: 2, ttlMs: 1_000 },
    });
    const into = withLookup(collectingImport<NamedOrder>(), options);
    const write = async (...numbers: readonly number[]) => {
      const harness = new Harness({
        exports: { from: { pages: () => pageOf(numbers.map(order)) } },
        imports: { into },
      });
      await harness.move();
    };

    await write(0, 1);
    await write(1, 0, 9);
    await write(0, 2);
    await write(1, 0);
    await clock.advance(1_000);
    await write(0);

    expect(asked).toEqual([
      ["customer 0", "customer 1"],
      ["customer 9"],
      ["customer 2"],
      ["customer 1"],
      ["customer 0"],
    ]);
  });
});

async function* pageOf<T>(records: readonly T[]) {
  yield records;
}

test.each([
  [{}, { keyOf: undefined }, "withLookup.keyOf"],
  [{}, { missing: "skip" }, "withLookup.missing"],
  [{}, { cache: { max: 0, ttlMs: 1 } }, "withLookup.cache.max"],
  [{}, { lookup: named }, "withLookup.lookup"],
  [{ filter: () => true }, {}, "withLookup.into.filter"],
  [{ map: (each: NamedOrder) => each }, {}, "withLookup.into.map"],
])("refuses %o with %o", (settings, options, message) => {
  const into = collectingImport<NamedOrder>(settings);

  expect(() => withLookup(into, { ...lookup(), ...options } as LookupOptions<Order, NamedOrder, string>)).toThrow(
    message,
  );
});
