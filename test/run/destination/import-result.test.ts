import { describe, expect, test } from "vitest";
import { type Import, type Result, reject, retryLater, stop } from "../../../src/index.ts";
import { DirectImport, busy, byId, byPlace, refused } from "../../support/destination.ts";

type Write = (records: readonly unknown[], attempt: number) => unknown;

/** An import of one page that writes as `write` says. */
function direct(write: Write, into: Partial<Import<never>> = {}, settings: object = {}): DirectImport {
  const written: Import<never> = {
    idempotent: true,
    ...into,
    write: async (records, { attempt }) => write(records, attempt) as Promise<void>,
  };
  return new DirectImport(written, settings);
}
const always =
  (error: () => unknown): Write =>
  () => {
    throw error();
  };
const timeout = () => new Error("socket hang up");

describe("a destination is unavailable", () => {
  test.each<[what: string, error: () => unknown]>([
    ["asked to be tried again", busy],
    ["left its outcome unknown, where that is harmless", timeout],
  ])("if every record that was sent %s until its retries were exhausted", async (_, error) => {
    const result = await direct(always(error)).take([1, 2, 3]);

    expect(result.unavailable?.error).toBeDefined();
    expect(result.pause).toBeUndefined();
    expect(result).toMatchObject({ sent: 3, numSuccess: 0, numIgnore: 0 });
    expect(result.errors.map(({ index, attempts }) => [index, attempts])).toEqual([0, 1, 2].map((n) => [n, 5]));
  });

  test("whatever its filter left out and its map refused, which is found again when the page is", async () => {
    const map = (n: number) => {
      if (n === 2) throw new Error("no email");
      return n;
    };
    const picky = direct(always(busy), { filter: (n: number) => n > 1, map } as object);

    expect(await picky.take([1, 2, 3])).toMatchObject({ unavailable: {}, sent: 1, numIgnore: 1 });
  });

  test("but not if one record was written, rejected, or may have been applied where that is not harmless", async () => {
    const results = (fault: Result) => (records: readonly unknown[]) =>
      records.map((_, index) => (index === 0 ? fault : { ok: false, fault: "retry", error: "busy" }));
    const ok = { ok: true } as const;
    const rejected = { ok: false, fault: "reject", error: "bad" } as const;
    const unsure = { ok: false, fault: "unknown", error: "?" } as const;

    for (const first of [ok, rejected]) expect((await direct(results(first)).take([1, 2])).unavailable).toBeUndefined();
    expect((await direct(results(unsure), { idempotent: false }).take([1, 2])).unavailable).toBeUndefined();
  });

  test("but not if nothing was sent, or the run was aborted", async () => {
    const silent = direct(always(busy), { filter: () => false });
    const aborted = direct(always(busy));
    aborted.abort.abort();

    expect(await silent.take([1, 2])).toEqual({ numIgnore: 2, numSuccess: 0, sent: 0, errors: [] });
    expect(await aborted.take([1])).toMatchObject({ errors: [{ fault: "unsent", attempts: 0 }] });
    expect((await aborted.take([1])).unavailable).toBeUndefined();
  });
});

describe("a wait that is longer than maxWaitMs", () => {
  test("is not waited for, and nothing more is sent", async () => {
    const sent: unknown[] = [];
    const quota = direct(
      (records) => {
        sent.push(...records);
        throw busy(3_600_000);
      },
      { batchSize: 1 },
    );
    const before = quota.clock.now();

    const result = await quota.take([1, 2, 3]);

    expect(sent).toEqual([1]);
    expect(quota.clock.now()).toBe(before);
    expect(result.unavailable).toMatchObject({ afterMs: 3_600_000, error: "busy" });
    expect(result.errors.map(({ fault, attempts, afterMs }) => [fault, attempts, afterMs])).toEqual([
      ["retry", 1, 3_600_000],
      ["retry", 0, 3_600_000],
      ["retry", 0, 3_600_000],
    ]);
  });

  test("asks for a pause after the page is committed if a part of it got through", async () => {
    const quota = direct(
      ([n]) => {
        if (n === 2) throw busy(60_000);
      },
      { batchSize: 1 },
    );

    const result = await quota.take([1, 2, 3]);

    expect(result.unavailable).toBeUndefined();
    expect(result).toMatchObject({ numSuccess: 1, pause: { afterMs: 60_000, error: "busy" } });
    expect(result.errors).toMatchObject([
      { index: 1, fault: "retry", afterMs: 60_000 },
      { index: 2, fault: "retry", attempts: 0, afterMs: 60_000 },
    ]);
  });

  test("is exactly that: maxWaitMs itself is waited for", async () => {
    const slow = direct((_, attempt) => {
      if (attempt === 1) throw busy(30_000);
    });

    expect(await slow.take([1])).toMatchObject({ numSuccess: 1 });
    expect(slow.retries).toEqual([30_000]);
  });
});

test("a page whose every record may have been applied is kept, and pauses an import that is not idempotent", async () => {
  const result = await direct(always(timeout), { idempotent: false }).take([1, 2]);

  expect(result).toMatchObject({ pause: { error: timeout() }, errors: [{ fault: "unknown" }, { fault: "unknown" }] });
  expect(result.unavailable).toBeUndefined();
});

describe("stop, and what breaks the contract, are values:", () => {
  test("stop(cause) leaves the rest unsent, and says why", async () => {
    const sent: unknown[] = [];
    const result = await direct(
      ([n]) => {
        sent.push(n);
        if (n === 2) throw stop("401");
      },
      { batchSize: 1 },
    ).take([1, 2, 3]);

    expect(sent).toEqual([1, 2]);
    expect(result.stopped).toMatchObject({ code: "stopped_by_import" });
    expect(result).toMatchObject({
      numSuccess: 1,
      errors: [
        { index: 1, fault: "unsent" },
        { index: 2, fault: "unsent" },
      ],
    });
    expect(result.unavailable ?? result.pause ?? result.violation).toBeUndefined();
  });

  const hostileResults = [
    Object.defineProperty({}, "ok", {
      get: () => {
        throw new Error("hostile");
      },
    }),
  ];

  test.each<[what: string, write: Write]>([
    ["too few results", () => []],
    ["results that throw when they are read", () => hostileResults],
    ["a string", () => "ok"],
  ])("%s", async (_, write) => {
    const result = await direct(write).take([1]);

    expect(result.violation).toMatchObject({ code: "contract_violation" });
    expect(result.numSuccess).toBe(0);
  });

  test("a map that is asynchronous", async () => {
    const result = await direct(() => undefined, { map: (async () => 1) as never }).take([1]);

    expect(result.violation?.message).toMatch("map returned a promise");
  });
});

describe("an error of a result", () => {
  test("may be one whose getter throws: the record is a failure all the same", async () => {
    const result = Object.defineProperty({ ok: false, fault: "reject" }, "error", {
      get: () => {
        throw new Error("hostile");
      },
    });

    expect(await direct(() => [result, { ok: true }]).take([1, 2])).toMatchObject({
      numSuccess: 1,
      errors: [{ index: 0, fault: "reject", error: new Error("hostile") }],
    });
  });
});

describe("afterMs", () => {
  const after = async (afterMs: unknown, how: "thrown" | "returned") => {
    const one = direct(
      (_, attempt) => {
        if (attempt > 1) return undefined;
        if (how === "thrown") throw retryLater("busy", { afterMs: afterMs as number });
        return [{ ok: false, fault: "retry", error: "busy", afterMs }];
      },
      {},
      { maxWaitMs: Infinity },
    );
    const result = await one.take([1]);
    return { one, result, waited: one.retries[0] };
  };

  test.each(["thrown", "returned"] as const)("that is %s may be milliseconds or a date", async (how) => {
    expect((await after(5_000, how)).waited).toBe(5_000);
    expect((await after(new Date("2030-01-01T12:01:00Z"), how)).waited).toBe(60_000);
  });

  test.each([NaN, -1, "30", null, {}, new Date(NaN), new Date(0), Symbol("s")])(
    "that says nothing counts as 0 (%#)",
    async (afterMs) => {
      for (const how of ["thrown", "returned"] as const)
        expect(await after(afterMs, how)).toMatchObject({ waited: 500, result: { numSuccess: 1 } });
    },
  );

  test.each([Date.parse("2030-01-01T12:01:00Z"), Infinity, new Date("2031-01-01T00:00:00Z")])(
    "of more than a day is a day, and is reported once (%#)",
    async (afterMs) => {
      const { one, waited } = await after(afterMs, "thrown");
      await one.take([2]);

      expect(waited).toBe(86_400_000);
      expect(one.lines.filter(([, message]) => message.includes("more than a day"))).toHaveLength(1);
    },
  );
});

describe("records of the same key in one page", () => {
  const page = ["a1", "b1", "a2", "c1", "a3"].map((state) => ({ id: state[0] ?? "", state }));
  const states = (calls: readonly (readonly { state: string }[])[]) =>
    calls.map((call) => call.map(({ state }) => state));

  async function offer(into: Partial<Import<never>>, busyFor: readonly string[] = []) {
    const calls: (readonly { state: string }[])[] = [];
    const failing = new Set(busyFor);
    const one = direct((records) => {
      const given = records as readonly { state: string }[];
      calls.push(given);
      return given.map(({ state }) =>
        failing.delete(state) ? { ok: false, fault: "retry", error: "busy" } : { ok: true },
      );
    }, into);
    const result = await one.take(page, byId(page));
    return { calls: states(calls), result };
  }

  test("are sent one after the other, the earlier one settled first", async () => {
    const { calls, result } = await offer({}, ["a1"]);

    expect(calls).toEqual([["a1", "b1", "c1"], ["a1"], ["a2"], ["a3"]]);
    expect(result).toMatchObject({ numSuccess: 5, sent: 5 });
  });

  test("are so at any batch size and concurrency", async () => {
    for (const batchSize of [1, 2, 5])
      for (const concurrency of [1, 3, 10]) {
        const { calls } = await offer({ batchSize, concurrency }, ["a1", "a2"]);
        const flat = calls.flat();

        expect(flat.lastIndexOf("a1")).toBeLessThan(flat.indexOf("a2"));
        expect(flat.lastIndexOf("a2")).toBeLessThan(flat.indexOf("a3"));
      }
  });

  test("share a batch if the import applies batches as a whole, and then batches do not overlap", async () => {
    expect((await offer({ sameKey: "together" })).calls).toEqual([["a1", "b1", "a2", "c1", "a3"]]);
    expect((await offer({ sameKey: "together", batchSize: 2, concurrency: 5 })).calls).toEqual([
      ["a1", "b1"],
      ["a2", "c1"],
      ["a3"],
    ]);
  });

  test("cost nothing where only one of them is sent", async () => {
    const { calls } = await offer({
      filter: (record: { state: string }) => !["a2", "a3"].includes(record.state),
    });

    expect(calls).toEqual([["a1", "b1", "c1"]]);
  });

  test("of 10,000 the batches are made in linear time", async () => {
    const many = Array.from({ length: 10_000 }, (_, n) => ({ id: `k${n % 5_000}`, state: String(n) }));
    let sent = 0;
    const one = direct((records) => void (sent += records.length), { batchSize: 1_000 });
    const start = process.cpuUsage();

    await one.take(many, byId(many));

    expect(sent).toBe(10_000);
    expect(process.cpuUsage(start).user / 1_000).toBeLessThan(1_000);
  });
});

describe("a record without a key", () => {
  test("is rejected without being sent, and its neighbours are written", async () => {
    const sent: unknown[] = [];
    const problems = new Map([[1, new Error("page 1, record 1: key failed")]]);

    const result = await direct((records) => void sent.push(...records)).take([1, 2, 3], { ...byPlace, problems });

    expect(sent).toEqual([1, 3]);
    expect(result).toMatchObject({
      numSuccess: 2,
      errors: [{ index: 1, fault: "reject", attempts: 0, error: problems.get(1) }],
    });
  });
});

describe("what cannot be frozen", () => {
  const given = "2026-01-01T10:30:00.000Z";
  const record = () => Object.freeze({ id: "a", at: new Date(given), file: Buffer.from("hello") });
  const vandal = (records: readonly unknown[]) => {
    for (const { at, file } of records as readonly ReturnType<typeof record>[]) {
      at.setTime(0);
      file.fill(0);
    }
    return true;
  };

  test.each<[where: string, into: object]>([
    ["write", {}],
    ["filter", { filter: (one: unknown) => vandal([one]) }],
    ["map", { map: (one: unknown) => ({ id: "mapped", seen: vandal([one]) }) }],
  ])("is a copy for each import that shares it, so that what %s does to it harms nobody", async (_, into) => {
    const original = record();

    await direct(vandal, into, { shared: true }).take([original], { ...byPlace, mutable: true });

    expect(original).toStrictEqual(record());
  });

  test("is another copy for each attempt, also of what map made", async () => {
    const seen: string[] = [];
    const one = direct(
      (records, attempt) => {
        seen.push((records as readonly ReturnType<typeof record>[])[0]?.at.toISOString() ?? "");
        vandal(records);
        if (attempt < 3) throw busy();
      },
      { map: ({ at }: ReturnType<typeof record>) => ({ at, file: Buffer.from("x") }) } as object,
      { shared: true },
    );

    await one.take([record()], { ...byPlace, mutable: true });

    expect(seen).toEqual([given, given, given]);
  });

  test("is not copied for the only import", async () => {
    const original = record();
    let seen: unknown;

    await direct(([one]) => void (seen = one)).take([original], { ...byPlace, mutable: true });

    expect(seen).toBe(original);
  });
});

test("an array that write empties loses nothing, whether records are frozen or not", async () => {
  for (const freeze of [true, false]) {
    const one = direct(
      (records, attempt) => {
        try {
          (records as unknown as unknown[]).length = 0;
        } catch {
          // Frozen: that is as good.
        }
        if (attempt === 1) throw busy();
      },
      { map: ((n: number) => n) as never },
      { freeze },
    );

    expect(await one.take([1, 2, 3])).toMatchObject({ numSuccess: 3, sent: 3, errors: [] });
  }
});

test("a refusal is made by whatever is thrown, and its neighbours go on", async () => {
  const result = await direct(([first, ...more]) => {
    if (first === 2 || more.includes(2)) throw refused();
  }).take([1, 2, 3, 4]);

  expect(result).toMatchObject({ numSuccess: 3, errors: [{ index: 1, fault: "reject", attempts: 3 }] });
  expect(reject("x")).toBeInstanceOf(Error);
});
