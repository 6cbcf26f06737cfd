import { describe, expect, test } from "vitest";
import type { Import } from "../../../src/index.ts";
import { Batch, type PageKeys } from "../../../src/run/destination/batch.ts";
import { AttemptSignals, WriteContext } from "../../../src/run/destination/write-context.ts";
import { ReadSignal } from "../../../src/run/source/read-signal.ts";
import { DirectImport, aborted, byPlace } from "../../support/destination.ts";

const to = { _flowId: "flow", _importId: "sink" };
const letters: PageKeys = { keyOf: (position) => "abcdef"[position] ?? "" };

test("a part of a part keeps the keys and places of its records", () => {
  const page = new Batch([0, 1, 2, 3, 4, 5], letters);

  const part = page.select([1, 3, 5]).slice(1, 3).select([1]);

  expect([part.records, part.positions, part.keyOf(0), part.positionOf(0)]).toEqual([[5], [5], "f", 5]);
  expect(Object.isFrozen(part.records)).toBe(true);
  expect(page.select([0, 1, 2, 3, 4, 5])).toBe(page);
});

test("a part that leaves places out knows where its records stand, and whether a key of its own repeats", () => {
  const own = ["a", "b", "a", "c", "d"];
  const page = new Batch([0, 1, 2, 3, 4], { keyOf: (position) => own[position] ?? "", own, mayRepeat: true });

  const [once, twice] = [[0, 4], [1]].map((leftOut) =>
    page.part({ records: page.records.filter((_, place) => !leftOut.includes(place)), leftOut }),
  );

  expect([once?.positions, once?.keyOf(1), once?.repeats]).toEqual([[1, 2, 3], "a", false]);
  expect([twice?.positions, twice?.keyOf(3), twice?.repeats]).toEqual([[0, 2, 3, 4], "d", true]);
});

describe("the idempotency key of a record", () => {
  const keyOf = (record: unknown, keys: PageKeys = letters, place = to) =>
    new Batch([record], keys).idempotencyKeyOf(0, place);

  test("is a UUID, the same each time, whatever the order of its properties", () => {
    expect(keyOf({ id: 1, v: 1 })).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(keyOf({ id: 1, v: 1 })).toBe(keyOf({ v: 1, id: 1, gone: undefined }));
  });

  test.each<[one: unknown, other: unknown]>([
    [{ v: 1 }, { v: 2 }],
    [{ v: 1 }, { v: "1" }],
    [{ v: [1, [2]] }, { v: [[1], 2] }],
    [{ v: new Date(0) }, { v: new Date(1) }],
    [{ v: new Map([["a", 1]]) }, { v: new Map([["a", 2]]) }],
    [{ v: Buffer.from("a") }, { v: Buffer.from("b") }],
    [{ v: 1n }, { v: 1 }],
    [{ v: new URL("https://a.example/") }, { v: new URL("https://b.example/") }],
    [{ v: null }, {}],
  ])("is another one for another state (%#)", (one, other) => {
    expect(keyOf(one)).not.toBe(keyOf(other));
  });

  test("is another one for another flow, import or key", () => {
    const all = [
      keyOf(1),
      keyOf(1, letters, { ...to, _flowId: "other" }),
      keyOf(1, letters, { ...to, _importId: "other" }),
      keyOf(1, { keyOf: () => "other" }),
    ];

    expect(new Set(all).size).toBe(4);
  });

  test("goes by the export's version, not by the content, if there is one", () => {
    const at = (version: string | number) => ({ ...letters, versionOf: () => version });

    expect(keyOf({ v: 1 }, at(7))).toBe(keyOf({ v: 2 }, at(7)));
    expect(new Set([keyOf(1, at(7)), keyOf(1, at(8)), keyOf(1, at("7"))]).size).toBe(3);
  });

  test("is made of the record as the export gave it, and the same in each attempt and part", async () => {
    const seen: (readonly string[])[] = [];
    const into: Import<number> = {
      idempotent: true,
      map: (n) => n * 100,
      async write(records, { attempt, idempotencyKeys }) {
        seen.push(idempotencyKeys);
        return records.map((_, n) =>
          attempt === 1 && n === 1 ? { ok: false, fault: "retry", error: "?" } : { ok: true },
        );
      },
    };
    const one = new DirectImport(into as never);

    await one.take([1, 2]);

    const page = new Batch([1, 2], byPlace);
    const place = { _flowId: one.to.flow._id, _importId: "sink" };
    const expected = [0, 1].map((index) => page.idempotencyKeyOf(index, place));
    expect(seen).toEqual([expected, [expected[1]]]);
  });

  test("is made also of records without an end, and of hostile ones", () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level++) deep = [deep];
    const hostile = new Proxy({}, { ownKeys: () => JSON.parse("}") as [] });

    for (const record of [cyclic, deep, hostile, () => 1]) expect(keyOf(record)).toMatch(/^[\da-f-]{36}$/);
  });
});

test("find is given up as write is: after writeTimeoutMs and a second", async () => {
  const stall = (_: unknown, { signal }: { signal: AbortSignal }) =>
    aborted(signal).then(() => new Promise<never>(() => undefined));
  const into = { idempotent: false, writeTimeoutMs: 100, write: stall, find: stall };
  const one = new DirectImport(into);
  const before = one.clock.now();

  const result = await one.take([1]);

  expect(result).toMatchObject({ errors: [{ fault: "unknown", attempts: 1 }] });
  expect(one.clock.now() - before).toBe(2_200);
  expect(one.clock.timers).toBe(0);
  expect(one.lines.map(([, message]) => message)).toEqual([
    "write ignored its signal, and is left behind",
    "find ignored its signal, and is left behind",
    "find failed, so the outcome stays unknown",
  ]);
});

test("1,000 batches that wait for another attempt give no warning of a leak, nor does what they listen for", async () => {
  const warnings: string[] = [];
  const warn = ({ message }: Error) => void warnings.push(message);
  process.on("warning", warn);
  const into: Import<number> = {
    ...{ idempotent: true, batchSize: 1, concurrency: 1_000 },
    async write(_, { attempt, signal }) {
      for (let n = 0; n < 20; n++) signal.addEventListener("abort", () => undefined);
      return attempt === 1 ? [{ ok: false, fault: "retry", error: "429" }] : undefined;
    },
  };

  const result = await new DirectImport(into as never).take(Array.from({ length: 1_000 }, (_, n) => n));
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", warn);

  expect(result.numSuccess).toBe(1_000);
  expect(warnings).toEqual([]);
});

test("each attempt has a signal of its own, which aborts with the run and is none of the next attempt's", async () => {
  const signals: AbortSignal[] = [];
  const into: Import<number> = {
    idempotent: true,
    async write(_, { attempt, signal }) {
      signals.push(signal);
      if (attempt === 1) return [{ ok: false, fault: "retry", error: "?" }];
      one.abort.abort(new Error("canceled"));
      return undefined;
    },
  };
  const one = new DirectImport(into as never);

  await one.take([1]);

  expect(signals.map(({ aborted }) => aborted)).toEqual([false, true]);
  expect(signals[1]?.reason).toEqual(new Error("canceled"));
});

test("the whole of a batch is the batch itself, and so is its only part if no key repeats", () => {
  const page = new Batch([0, 1], letters);

  expect(page.slice(0, 2)).toBe(page);
  expect(page.byOccurrence()).toEqual([page]);
});

describe("the signal of a call", () => {
  const callOf = (run: AbortController) => {
    const origin = { _importId: "sink", run: {}, flow: {}, log: {}, attempts: new AttemptSignals(run.signal) };
    return new WriteContext(new Batch([0], letters), 1, origin as never);
  };

  test("has aborted if it is asked for after the run was", () => {
    const run = new AbortController();
    const call = callOf(run);
    run.abort(new Error("canceled"));

    expect(call.signal.reason).toEqual(new Error("canceled"));
  });

  test("has aborted if it is asked for after the call was given up, whose reason it has", () => {
    const call = callOf(new AbortController());
    call.abort(new Error("late"));

    expect(call.signal.reason).toEqual(new Error("late"));
  });

  test("of a call that has ended aborts with nothing", () => {
    const run = new AbortController();
    const call = callOf(run);
    call.end();
    const { signal } = call;
    run.abort();

    expect(signal.aborted).toBe(false);
  });
});

test("the signal of a reading has aborted if it is asked for after the reading has ended", () => {
  const run = new AbortController();
  const [ended, aborted] = [new ReadSignal(run.signal), new ReadSignal(run.signal)];
  ended.end();

  expect(ended.signal.aborted).toBe(true);
  run.abort(new Error("canceled"));
  expect(aborted.signal.reason).toEqual(new Error("canceled"));
});
