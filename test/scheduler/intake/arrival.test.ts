import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { type Export, type ListenContext, MemoryStorage } from "../../../src/index.ts";
import type { Codec } from "../../../src/model/host/export.ts";
import { sortArrival } from "../../../src/scheduler/intake/arrival.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { collectingImport } from "../../../src/testing/index.ts";
import { Harness } from "../../support/harness.ts";

const order = v.object({ id: v.string(), lines: v.array(v.object({ count: v.number("a number") })) });
type Order = v.InferOutput<typeof order>;

async function started<T>(orders: Partial<Export<T>>, storage: MemoryStorage | SqliteStorage = new MemoryStorage()) {
  const ledger = collectingImport<T>();
  const exports = { orders: { listen: () => () => undefined, ...orders } };
  const harness = new Harness({ exports, imports: { ledger }, storage });
  await harness.scheduler.start();
  const flow = await harness.flow();
  const accept = (...records: unknown[]) => harness.scheduler.accept("orders", records);
  const written = async () => {
    await harness.clock.settle();
    return ledger.written;
  };
  return { harness, flow, accept, written };
}

const fieldsOf = async (accepted: Promise<unknown>) => {
  const error = await accepted.catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "invalid_request" });
  return (error as { issues: { field: string }[] }).issues.map(({ field }) => field);
};

describe("records that are accepted", () => {
  test("have to fit the export's schema: every problem is named by its place, and nothing is kept", async () => {
    const { harness, flow, accept, written } = await started<Order>({ schema: order });
    const fine = { id: "a", lines: [{ count: 1 }] };

    const refused = accept(fine, { id: 1, lines: [] }, { id: "b", lines: [{ count: 1 }, { count: "2" }] }, "no order");

    expect(await fieldsOf(refused)).toEqual(["records.1.id", "records.2.lines.1.count", "records.3"]);
    await expect(refused).rejects.toThrow(/^records\.1\.id: .* and 2 more$/);
    expect(await harness.storage.readInbox(flow._id, { maxRecords: 9 })).toEqual([]);
    await accept(fine);
    expect(await written()).toEqual([fine]);
  });

  test("have to have a key and a version, if the export makes them", async () => {
    const { accept, written } = await started<{ id: string; version: number }>({
      key: ({ id }) => id,
      version: ({ version }) => version,
    });

    const refused = accept({ id: "a", version: 1 }, { id: 7, version: 1 }, { id: "b", version: Number.NaN }, null);

    expect(await fieldsOf(refused)).toEqual(["records.1", "records.2", "records.3"]);
    expect(await written()).toEqual([]);
  });

  test("that are refused are counted, and a hundred of them are listed", async () => {
    const { accept } = await started<string>({ schema: v.string() });

    const refused = accept(...Array.from({ length: 250 }, (_, index) => index));

    const fields = await fieldsOf(refused);
    expect([fields.length, fields[98], fields[99]]).toEqual([100, "records.98", "records"]);
    await expect(refused).rejects.toMatchObject({ issues: { 99: { message: "and 151 more" } } });
  });

  test("cannot be checked by a schema that is asynchronous: its defect is not the sender's", async () => {
    const { accept } = await started<string>({
      schema: v.pipeAsync(
        v.string(),
        v.checkAsync(async () => true),
      ),
    });

    await expect(accept("a")).rejects.toMatchObject({ code: "contract_violation" });
  });

  test("are kept by the export's codec, which makes the same of them again", async () => {
    class Money {
      readonly cents: bigint;
      constructor(cents: bigint) {
        this.cents = cents;
      }
    }
    const codec: Codec<Money> = {
      encode: ({ cents }) => cents.toString(),
      decode: (value) => new Money(BigInt(value as string)),
    };
    const { harness, flow, accept, written } = await started<Money>({ codec });

    await harness.scheduler.stop();
    await accept(new Money(7n));
    const kept = await harness.storage.readInbox(flow._id, { maxRecords: 9 });
    await harness.scheduler.start();

    expect(kept).toMatchObject([{ records: ["7"] }]);
    expect(await written()).toEqual([new Money(7n)]);
    expect((await written())[0]).toBeInstanceOf(Money);
    expect(await fieldsOf(accept({}))).toEqual(["records.0"]);
  });

  test.each(["memory", "sqlite"])("read back deeply equal from %s, big integers and -0 included", async (kind) => {
    const storage = kind === "memory" ? new MemoryStorage() : await SqliteStorage.open(":memory:");
    const { accept, written } = await started<unknown>({}, storage);
    const records = [
      { id: 7_615_917_337_495_251_231n, list: [1n, -(2n ** 200n)], zero: -0 },
      { id: "7615917337495251231" },
    ];

    await accept(...records);

    expect(await written()).toStrictEqual(records);
    await storage.close();
  });
});

test("records that a listening export hands over become failures if they are invalid, and the rest is delivered", async () => {
  let heard: ListenContext<string> | undefined;
  const { harness, written } = await started<string>({
    schema: v.string(),
    listen(context) {
      heard = context;
      return () => undefined;
    },
  });
  await harness.clock.settle();

  expect(await heard?.accept(["a", 7 as unknown as string, "b"])).toEqual({ accepted: 3, duplicates: 0 });

  expect(await written()).toEqual(["a", "b"]);
  expect(await harness.failures()).toMatchObject([{ record: 7, fault: "reject" }]);
});

test("records that a listening export hands over become failures at once if they cannot be kept, without a run", async () => {
  let heard: ListenContext<{ readonly id: string }> | undefined;
  const { harness, written } = await started<{ readonly id: string }>({
    key: ({ id }) => id,
    listen(context) {
      heard = context;
      return () => undefined;
    },
  });
  await harness.clock.settle();
  const odd = { id: "odd", send: () => undefined };

  const first = await heard?.accept([{ id: "a" }, odd, { id: "b" }], { ids: ["1", "2", "3"] });
  const delivered = await written();
  const again = await heard?.accept([odd], { ids: ["2"] });

  expect([first, again]).toEqual([
    { accepted: 2, duplicates: 0 },
    { accepted: 0, duplicates: 0 },
  ]);
  expect(delivered).toEqual([{ id: "a" }, { id: "b" }]);
  expect(await harness.runs()).toHaveLength(1);
  expect(await harness.failures()).toMatchObject([
    {
      key: "odd",
      _runId: "",
      unstorable: true,
      fault: "reject",
      occurrences: 2,
      message: expect.stringContaining("send is a function") as unknown,
    },
  ]);
});

test("what cannot be kept is known by its own key, or by its place if it has none", () => {
  const bad = () => 1;

  expect(sortArrival([1, bad], {}).unstorable).toMatchObject([{ index: 1, key: undefined }]);
  expect(sortArrival([bad], { key: () => "" }).unstorable).toMatchObject([{ index: 0, key: undefined }]);
  expect(sortArrival([bad], { key: () => "k" }).unstorable).toMatchObject([{ index: 0, key: "k" }]);
  expect(sortArrival([1, bad], {})).toMatchObject({ copies: [1], kept: [0] });
});
