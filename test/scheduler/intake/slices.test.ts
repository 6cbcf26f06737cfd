import { describe, expect, test } from "vitest";
import { MemoryStorage } from "../../../src/index.ts";
import { slicesOf } from "../../../src/scheduler/intake/slices.ts";
import type { Arrival } from "../../../src/storage/storage.ts";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { collectingImport } from "../../../src/testing/index.ts";
import { arrivalOf, realtimeStart } from "../../../src/testing/storage/harness.ts";
import { Harness, faltering, upTo } from "../../support/harness.ts";

let ids = 0;
const newId = () => `new ${++ids}`;

function arrivalWith(size: number, flows = 1, changes: Partial<Arrival> = {}): Arrival {
  return arrivalOf("a", {
    records: upTo(size),
    ids: upTo(size).map((id) => `e${id}`),
    starts: upTo(flows).map((flow) => realtimeStart(`run ${flow}`, `flow ${flow}`)),
    ...changes,
  });
}

const sizes = (arrival: Arrival) => slicesOf(arrival, newId).slices.map(({ records }) => records.length);

describe("an arrival", () => {
  test("of 5,000 event ids in all inboxes together is one transaction, and of more several", () => {
    expect(sizes(arrivalWith(5_000))).toEqual([5_000]);
    expect(sizes(arrivalWith(5_001))).toEqual([5_000, 1]);
    expect(sizes(arrivalWith(2_500, 2))).toEqual([2_500]);
    expect(sizes(arrivalWith(2_501, 2))).toEqual([2_500, 1]);
    expect(sizes(arrivalWith(250, 1_000))).toEqual([100, 100, 50]);
  });

  test("without event ids is one, since it could not be sent again", () => {
    const { ids: _, ...without } = arrivalWith(20_000);

    expect(sizes(without)).toEqual([20_000]);
  });

  test("in slices has all its records in order, ids of its own for each page and run, and its failures once", () => {
    const failures: Arrival["failures"] = [];

    const { slices } = slicesOf(arrivalWith(12_000, 1, { failures }), newId);

    expect(slices.flatMap(({ records }) => records)).toEqual(upTo(12_000));
    expect(slices.flatMap((slice) => slice.ids ?? [])).toEqual(upTo(12_000).map((id) => `e${id}`));
    expect(new Set(slices.flatMap(({ _id, starts }) => [_id, starts[0]?._id])).size).toBe(6);
    expect(slices.map((slice) => slice.failures)).toEqual([failures, undefined, undefined]);
  });

  test("in slices has the first record of each id, however far apart the others are", () => {
    const repeating = arrivalWith(6_000, 1, { ids: upTo(6_000).map((id) => `e${id % 5_500}`) });

    const { repeated, slices } = slicesOf(repeating, newId);

    expect(repeated).toBe(500);
    expect(slices.flatMap(({ records }) => records)).toEqual(upTo(5_500));
  });
});

describe.each([
  ["MemoryStorage", () => new MemoryStorage()],
  ["SqliteStorage", () => new SqliteStorage(openDatabase(":memory:"))],
])("12,000 records with event ids at %s", (_, open) => {
  const records = upTo(12_000);
  const options = { ids: records.map((id) => `e${id}`) };

  async function harness(storage = open()) {
    const made = new Harness({
      exports: { from: { listen: () => () => undefined } },
      imports: { sink: collectingImport<number>() },
      storage,
      options: { maxInboxPages: 1 },
    });
    await made.flow();
    return made;
  }

  test("are accepted as one, and known when they are sent again", async () => {
    const { scheduler } = await harness();

    expect(await scheduler.accept("from", records, options)).toEqual({ accepted: 12_000, duplicates: 0 });

    // The inbox took the rest of them in, though it was full by then, and takes nothing more.
    await expect(scheduler.accept("from", [1], { ids: ["another"] })).rejects.toMatchObject({ code: "busy" });
  });

  test("of which the storage took in a part are taken in once when they are sent again", async () => {
    const stored = open();
    const sink = collectingImport<number>();
    const settings = { exports: { from: { listen: () => () => undefined } }, imports: { sink } };
    const failing = faltering(stored, { method: "appendInbox", fails: (nth) => nth === 2 });
    const made = new Harness({ ...settings, storage: failing });
    await made.flow();

    await expect(made.scheduler.accept("from", records, options)).rejects.toThrow("appendInbox failed");
    expect(await made.scheduler.accept("from", records, options)).toEqual({ accepted: 7_000, duplicates: 5_000 });

    await made.scheduler.start();
    const [run] = await made.runs();
    await made.end(run ?? { _id: "" });
    expect(sink.written).toHaveLength(12_000);
    expect(new Set(sink.written).size).toBe(12_000);
    await made.scheduler.stop();
  });
});
