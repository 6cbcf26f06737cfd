import { expect, test } from "vitest";
import { type Export, retryLater } from "../../../src/index.ts";
import { ReadAhead } from "../../../src/run/source/read-ahead.ts";
import type { SourcePage } from "../../../src/run/source/source.ts";
import { collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Gate, Harness, aborted, upTo } from "../../support/harness.ts";

/** Gives pages of one number each, and counts how many were read. */
function counting(pages: number) {
  const seen = { read: 0, open: 0 };
  const from: Export<number, { read: number }> = {
    order: "ordered",
    async *pages({ checkpoint }) {
      seen.open++;
      try {
        for (let number = (checkpoint?.read ?? 0) + 1; number <= pages; number++) {
          seen.read++;
          yield { records: [number], checkpoint: { read: number } };
        }
      } finally {
        seen.open--;
      }
    },
  };
  return { from, seen };
}

test.each([0, 1, 3])(
  "with prefetch %i just as many pages are read ahead of the one being written",
  async (prefetch) => {
    const { from, seen } = counting(6);
    const gates = upTo(6).map(() => new Gate());
    const readBefore: number[] = [];
    const sink = scriptedImport<number>(async ({ records: [number = 0] }) => {
      await gates[number - 1]?.opened;
      readBefore.push(seen.read);
      return undefined;
    });
    const harness = new Harness({ exports: { from }, imports: { sink }, options: { prefetch } });
    await harness.scheduler.start();
    const run = await harness.scheduler.run((await harness.flow())._id);

    for (const gate of gates) {
      await harness.clock.settle();
      gate.open();
    }
    const ended = await harness.end(run);

    expect(readBefore).toEqual([1, 2, 3, 4, 5, 6].map((written) => Math.min(6, written + prefetch)));
    expect(ended.numSuccess).toBe(6);
  },
);

test("a slow import stops the reading: no more than prefetch pages wait in memory", async () => {
  const { from, seen } = counting(1_000);
  const gate = new Gate();
  const sink = scriptedImport<number>(async () => {
    await gate.opened;
    return undefined;
  });
  const harness = new Harness({ exports: { from }, imports: { sink }, options: { prefetch: 2 } });
  await harness.scheduler.start();
  const run = await harness.scheduler.run((await harness.flow())._id);

  await harness.clock.advance(60_000);

  expect(seen.read).toBe(3);
  gate.open();
  await harness.end(run);
});

test("an error of the export comes in its turn, after the pages read before it are committed", async () => {
  const from: Export<number> = {
    async *pages() {
      yield [1];
      yield [2];
      throw new Error("the connection broke");
    },
  };
  const sink = collectingImport<number>();
  const harness = new Harness({ exports: { from }, imports: { sink }, options: { prefetch: 5 } });

  const run = await harness.move();

  expect(run).toMatchObject({
    status: "failed",
    numPagesProcessed: 2,
    numSuccess: 2,
    error: { code: "export_failed" },
  });
  expect(sink.written).toEqual([1, 2]);
});

test("an export whose next page hangs is asked to stop when a page before it breaks the run", async () => {
  let heard: unknown;
  const from: Export<number> = {
    async *pages({ signal }) {
      yield [1];
      await aborted(signal);
      heard = signal.reason;
      throw new Error("aborted");
    },
  };
  const sink = scriptedImport<number>(() => [{ ok: true }, { ok: true }]);
  const harness = new Harness({ exports: { from }, imports: { sink } });

  const run = await harness.move();

  expect(run.error?.code).toBe("contract_violation");
  expect(heard).toBeInstanceOf(Error);
});

test("the export's clean-up runs when the run ends before the last page, also when it fails", async () => {
  const { from, seen } = counting(100);
  const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

  await harness.move({ limit: 3 });

  expect(seen.open).toBe(0);
});

test("an iterable made by hand is never asked for two pages at once", async () => {
  let asked = 0;
  let atOnce = 0;
  const from: Export<number> = {
    pages: () => ({
      [Symbol.asyncIterator]: () => ({
        async next() {
          atOnce = Math.max(atOnce, ++asked);
          await Promise.resolve();
          await Promise.resolve();
          asked--;
          return ++given > 20 ? { done: true, value: undefined } : { done: false, value: [given] };
        },
      }),
    }),
  };
  let given = 0;
  const sink = collectingImport<number>();
  const harness = new Harness({ exports: { from }, imports: { sink }, options: { prefetch: 5 } });

  await harness.move();

  expect(sink.written).toEqual(upTo(20));
  expect(atOnce).toBe(1);
});

test("pages read ahead of a retryLater are written before the export is asked again", async () => {
  const log: string[] = [];
  const from: Export<number, { read: number }> = {
    async *pages({ checkpoint }) {
      const read = checkpoint?.read ?? 0;
      log.push(`read after ${read}`);
      if (read < 4) {
        yield { records: [read + 1], checkpoint: { read: read + 1 } };
        yield { records: [read + 2], checkpoint: { read: read + 2 } };
        throw retryLater("too many requests");
      }
    },
  };
  const sink = scriptedImport<number>(({ records }) => {
    log.push(`write ${records.join()}`);
    return undefined;
  });
  const harness = new Harness({ exports: { from }, imports: { sink }, options: { prefetch: 3 } });

  const run = await harness.move();

  expect(run.status).toBe("completed");
  expect(log).toEqual([
    ...["read after 0", "write 1", "write 2", "read after 2", "write 3", "write 4"],
    ...["read after 4"],
  ]);
});

test.each([0, 1])("with prefetch %i no page is asked for once the run is canceled", async (prefetch) => {
  let asked = 0;
  const gate = new Gate();
  const from: Export<number> = {
    pages: () => ({
      [Symbol.asyncIterator]: () => ({
        async next() {
          asked++;
          return { done: false, value: [asked] };
        },
      }),
    }),
  };
  const sink = scriptedImport<number>(async () => {
    await gate.opened;
    return undefined;
  });
  const harness = new Harness({ exports: { from }, imports: { sink }, options: { prefetch } });
  await harness.scheduler.start();
  const run = await harness.scheduler.run((await harness.flow())._id);
  await harness.clock.settle();
  const askedBefore = asked;

  await harness.scheduler.cancel(run._id);
  gate.open();
  const ended = await harness.end(run);

  expect(ended.status).toBe("canceled");
  expect(asked).toBe(askedBefore);
});

test("once its signal has aborted no further page is asked for, though a page was read ahead of it", async () => {
  const aborting = new AbortController();
  const page = {} as SourcePage;
  const asked: number[] = [];
  const source = {
    next: () => Promise.resolve(asked.push(asked.length + 1) > 9 ? undefined : page),
    close: () => Promise.resolve(),
  };
  const pages = new ReadAhead(source, 1, aborting.signal);
  await pages.next();
  await Promise.resolve();

  aborting.abort();
  const after = [await pages.next(), await pages.next(), await pages.next()];

  expect(asked).toEqual([1, 2]);
  expect(after).toEqual([page, undefined, undefined]);
});
