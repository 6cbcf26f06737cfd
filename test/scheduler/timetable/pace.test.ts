import { expect, test } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import type { Flow } from "../../../src/model/flow/flow.ts";
import { Timetable } from "../../../src/scheduler/timetable/timetable.ts";

const nextRunAt = "2030-01-01T12:00:00.000Z";

/** Queues `count` flows that are due at once, and takes `msEach` for each of them. Returns how many at a stretch. */
async function stretches(count: number, msEach: number): Promise<readonly number[]> {
  let [at, queued] = [Date.parse(nextRunAt), 0];
  const turns: number[] = [];
  const clock: Clock = {
    now: () => Math.floor(at),
    setTimer: () => () => undefined,
    async yieldToEventLoop() {
      turns.push(queued);
    },
  };
  const flow: Flow = {
    ...{ _id: "a", name: "a", schedule: "* * * * *", _exportId: "orders", _importId: "ledger", disabled: false },
    ...{ createdAt: "", lastModified: "", nextRunAt },
  };
  const timetable = new Timetable({
    storage: {
      dueFlows: async (_, limit) => Array.from({ length: Math.min(limit, count - queued) }, () => flow),
      nextDueAt: async () => undefined,
      async queueDue(ticks) {
        queued += ticks.length;
        at += ticks.length * msEach;
        return ticks.map(() => ({ outcome: "passed" as const }));
      },
    },
    clock,
    timezone: "UTC",
    rule: { overlap: "bufferOne", maxQueued: 1_000 },
    catchUpWindowMs: 0,
    newId: () => "run",
    emit: () => undefined,
    wake: () => undefined,
    heartbeat: { hasOthers: false },
    duties: { claim: async () => true, release: async () => undefined },
    check: { all: async () => undefined, reportUnreadable: () => undefined },
  });
  await timetable.start(new AbortController().signal);
  expect(queued).toBe(count);
  return turns.map((until, index) => until - (turns[index - 1] ?? 0));
}

test("a storage that is slow is asked for no longer than some milliseconds before other work runs", async () => {
  expect(await stretches(3_000, 0.03)).toEqual([500, 500, 500, 500, 500, 500]);
});

test("a storage that is fast is asked for many flows, not for all, before other work runs", async () => {
  expect(await stretches(9_000, 0.001)).toEqual([2_000, 2_000, 2_000, 2_000]);
});
