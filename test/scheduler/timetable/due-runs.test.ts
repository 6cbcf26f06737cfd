import { describe, expect, test } from "vitest";
import type { Flow } from "../../../src/model/flow/flow.ts";
import { DueRuns } from "../../../src/scheduler/timetable/due-runs.ts";

const at = (time: string) => Date.parse(`2030-01-01T${time}:00.000Z`);
const now = at("12:00");

function dueRuns(time = now) {
  let made = 0;
  return new DueRuns(time, { timezone: "UTC", catchUpWindowMs: 3_600_000, newId: () => `run ${++made}` });
}

function flow(_id: string, schedule: string, change: Partial<Flow> = {}): Flow {
  const required = { name: _id, _exportId: "orders", _importId: "ledger", disabled: false };
  const times = { createdAt: "", lastModified: "", nextRunAt: "2030-01-01T12:00:00.000Z" };
  return { _id, schedule, ...required, ...times, ...change };
}

describe("flows that are due in the same round", () => {
  test("with equal schedules become runs of their own, with one next due time", () => {
    const dues = dueRuns();
    const [one, other] = ["a", "b"].map((_id) => dues.of(flow(_id, "*/5 * * * *")));
    expect([one?.tick, other?.tick]).toMatchObject(
      [
        { _flowId: "a", start: { _id: "run 1", _flowId: "a" } },
        { _flowId: "b", start: { _id: "run 2", _flowId: "b" } },
      ].map(({ start, _flowId }) => ({
        _flowId,
        dueAt: now,
        nextDueAt: at("12:05"),
        followingDueAt: at("12:10"),
        start: { ...start, trigger: "schedule", queuedAt: "2030-01-01T12:00:00.000Z" },
      })),
    );
  });

  test("draw the slot of an H each by its own id", () => {
    const dues = dueRuns();
    const next = Array.from({ length: 20 }, (_, index) => dues.of(flow(`flow ${index}`, "H * * * *")).tick.nextDueAt);
    expect(new Set(next).size).toBeGreaterThan(5);
  });

  test("have the next due time of their own zone", () => {
    const dues = dueRuns();
    const next = ["UTC", "Asia/Tokyo"].map(
      (timezone) => dues.of(flow(timezone, "0 18 * * *", { timezone })).tick.nextDueAt,
    );
    expect(next).toEqual([at("18:00"), Date.parse("2030-01-02T09:00:00.000Z")]);
  });

  test("are late each by its own due time", () => {
    const dues = dueRuns();
    const late = flow("late", "0 * * * *", { nextRunAt: "2030-01-01T09:00:00.000Z" });
    expect([flow("due", "0 * * * *"), late].map((one) => dues.of(one))).toMatchObject([
      { missed: undefined, tick: { dueAt: now, start: { trigger: "schedule" } } },
      { missed: "2030-01-01T11:00:00.000Z", tick: { dueAt: at("09:00"), start: { trigger: "schedule" } } },
    ]);
  });

  test("and cannot be read are refused alone", () => {
    const dues = dueRuns();
    expect(() => dues.of(flow("bad", "not a schedule"))).toThrow(RangeError);
    expect(dues.of(flow("good", "* * * * *")).tick.start).toBeDefined();
  });

  test("but too late to be caught up become no run", () => {
    const { missed, tick } = dueRuns(now + 7_200_000 + 60_001).of(flow("old", "0 12 * * *"));
    expect([tick.start, missed]).toEqual([undefined, "2030-01-01T12:00:00.000Z"]);
  });
});
