import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Program, bundle, inParallel } from "./child-process.ts";
import { type PlaceSource, killAt, postgresPlaces, sqlitePlaces } from "./once-kills.ts";

const pages = 2;
/** Of a page: before its transaction, begun, two statements of marks and effects each, applied, committed, settled. */
const everyPoint = ["applied", "before", "begun", "committed", "settled", "statement"];

let program: Program;
beforeAll(async () => {
  program = await bundle("once-child");
});
afterAll(() => program.remove());

describe.each([
  ["SQLite", async () => sqlitePlaces],
  ["PostgreSQL", postgresPlaces],
])("in %s, of a process that is killed", (_name, open) => {
  let source: PlaceSource;
  beforeAll(async () => {
    source = await open();
  });
  afterAll(() => source.stop());

  test("at any step of a write, each record has its effect once", { timeout: 240_000 }, async () => {
    const points = new Set<string>();
    const steps = Array.from({ length: 20 }, (_, nth) => nth + 1);
    await inParallel(steps, 2, async (step) => {
      const { points: killedAt, ...found } = await killAt(program, source, pages, [step]);
      for (const point of killedAt) points.add(point);
      expect({ step, ...found }).toMatchObject({ ended: "completed 4 0", wrong: [], total: found.expected });
    });

    expect([...points].sort()).toEqual(everyPoint);
  });

  test("again and again, each record has its effect once", { timeout: 120_000 }, async () => {
    // In its transaction, after its commit, in the transaction of what comes again, before its transaction.
    const found = await killAt(program, source, pages, [4, 8, 3, 1]);

    expect(found.points).toHaveLength(4);
    expect(found).toMatchObject({ ended: "completed 4 0", wrong: [], total: found.expected });
  });
});
