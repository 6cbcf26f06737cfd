import { expect, test } from "vitest";
import { type Flow, MemoryStorage } from "../../../src/index.ts";
import { cronOf } from "../../../src/cron/cron.ts";
import { ScheduleCheck } from "../../../src/scheduler/timetable/schedule-check.ts";
import { ManualClock } from "../../../src/testing/index.ts";
import { day, minute, noon } from "../../support/harness.ts";

/** A check of one flow whose newest run began at `lastExecutedAt`, and what it emitted. */
function checking(schedule: string) {
  const clock = new ManualClock(noon);
  const events: unknown[] = [];
  const at = new Date(noon).toISOString();
  const cron = cronOf(schedule, "UTC", "f");
  let flow = { _id: "f", name: "f", schedule, createdAt: at, lastModified: at, disabled: false } as unknown as Flow;
  const check = new ScheduleCheck({
    storage: Object.assign(new MemoryStorage(), {
      scheduledFlows: async () => [{ flow, basis: "of another process" }],
      rescheduleFlows: async () => undefined,
    }),
    clock,
    queue: { addUnasked: async () => undefined },
    wake: () => undefined,
    timezone: "UTC",
    emit: (name, payload) => void events.push(`${name} ${"dueAt" in payload ? payload.dueAt : ""}`),
    onDue: () => undefined,
  });
  const update = (lastExecutedAt: number | undefined, now: number) => {
    const nextRunAt = new Date(cron.next(now) ?? 0).toISOString();
    const executed = lastExecutedAt === undefined ? {} : { lastExecutedAt: new Date(lastExecutedAt).toISOString() };
    flow = { ...flow, nextRunAt, ...executed };
  };
  return { check, clock, cron, events, update };
}

test.each(["0 0 1 * *", "0 0 29 2 *", "0,1 3 * * 0", "*/7 * * * *", "59 23 31 12 *"])(
  "a flow that runs by %s is never overdue as long as a run begins at each due time",
  async (schedule) => {
    const { check, clock, cron, events, update } = checking(schedule);
    let executed: number | undefined;

    for (let count = 0; count < 40; count++) {
      const dueAt = cron.next(clock.now()) ?? expect.unreachable();
      clock.jumpTo(dueAt - 1);
      update(executed, dueAt - 1);
      await check.some();
      clock.jumpTo(dueAt + minute);
      executed = dueAt;
      update(executed, dueAt + minute);
      await check.some();
    }

    expect(events).toEqual([]);
  },
);

test("a flow that began no run for twice its interval is overdue, once for each due time", async () => {
  const { check, clock, events, update } = checking("0 0 * * *");

  for (let hours = 0; hours < 4 * 24; hours += 6) {
    clock.jumpTo(noon + (hours / 24) * day);
    update(undefined, clock.now());
    await check.some();
  }

  expect(events).toEqual(["flow:overdue 2030-01-04T00:00:00.000Z", "flow:overdue 2030-01-05T00:00:00.000Z"]);
});

test("a flow that a clock ran which was ahead is overdue like any other, from when it was put right", async () => {
  const { check, clock, events, update } = checking("0 0 * * *");
  const { signal } = new AbortController();
  update(noon + 700 * day, noon);
  await check.all(signal);

  for (let hours = 0; hours < 4 * 24; hours += 6) {
    clock.jumpTo(noon + (hours / 24) * day);
    update(noon + 700 * day, clock.now());
    await check.some();
  }

  expect(events).toEqual(["flow:overdue 2030-01-04T00:00:00.000Z", "flow:overdue 2030-01-05T00:00:00.000Z"]);
});
