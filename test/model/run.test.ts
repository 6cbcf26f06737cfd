import { describe, expect, test } from "vitest";
import {
  type Counts,
  type Run,
  type RunStatus,
  addCounts,
  countsAddUp,
  hasEnded,
  transitionRun,
  newRun,
  noCounts,
  runTransitions,
  runStatuses,
  withPage,
} from "../../src/model/run.ts";

const start = { _id: "run-1", _flowId: "flow-1", trigger: "manual", queuedAt: "2030-01-01T00:00:00.000Z" } as const;
const flow = { _id: "flow-1", _exportId: "orders", _importId: "ledger" };
const run = newRun(start, flow);
const counts = (numSuccess: number, numError: number, numIgnore: number) => ({ numSuccess, numError, numIgnore });

/** The promise, written anew, so that a change of the table shows. */
const legal = [
  "queued → running",
  "queued → canceling",
  "running → completed",
  "running → failed",
  "running → canceling",
  "running → queued",
  "canceling → canceled",
];
const pairs = runStatuses.flatMap((from) => runStatuses.map((to) => [from, to] as const));

describe("a move", () => {
  const isLegal = ([from, to]: readonly [RunStatus, RunStatus]) => legal.includes(`${from} → ${to}`);

  test.each(pairs.filter(isLegal))("%s → %s is legal", (from, to) => {
    const moved = transitionRun({ ...run, status: from }, to, { endedAt: "then" });

    expect(moved).toStrictEqual({ ...run, status: to, endedAt: "then" });
    expect(Object.isFrozen(moved)).toBe(true);
  });

  test.each(pairs.filter((pair) => !isLegal(pair)))("%s → %s throws", (from, to) => {
    expect(() => transitionRun({ ...run, status: from }, to)).toThrow(
      new RangeError(`run run-1: a run that is ${from} cannot become ${to}`),
    );
  });

  test("does not change the run it starts from", () => {
    transitionRun(run, "running", { crashes: 9 });

    expect([run.status, run.crashes]).toEqual(["queued", 0]);
  });

  test("cannot be smuggled in with the changes", () => {
    expect(transitionRun(run, "running", { status: "completed" }).status).toBe("running");
  });
});

test("there are 7 legal moves among the 36 pairs of statuses", () => {
  expect(pairs).toHaveLength(36);
  expect(Object.entries(runTransitions).flatMap(([from, all]) => all.map((to) => `${from} → ${to}`))).toEqual(legal);
});

test("a run has ended when it is completed, failed or canceled", () => {
  expect(runStatuses.filter((status) => hasEnded({ status }))).toEqual(["completed", "failed", "canceled"]);
});

describe("a new run", () => {
  test("waits, with nothing counted", () => {
    expect(run).toStrictEqual<Run>({
      ...start,
      _exportId: "orders",
      status: "queued",
      coalesced: 0,
      skipped: 0,
      crashes: 0,
      numPagesGenerated: 0,
      numPagesProcessed: 0,
      numSuccess: 0,
      numError: 0,
      numIgnore: 0,
      imports: { ledger: noCounts },
    });
  });

  test("is frozen, with its imports", () => {
    expect([run, run.imports].every(Object.isFrozen)).toBe(true);
  });

  test("counts for each import of its flow, or for the one that is retried", () => {
    const ids = (run: Run) => Object.keys(run.imports);
    const two = { ...flow, _importIds: ["ledger", "mailer"] };

    expect(ids(newRun(start, two))).toEqual(["ledger", "mailer"]);
    expect(ids(newRun({ ...start, retry: { _importId: "mailer" } }, two))).toEqual(["mailer"]);
    expect(ids(newRun({ ...start, retry: {} }, two))).toEqual(["ledger", "mailer"]);
  });

  test("is labelled as its flow is", () => {
    const labelled = newRun(start, { ...flow, _integrationId: "acme", _connectorId: "shop" });

    expect([labelled._integrationId, labelled._connectorId]).toEqual(["acme", "shop"]);
  });
});

const page = (made: Readonly<Record<string, Counts>>, generated: number) => ({ counts: made, generated, processed: 1 });

describe("counts", () => {
  test("add up field by field", () => {
    expect(addCounts(counts(1, 2, 3), counts(10, 20, 30))).toEqual(counts(11, 22, 33));
  });

  test.each([
    [6, counts(1, 2, 3), true],
    [0, noCounts, true],
    [7, counts(1, 2, 3), false],
    [5, counts(1, 2, 3), false],
  ])("balance %i read against %j: %s", (read, made, balanced) => {
    expect(countsAddUp(read, made)).toBe(balanced);
  });

  test("of a page go to each import and to the sum of all", () => {
    const first = withPage(run, page({ ledger: counts(5, 0, 1), mailer: counts(3, 2, 1) }, 2));

    const second = withPage(first, page({ ledger: counts(1, 1, 0), search: counts(0, 0, 2) }, 3));

    expect(second.imports).toEqual({ ledger: counts(6, 1, 1), mailer: counts(3, 2, 1), search: counts(0, 0, 2) });
    expect(second).toMatchObject(counts(9, 3, 4));
    expect([second.numPagesGenerated, second.numPagesProcessed]).toEqual([3, 2]);
  });

  test("of a page leave the run before it as it was, and are frozen", () => {
    const after = withPage(run, page({ ledger: counts(1, 0, 0) }, 1));

    expect([run.numSuccess, run.numPagesProcessed, run.imports]).toEqual([0, 0, { ledger: noCounts }]);
    expect([after, after.imports].every(Object.isFrozen)).toBe(true);
  });
});
