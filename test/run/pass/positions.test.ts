import { describe, expect, test } from "vitest";
import { type Export, type Failure, type Scheduler, expired, reject, retryLater, stop } from "../../../src/index.ts";
import { collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { Harness, hour, minute, second } from "../../support/harness.ts";

interface At {
  readonly at: number;
}

describe("a position whose page token is not valid any more", () => {
  /** Fails at page 3 of 4 the first time; `opened` has the checkpoint of each reading. What it reads after a position has expired. */
  function expiring(order: "ordered" | "unordered", fails: () => unknown) {
    const opened: (number | undefined)[] = [];
    let hasFailed = false;
    const from: { -readonly [Member in keyof Export<number, At>]: Export<number, At>[Member] } = {
      order,
      key: String,
      async *pages({ checkpoint }) {
        opened.push(checkpoint?.at);
        if (checkpoint?.at === 2) throw expired("410");
        for (let at = (checkpoint?.at ?? 0) + 1; at <= 4; at++) {
          if (at === 3 && !hasFailed) {
            hasFailed = true;
            throw fails();
          }
          yield { records: [at], checkpoint: { at } };
        }
      },
    };
    return { from, opened };
  }

  test("is given up by the next run, which reads from the checkpoint", async () => {
    const { from, opened } = expiring("unordered", () => new Error("500"));
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });
    const { _flowId } = await harness.move();

    const run = await harness.run(_flowId);

    expect(opened).toEqual([undefined, 2, undefined]);
    expect(run).toMatchObject({ status: "completed", numSuccess: 4 });
    expect(sink.written).toEqual([1, 2, 1, 2, 3, 4]);
    expect(await harness.scheduler.getCheckpoint(_flowId)).toEqual({ at: 4 });
  });

  test("is given up in the middle of a run that reads again, under keys of its own", async () => {
    const { from, opened } = expiring("unordered", () => retryLater("429", { afterMs: second }));
    delete from.key;
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });

    const run = await harness.move();

    expect(opened).toEqual([undefined, 2, undefined]);
    expect(run).toMatchObject({ status: "completed", numSuccess: 6 });
    expect(sink.calls.map(({ keys }) => keys[0]?.replace(`${run._id}/`, ""))).toEqual([
      "1/0",
      "2/0",
      "1/0",
      "2/0",
      "3/0",
      "4/0",
    ]);
  });

  test("is given up by a run that moves no place", async () => {
    const { from, opened } = expiring("unordered", () => retryLater("429", { afterMs: second }));
    const sink = collectingImport<number>();
    const harness = new Harness({ exports: { from }, imports: { sink } });

    const run = await harness.move({ parameters: {}, moveCheckpoint: false });

    expect(opened).toEqual([undefined, 2, undefined]);
    expect(run).toMatchObject({ status: "completed", numSuccess: 6 });
  });

  test("that is a checkpoint fails the run: there is nothing before it to go back to", async () => {
    const { from, opened } = expiring("ordered", () => new Error("500"));
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });
    const { _flowId } = await harness.move();
    await harness.run(_flowId);

    const run = await harness.run(_flowId);

    expect(opened).toEqual([undefined, 2, 2, 2]);
    expect(run).toMatchObject({ status: "failed", error: { code: "export_failed" } });
  });

  test("after the first page fails the run, and the position stays", async () => {
    const opened: (number | undefined)[] = [];
    const from: Export<number, At> = {
      async *pages({ checkpoint }) {
        opened.push(checkpoint?.at);
        yield { records: [1], checkpoint: { at: (checkpoint?.at ?? 0) + 1 } };
        if (opened.length < 5) throw expired("410");
      },
    };
    const harness = new Harness({ exports: { from }, imports: { sink: collectingImport<number>() } });

    const run = await harness.move();
    await harness.run(run._flowId);

    expect(run).toMatchObject({ status: "failed", error: { code: "export_failed" } });
    expect(opened).toEqual([undefined, 1]);
  });
});

test("a pass that catches up is given the checkpoint where the others stand, and ends there whatever the source has by then", async () => {
  let last = 2;
  const untils: unknown[] = [];
  const from: Export<number, At> = {
    order: "ordered",
    async *pages({ checkpoint, until }) {
      untils.push(until);
      // The source goes on meanwhile.
      if (until !== undefined) last = 9;
      for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++) yield { records: [at], checkpoint: { at } };
    },
  };
  let isBroken = true;
  const one = collectingImport<number>();
  const other = scriptedImport<number>(() => {
    if (isBroken) throw stop("401");
    return undefined;
  });
  const harness = new Harness({ exports: { from }, imports: { one, other } });
  const { _flowId } = await harness.move();
  [isBroken, last] = [false, 4];

  await harness.run(_flowId);

  expect(untils).toEqual([undefined, undefined, { at: 4 }]);
  expect(one.written).toEqual([1, 2, 3, 4]);
  expect(other.written).toEqual([1, 2, 3, 4]);
  expect(await harness.scheduler.deliveries(_flowId)).toMatchObject([
    { checkpoint: { at: 4 }, behind: false },
    { checkpoint: { at: 4 }, behind: false },
  ]);
});

describe("an import with more open failures than maxOpenFailures", () => {
  /** Two runs of two bad records each, of which three may be open. */
  async function tooMany(options = { maxOpenFailures: 3 }) {
    let last = 2;
    let isFixed = false;
    const from: Export<number, At> = {
      order: "ordered",
      key: String,
      async *pages({ checkpoint }) {
        for (let at = (checkpoint?.at ?? 0) + 1; at <= last; at++) yield { records: [at], checkpoint: { at } };
      },
    };
    const sink = scriptedImport<number>(() => {
      if (!isFixed) throw reject("no");
      return undefined;
    });
    const harness = new Harness({ exports: { from }, imports: { sink }, options });
    const first = await harness.move();
    last = 6;
    const second_ = await harness.run(first._flowId);
    const fix = () => (isFixed = true);
    return { harness, sink, runs: [first, second_], fix, _flowId: first._flowId };
  }

  test("is paused until somebody does something, once the page is committed that goes beyond", async () => {
    const { harness, runs, sink, _flowId } = await tooMany();
    const skipping = await harness.run(_flowId);
    await harness.clock.advance(2 * hour);

    expect(runs).toMatchObject([
      { status: "completed", numError: 2 },
      { status: "failed", error: { code: "too_many_failures" }, imports: { sink: { status: "paused", numError: 2 } } },
    ]);
    expect(skipping).toMatchObject({ status: "completed", imports: { sink: { status: "skipped" } } });
    expect(sink.calls).toHaveLength(4);
    expect(await harness.failures()).toHaveLength(4);
    expect(await harness.scheduler.deliveries(_flowId)).toMatchObject([
      { checkpoint: { at: 4 }, behind: true, paused: { until: "person", maxOpen: 3 } },
    ]);
  });

  test.each<[string, (scheduler: Scheduler, one: Failure) => Promise<unknown>]>([
    ["by its id", (scheduler, { _id }) => scheduler.resolveFailures([_id])],
    ["by its key", (scheduler, { _id, key }) => scheduler.resolveMatching({ key, through: _id })],
  ])("goes on by itself once somebody has resolved one %s, so that no more than that are open", async (_, resolve) => {
    const { fix, harness, sink, _flowId } = await tooMany();
    const [one] = await harness.failures();
    fix();

    await resolve(harness.scheduler, one as unknown as Failure);
    await harness.clock.advance(second);

    expect(sink.written).toEqual([5, 6]);
    expect(await harness.scheduler.deliveries(_flowId)).toMatchObject([{ checkpoint: { at: 6 }, behind: false }]);
    expect(harness.events.of("import:resumed")).toHaveLength(1);
  });

  test("goes on by itself once a retry has delivered so many", async () => {
    const { fix, harness, sink, _flowId } = await tooMany();
    const [one] = await harness.failures();
    fix();

    await harness.end(await harness.scheduler.retryFailures(_flowId, { _ids: [one?._id ?? ""] }));
    await harness.clock.advance(second);

    expect(sink.written).toEqual([1, 5, 6]);
  });

  test("goes on with the next run that finds so few open, whoever has settled the others", async () => {
    const { fix, harness, sink, _flowId } = await tooMany();
    const [one] = await harness.failures();
    fix();
    await harness.storage.resolveFailures([one?._id ?? ""], harness.clock.now());

    await harness.run(_flowId);
    await harness.clock.advance(minute);

    expect(sink.written).toEqual([5, 6]);
  });

  test("stays paused while more are open", async () => {
    const { fix, harness, sink, _flowId } = await tooMany({ maxOpenFailures: 2 });
    const [one] = await harness.failures();
    fix();
    expect(await harness.scheduler.deliveries(_flowId)).toMatchObject([{ openFailures: 3 }]);

    await harness.scheduler.resolveFailures([]);
    await harness.clock.advance(second);
    const before = [...sink.written];
    await harness.scheduler.resolveFailures([one?._id ?? ""]);
    await harness.clock.advance(second);

    expect(before).toEqual([]);
    expect(sink.written).toEqual([4, 5, 6]);
  });
});
