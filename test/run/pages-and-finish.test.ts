import { describe, expect, test } from "vitest";
import type { FinishContext } from "../../src/connectors/index.ts";
import { type Export, type Import, type Page, retryLater, stop } from "../../src/index.ts";
import { collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Harness, aborted, hour } from "../support/harness.ts";

interface Numbers {
  readonly last: number;
  readonly settings?: Partial<Export<number, { at: number }>>;
  /** Called before each page after the first. */
  readonly before?: (at: number) => void;
}

/** Numbers 1 to `last`, one a page, with a checkpoint each. */
function numbers({ last, settings = {}, before }: Numbers): Export<number, { at: number }> {
  return {
    async *pages({ checkpoint }) {
      for (let at = (settings.whole === true ? 0 : (checkpoint?.at ?? 0)) + 1; at <= last; at++) {
        if (at > 1) before?.(at);
        yield { records: [at], checkpoint: { at } };
      }
    },
    ...settings,
  };
}

/** Keeps the pages that it is given, and how it is finished. */
function finishing(finish?: (context: FinishContext) => Promise<void>) {
  const [pages, finishes]: [number[], boolean[]] = [[], []];
  const into: Import<number> & { readonly pages: number[]; readonly finishes: boolean[] } = {
    idempotent: true,
    pages,
    finishes,
    async write(_, { page }) {
      pages.push(page);
    },
    async finish(context) {
      finishes.push(context.whole);
      await finish?.(context);
    },
  };
  return into;
}

describe.each(["ordered", "unordered"] as const)("the number of a page of an %s export", (order) => {
  test("is the same when the page is read again after the export failed, in the next run too", async () => {
    let isDown = true;
    const before = (at: number) => {
      if (at === 3 && isDown) throw new Error("down");
    };
    const into = finishing();
    const harness = new Harness({
      exports: { from: numbers({ last: 4, settings: { order }, before }) },
      imports: { into },
      options: { prefetch: 0 },
    });

    const { _flowId } = await harness.move();
    isDown = false;
    await harness.run(_flowId);

    expect(into.pages).toEqual([1, 2, 3, 4]);
    // The next run went on where the first one stopped, so none of them has read it all.
    expect(into.finishes).toEqual([false]);
  });
});

test("pages of an inbox, and of failures that are retried, are counted from 1 on", async () => {
  const into = finishing();
  const refuse = scriptedImport<number>((_, { page, attempt }) => {
    if (attempt > 0 && into.pages.length < 2) return [{ ok: false, fault: "reject", error: `page ${page}` }];
    return undefined;
  });
  const from: Export<number> = { pageSize: 1, listen: () => () => undefined };
  const harness = new Harness({ exports: { from }, imports: { into, refuse } });
  await harness.scheduler.start();
  const flow = await harness.flow();

  await harness.scheduler.accept("from", [1]);
  await harness.scheduler.accept("from", [2]);
  await harness.clock.advance(hour);
  await harness.scheduler.retryFailures(flow._id);
  await harness.clock.settle();

  expect(into.pages).toEqual([1, 2]);
  expect(into.finishes).toEqual([]);
});

describe("a record that an import ignores", () => {
  test("counts as ignored, and is no sign that the destination takes nothing", async () => {
    const into = scriptedImport<number>(({ records }) =>
      records.map((record) => (record % 2 === 0 ? { ok: true, ignored: true } : { ok: true })),
    );
    const harness = new Harness({ exports: { from: numbers({ last: 5 }) }, imports: { into } });

    expect(await harness.move()).toMatchObject({ numSuccess: 3, numIgnore: 2, numError: 0 });
  });

  test("is taken off the failures by a retry", async () => {
    let ignores = false;
    const into = scriptedImport<number>(({ records }) =>
      records.map(() => (ignores ? { ok: true, ignored: true } : { ok: false, fault: "reject", error: "no" })),
    );
    const harness = new Harness({ exports: { from: numbers({ last: 2 }) }, imports: { into } });
    const { _flowId } = await harness.move();

    ignores = true;
    const retried = await harness.end(await harness.scheduler.retryFailures(_flowId));

    expect(retried).toMatchObject({ numSuccess: 0, numIgnore: 2, numError: 0 });
    expect(await harness.failures()).toEqual([]);
  });

  test("does not hide that all others of its page found the destination down", async () => {
    const into = scriptedImport<number>(({ records }) =>
      records.map((record) =>
        record === 1 ? { ok: true, ignored: true } : { ok: false, fault: "retry", error: "503" },
      ),
    );
    const from: Export<number> = {
      async *pages() {
        yield [1, 2, 3];
      },
    };
    const harness = new Harness({ exports: { from }, imports: { into } });

    expect(await harness.move()).toMatchObject({ status: "failed", error: { code: "import_unavailable" } });
  });
});

describe("finish", () => {
  test("comes after the commit of the last page, once for each import, in the order of the flow", async () => {
    const calls: string[] = [];
    const finish = (name: string) => async (context: FinishContext) => {
      calls.push(`${name} ${context.run.numSuccess} ${context.run.status} ${context.flow.name}`);
    };
    const imports = { one: finishing(finish("one")), other: finishing(finish("other")) };
    const harness = new Harness({ exports: { from: numbers({ last: 3 }) }, imports });

    expect((await harness.move()).status).toBe("completed");
    expect(calls).toEqual(["one 6 running a flow", "other 6 running a flow"]);
  });

  test("is whole for the first reading from the beginning, and for each one of an export that says so", async () => {
    const [into, all] = [finishing(), finishing()];
    const changes = new Harness({ exports: { from: numbers({ last: 3 }) }, imports: { into } });
    const whole = new Harness({
      exports: { from: numbers({ last: 3, settings: { whole: true } }) },
      imports: { into: all },
    });

    for (const harness of [changes, whole]) {
      const { _flowId } = await harness.move();
      await harness.run(_flowId);
    }

    expect([into.finishes, all.finishes]).toEqual([
      [true, false],
      [true, true],
    ]);
  });

  test("is not whole if a record failed at this import", async () => {
    const good = finishing();
    const bad = { ...finishing(), map: (record: number) => fail(record) };
    const harness = new Harness({ exports: { from: numbers({ last: 3 }) }, imports: { good, bad } });

    await harness.move();

    expect([good.finishes, bad.finishes]).toEqual([[true], [false]]);
  });

  test("does not come for a sample, and is never whole with parameters or a checkpoint that stays", async () => {
    const into = finishing();
    const harness = new Harness({
      exports: { from: numbers({ last: 3, settings: { whole: true } }) },
      imports: { into },
    });

    const { _flowId } = await harness.move({ limit: 2 });
    await harness.run(_flowId, { parameters: { from: 1 } });
    await harness.run(_flowId, { moveCheckpoint: false });

    expect(into.finishes).toEqual([false, false]);
  });

  test("does not come for an import that was paused, until it has caught up", async () => {
    let isDown = true;
    const into = finishing();
    const flaky: Import<number> = {
      ...into,
      async write() {
        if (isDown) throw retryLater("503");
      },
    };
    const harness = new Harness({ exports: { from: numbers({ last: 3 }) }, imports: { flaky } });

    await harness.move();
    expect(into.finishes).toEqual([]);
    isDown = false;
    await harness.clock.advance(hour);

    expect(into.finishes).toEqual([true]);
  });

  test("is called again as long as it asks for that, and fails the run if it goes on", async () => {
    let left = 2;
    const into = finishing(async () => {
      if (left-- > 0) throw retryLater("busy");
    });
    const busy = finishing(async () => {
      throw retryLater("busy for ever");
    });
    const [patient, failing] = [into, busy].map(
      (each) => new Harness({ exports: { from: numbers({ last: 1 }) }, imports: { each } }),
    );

    expect((await patient?.move())?.status).toBe("completed");
    expect(into.finishes).toEqual([true, true, true]);
    const run = await failing?.move();
    expect(run).toMatchObject({
      status: "failed",
      error: { code: "import_failed", message: 'Import "each" failed to finish: busy for ever' },
      imports: { each: { status: "failed", numSuccess: 1 } },
    });
    expect(busy.finishes).toHaveLength(5);
  });

  test.each([stop("no rights"), new TypeError("a mistake")])(
    "fails the run with %s, but not the others",
    async (error) => {
      const [bad, good] = [finishing(() => Promise.reject(error)), finishing()];
      const harness = new Harness({ exports: { from: numbers({ last: 2 }) }, imports: { bad, good } });

      const run = await harness.move();
      const next = await harness.run(run._flowId);

      expect(run).toMatchObject({
        status: "failed",
        error: { code: "import_failed" },
        imports: { bad: { status: "failed" }, good: { status: "completed" } },
      });
      expect([bad.pages, next.numSuccess, bad.finishes.length]).toEqual([[1, 2], 0, 2]);
    },
  );

  test("is given up when its time is over, and when the run is canceled", async () => {
    const slow = {
      ...finishing(({ signal }) => aborted(signal).then(() => new Promise<void>(() => undefined))),
      writeTimeoutMs: 50,
    };
    const harness = new Harness({ exports: { from: numbers({ last: 1 }) }, imports: { slow } });

    expect((await harness.move()).error).toMatchObject({
      code: "import_failed",
      message: 'Import "slow" failed to finish: finish did not return within 50 ms',
    });

    const { _id } = await harness.scheduler.run((await harness.runs())[0]?._flowId ?? "");
    await harness.clock.settle();
    await harness.scheduler.cancel(_id);
    expect((await harness.end({ _id })).status).toBe("canceled");
  });
});

describe("committed", () => {
  /** An export that calls `committed`. */
  function acknowledging(committed: (page: Page<number, { at: number }>) => void, settings = {}) {
    return numbers({ last: 3, settings: { committed, ...settings } });
  }

  test("comes after the commit of each page, with the page, before the next is written", async () => {
    const calls: unknown[] = [];
    const into = collectingImport<number>();
    const from = acknowledging((page) => calls.push([page, into.written.length]));
    const harness = new Harness({ exports: { from }, imports: { into } });

    await harness.move();

    expect(calls).toEqual([1, 2, 3].map((at) => [{ records: [at], checkpoint: { at } }, at]));
  });

  test("comes only once every import has settled the page", async () => {
    let isDown = true;
    const calls: number[] = [];
    const flaky = scriptedImport<number>(({ records: [at = 0] }) => {
      if (isDown && at === 2) throw retryLater("503");
      return undefined;
    });
    const from = acknowledging(({ records: [at = 0] }) => calls.push(at));
    const harness = new Harness({ exports: { from }, imports: { steady: collectingImport<number>(), flaky } });

    const { _flowId } = await harness.move();
    isDown = false;
    await harness.clock.advance(hour);

    expect(flaky.written).toEqual([1, 2, 3]);
    expect(calls).toEqual([1]);
    expect((await harness.run(_flowId)).status).toBe("completed");
  });

  test("does not come for a sample, and what it throws is logged", async () => {
    const lines: unknown[] = [];
    const silent = () => undefined;
    const logger = { debug: silent, info: silent, error: silent, warn: (...line: unknown[]) => lines.push(line) };
    const calls: number[] = [];
    const from = acknowledging(({ records: [at = 0] }) => {
      calls.push(at);
      throw new Error("cannot be moved");
    });
    const harness = new Harness({
      exports: { from },
      imports: { into: collectingImport<number>() },
      options: { logger },
    });

    const { _flowId } = await harness.move({ limit: 2 });
    expect(calls).toEqual([]);
    expect((await harness.run(_flowId)).status).toBe("completed");

    expect(calls).toEqual([1, 2, 3]);
    expect(JSON.stringify(lines)).toContain("cannot be moved");
  });

  test("that does not return in time is left behind with a warning, and without one if the run is aborted", async () => {
    const lines: unknown[] = [];
    const silent = () => undefined;
    const logger = { debug: silent, info: silent, error: silent, warn: (...line: unknown[]) => lines.push(line) };
    const settings = { committed: () => new Promise<void>(() => undefined), readTimeoutMs: 1_000 };
    const from = numbers({ last: 2, settings });
    const harness = new Harness({ exports: { from }, imports: { into: collectingImport<number>() }, options: { logger } }); // prettier-ignore
    await harness.scheduler.start();
    const flow = await harness.flow();
    const { _id } = await harness.scheduler.run(flow._id);
    await harness.clock.settle();
    await harness.scheduler.cancel(_id);
    const canceled = await harness.end({ _id });
    const warned = lines.length;

    const completed = await harness.run(flow._id);

    expect([canceled.status, warned, completed.status]).toEqual(["canceled", 0, "completed"]);
    expect(JSON.stringify(lines)).toContain("committed did not return in time, and is left behind");
    expect(lines).toHaveLength(1);
  });
});

function fail(record: number): never {
  throw new Error(`${record} is bad`);
}

test.each([{ after: 40 }, { _importId: "elsewhere" }, { asked: 9 }])(
  "a retry sends every failure, whatever the checkpoint of the flow's first import looks like: %j",
  async (checkpoint) => {
    let refuses = true;
    const into = scriptedImport<number>(({ records }) =>
      records.map(() => (refuses ? { ok: false, fault: "reject", error: "no" } : { ok: true })),
    );
    const from: Export<number, typeof checkpoint> = {
      order: "ordered",
      async *pages() {
        yield { records: [1, 2, 3], checkpoint };
      },
    };
    const harness = new Harness({ exports: { from }, imports: { into } });
    const { _flowId } = await harness.move();

    refuses = false;
    const retried = await harness.end(await harness.scheduler.retryFailures(_flowId));

    expect(retried).toMatchObject({ status: "completed", numSuccess: 3 });
    expect(await harness.failures()).toEqual([]);
  },
);
