// npm run test:soak:engines [-- kill stop flush restart] [--faults 50] [--flows 100] [--runs 20] [--seed 1]: three
// processes on one PostgreSQL, and each engine that carries their wake-ups, while these things happen.
import { parseArgs } from "node:util";
import type { EngineName } from "./settings.ts";
import { type FaultName, type TrialResult, missingFor, runTrial } from "./trial.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    faults: { type: "string", default: "50" },
    flows: { type: "string", default: "100" },
    runs: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    engine: { type: "string", default: "" },
  },
});
const engines: readonly EngineName[] = ["BullMQ on Redis", "BullMQ on PostgreSQL", "graphile-worker"];
const faults: readonly FaultName[] = ["kill", "stop", "flush", "restart"];

function lineOf(result: TrialResult): string {
  const { atOnce, failed, leasesLost, lost, outOfOrder, records, repeated, runs, stuck, takenOverMs, unhandled } =
    result;
  const sorted = [...takenOverMs].sort((a, b) => a - b);
  const seconds = (ms: number | undefined) => ((ms ?? 0) / 1_000).toFixed(1);
  return [
    `${runs.toLocaleString("en")} runs, ${records.toLocaleString("en")} records: ${lost} lost, ${atOnce.length} at once,`,
    `${outOfOrder} out of order, ${stuck} stuck, ${failed} failed, ${unhandled.length} unhandled; ${repeated} repeated,`,
    `${leasesLost} lease:lost; taken over after ${seconds(sorted[sorted.length >> 1])} s, at most ${seconds(sorted.at(-1))} s`,
  ].join(" ");
}

function isBad({ atOnce, failed, lost, outOfOrder, stuck, unhandled }: TrialResult): boolean {
  return lost + outOfOrder + stuck + failed + atOnce.length + unhandled.length > 0;
}

console.log(`seed ${values.seed}, Node ${process.version}`);
for (const engine of engines.filter((name) => name.includes(values.engine))) {
  const missing = await missingFor(engine);
  if (missing !== undefined) console.log(`${engine}: skipped, ${missing}`);
  else
    for (const fault of faults.filter((name) => positionals.length === 0 || positionals.includes(name))) {
      const count = { faults: Number(values.faults), flows: Number(values.flows), runs: Number(values.runs) };
      const result = await runTrial({ engine, fault, ...count, seed: Number(values.seed) });
      console.log(`${engine}, ${fault} × ${values.faults}: ${lineOf(result)}`);
      for (const line of [...result.atOnce, ...result.unhandled].slice(0, 10)) console.log(`  ${line}`);
      if (isBad(result)) process.exitCode = 1;
    }
}
