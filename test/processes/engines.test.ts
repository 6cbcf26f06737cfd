import { describe, expect, test } from "vitest";
import { type FaultName, missingFor, runTrial } from "./engines/trial.ts";
import type { EngineName } from "./engines/settings.ts";

/** Two faults of each kind; `npm run test:soak:engines` makes many. */
const small = { faults: 2, flows: 20, runs: 4, seed: 1 };

const titles: Readonly<Record<FaultName, string>> = {
  kill: "a process is killed with runs under way",
  stop: "a process is stopped for longer than its leases are good for, and goes on",
  flush: "the engine loses every wake-up",
  restart: "the engine's server, or every connection to it, ends",
};

describe.each<EngineName>(["BullMQ on Redis", "BullMQ on PostgreSQL", "graphile-worker"])(
  "%s",
  (engine) => {
    for (const [fault, title] of Object.entries(titles))
      test(`loses no record and never runs a flow twice at once when ${title}`, async ({ skip }) => {
        const missing = await missingFor(engine);
        if (missing !== undefined) skip(missing);

        const result = await runTrial({ engine, fault: fault as FaultName, ...small });

        const { atOnce, failed, lost, outOfOrder, stuck, unhandled } = result;
        expect({ atOnce, failed, lost, outOfOrder, stuck, unhandled }).toEqual({
          ...{ atOnce: [], failed: 0, lost: 0, outOfOrder: 0, stuck: 0, unhandled: [] },
        });
        // Twice the leases' 2 seconds, and what a busy machine adds.
        for (const takenOverMs of result.takenOverMs) expect(takenOverMs).toBeLessThan(15_000);
      });
  },
  240_000,
);
