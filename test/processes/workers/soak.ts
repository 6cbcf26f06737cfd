import { parseArgs } from "node:util";
import { bundle } from "../child-process.ts";
import { missingFor } from "./cluster.ts";
import { faults } from "./faults.ts";
import { Trial, type TrialResult } from "./trial.ts";

// `npm run test:soak:workers -- [kill stop …] [--faults 50] [--flows 500] [--runs 20000] [--seed 1]`: three workers on one
// PostgreSQL, to which each of these things happens so many times while so many runs are executed.
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    faults: { type: "string", default: "50" },
    flows: { type: "string", default: "500" },
    runs: { type: "string", default: "20000" },
    seed: { type: "string", default: "1" },
  },
});
const text = (count: number) => count.toLocaleString("en");

function lineOf(result: TrialResult): string {
  const { atOnce, backgroundErrors, failed, leasesLost, lost, outOfOrder, records, repeated, runs } = result;
  return [
    `${text(result.faults)} times, ${text(runs)} runs, ${text(records)} records:`,
    `${lost} lost, ${atOnce.length} at once, ${outOfOrder} out of order, ${result.stuck} stuck, ${failed} failed,`,
    `${result.unhandled.length} unhandled; ${text(repeated)} repeated, ${text(result.reclaimed)} runs reclaimed,`,
    `${text(leasesLost)} lease:lost, ${text(backgroundErrors)} background:error`,
  ].join(" ");
}

function isBad({ atOnce, failed, lost, outOfOrder, stuck, unhandled }: TrialResult): boolean {
  return lost + outOfOrder + stuck + failed + atOnce.length + unhandled.length > 0;
}

console.log(`seed ${values.seed}, Node ${process.version}`);
const program = await bundle("workers/worker");
for (const name of positionals.length > 0 ? positionals : Object.keys(faults)) {
  const fault = faults[name];
  if (fault === undefined) throw new Error(`there is no fault ${name}: ${Object.keys(faults).join(", ")}`);
  const missing = await missingFor(fault.on ?? "server");
  if (missing !== undefined) {
    console.log(`${fault.title}: skipped, ${missing}`);
    continue;
  }
  const started = performance.now();
  const count = { flows: Number(values.flows), runs: Number(values.runs), faults: Number(values.faults) };
  const result = await Trial.run({ program, fault, ...count, seed: Number(values.seed) });
  const seconds = ((performance.now() - started) / 1_000).toFixed(0);
  if (isBad(result) || (fault.isHarmless === true && result.reclaimed > 0)) process.exitCode = 1;
  console.log(`${fault.title}: ${lineOf(result)} (${seconds} s)`);
  for (const line of [...result.atOnce, ...result.unhandled].slice(0, 10)) console.log(`  ${line}`);
}
await program.remove();
