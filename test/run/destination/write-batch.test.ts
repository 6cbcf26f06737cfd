import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Import, type Result, type Run, expired, reject, retryLater, stop } from "../../../src/index.ts";
import { type ImportSettings, type WriteScript, arrayExport, scriptedImport } from "../../../src/testing/index.ts";
import { Gate, Harness, aborted, pagesExport, upTo } from "../../support/harness.ts";

const byNumber = { key: (number: number) => `#${number}` };
const nope = (fault: "retry" | "reject" | "unknown", message: string = fault, afterMs?: number): Result => ({
  ...{ ok: false, fault, error: new Error(message) },
  ...(afterMs === undefined ? {} : { afterMs }),
});
const ok: Result = { ok: true };

/** One page of the numbers from 1 to `count`, into one import that does what `script` says. */
function moving(count: number, script: WriteScript<number>, settings: ImportSettings<number> = {}) {
  const sink = scriptedImport<number>(script, settings);
  const harness = new Harness({ exports: { from: arrayExport(upTo(count), byNumber) }, imports: { sink } });
  return { sink, harness };
}

const sent = (sink: { calls: readonly { records: readonly number[] }[] }) => sink.calls.map(({ records }) => records);

/** Ended by what the import returned, with nothing committed. */
async function expectBroken(run: Run, harness: Harness, problem: RegExp): Promise<void> {
  expect(run).toMatchObject({ status: "failed", numPagesProcessed: 0, numSuccess: 0, numError: 0 });
  expect(run.error?.code).toBe("contract_violation");
  expect(run.error?.message).toMatch(problem);
  expect(await harness.failures()).toEqual([]);
  expect(await harness.scheduler.getCheckpoint(run._flowId)).toBeUndefined();
}

describe("what write returns", () => {
  test("nothing means that every record was written", async () => {
    const { harness, sink } = moving(3, () => undefined);

    expect(await harness.move()).toMatchObject({ status: "completed", numSuccess: 3, numError: 0 });
    expect(sent(sink)).toEqual([[1, 2, 3]]);
  });

  test("an array has a result for each record, by its place", async () => {
    const { harness } = moving(4, () => [ok, nope("reject", "too old"), { ok: true, value: "id-3" }, nope("reject")]);

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 2, numError: 2 });
    expect(await harness.failures()).toMatchObject([
      { record: 2, key: "#2", fault: "reject", message: "too old", attempts: 1 },
      { record: 4, key: "#4", fault: "reject", message: "reject", attempts: 1 },
    ]);
  });

  test.each([
    ["fewer", [ok, ok]],
    ["more", [ok, ok, ok, ok]],
    ["no", []],
  ])("%s results than records fail the run, and nothing is committed", async (_, results) => {
    const { harness, sink } = moving(3, () => results);

    const run = await harness.move();

    await expectBroken(run, harness, new RegExp(`"sink".*${results.length} results for 3 records`));
    expect(sent(sink)).toHaveLength(1);
  });

  test.each([
    ["null", null],
    ["a number", 3],
    ["an object", { ok: true }],
    ["a result that is null", [null]],
    ["a result without ok", [{}]],
    ["a result that is neither", [{ ok: "yes" }]],
    ["a failed result without a fault", [{ ok: false, error: "?" }]],
    ["a failed result of an unknown fault", [{ ok: false, fault: "later", error: "?" }]],
    ["a hole", Array.from({ length: 1 })],
  ])("%s is no result: the run fails, and nothing is committed", async (_, returned) => {
    const { harness } = moving(1, () => returned as readonly Result[]);

    await expectBroken(await harness.move(), harness, /"sink" broke its contract: write returned/);
  });

  test("pages before the one with a wrong result stay committed", async () => {
    const sink = scriptedImport<number>(({ records }) => (records[0] === 3 ? [] : undefined));
    const harness = new Harness({ exports: { from: arrayExport(upTo(6), { pageSize: 2 }) }, imports: { sink } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "failed", numPagesProcessed: 1, numSuccess: 2 });
    expect(await harness.scheduler.getCheckpoint(run._flowId)).toEqual({ read: 2 });
  });

  test("expired, which is for pages, makes the outcome as unknown as anything else that is thrown", async () => {
    const script = () => {
      throw expired("the page token");
    };
    const { harness } = moving(1, script, { idempotent: false });

    await harness.move();

    expect(await harness.failures()).toMatchObject([{ fault: "unknown", record: 1 }]);
  });

  test("a write that throws before its first await is classified like any other", async () => {
    const sink: Import<number> = {
      idempotent: true,
      write() {
        throw reject("never");
      },
    };
    const harness = new Harness({ exports: { from: arrayExport([1]) }, imports: { sink } });

    expect(await harness.move()).toMatchObject({ status: "completed", numError: 1 });
  });
});

describe("retryLater", () => {
  test("sends the batch again under the same keys, with the attempt's number", async () => {
    const { harness, sink } = moving(2, ({ attempt }) => {
      if (attempt < 3) throw retryLater("busy");
      return undefined;
    });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 2 });
    expect(sink.calls.map(({ attempt, keys, records }) => ({ attempt, keys, records }))).toEqual(
      [1, 2, 3].map((attempt) => ({ attempt, keys: ["#1", "#2"], records: [1, 2] })),
    );
    expect(sink.calls.every(({ runId }) => runId === run._id)).toBe(true);
  });

  test("waits a random part of a delay that doubles, and never less than afterMs", async () => {
    const at: number[] = [];
    const { harness } = moving(1, ({ attempt }) => {
      at.push(harness.clock.now());
      if (attempt < 4) throw retryLater("busy", attempt === 3 ? { afterMs: 30_000 } : {});
      return undefined;
    });

    await harness.move();

    expect(at.map((time) => time - (at[0] ?? 0))).toEqual([0, 500, 1_500, 31_500]);
    expect(harness.events.of("run:retrying")).toMatchObject([
      { _importId: "sink", attempt: 1, delayMs: 500, message: "busy" },
      { _importId: "sink", attempt: 2, delayMs: 1_000, message: "busy" },
      { _importId: "sink", attempt: 3, delayMs: 30_000, message: "busy" },
    ]);
  });

  test("the longest afterMs of a batch's results is waited for, and only what asked for it is sent again", async () => {
    const at: number[] = [];
    const { harness, sink } = moving(4, ({ attempt }) => {
      at.push(harness.clock.now());
      return attempt === 1 ? [nope("retry", "a", 5_000), ok, nope("retry", "b", 9_000), nope("reject")] : undefined;
    });

    const run = await harness.move();

    expect(run).toMatchObject({ numSuccess: 3, numError: 1 });
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBe(9_000);
    expect(sent(sink)).toEqual([
      [1, 2, 3, 4],
      [1, 3],
    ]);
    expect(sink.calls[1]?.keys).toEqual(["#1", "#3"]);
  });

  test("after maxAttempts the records are stored as failures that can be retried, with cause and code", async () => {
    const sink = scriptedImport<number>(
      ({ records }) => {
        if (records[0] === 1) return undefined;
        throw retryLater(Object.assign(new Error("connection reset"), { code: "ECONNRESET" }));
      },
      { batchSize: 1 },
    );
    const exports = { from: arrayExport([1, 2, 3], byNumber) };
    const harness = new Harness({ exports, imports: { sink }, options: { maxAttempts: 3 } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 1, numError: 2 });
    expect(sent(sink)).toEqual([[1], [2], [2], [2], [3], [3], [3]]);
    const same = { fault: "retry", attempts: 3, message: "connection reset", code: "ECONNRESET", status: "open" };
    expect(await harness.failures()).toMatchObject([
      { ...same, record: 2, key: "#2", _runId: run._id, _importId: "sink", _exportId: "from" },
      { ...same, record: 3, key: "#3" },
    ]);
  });

  test("with maxAttempts 1 nothing is sent twice", async () => {
    const { sink } = moving(1, () => {
      throw retryLater("busy");
    });
    const harness = new Harness({
      exports: { from: arrayExport([1]) },
      imports: { sink },
      options: { maxAttempts: 1 },
    });

    await harness.move();

    expect(sent(sink)).toHaveLength(1);
    expect(harness.events.of("run:retrying")).toEqual([]);
  });
});

describe("reject", () => {
  test("a batch of several is halved until the poison record stands alone, so that only it is stored", async () => {
    const { harness, sink } = moving(4, ({ records }) => {
      if (records.includes(3)) throw reject(new Error("3 is odd"));
      return undefined;
    });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed", numSuccess: 3, numError: 1 });
    expect(sent(sink)).toEqual([[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]);
    expect(sink.calls.map(({ keys }) => keys)).toEqual(
      sent(sink).map((records) => records.map((number) => `#${number}`)),
    );
    expect(await harness.failures()).toMatchObject([
      { record: 3, key: "#3", fault: "reject", message: "3 is odd", attempts: 3 },
    ]);
  });

  test.each([1, 500, 501, 777, 1_000])("one poison record among 1,000 costs 21 writes (place %i)", async (poison) => {
    const sink = scriptedImport<number>(({ records }) => {
      if (records.includes(poison)) throw reject("poison");
      return undefined;
    });
    const whole = new Harness({ exports: { from: pagesExport([upTo(1_000)]) }, imports: { sink } });

    expect(await whole.move()).toMatchObject({ status: "completed", numSuccess: 999, numError: 1 });
    expect(sink.calls.length).toBeLessThanOrEqual(21);
    expect(await whole.failures()).toMatchObject([{ record: poison, fault: "reject" }]);
    expect([...sink.written].sort((one, other) => one - other)).toEqual(upTo(1_000).filter((n) => n !== poison));
  });

  test("a single record is stored at once and never sent again", async () => {
    const { harness, sink } = moving(1, () => {
      throw reject("no");
    });

    expect(await harness.move()).toMatchObject({ status: "completed", numError: 1 });
    expect(sent(sink)).toEqual([[1]]);
  });

  test("each half has attempts of its own", async () => {
    const { harness, sink } = moving(3, ({ records, attempt }) => {
      if (records.length > 1) throw reject("one of you");
      if (records[0] === 2 && attempt < 3) throw retryLater("busy");
      if (records[0] === 3) throw reject("me");
      return undefined;
    });

    expect(await harness.move()).toMatchObject({ status: "completed", numSuccess: 2, numError: 1 });
    expect(sent(sink)).toEqual([[1, 2, 3], [1, 2], [1], [2], [2], [2], [3]]);
    expect(await harness.failures()).toMatchObject([{ record: 3, attempts: 2 }]);
  });

  test("a batch that is rejected after some of it was settled is halved without what was settled", async () => {
    const { harness, sink } = moving(4, ({ records, attempt }) => {
      if (records.length === 4) return [ok, nope("retry"), nope("reject"), nope("retry")];
      if (attempt === 2) throw reject("one of you");
      if (records[0] === 4) throw reject("me");
      return undefined;
    });

    expect(await harness.move()).toMatchObject({ numSuccess: 2, numError: 2 });
    expect(sent(sink)).toEqual([[1, 2, 3, 4], [2, 4], [2], [4]]);
    expect(await harness.failures()).toMatchObject([
      { record: 3, key: "#3" },
      { record: 4, key: "#4", attempts: 3 },
    ]);
  });
});

describe("stop", () => {
  test("ends the run at once, stores no failures and commits nothing of the page", async () => {
    const { harness, sink } = moving(2, () => {
      throw stop(new Error("the token has expired"));
    });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "failed", numError: 0, numPagesProcessed: 0 });
    expect(run.error?.code).toBe("stopped_by_import");
    expect(run.error?.message).toContain("the token has expired");
    expect(sent(sink)).toHaveLength(1);
    expect(await harness.failures()).toEqual([]);
  });

  test("a stop in the middle of a page stores none of that page's other failures", async () => {
    const { harness, sink } = moving(
      3,
      ({ records }) => {
        if (records[0] === 2) throw stop("wrong account");
        return [nope("reject")];
      },
      { batchSize: 1 },
    );

    expect((await harness.move()).error?.code).toBe("stopped_by_import");
    expect(sent(sink)).toEqual([[1], [2]]);
    expect(await harness.failures()).toEqual([]);
  });

  test("a stop keeps batches that go on side by side from sending what they have not sent yet", async () => {
    const { harness, sink } = moving(
      8,
      async ({ records }) => {
        await Promise.resolve();
        if (records[0] === 1) throw stop("wrong account");
        return undefined;
      },
      { batchSize: 1, concurrency: 2 },
    );

    expect((await harness.move()).error?.code).toBe("stopped_by_import");
    expect(sent(sink).length).toBeLessThanOrEqual(3);
  });
});

describe("an unknown outcome", () => {
  test.each([
    ["an error that says nothing", () => Promise.reject(new Error("socket hang up"))],
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    ["something that is no error", () => Promise.reject("socket hang up")],
    ["a result", () => Promise.resolve([nope("unknown", "socket hang up")])],
  ])("from %s is sent again under the same keys if the import is idempotent", async (_, answer) => {
    const { harness, sink } = moving(1, ({ attempt }) => (attempt === 1 ? answer() : undefined));

    expect(await harness.move()).toMatchObject({ status: "completed", numSuccess: 1 });
    expect(sink.calls.map(({ keys }) => keys)).toEqual([["#1"], ["#1"]]);
  });

  test("that stays unknown after maxAttempts is stored as unknown", async () => {
    const sink = scriptedImport<number>(
      ({ records }) => {
        if (records[0] === 2) throw new Error("socket hang up");
        return undefined;
      },
      { batchSize: 1 },
    );
    const harness = new Harness({
      exports: { from: arrayExport([1, 2]) },
      imports: { sink },
      options: { maxAttempts: 2 },
    });

    expect(await harness.move()).toMatchObject({ status: "completed", numError: 1 });
    expect(sent(sink)).toEqual([[1], [2], [2]]);
    expect(await harness.failures()).toMatchObject([{ record: 2, fault: "unknown", attempts: 2 }]);
  });

  test("of an import that is not idempotent is stored as unknown and never sent again", async () => {
    const { harness, sink } = moving(
      3,
      () => {
        throw new Error("socket hang up");
      },
      { idempotent: false },
    );

    const run = await harness.move();
    await harness.run(run._flowId);

    expect(run).toMatchObject({ numSuccess: 0, numError: 3 });
    expect(sent(sink)).toEqual([[1, 2, 3]]);
    expect(await harness.failures()).toMatchObject(
      upTo(3).map((record) => ({ record, fault: "unknown", message: "socket hang up", attempts: 1 })),
    );
  });

  test("asks find, which settles what was written, and sends only the rest again", async () => {
    const asked: unknown[] = [];
    const { harness, sink } = moving(
      4,
      ({ attempt }) => {
        if (attempt > 1) return undefined;
        return [ok, nope("unknown"), nope("unknown"), nope("reject")];
      },
      {
        idempotent: false,
        find: async (records, { keys }) => {
          asked.push({ records, keys });
          return ["row 7", undefined];
        },
      },
    );

    const run = await harness.move();

    expect(asked).toEqual([{ records: [2, 3], keys: ["#2", "#3"] }]);
    expect(sent(sink)).toEqual([[1, 2, 3, 4], [3]]);
    expect(run).toMatchObject({ numSuccess: 3, numError: 1 });
  });

  test.each([[[]], [["a", "b"]], [undefined], [{ 0: "a" }]])(
    "find that returns %j for one record fails the run, and nothing is committed",
    async (answer) => {
      const { harness } = moving(1, () => Promise.reject(new Error("?")), {
        idempotent: false,
        find: async () => answer as unknown[],
      });

      await expectBroken(await harness.move(), harness, /find returned/);
    },
  );

  // Awaited, so it is asked for `then`.
  const unreadable = (isReadable: (name: string | symbol) => boolean) =>
    new Proxy([undefined], {
      get(target, name) {
        if (name === "then" || isReadable(name)) return Reflect.get(target, name) as unknown;
        throw new Error("no");
      },
    });

  test.each([
    ["no length", unreadable(() => false)],
    ["no entries", unreadable((name) => name === "length")],
  ])("find that returns an array with %s to read fails the import, not the run's storage", async (_, answer) => {
    const { harness } = moving(1, () => Promise.reject(new Error("?")), {
      idempotent: false,
      find: async () => answer,
    });

    await expectBroken(await harness.move(), harness, /find returned/);
  });

  test("find that fails leaves the records unknown: they are stored and not sent again", async () => {
    const { harness, sink } = moving(2, () => Promise.reject(new Error("?")), {
      idempotent: false,
      find: () => Promise.reject(new Error("not now")),
    });

    expect(await harness.move()).toMatchObject({ numSuccess: 0, numError: 2 });
    expect(sent(sink)).toHaveLength(1);
    expect(await harness.failures()).toMatchObject([{ fault: "unknown" }, { fault: "unknown" }]);
  });

  test("find is never asked of an idempotent import", async () => {
    let asked = 0;
    const { harness } = moving(1, ({ attempt }) => (attempt === 1 ? Promise.reject(new Error("?")) : undefined), {
      find: async () => [++asked],
    });

    expect(await harness.move()).toMatchObject({ numSuccess: 1 });
    expect(asked).toBe(0);
  });

  test("what find does not find asks find again after the next unknown outcome, until attempts are spent", async () => {
    const exports = { from: pagesExport([[0, 1]]) };
    let asked = 0;
    const sink = scriptedImport<number>(
      ({ records }) => (records[0] === 0 ? undefined : Promise.reject(new Error("?"))),
      { batchSize: 1, idempotent: false, find: async () => [asked++ > 99 ? "there" : undefined] },
    );
    const harness = new Harness({ exports, imports: { sink }, options: { maxAttempts: 3 } });

    await harness.move();

    expect(sent(sink)).toEqual([[0], [1], [1], [1]]);
    expect(asked).toBe(3);
    expect(await harness.failures()).toMatchObject([{ record: 1, fault: "retry", attempts: 3 }]);
  });
});

describe("a write that takes longer than writeTimeoutMs", () => {
  test("has its signal aborted, and its own error then counts as unknown", async () => {
    const heard: number[] = [];
    const { harness, sink } = moving(
      1,
      async ({ attempt }, { signal }) => {
        if (attempt > 1) return;
        await aborted(signal);
        heard.push(harness.clock.now());
        throw new Error("aborted");
      },
      { writeTimeoutMs: 7_000 },
    );
    const before = harness.clock.now();

    expect(await harness.move()).toMatchObject({ numSuccess: 1 });
    expect(heard).toEqual([before + 7_000]);
    expect(sent(sink)).toHaveLength(2);
  });

  test("counts if it succeeds within the second that follows", async () => {
    const { harness, sink } = moving(
      2,
      async (_, { signal }) => {
        await aborted(signal);
        await new Promise<void>((resolve) => harness.clock.setTimer(resolve, 999));
        return [ok, nope("reject")];
      },
      { writeTimeoutMs: 7_000, idempotent: false },
    );

    expect(await harness.move()).toMatchObject({ numSuccess: 1, numError: 1 });
    expect(sent(sink)).toHaveLength(1);
  });

  test("is unknown if it ignores the abort for more than a second, and a later answer changes nothing", async () => {
    const gate = new Gate();
    const { harness, sink } = moving(1, () => gate.opened.then(() => undefined), {
      writeTimeoutMs: 7_000,
      idempotent: false,
    });
    const before = harness.clock.now();

    const run = await harness.move();
    gate.open();
    await harness.clock.settle();

    expect(run).toMatchObject({ numSuccess: 0, numError: 1 });
    expect(harness.clock.now() - before).toBe(8_000);
    expect(sent(sink)).toHaveLength(1);
    expect(await harness.failures()).toMatchObject([
      { fault: "unknown", message: "write did not return within 7000 ms" },
    ]);
    expect(await harness.scheduler.getRun(run._id)).toEqual(run);
  });

  test("is sent again if the import is idempotent, with a fresh signal", async () => {
    const signals: AbortSignal[] = [];
    const gate = new Gate();
    const { harness } = moving(
      1,
      async ({ attempt }, { signal }) => {
        signals.push(signal);
        if (attempt === 1) await gate.opened;
        return undefined;
      },
      { writeTimeoutMs: 1_000 },
    );

    expect(await harness.move()).toMatchObject({ numSuccess: 1 });
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
    gate.open();
  });

  test("has five minutes if it does not say otherwise", async () => {
    const { harness } = moving(
      1,
      async (_, { signal }) => {
        await aborted(signal);
        throw new Error("aborted");
      },
      { idempotent: false },
    );
    const before = harness.clock.now();

    await harness.move();

    expect(harness.clock.now() - before).toBe(300_000);
  });

  test("leaves no timer behind once it has answered", async () => {
    const { harness } = moving(1, () => undefined, { writeTimeoutMs: 7_000 });
    await harness.move();
    await harness.scheduler.stop();

    expect(harness.clock.timers).toBe(0);
  });
});

test("every record ends as its own outcomes say, wherever it stands in its batch and whatever its neighbours do", async () => {
  const outcome = fc.constantFrom<("ok" | "retry" | "reject" | "unknown")[]>("ok", "retry", "reject", "unknown");
  const scripts = fc.array(fc.array(outcome, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(scripts, fc.boolean(), fc.integer({ min: 1, max: 9 }), async (records, idempotent, batchSize) => {
      const responses = (number: number, nth: number) => records[number - 1]?.[nth] ?? "ok";
      const times = new Map<number, number>();
      const sink = scriptedImport<number>(
        (call) =>
          call.records.map((number) => {
            const nth = times.get(number) ?? 0;
            times.set(number, nth + 1);
            const answer = number === 0 ? "ok" : responses(number, nth);
            return answer === "ok" ? ok : nope(answer);
          }),
        { idempotent, batchSize },
      );
      const exports = { from: pagesExport([[0, ...upTo(records.length)]], byNumber as object) };
      const harness = new Harness({ exports, imports: { sink }, options: { maxAttempts: 3 } });

      const run = await harness.move();

      const expected = upTo(records.length).flatMap((record) => {
        const fate = fateOf((nth) => responses(record, nth), idempotent);
        return fate === undefined ? [] : [{ record, key: `#${record}`, ...fate }];
      });
      expect(await harness.failures()).toMatchObject(expected);
      expect(run).toMatchObject({ status: "completed", numError: expected.length });
      expect(run.numSuccess).toBe(records.length + 1 - expected.length);
      expect([...sink.written].sort()).toEqual([
        0,
        ...upTo(records.length).filter((record) => expected.every((failure) => failure.record !== record)),
      ]);
    }),
    { numRuns: 300 },
  );
});

// What becomes of one record that gets these responses, with three attempts; undefined: it is written.
function fateOf(answerTo: (nth: number) => string, idempotent: boolean) {
  for (let attempts = 1; ; attempts++) {
    const answer = answerTo(attempts - 1);
    if (answer === "ok") return undefined;
    const lasting = answer === "reject" || (answer === "unknown" && !idempotent);
    if (lasting || attempts === 3) return { fault: answer, attempts };
  }
}
