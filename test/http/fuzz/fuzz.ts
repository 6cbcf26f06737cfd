import fc from "fast-check";
import { Scenario, Tally } from "./scenario.ts";
import { anyStep } from "./steps.ts";

/** Runs so many random sequences of requests against the model; throws with the shortest that shows a difference. */
export async function fuzz(sequences: number, seed: number): Promise<Tally> {
  const tally = new Tally();
  const steps = fc.array(anyStep, { minLength: 10, maxLength: 60, size: "max" });
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), async (chosen, running) => new Scenario(running, tally).run(chosen)),
    { numRuns: sequences, seed, interruptAfterTimeLimit: 3_600_000, markInterruptAsFailure: true },
  );
  return tally;
}
