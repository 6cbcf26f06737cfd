import { expect, test } from "vitest";
import type { ListResult, Run } from "../../src/index.ts";
import { StatisticsReader } from "../../src/scheduler/statistics/statistics-reader.ts";
import { newRun } from "../../src/model/run.ts";
import { noStatistics } from "../../src/model/statistics.ts";
import type { ProcessHour, RunQuery } from "../../src/storage/storage.ts";
import { ManualClock } from "../../src/testing/index.ts";
import { flowOf, startOf } from "../../src/testing/storage/harness.ts";
import { day, hour, minute, noon } from "../support/harness.ts";

const iso = (at: number) => new Date(at).toISOString();
const runOf = (_id: string) => newRun(startOf(_id), flowOf("flow"));

/** A reader of these hours and of these pages of runs, and what it asked for. */
function readerOf({ hours = [], pages = [] }: { hours?: readonly ProcessHour[]; pages?: readonly ListResult<Run>[] }) {
  const asked: RunQuery[] = [];
  const ranges: (number | string | undefined)[][] = [];
  const storage = {
    async listRuns(query: RunQuery) {
      asked.push(query);
      return pages[asked.length - 1] ?? { items: [] };
    },
    async listStatistics({ from, until, _integrationId }: { from: number; until: number; _integrationId?: string }) {
      ranges.push([from, until, _integrationId]);
      return hours.filter(({ hour: at }) => at >= from && at < until);
    },
  };
  return { asked, ranges, reader: new StatisticsReader(storage, new ManualClock(noon)) };
}

const hourOf = (at: number, numSuccess: number): ProcessHour => ({
  ...{ ...noStatistics, hour: at, process: "one", completed: 1, numSuccess },
});

const ended = (at: number, changes: Partial<Run> = {}): Run => ({
  ...runOf(`r-${at}`),
  ...{ status: "completed", startedAt: iso(at - minute), endedAt: iso(at), numSuccess: 1, ...changes },
});

test("days are counted from the first hour on, not from midnight", async () => {
  const { reader } = readerOf({ hours: [hourOf(noon, 1), hourOf(noon + 23 * hour, 2), hourOf(noon + day, 4)] });

  const { items } = await reader.list({ from: iso(noon), until: iso(noon + 2 * day), step: "day" });

  expect(items.map(({ from, numSuccess }) => [from, numSuccess])).toEqual([
    [iso(noon), 3],
    [iso(noon + day), 4],
  ]);
});

test("a long time is read in portions, of one integration if one is named", async () => {
  const { ranges, reader } = readerOf({});

  await reader.list({ from: iso(noon), until: iso(noon + 50 * hour), _integrationId: "acme" });

  expect(ranges).toEqual([
    [noon, noon + 24 * hour, "acme"],
    [noon + 24 * hour, noon + 48 * hour, "acme"],
    [noon + 48 * hour, noon + 50 * hour, "acme"],
  ]);
});

test.each([
  [noon, noon, "until: expected a time after from"],
  [noon, noon + 745 * hour, "until: expected at most 744 steps after from"],
])("from %i until %i is refused", async (from, until, message) => {
  const { reader } = readerOf({});

  await expect(reader.list({ from: iso(from), until: iso(until) })).rejects.toThrow(message);
});

test("runs of a flow count in the hour in which they ended, if that is asked for", async () => {
  const running: Run = { ...runOf("running"), status: "running", startedAt: iso(noon) };
  const { startedAt: _, ...waited } = ended(noon + minute, { status: "canceled", numSuccess: 0 });
  const items = [running, ended(noon + 2 * hour), ended(noon + 5 * minute), waited];
  const { asked, reader } = readerOf({ pages: [{ items }] });

  const list = await reader.list({ from: iso(noon), until: iso(noon + hour), _flowId: "f", _integrationId: "acme" });

  expect(list.complete).toBe(true);
  expect(list.items).toMatchObject([{ from: iso(noon), completed: 1, canceled: 1, numSuccess: 1, durationMs: minute }]);
  expect(asked).toMatchObject([{ _flowId: "f", _integrationId: "acme" }]);
});

test("runs are read until a whole portion ended before; one that was canceled while it waited does not show that", async () => {
  const past = ended(noon - hour);
  const canceled = ended(noon - hour, { status: "canceled" });
  const { asked, reader } = readerOf({
    pages: [
      { items: [past, canceled], next: "1" },
      { items: [past], next: "2" },
    ],
  });

  const list = await reader.list({ from: iso(noon), until: iso(noon + hour), _flowId: "f" });

  expect(list).toEqual({ items: [], complete: true });
  expect(asked.map(({ after }) => after)).toEqual([undefined, "1"]);
});
