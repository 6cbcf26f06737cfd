import { describe, expect, test } from "vitest";
import type { Delivery, ShownRun } from "../../src/dashboard/app/api/documents.ts";
import { lagOf, perHour } from "../../src/dashboard/app/screens/flow/pace.ts";

const now = Date.UTC(2026, 0, 2, 12);
const minutes = (ago: number) => new Date(now - ago * 60_000).toISOString();

/** A run that began and ended so many minutes ago, with what it read for each import. */
function run(
  began: number,
  ended: number | undefined,
  read: Readonly<Record<string, number>>,
  changes: object = {},
): ShownRun {
  const imports = Object.entries(read).map(([name, numSuccess]) => [name, { numSuccess, numError: 0, numIgnore: 0 }]);
  return {
    ...{ _id: `run of ${began}`, _flowId: "orders", _exportId: "orders", trigger: "schedule" },
    ...{ coalesced: 0, skipped: 0, crashes: 0, numPagesGenerated: 1, numPagesProcessed: 1 },
    ...{ numSuccess: 0, numError: 0, numIgnore: 0, imports: Object.fromEntries(imports) as ShownRun["imports"] },
    ...{ status: ended === undefined ? "running" : "completed", queuedAt: minutes(began), startedAt: minutes(began) },
    ...(ended === undefined ? {} : { endedAt: minutes(ended) }),
    ...changes,
  };
}

describe("records an hour", () => {
  test.each([
    [
      "are those of the time since the oldest run began",
      [run(10, 9, { ledger: 500 }), run(30, 29, { ledger: 500 })],
      2_000,
    ],
    ["of a run that goes on count as far as it is", [run(30, undefined, { ledger: 500 })], 1_000],
    ["of the first seconds are not made more than those of a minute", [run(0, undefined, { ledger: 10 })], 600],
    ["of the last day only are counted", [run(60, 59, { ledger: 2_400 }), run(3_000, 2_999, { ledger: 9_999 })], 100],
    ["of a run that began before it are counted in part", [run(48 * 60, 0, { ledger: 4_800 })], 100],
    ["are those of this import", [run(60, 59, { mailer: 10 })], 0],
    ["of a run that waits are none", [run(60, 59, { ledger: 10 }, { startedAt: undefined })], 0],
    ["without a run are none", [], 0],
  ])("%s", (_, runs, expected) => {
    expect(Math.round(perHour(runs, "ledger", now))).toBe(expected);
  });
});

describe("how far an import is behind", () => {
  const pausedSince = (ago: number) => ({ _importId: "mailer", paused: { since: minutes(ago) } }) as Delivery;
  const behind = { _importId: "mailer" } as Delivery;

  test("is what the one that is ahead has read more of, in the runs that are known", () => {
    const runs = [run(10, 9, { ledger: 30, mailer: 0 }), run(20, 19, { ledger: 40, mailer: 15 })];

    expect(lagOf({ runs, isPart: false }, pausedSince(20))).toEqual({ records: 55, isLeast: false });
    expect(lagOf({ runs, isPart: false }, { ...behind, _importId: "ledger" })).toMatchObject({ records: 0 });
  });

  test("shrinks as it catches up", () => {
    const runs = [run(5, 4, { mailer: 30 }, { trigger: "resume" }), run(10, 9, { ledger: 30, mailer: 0 })];

    expect(lagOf({ runs, isPart: false }, behind).records).toBe(0);
  });

  test.each([[{ trigger: "retry" }], [{ limit: 10 }], [{ parameters: {} }], [{ moveCheckpoint: false }]])(
    "counts nothing of a run that moves no checkpoint: %j",
    (changes) => {
      const runs = [run(10, 9, { ledger: 30, mailer: 0 }, changes)];

      expect(lagOf({ runs, isPart: false }, behind).records).toBe(0);
    },
  );

  test("may be more if it has been so for longer than runs are known", () => {
    const runs = [run(10, 9, { ledger: 30, mailer: 0 })];

    expect(lagOf({ runs, isPart: true }, pausedSince(9)).isLeast).toBe(false);
    expect(lagOf({ runs, isPart: true }, pausedSince(20)).isLeast).toBe(true);
    expect(lagOf({ runs, isPart: true }, behind).isLeast).toBe(true);
  });

  test("is nothing where there is no other import, and before there is a run", () => {
    expect(lagOf({ runs: [run(10, 9, { mailer: 5 })], isPart: false }, behind).records).toBe(0);
    expect(lagOf({ runs: [], isPart: false }, behind).records).toBe(0);
  });
});
