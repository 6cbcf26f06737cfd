import fc from "fast-check";
import { localLimits } from "poundlock/connectors/http";
import { ManualClock } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import { errorOf } from "./contexts.ts";

const never = new AbortController().signal;

describe("limits", () => {
  test("let no more requests be under way than concurrency, and the next one in when one has ended", async () => {
    const limits = localLimits({ concurrency: 2 }, new ManualClock());
    const entered: number[] = [];
    const leaves = new Map<number, () => void>();
    const enter = async (nth: number) => {
      leaves.set(nth, await limits.enter(never));
      entered.push(nth);
    };

    const all = [1, 2, 3, 4].map(enter);
    await Promise.all(all.slice(0, 2));
    expect(entered).toEqual([1, 2]);

    leaves.get(2)?.();
    leaves.get(2)?.(); // Leaving twice frees one place.
    await all[2];
    await new ManualClock().settle();
    expect(entered).toEqual([1, 2, 3]);

    leaves.get(1)?.();
    await all[3];
    expect(entered).toEqual([1, 2, 3, 4]);
  });

  test("count a sliding window: at its edge no more than requests begin", async () => {
    const clock = new ManualClock();
    const limits = localLimits({ concurrency: 1_000, requests: 50, perMs: 200 }, clock);
    const starts: number[] = [];
    const begin = async () => {
      (await limits.enter(never))();
      starts.push(clock.now());
    };

    // A fixed window would let 50 begin at its end and 50 more at once after it.
    await begin();
    await clock.advance(150);
    const offered = Array.from({ length: 300 }, begin);
    await clock.advance(2_000);
    await Promise.all(offered);

    expect(mostWithin(starts, 200)).toBe(50);
  });

  test("never exceed requests per perMs, lose nobody and keep the order, whatever is offered when", async () => {
    const arrivals = fc.array(fc.record({ afterMs: fc.nat(400), count: fc.integer({ min: 1, max: 9 }) }), {
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(
        arrivals,
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 300 }),
        async (plan, requests, perMs) => {
          const clock = new ManualClock();
          const limits = localLimits({ concurrency: 3, requests, perMs }, clock);
          const starts: { readonly nth: number; readonly at: number }[] = [];
          const waiting: Promise<void>[] = [];
          let nth = 0;
          for (const { afterMs, count } of plan) {
            await clock.advance(afterMs);
            for (let each = 0; each < count; each++) {
              const mine = nth++;
              waiting.push(
                limits.enter(never).then((leave) => {
                  starts.push({ nth: mine, at: clock.now() });
                  clock.setTimer(leave, mine % 7);
                }),
              );
            }
          }
          await clock.advance(60_000);
          await Promise.all(waiting);

          expect(starts.map((start) => start.nth)).toEqual(starts.map((_, index) => index));
          expect(
            mostWithin(
              starts.map(({ at }) => at),
              perMs,
            ),
          ).toBeLessThanOrEqual(requests);
          expect(clock.timers).toBe(0);
        },
      ),
      { numRuns: 100 },
    );
  });

  test("let the next one pass when one leaves the queue by its signal", async () => {
    const clock = new ManualClock();
    const limits = localLimits({ concurrency: 1 }, clock);
    const leave = await limits.enter(never);
    const abort = new AbortController();
    const aborted = limits.enter(abort.signal);
    const next = limits.enter(never);

    abort.abort(new Error("the run was canceled"));
    expect((await errorOf(aborted)).message).toBe("the run was canceled");
    leave();

    (await next)();
    expect((await errorOf(limits.enter(abort.signal))).message).toBe("the run was canceled");
  });

  test("pause for everybody: a short pause is waited for, in order", async () => {
    const clock = new ManualClock();
    const limits = localLimits({}, clock);
    const entered: string[] = [];
    const enter = async (name: string) => {
      (await limits.enter(never))();
      entered.push(name);
    };

    limits.pause(5_000);
    const both = [enter("first"), enter("second")];
    await clock.advance(4_999);
    expect(entered).toEqual([]);
    await clock.advance(1);
    await Promise.all(both);

    expect(entered).toEqual(["first", "second"]);
  });

  test("refuse whoever would wait longer than patienceMs, also those that wait already, and say when to come back", async () => {
    const clock = new ManualClock();
    const limits = localLimits({ concurrency: 1 }, clock);
    const leave = await limits.enter(never);
    const waiting = errorOf(limits.enter(never));

    limits.pause(42_000);

    for (const error of [await waiting, await errorOf(limits.enter(never))])
      expect(error).toMatchObject({ message: "paused for 42 s, as the server asked", afterMs: 42_000 });
    leave();
    await clock.advance(40_000);
    const patient = limits.enter(never);
    await clock.advance(2_000);
    (await patient)();
  });

  test("keep the longer one of two pauses", async () => {
    const limits = localLimits({ patienceMs: 0 }, new ManualClock());

    limits.pause(10_000);
    limits.pause(1_000);

    expect(await errorOf(limits.enter(never))).toMatchObject({ afterMs: 10_000 });
  });

  test("let nobody wait for longer than was asked when the clock is set back", async () => {
    const clock = new ManualClock();
    const limits = localLimits({ requests: 1, perMs: 1_000 }, clock);
    (await limits.enter(never))();
    limits.pause(4_000);
    clock.jumpTo(clock.now() - 3_600_000);

    const next = limits.enter(never);
    await clock.advance(4_000);

    (await next)();
  });

  test("say when to come back once a quota is used up for minutes", async () => {
    const limits = localLimits({ requests: 2, perMs: 3_600_000 }, new ManualClock());
    for (let nth = 0; nth < 2; nth++) (await limits.enter(never))();

    expect(await errorOf(limits.enter(never))).toMatchObject({
      message: "limits.requests are used up for 60 min",
      afterMs: 3_600_000,
    });
  });

  test.each<[options: object, message: string]>([
    [{ concurrency: 0 }, "limits.concurrency: expected a whole number, 1 or more, found 0"],
    [{ requests: 10 }, "limits.perMs: expected requests and perMs together, found undefined"],
    [{ requests: 10, perMs: 0 }, "limits.perMs: expected a number of milliseconds, above 0, found 0"],
    [{ perSecond: 1 }, "limits.perSecond: expected one of concurrency, requests, perMs, patienceMs"],
  ])("refuse %j", (options, message) => {
    expect(() => localLimits(options)).toThrow(message);
  });
});

// How many of the instants lie in the half-open window in which most of them do.
function mostWithin(starts: readonly number[], windowMs: number): number {
  return Math.max(0, ...starts.map((from) => starts.filter((at) => at >= from && at < from + windowMs).length));
}
