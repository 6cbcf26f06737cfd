import { describe, expect, test } from "vitest";
import { ClockWatch } from "../../../src/scheduler/maintenance/clock-watch.ts";
import { ManualClock, collectingImport } from "../../../src/testing/index.ts";
import { Harness, day, hour, minute, noon, second, upTo } from "../../support/harness.ts";
import { arrayExport } from "../../../src/testing/index.ts";

/** A watch that has started, and what it emitted. */
function watching() {
  const clock = new ManualClock(noon);
  const changes: unknown[] = [];
  const watch = new ClockWatch({ clock, emit: (name, payload) => void changes.push([name, payload]) });
  const abort = new AbortController();
  watch.start(abort.signal);
  return { abort, changes, clock, watch };
}

describe("the clock watch", () => {
  test("measures the time that passes, whatever the clock shows", async () => {
    const { clock, watch } = watching();

    await clock.advance(5 * minute);
    clock.jumpTo(noon + 3 * day);
    await clock.advance(5 * minute);

    expect(watch.elapsedMs).toBe(10 * minute);
  });

  test.each([
    ["ahead", 2 * hour],
    ["behind", -2 * hour],
    ["ahead by a year", 365 * day],
  ])("reports a clock that jumps %s, once", async (_, byMs) => {
    const { changes, clock } = watching();
    await clock.advance(minute);

    clock.jumpTo(clock.now() + byMs);
    await clock.advance(10 * minute);

    expect(changes).toEqual([["clock:changed", { byMs }]]);
  });

  test("takes a jump of less than an hour for granted", async () => {
    const { changes, clock, watch } = watching();

    clock.jumpTo(noon + 59 * minute);
    await clock.advance(minute);

    expect(changes).toEqual([]);
    expect(watch.retentionNow()).toBe(noon + hour);
  });

  test("lets the clock from before a jump ahead decide for an hour, from the first moment on", async () => {
    const { clock, watch } = watching();
    await clock.advance(10 * minute + second);

    clock.jumpTo(noon + day);
    const atOnce = watch.retentionNow();
    await clock.advance(59 * minute);
    const later = watch.retentionNow();
    await clock.advance(2 * minute);

    expect(atOnce).toBeLessThanOrEqual(noon + 10 * minute + second);
    expect(later).toBeLessThanOrEqual(noon + 70 * minute);
    expect(later).toBeGreaterThan(noon + 65 * minute);
    expect(watch.retentionNow()).toBe(clock.now());
  });

  test("lets a clock that jumped back decide at once, since it removes less", async () => {
    const { clock, watch } = watching();

    clock.jumpTo(noon - day);

    expect(watch.retentionNow()).toBe(noon - day);
  });

  test("says what the clock shows before it starts, and after it stopped leaves no timer", () => {
    const clock = new ManualClock(noon);
    const watch = new ClockWatch({ clock, emit: () => expect.unreachable("nothing is measured yet") });
    clock.jumpTo(noon + day);
    expect(watch.retentionNow()).toBe(noon + day);

    const abort = new AbortController();
    watch.start(abort.signal);
    abort.abort();
    watch.stop();

    expect(clock.timers).toBe(0);
  });
});

describe("while the clock is a year ahead", () => {
  const setting = {
    exports: { from: { ...arrayExport(upTo(1)), listen: () => () => undefined } },
    imports: { sink: collectingImport<number>() },
  };

  test("retention removes no history for an hour", async () => {
    const harness = new Harness(setting);
    await harness.move();

    harness.clock.jumpTo(noon + 365 * day);
    await harness.clock.advance(59 * minute);
    const kept = await harness.runs();
    await harness.clock.advance(10 * minute);

    expect(kept).toHaveLength(1);
    expect(await harness.runs()).toEqual([]);
  });

  test("an event id that was seen is still known", async () => {
    const harness = new Harness(setting);
    await harness.flow();
    await harness.scheduler.start();
    await harness.scheduler.accept("from", [1], { ids: ["a"] });

    harness.clock.jumpTo(noon + 365 * day);
    const accepted = await harness.scheduler.accept("from", [1], { ids: ["a"] });

    expect(accepted).toEqual({ accepted: 0, duplicates: 1 });
  });
});
