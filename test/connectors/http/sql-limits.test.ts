import fc from "fast-check";
import { sqlLimits } from "poundlock/connectors/http";
import { ManualClock } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import type { SqlDatabase, SqlQueries } from "../../../src/connectors/sql/database.ts";
import { postgresDialect } from "../../../src/connectors/sql/index.ts";
import { errorOf } from "./contexts.ts";

const never = new AbortController().signal;

/** A database of one table, which takes a while to respond; its own clock is `aheadMs` ahead. */
class OneTable implements SqlDatabase {
  readonly dialect = postgresDialect;
  readonly rows = new Map<unknown, string | null>();
  isAway = false;
  transactions = 0;
  aheadMs = 0;
  readonly #clock: ManualClock;
  readonly #latencyMs: () => number;
  #last: Promise<unknown> = Promise.resolve();

  constructor(clock: ManualClock, latencyMs: () => number = () => 0) {
    this.#clock = clock;
    this.#latencyMs = latencyMs;
  }

  transaction<T>(work: (tx: SqlQueries) => Promise<T>): Promise<T> {
    const done = this.#last.then(async () => {
      this.transactions++;
      await this.#respond();
      const result = await work(this);
      await this.#respond();
      return result;
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  async query(text: string, values: readonly unknown[] = []): Promise<readonly Record<string, unknown>[]> {
    if (this.isAway) throw Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    if (text.startsWith("insert")) this.rows.set(values[0], null);
    if (text.startsWith("update")) this.rows.set(values[1], String(values[0]));
    const state = this.rows.get(values[0]);
    return text.startsWith("select") && state !== undefined
      ? [{ state, now_ms: this.#clock.now() + this.aheadMs }]
      : [];
  }

  #respond(): Promise<void> {
    const ms = this.#latencyMs();
    return ms === 0 ? Promise.resolve() : new Promise((resolve) => void this.#clock.setTimer(resolve, ms));
  }
}

/** How many of the instants lie in the half-open window in which most of them do. */
function mostWithin(starts: readonly number[], windowMs: number): number {
  return Math.max(0, ...starts.map((from) => starts.filter((at) => at >= from && at < from + windowMs).length));
}

describe("limits in a database", () => {
  test("let no more requests begin in any perMs than requests, whatever processes there are and however slow it is", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ afterMs: fc.nat(300), process: fc.nat(2), count: fc.integer({ min: 1, max: 6 }) }), {
          maxLength: 25,
        }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 50, max: 1_500 }),
        fc.array(fc.nat(180), { minLength: 1, maxLength: 9 }),
        async (plan, requests, perMs, latencies) => {
          const clock = new ManualClock();
          let nth = 0;
          const database = new OneTable(clock, () => latencies[nth++ % latencies.length] ?? 0);
          const options = { database, name: "shop", requests, perMs, concurrency: 3, clock };
          const processes = [0, 1, 2].map(() => sqlLimits(options));
          const starts: number[] = [];
          const begun: Promise<void>[] = [];
          let offered = 0;
          for (const { afterMs, process, count } of plan) {
            await clock.advance(afterMs);
            for (let each = 0; each < count; each++, offered++)
              begun.push(
                processes[process]?.enter(never).then((leave) => {
                  starts.push(clock.now());
                  clock.setTimer(leave, offered % 9);
                }) ?? expect.unreachable(),
              );
          }
          // Slow databases give less than the rate, but everybody gets through.
          for (let step = 0; step < 400 && starts.length < offered; step++) await clock.advance(1_000);
          await Promise.all(begun);

          expect(mostWithin(starts, perMs)).toBeLessThanOrEqual(requests);
          expect(starts).toHaveLength(offered);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("give nearly the whole rate to processes that use it, and a share to each", async () => {
    const clock = new ManualClock();
    const database = new OneTable(clock, () => 2);
    const starts: number[][] = [[], []];
    const abort = new AbortController();
    const loops = starts.flatMap((own) => {
      const limits = sqlLimits({ database, name: "shop", requests: 100, perMs: 1_000, clock });
      return Array.from({ length: 4 }, async () => {
        while (!abort.signal.aborted) {
          (await limits.enter(abort.signal))();
          own.push(clock.now());
        }
      });
    });
    for (let step = 0; step < 1_000; step++) await clock.advance(10);
    abort.abort(new Error("enough"));
    await Promise.allSettled([...loops, clock.advance(1_000)]);

    const all = starts.flat();
    expect(mostWithin(all, 1_000)).toBeLessThanOrEqual(100);
    expect(all.length).toBeGreaterThan(900);
    for (const own of starts) expect(own.length).toBeGreaterThan(200);
    // In portions, not one by one.
    expect(database.transactions).toBeLessThan(all.length / 2);
  });

  test("pause for every process, at once here and within a second there, and refuse whoever would wait for long", async () => {
    const clock = new ManualClock();
    const database = new OneTable(clock);
    const [one, other] = [0, 1].map(() => sqlLimits({ database, name: "shop", clock }));
    (await other?.enter(never))?.();

    one?.pause(42_000);
    expect(await errorOf(one?.enter(never) ?? expect.unreachable())).toMatchObject({ afterMs: 42_000 });
    await clock.advance(1_000);

    const error = await errorOf(other?.enter(never) ?? expect.unreachable());
    expect(error).toMatchObject({ message: "paused for 41 s, as the server asked", afterMs: 41_000 });
    await clock.advance(41_000);
    (await other?.enter(never))?.();
  });

  test("share a pause that begins while a portion is on its way", async () => {
    const clock = new ManualClock();
    const database = new OneTable(clock, () => 10);
    const [one, other] = [0, 1].map(() => sqlLimits({ database, name: "shop", clock }));
    const begun = one?.enter(never).catch((error: unknown) => error);
    one?.pause(60_000);
    await clock.advance(100);

    const refused = errorOf(other?.enter(never) ?? expect.unreachable());
    await clock.advance(100);

    expect(await refused).toMatchObject({ message: /^paused for/ });
    expect(await begun).toMatchObject({ message: /^paused for/ });
  });

  test("refuse, as not sent, while the database is away, and go on when it is there", async () => {
    const clock = new ManualClock();
    const database = new OneTable(clock);
    const limits = sqlLimits({ database, name: "shop", requests: 5, perMs: 1_000, concurrency: 1, clock });
    database.isAway = true;

    const error = await errorOf(limits.enter(never));
    database.isAway = false;

    expect(error).toMatchObject({ name: "OutcomeError", message: "the limits shop: connect ECONNREFUSED" });
    (await limits.enter(never))();
  });

  test("say when to come back once a quota is used up for minutes, by any process", async () => {
    const clock = new ManualClock();
    const database = new OneTable(clock);
    const [one, other] = [0, 1].map(() => sqlLimits({ database, name: "shop", requests: 1, perMs: 3_600_000, clock }));
    (await one?.enter(never))?.();

    const { message } = await errorOf(other?.enter(never) ?? expect.unreachable());

    expect(message).toBe("limits.requests are used up for 60 min");
  });

  test("count no longer than the window when the database's clock is set back", async () => {
    const clock = new ManualClock();
    const database = new OneTable(clock);
    const limits = sqlLimits({ database, name: "shop", requests: 1, perMs: 1_000, clock });
    (await limits.enter(never))();
    database.aheadMs = -3_600_000;

    const next = limits.enter(never);
    await clock.advance(12_000);

    (await next)();
  });

  test("leave the queue by their signal", async () => {
    const clock = new ManualClock();
    const limits = sqlLimits({ database: new OneTable(clock), name: "shop", requests: 1, perMs: 1_000, concurrency: 1, clock }); // prettier-ignore
    (await limits.enter(never))();
    const abort = new AbortController();
    const waiting = limits.enter(abort.signal);
    await clock.settle();

    abort.abort(new Error("the run was canceled"));

    expect((await errorOf(waiting)).message).toBe("the run was canceled");
    const next = limits.enter(never);
    await clock.advance(1_200);
    (await next)();
  });

  test.each<[options: object, message: string]>([
    [{ requests: 10 }, "sqlLimits.perMs: expected requests and perMs together, found undefined"],
    [{ name: "" }, "sqlLimits.name: expected a name"],
    [{ database: {} }, "sqlLimits.database"],
    [{ perSecond: 1 }, "perSecond"],
  ])("refuse %j", (options, message) => {
    const database = new OneTable(new ManualClock());

    expect(() => sqlLimits({ database, name: "shop", ...options })).toThrow(message);
  });
});
