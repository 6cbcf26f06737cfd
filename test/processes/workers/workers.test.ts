import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Program, bundle } from "../child-process.ts";
import { missingFor } from "./cluster.ts";
import { faults } from "./faults.ts";
import { Trial } from "./trial.ts";

// What `npm run test:soak:workers` does at length.

let program: Program;
beforeAll(async () => {
  program = await bundle("workers/worker");
});
afterAll(() => program.remove());

describe("three workers on one PostgreSQL lose nothing, repeat runs of no flow at once and go on by themselves", () => {
  for (const fault of Object.values(faults))
    test(`when this happens: ${fault.title}`, async (context) => {
      const missing = await missingFor(fault.on ?? "server");
      if (missing !== undefined) {
        console.warn(`skipped: ${missing}`);
        context.skip(missing);
      }

      const result = await Trial.run({ program, fault, flows: 30, runs: 300, faults: 2, seed: 1 });

      expect(result).toMatchObject({
        ...{ faults: 2, lost: 0, outOfOrder: 0, stuck: 0, failed: 0, atOnce: [], unhandled: [] },
        ...(fault.isHarmless === true ? { reclaimed: 0 } : {}),
      });
      expect(result.runs).toBeGreaterThanOrEqual(300);
      if (fault.strike === faults.kill?.strike) expect(result.reclaimed).toBeGreaterThan(0);
    }, 240_000);
});
