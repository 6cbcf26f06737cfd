import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DeltaReading, type DeltaCheckpoint, readChangeTime } from "../../src/connectors/delta.ts";
import { delta } from "../../src/connectors/index.ts";
import type { Export, Page } from "../../src/index.ts";
import { collectingImport, exportCases } from "../../src/testing/index.ts";
import { sampleFlow, sampleRun } from "../../src/testing/connector-harness.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { Harness, minute, noon } from "../support/harness.ts";

interface Row {
  readonly id: string;
  readonly at: string | number;
}

const iso = (ms: number) => new Date(ms).toISOString();

/** A source that is asked for what has changed since, and gives pages of `size`. */
function rows(of: readonly Row[], settings: Partial<Parameters<typeof delta<Row>>[0]> = {}) {
  return delta<Row>({
    at: ({ at }) => at,
    key: ({ id }) => id,
    lookbackMs: 5,
    async *read({ since, pageSize, signal }) {
      const from = since?.getTime() ?? -Infinity;
      const found = of.filter(({ at }) => readChangeTime(at) >= from);
      for (let start = 0; start < found.length && !signal.aborted; start += pageSize)
        yield found.slice(start, start + pageSize);
    },
    ...settings,
  });
}

/** The pages of one reading; time stands at `startedAt`. */
async function read<T>(
  from: Export<T, DeltaCheckpoint>,
  how: {
    checkpoint?: DeltaCheckpoint | undefined;
    until?: DeltaCheckpoint;
    startedAt?: number;
    pageSize?: number;
  } = {},
): Promise<readonly Page<T, DeltaCheckpoint>[]> {
  const { checkpoint, until, startedAt = Date.parse("2030-01-01T00:00:00Z"), pageSize = 2 } = how;
  const pages: Page<T, DeltaCheckpoint>[] = [];
  const reading = from.pages?.({
    checkpoint,
    ...(until === undefined ? {} : { until }),
    run: { ...sampleRun(), startedAt: iso(startedAt) },
    flow: sampleFlow,
    pageSize,
    signal: new AbortController().signal,
    log: silentLogger,
  });
  for await (const page of reading ?? []) pages.push(page as Page<T, DeltaCheckpoint>);
  return pages;
}

const recordsOf = <T>(pages: readonly Page<T, DeltaCheckpoint>[]) => pages.flatMap(({ records }) => records);
const lastOf = <T>(pages: readonly Page<T, DeltaCheckpoint>[]) => pages.at(-1)?.checkpoint;

describe.each([false, true])("an export of what has changed (sorted: %s)", (sorted) => {
  const ties: Row[] = [1, 2, 2, 2, 2, 3, 3, 3, 4].map((at, index) => ({ id: `row ${index}`, at: iso(at) }));

  const sources = new WeakMap<object, Row[]>();
  const make = () => {
    const own = [...ties];
    const from = rows(own, { sorted, pageSize: 2 });
    sources.set(from, own);
    return from;
  };
  const cases = exportCases(make, {
    empty: () => rows([], { sorted }),
    records: (from) => sources.get(from) ?? [],
    addLate(from) {
      const row = { id: "late", at: iso(0) };
      const own = sources.get(from) ?? [];
      own.unshift(row);
      return row;
    },
  });
  for (const { title, run } of cases) test(title, run);

  test("no case is skipped", () => expect(cases.skipped).toEqual([]));
});

/** What happens at a source over time: versions of records, each visible some time after it was made. */
const histories = fc.record({
  versions: fc.array(fc.record({ id: fc.nat(5), at: fc.nat(60), late: fc.nat(5) }), { maxLength: 40 }),
  runsAt: fc.array(fc.nat(70), { minLength: 1, maxLength: 12 }),
  pageSize: fc.integer({ min: 1, max: 5 }),
  sorted: fc.boolean(),
  order: fc.infiniteStream(fc.nat()),
  /** How many pages of each run are committed before it crashes. */
  crashes: fc.array(fc.option(fc.nat(6)), { minLength: 12, maxLength: 12 }),
});

test("no version of a record is lost or sent twice, however late it shows and wherever a run crashes", async () => {
  await fc.assert(
    fc.asyncProperty(histories, async ({ versions, runsAt, pageSize, sorted, order, crashes }) => {
      // Of one record, one version a millisecond.
      const history = [...new Map(versions.map((one) => [`${one.id} ${one.at}`, one])).values()];
      const delivered: string[] = [];
      let checkpoint: DeltaCheckpoint | undefined;
      for (const [nth, now] of [...runsAt]
        .sort((one, other) => one - other)
        .concat(200)
        .entries()) {
        let time = now;
        const source = delta<Row>({
          at: ({ at }) => at,
          key: ({ id }) => id,
          lookbackMs: 5,
          sorted,
          async *read({ since }) {
            const newest = new Map<number, (typeof history)[number]>();
            for (const version of history)
              if (version.at + version.late <= time && version.at >= (newest.get(version.id)?.at ?? 0))
                newest.set(version.id, version);
            const found = [...newest.values()].filter(({ at }) => at >= (since?.getTime() ?? 0));
            if (sorted) found.sort((one, other) => one.at - other.at);
            else found.sort(() => (order.next().value % 3) - 1);
            const seen = found.map(({ id, at }) => ({ id: String(id), at }));
            for (let start = 0; start < seen.length; start += pageSize) {
              yield seen.slice(start, start + pageSize);
              time++;
            }
          },
        });
        const pages = await read(source, { checkpoint, startedAt: now, pageSize });
        const committed = nth === runsAt.length ? pages : pages.slice(0, crashes[nth % crashes.length] ?? pages.length);
        delivered.push(...recordsOf(committed).map(({ id, at }) => `${id} ${at}`));
        checkpoint = lastOf(committed) ?? checkpoint;
      }

      expect(delivered.filter((version, index) => delivered.indexOf(version) !== index)).toEqual([]);
      const last = new Map<number, number>();
      for (const { id, at } of history) last.set(id, Math.max(at, last.get(id) ?? 0));
      for (const [id, at] of last) expect(delivered).toContain(`${id} ${at}`);
    }),
    { numRuns: 1_000 },
  );
});

describe("the checkpoint of what has changed", () => {
  test("is never later than the start of the reading, so a clock that runs ahead hides nothing", async () => {
    const all: Row[] = [{ id: "ahead", at: 9_000 }];
    const first = await read(rows(all), { startedAt: 100 });

    all.push({ id: "next", at: 101 });
    const next = await read(rows(all), { checkpoint: lastOf(first), startedAt: 200 });

    expect(lastOf(first)?.high).toBe(100);
    expect(recordsOf(next)).toEqual([{ id: "next", at: 101 }]);
  });

  test("tells versions of one record apart within a millisecond", async () => {
    const first = await read(rows([{ id: "a", at: "2026-01-01T00:00:00.000100Z" }]));

    const next = await read(rows([{ id: "a", at: "2026-01-01T00:00:00.000900Z" }]), { checkpoint: lastOf(first) });

    expect(recordsOf(next)).toHaveLength(1);
  });

  test("remembers at most maxSeen records, the newest, and others are sent again", async () => {
    const all = Array.from({ length: 10 }, (_, index) => ({ id: String(index), at: 1_000 + index }));
    const first = await read(rows(all, { maxSeen: 3, lookbackMs: 100 }));
    for (const { checkpoint } of first) expect(checkpoint?.seen.length).toBeLessThanOrEqual(3);

    const next = await read(rows(all, { maxSeen: 3, lookbackMs: 100 }), { checkpoint: lastOf(first) });

    expect(recordsOf(next).map(({ id }) => id)).toEqual(["0", "1", "2", "3", "4", "5", "6"]);
  });

  test("goes on with what the source gave as next", async () => {
    const asked: unknown[] = [];
    const from = delta<Row, string>({
      at: ({ at }) => at,
      key: ({ id }) => id,
      async *read({ next, since }) {
        asked.push([next, since]);
        if (next === undefined) yield { records: [{ id: "a", at: 1 }], next: "page 2" };
        yield { records: [{ id: "b", at: 2 }], total: 2 };
      },
    });
    const [first] = await read(from);

    const rest = await read(from, { checkpoint: first?.checkpoint });

    expect(asked).toEqual([
      [undefined, undefined],
      ["page 2", undefined],
    ]);
    expect(recordsOf(rest)).toEqual([{ id: "b", at: 2 }]);
    expect(lastOf(rest)).toEqual({ high: 2, seen: [["a", 1], ["b", 2]] }); // prettier-ignore
  });
});

describe.each([false, true])("a reading that catches up (sorted: %s)", (sorted) => {
  test("gives what the other imports have read, and ends exactly where they stand", async () => {
    const all: Row[] = [1, 2, 50, 51].map((at) => ({ id: String(at), at }));
    const until = lastOf(await read(rows(all, { sorted })));
    all.push({ id: "late", at: 49 }, { id: "new", at: 60 });
    all.sort((one, other) => Number(one.at) - Number(other.at));

    const behind = await read(rows(all, { sorted }), until === undefined ? {} : { until });
    const together = await read(rows(all, { sorted }), { checkpoint: until });

    expect(recordsOf(behind).map(({ id }) => id)).toEqual(["1", "2", "50", "51"]);
    expect(lastOf(behind)).toEqual(until);
    expect(recordsOf(together).map(({ id }) => id)).toEqual(["late", "new"]);
  });
});

test("what has no change time is a failure, and the others go on", async () => {
  const into = collectingImport<Row>();
  const found: Row[] = [
    { id: "a", at: iso(noon) },
    { id: "b", at: "soon" },
    { id: "c", at: iso(noon) },
  ];
  const from = rows([], {
    async *read() {
      yield found;
    },
  });
  const harness = new Harness({ exports: { from }, imports: { into } });

  const run = await harness.move();

  expect(run).toMatchObject({ status: "completed", numSuccess: 2, numError: 1 });
  expect(await harness.failures()).toMatchObject([
    {
      key: "b",
      unreadable: true,
      record: { id: "b", at: "soon" },
      message: 'delta.at: expected epoch milliseconds or an ISO 8601 time, found "soon"',
    },
  ]);
});

test.each([
  ["2026-01-02", "2026-01-02T00:00:00Z"],
  ["2026-01-02T03:04", "2026-01-02T03:04:00Z"],
  ["2026-01-02T03:04:05", "2026-01-02T03:04:05Z"],
  ["2026-01-02 03:04:05.678901", "2026-01-02T03:04:05.678Z"],
  ["2026-01-02T03:04:05+01", "2026-01-02T02:04:05Z"],
  ["2026-01-02T03:04:05,5-0130", "2026-01-02T04:34:05.5Z"],
])("the change time %s is read as %s, whatever the zone of this process", (at, expected) => {
  expect(readChangeTime(at)).toBe(Date.parse(expected));
});

test.each(["", "soon", "12", "2026-13-01", null, undefined, Number.NaN, {}, new Date(Number.NaN)])(
  "%o is no change time",
  (at) => {
    expect(() => readChangeTime(at)).toThrow(/^delta.at: expected epoch milliseconds or an ISO 8601 time, found/);
  },
);

test.each([
  [{ at: undefined }, "delta.at: expected a function, found undefined"],
  [{ lookbackMs: -1 }, "delta.lookbackMs: expected a number of milliseconds, 0 or more, found -1"],
  [{ maxSeen: 1.5 }, "delta.maxSeen: expected a whole number, 0 or more, found 1.5"],
  [{ lookback: 1 }, /delta.lookback: .*lookbackMs/],
])("refuses %o", (change, message) => {
  expect(() => rows([], change as object)).toThrow(message);
});

test("a page of a thousand records costs no more when a thousand are remembered", () => {
  const rule = { at: ({ at }: Row) => at, key: ({ id }: Row) => id, lookbackMs: minute };
  const reading = new DeltaReading<Row>(rule, { checkpoint: undefined, run: sampleRun() });
  for (let page = 0; page < 20; page++) {
    reading.take(Array.from({ length: 1_000 }, (_, index) => ({ id: `${page} ${index}`, at: 5 })));
    expect(reading.checkpoint().seen).toHaveLength(1_000);
  }
});

test("a change time may be a date, and a record without a key or with an invalid date is a failure", async () => {
  const of = [
    { id: "a", at: new Date("2030-01-01T00:00:00Z") },
    { id: "b", at: new Date(Number.NaN) },
    { id: 7, at: new Date(Number.NaN) },
    { id: 8, at: new Date("2030-01-01T00:00:01Z") },
  ];
  const from = delta<(typeof of)[number]>({
    at: ({ at }) => at,
    key: ({ id }) => id as string,
    async *read() {
      yield of;
    },
  });

  const [page] = await read(from);

  expect(page?.records.map(({ id }) => id)).toEqual(["a", 8]);
  expect(page?.unreadable?.map(({ key }) => key)).toEqual(["b", undefined]);
  expect(readChangeTime(new Date(5))).toBe(5);
});

test("a reading that catches up with one that is still open reads on as any other", async () => {
  const from = rows([
    { id: "a", at: 1 },
    { id: "b", at: 2 },
  ]);
  const until: DeltaCheckpoint = { high: 1, seen: [], open: { low: null, startedAt: 3 } };

  const pages = await read(from, { until });

  expect(pages.flatMap(({ records }) => records.map(({ id }) => id))).toEqual(["a", "b"]);
});
