import { expect, test } from "vitest";
import { arrayExport, collectingImport } from "../../../src/testing/index.ts";
import { Harness, day, hour } from "../../support/harness.ts";

// Days of sweeps.

const exports = { from: arrayExport([1]) };

test.each([
  ["every minute", "* * * * *", hour],
  ["on working days", "0 9 * * 1-5", 8 * day],
  ["in working hours of working days", "0 9-17 * * 1-5", 8 * day],
  ["in bursts", "0,5 6,18 * * *", 3 * day],
])("a healthy flow that runs %s is never reported as overdue", async (_, schedule, span) => {
  const harness = new Harness({ exports, imports: { sink: collectingImport<number>() } });
  await harness.scheduler.start();
  await harness.flow({ schedule });

  await harness.clock.advance(span);

  expect(harness.events.of("run:completed").length).toBeGreaterThan(1);
  expect(harness.events.of("flow:overdue")).toEqual([]);
});
