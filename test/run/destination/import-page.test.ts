import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { type Import, type StandardSchemaV1, retryLater } from "../../../src/index.ts";
import { type ImportSettings, arrayExport, collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Gate, Harness, pagesExport, upTo } from "../../support/harness.ts";

interface Order {
  readonly id: string;
  readonly total: number;
  readonly lines: { readonly sku: string }[];
}

const order = (id: string, total = 1): Order => ({ id, total, lines: [{ sku: "a" }] });
const orders = (...records: Order[]) => ({ orders: arrayExport(records, { key: ({ id }: Order) => id }) });

describe("filter, map and schema", () => {
  test("a record the filter leaves out is ignored by that import alone, and never mapped", async () => {
    const mapped: string[] = [];
    const large = collectingImport<Order>({
      filter: ({ total }) => total >= 10,
      map: (record) => {
        mapped.push(record.id);
        return record;
      },
    });
    const all = collectingImport<Order>();
    const harness = new Harness({ exports: orders(order("a", 5), order("b", 15)), imports: { large, all } });

    const run = await harness.move();

    expect(large.written.map(({ id }) => id)).toEqual(["b"]);
    expect(all.written.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(mapped).toEqual(["b"]);
    expect(run).toMatchObject({ numSuccess: 3, numIgnore: 1, numError: 0 });
    expect(run.imports).toMatchObject({
      large: { numSuccess: 1, numIgnore: 1, numError: 0 },
      all: { numSuccess: 2, numIgnore: 0, numError: 0 },
    });
  });

  test("what map makes goes through the schema, and what the schema makes is written, in the key of the record", async () => {
    const sink: Import<Order, { email: string }> & { seen: unknown[] } = {
      idempotent: true,
      seen: [],
      map: ({ id }) => ({ email: ` ${id.toUpperCase()}@X.ORG ` }),
      schema: v.object({ email: v.pipe(v.string(), v.trim(), v.toLowerCase(), v.email()) }),
      async write(records, { keys }) {
        this.seen.push(...records.map((record, index) => [keys[index], record]));
      },
    };
    const harness = new Harness({ exports: orders(order("ann"), order("n o"), order("bob")), imports: { sink } });

    const run = await harness.move();

    expect(sink.seen).toEqual([
      ["ann", { email: "ann@x.org" }],
      ["bob", { email: "bob@x.org" }],
    ]);
    expect(run).toMatchObject({ status: "completed", numSuccess: 2, numError: 1 });
    expect(await harness.failures()).toMatchObject([
      { key: "n o", record: order("n o"), fault: "reject", attempts: 0 },
    ]);
  });

  const unlessA = <T>(record: T & { readonly id: string }): T => {
    if (record.id === "a") throw new Error("a is refused");
    return record;
  };

  test.each<[string, ImportSettings<Order>]>([
    ["filter", { filter: (record) => unlessA(record).id !== "" }],
    ["map", { map: unlessA }],
    ["schema", { schema: v.custom<Order>((record) => (record as Order).id !== "a", "a is refused") }],
  ])("a record its %s refuses is rejected in its original form, and its neighbours go on", async (_, settings) => {
    const sink = collectingImport<Order>(settings);
    const harness = new Harness({ exports: orders(order("a"), order("b")), imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 1, numError: 1, numIgnore: 0 });
    expect(sink.written).toEqual([order("b")]);
    expect(await harness.failures()).toMatchObject([
      { record: order("a"), key: "a", fault: "reject", attempts: 0, message: "a is refused" },
    ]);
  });

  test.each<[string, Partial<Import<Order>>]>([
    ["filter", { filter: (() => Promise.resolve(true)) as unknown as () => boolean }],
    ["map", { map: (async (record: Order) => record) as unknown as (record: Order) => Order }],
    ["schema", { schema: v.objectAsync({ id: v.string() }) as unknown as StandardSchemaV1<Order> }],
  ])("a %s that returns a promise breaks the contract, and nothing is written or committed", async (_, settings) => {
    const sink = { ...collectingImport<Order>(), ...settings };
    const harness = new Harness({ exports: orders(order("a")), imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "failed", numPagesProcessed: 0, error: { code: "contract_violation" } });
    expect(sink.calls).toEqual([]);
    expect(await harness.failures()).toEqual([]);
  });

  test("all of a page left out means that nothing is written, and the page is committed", async () => {
    const sink = collectingImport<Order>({ filter: () => false });
    const harness = new Harness({ exports: orders(order("a"), order("b")), imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numPagesProcessed: 1, numIgnore: 2, numSuccess: 0 });
    expect(sink.calls).toEqual([]);
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toEqual({ read: 2 });
  });

  test("results answer for the records that were sent, not for those left out between them", async () => {
    const sink = scriptedImport<number>(
      () => [{ ok: true }, { ok: false, fault: "reject", error: new Error("four") }, { ok: true }],
      { filter: (number) => number % 2 === 0 },
    );
    const exports = { from: arrayExport(upTo(6), { key: (number) => `#${number}` }) };
    const harness = new Harness({ exports, imports: { sink } });

    await harness.move();

    expect(sink.calls).toMatchObject([{ records: [2, 4, 6], keys: ["#2", "#4", "#6"] }]);
    expect(await harness.failures()).toMatchObject([{ record: 4, key: "#4", message: "four" }]);
  });

  test("failures of map and of write are stored in the order of their records", async () => {
    const sink = scriptedImport<number>(
      ({ records }) => records.map(() => ({ ok: false, fault: "reject", error: new Error("write") })),
      {
        map: (number) => {
          if (number % 2 === 0) throw new Error("map");
          return number;
        },
      },
    );
    const harness = new Harness({ exports: { from: arrayExport(upTo(5)) }, imports: { sink } });

    const run = await harness.move();

    expect((await harness.failures()).map(({ record, message }) => [record, message])).toEqual([
      [1, "write"],
      [2, "map"],
      [3, "write"],
      [4, "map"],
      [5, "write"],
    ]);
    expect(run).toMatchObject({ numError: 5, numSuccess: 0, numIgnore: 0 });
  });
});

describe("batches", () => {
  test("a page is one batch if the import does not say otherwise", async () => {
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from: pagesExport([upTo(250)]) }, imports: { sink } });

    await harness.move();

    expect(sink.calls.map(({ records }) => records.length)).toEqual([250]);
  });

  test("batchSize bounds each write, in order and with the right keys; pages are never joined", async () => {
    const sink = collectingImport<number>({ batchSize: 3 });
    const from = pagesExport([upTo(7), [8, 9]], { key: (number: unknown) => `#${String(number)}` });
    const harness = new Harness({ exports: { from }, imports: { sink } });

    await harness.move();

    expect(sink.calls.map(({ records }) => records)).toEqual([[1, 2, 3], [4, 5, 6], [7], [8, 9]]);
    for (const { records, keys } of sink.calls) expect(keys).toEqual(records.map((number) => `#${number}`));
  });

  test.each([1, 2, 3, 100])(
    "concurrency %i bounds the writes of one page at once, and is used",
    async (concurrency) => {
      let writing = 0;
      let most = 0;
      const sink = scriptedImport<number>(
        async () => {
          most = Math.max(most, ++writing);
          await new Promise<void>((resolve) => harness.clock.setTimer(resolve, 10));
          writing--;
          return undefined;
        },
        { batchSize: 2, concurrency },
      );
      const harness = new Harness({ exports: { from: pagesExport([upTo(9), upTo(9)]) }, imports: { sink } });

      const run = await harness.move();

      expect(most).toBe(Math.min(5, concurrency));
      expect(run).toMatchObject({ numSuccess: 18, numPagesProcessed: 2 });
      expect([...sink.written.slice(0, 9)].sort()).toEqual(upTo(9));
    },
  );

  test("each batch has its own attempts, and failures keep the places of their records", async () => {
    const sink = scriptedImport<number>(
      ({ records, attempt }) => {
        if (records[0] === 4 && attempt === 1) throw retryLater("busy");
        return records.map((number) =>
          number % 3 === 2 ? { ok: false, fault: "reject", error: new Error("no") } : { ok: true },
        );
      },
      { batchSize: 3, concurrency: 2 },
    );
    const exports = { from: arrayExport(upTo(9), { key: (number) => `#${number}` }) };
    const harness = new Harness({ exports, imports: { sink } });

    await harness.move();

    expect((await harness.failures()).map(({ record, key }) => [record, key])).toEqual([
      [2, "#2"],
      [5, "#5"],
      [8, "#8"],
    ]);
  });

  test("a run that breaks in one batch ends only when the batches beside it have ended", async () => {
    const gate = new Gate();
    const sink = scriptedImport<number>(({ records }) => (records[0] === 1 ? [] : gate.opened.then(() => undefined)), {
      batchSize: 1,
      concurrency: 2,
    });
    const harness = new Harness({ exports: { from: arrayExport([1, 2]) }, imports: { sink } });
    await harness.scheduler.start();
    const { _id } = await harness.scheduler.run((await harness.flow())._id);

    await harness.clock.settle();
    const meanwhile = await harness.scheduler.getRun(_id);
    gate.open();

    expect(meanwhile.status).toBe("running");
    expect((await harness.end(meanwhile)).error?.code).toBe("contract_violation");
  });
});

describe("several imports", () => {
  test("are written side by side: a slow one keeps no other from the same page", async () => {
    const gate = new Gate();
    const slow = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const fast = collectingImport<number>();
    const harness = new Harness({ exports: { from: arrayExport([1, 2], { pageSize: 1 }) }, imports: { slow, fast } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);

    await harness.clock.settle();
    const before = [...fast.written];
    gate.open();
    await harness.end(run);

    expect(before).toEqual([1]);
    expect(fast.written).toEqual([1, 2]);
  });

  test("one's errors never send a record to another one again, nor count against it", async () => {
    const flaky = scriptedImport<number>(({ attempt, records }) => {
      if (attempt < 3) throw retryLater("busy");
      return records.map((number) =>
        number === 2 ? { ok: false, fault: "reject", error: new Error("no") } : { ok: true },
      );
    });
    const steady = collectingImport<number>({ idempotent: false });
    const exports = { from: arrayExport(upTo(6), { pageSize: 3 }) };
    const harness = new Harness({ exports, imports: { flaky, steady } });

    const run = await harness.move();

    expect(steady.written).toEqual(upTo(6));
    expect(run.imports).toMatchObject({
      flaky: { numSuccess: 5, numError: 1, numIgnore: 0 },
      steady: { numSuccess: 6, numError: 0, numIgnore: 0 },
    });
    expect(await harness.failures()).toMatchObject([{ _importId: "flaky", record: 2 }]);
  });

  test("a page is committed only when all of them have settled it", async () => {
    const gate = new Gate();
    const slow = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const harness = new Harness({
      exports: { from: arrayExport([1]) },
      imports: { fast: collectingImport<number>(), slow },
    });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);

    await harness.clock.settle();
    const meanwhile = await harness.scheduler.getRun(run._id);
    gate.open();

    expect(meanwhile).toMatchObject({ numPagesProcessed: 0, numSuccess: 0 });
    expect(await harness.end(run)).toMatchObject({ numPagesProcessed: 1, numSuccess: 2 });
  });

  test("a run that one of them breaks ends only when the others have ended, too", async () => {
    const gate = new Gate();
    const slow = scriptedImport<number>(() => gate.opened.then(() => undefined));
    const broken = scriptedImport<number>(() => []);
    const harness = new Harness({ exports: { from: arrayExport([1]) }, imports: { broken, slow } });
    await harness.scheduler.start();
    const { _id } = await harness.scheduler.run((await harness.flow())._id);

    await harness.clock.settle();
    const meanwhile = await harness.scheduler.getRun(_id);
    gate.open();

    expect(meanwhile.status).toBe("running");
    expect((await harness.end(meanwhile)).error?.code).toBe("contract_violation");
  });

  test("an import that changes a record gets a TypeError, and no other import sees a difference", async () => {
    const errors: unknown[] = [];
    const vandal = scriptedImport<Order>(({ records }) => {
      try {
        for (const record of records) {
          (record as { total: number }).total = 0;
        }
      } catch (error) {
        errors.push(error);
      }
      try {
        records[0]?.lines.push({ sku: "mine" });
      } catch (error) {
        errors.push(error);
      }
      throw retryLater("busy");
    });
    const steady = collectingImport<Order>();
    const harness = new Harness({ exports: orders(order("a", 7)), imports: { vandal, steady } });

    const run = await harness.move();

    expect(errors).toHaveLength(10);
    expect(errors.every((error) => error instanceof TypeError)).toBe(true);
    expect(steady.written).toEqual([order("a", 7)]);
    expect(vandal.calls.map(({ records }) => records)).toEqual(Array.from({ length: 5 }, () => [order("a", 7)]));
    expect(run.status).toBe("failed");
  });

  test("an import that empties the arrays it is given harms neither its own keys nor those of another", async () => {
    const attempts: (readonly string[])[] = [];
    const vandal: Import<number> = {
      idempotent: true,
      async write(records, { keys, attempt }) {
        attempts.push([...keys]);
        for (const array of [records, keys])
          try {
            (array as unknown[]).splice(0);
          } catch {
            // Frozen: that is as good.
          }
        if (attempt === 1)
          return [{ ok: false, fault: "retry", error: "?" }, { ok: true }, { ok: false, fault: "retry", error: "?" }];
        if (attempt === 2) throw retryLater("busy");
        return undefined;
      },
    };
    const steady = scriptedImport<number>(({ attempt }) => {
      if (attempt === 1) throw retryLater("busy");
      return undefined;
    });
    const exports = { from: arrayExport([1, 2, 3], { key: (number) => `#${number}` }) };
    const harness = new Harness({ exports, imports: { vandal, steady } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 6 });
    expect(attempts).toEqual([
      ["#1", "#2", "#3"],
      ["#1", "#3"],
      ["#1", "#3"],
    ]);
    expect(steady.calls.map(({ keys }) => keys)).toEqual([
      ["#1", "#2", "#3"],
      ["#1", "#2", "#3"],
    ]);
  });

  test("an import that empties its array in a retry, after find, harms only itself", async () => {
    let isDown = true;
    const emptying: Import<number> = {
      idempotent: false,
      async find(records) {
        if (isDown) throw new Error("cannot look");
        return records.map(() => undefined);
      },
      async write(records) {
        if (isDown) throw new Error("the connection broke");
        try {
          (records as number[]).pop();
        } catch {
          // Frozen: that is as good.
        }
        return [{ ok: true }, { ok: true }];
      },
    };
    const harness = new Harness({ exports: { numbers: arrayExport([1, 2]) }, imports: { emptying } });
    const { _flowId } = await harness.move();
    isDown = false;

    const retry = await harness.end(await harness.scheduler.retryFailures(_flowId));

    expect(retry).toMatchObject({ status: "completed", numSuccess: 2 });
  });

  test("an import that changes what its own map made gets the original again at the next attempt", async () => {
    const seen: unknown[] = [];
    const sink = scriptedImport<{ id: string; tags: string[] }>(
      ({ records, attempt }) => {
        seen.push(structuredClone(records));
        try {
          records[0]?.tags.push("seen");
        } catch {
          // Frozen, as it is meant to be.
        }
        if (attempt < 3) throw retryLater("busy");
        return undefined;
      },
      { map: ({ id }) => ({ id, tags: [] }) },
    );
    const harness = new Harness({ exports: orders(order("a")), imports: { sink } });

    await harness.move();

    expect(seen).toEqual([[{ id: "a", tags: [] }], [{ id: "a", tags: [] }], [{ id: "a", tags: [] }]]);
  });

  test("each is given the flow, the run and a logger that names both and the import", async () => {
    const lines: object[] = [];
    const logger = {
      debug: () => undefined,
      info(fields: object, message: string) {
        if (message === "written") lines.push(fields);
      },
      warn: () => undefined,
      error: () => undefined,
    };
    const seen: unknown[] = [];
    const sink = scriptedImport<number>((_, { flow, run, log }) => {
      seen.push(flow._id, run._id, run.status);
      log.info({ rows: 1 }, "written");
      return undefined;
    });
    const harness = new Harness({ exports: { from: arrayExport([1]) }, imports: { sink }, options: { logger } });

    const run = await harness.move();

    expect(seen).toEqual([run._flowId, run._id, "running"]);
    expect(lines[0]).toEqual({ flowId: run._flowId, runId: run._id, importId: "sink", rows: 1 });
  });
});
