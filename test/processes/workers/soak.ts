import { parseArgs } from "node:util";
import { type Program, bundle } from "../child-process.ts";
import { missingFor } from "./cluster.ts";
import { type Fault, faults } from "./faults.ts";
import { Trial, type TrialResult } from "./trial.ts";

// `npm run test:soak:workers -- [kill stop …] [--faults 50] [--flows 500] [--runs 20000] [--seed 1]`: three workers on one
// PostgreSQL, to which each of these things happens so many times while so many runs are executed. A trial that does not end
// well is reported, and the next one begins.
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

const secondsSince = (start: number) => ((performance.now() - start) / 1_000).toFixed(0);

async function soak(program: Program, fault: Fault): Promise<void> {
  const missing = await missingFor(fault.on ?? "server");
  if (missing !== undefined) {
    console.log(`${fault.title}: skipped, ${missing}`);
    return;
  }
  const started = performance.now();
  const count = { flows: Number(values.flows), runs: Number(values.runs), faults: Number(values.faults) };
  const result = await Trial.run({ program, fault, ...count, seed: Number(values.seed) });
  if (isBad(result) || (fault.isHarmless === true && result.reclaimed > 0)) process.exitCode = 1;
  console.log(`${fault.title}: ${lineOf(result)} (${secondsSince(started)} s)`);
  for (const line of [...result.atOnce, ...result.unhandled].slice(0, 10)) console.log(`  ${line}`);
}

const chosen = (positionals.length > 0 ? positionals : Object.keys(faults)).map((name) => {
  const fault = faults[name];
  if (fault === undefined) throw new Error(`there is no fault ${name}: ${Object.keys(faults).join(", ")}`);
  return fault;
});
console.log(`seed ${values.seed}, Node ${process.version}`);
const began = performance.now();
const program = await bundle("workers/worker");
for (const fault of chosen)
  await soak(program, fault).catch((error: unknown) => {
    process.exitCode = 1;
    console.log(`${fault.title}: did not end: ${error instanceof Error ? error.message : String(error)}`);
  });
await program.remove();
console.log(`${chosen.length} trials in ${secondsSince(began)} s`);
