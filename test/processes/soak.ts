import { parseArgs } from "node:util";
import { Chance } from "../support/chance.ts";
import { freeze, titleOf, trials } from "./freeze.ts";
import { killIntake } from "./intake.ts";
import { killAtRandom, killDuringOutages } from "./kills.ts";
import { runInPair } from "./pair.ts";
import { bundle, inParallel } from "./child-process.ts";

// `npm run test:soak:crashes -- [--kills 1000] [--outage-kills 1000] [--freezes 200] [--events 100000] [--event-kills 100] [--flows 10]
// [--runs 1000] [--seed 1]`: real processes that are killed, stopped, and in each other's way. `runs`: of each flow. 0
// leaves a part out.
const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "1000" },
    "outage-kills": { type: "string", default: "1000" },
    freezes: { type: "string", default: "200" },
    events: { type: "string", default: "100000" },
    "event-kills": { type: "string", default: "100" },
    flows: { type: "string", default: "10" },
    runs: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
  },
});
const seed = Number(values.seed);
const text = (count: number) => count.toLocaleString("en");
console.log(`seed ${seed}, Node ${process.version}`);

async function part(name: string, count: string, work: () => Promise<string>): Promise<void> {
  if (Number(count) === 0) return;
  const started = performance.now();
  const line = await work().catch((error: unknown) => {
    process.exitCode = 1;
    return `FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  });
  console.log(`${name}: ${line} (${((performance.now() - started) / 1_000).toFixed(0)} s)`);
}

const programs = {
  child: await bundle("child"),
  intake: await bundle("intake-child"),
  pair: await bundle("pair-child"),
};

await part("kill -9", values.kills, async () => {
  const kills = Number(values.kills);
  const figures = await killAtRandom(programs.child, { kills, chance: new Chance(seed) });
  const { early, pages, records, repeated, lost } = figures;
  return `${text(kills)} processes killed after a commit, ${text(early)} before; one run of ${text(pages)} pages, ${text(records)} records to 2 imports: ${text(lost)} lost, ${text(repeated)} repeated`;
});

await part("kill -9, one import down for half of the time", values["outage-kills"], async () => {
  const kills = Number(values["outage-kills"]);
  const figures = await killDuringOutages(programs.child, { kills, chance: new Chance(seed) });
  const { early, pages, paused, records, repeatedToHealthy, repeatedToOther, lost } = figures;
  return `${text(kills)} processes killed after a commit, ${text(early)} before; ${text(pages)} pages, ${text(records)} records to 2 imports, of which one was paused in ${text(paused)} of the newest 1,000 runs: ${text(lost)} lost, ${text(repeatedToHealthy)} repeated to the healthy one, ${text(repeatedToOther)} to the other`;
});

await part("SIGSTOP", values.freezes, async () => {
  const count = Number(values.freezes);
  const chosen = Array.from({ length: count }, (_, index) => trials[index % trials.length]).flatMap(
    (trial) => trial ?? [],
  );
  await inParallel(chosen, 2, async (trial) => {
    await freeze(programs.child, trial).catch((error: unknown) => {
      throw new Error(titleOf(trial), { cause: error });
    });
  });
  return `${text(count)} processes stopped with a lease that another one took over: 0 commits by a stale one, 0 lost`;
});

await part("accept", values.events, async () => {
  const [events, kills] = [Number(values.events), Number(values["event-kills"])];
  const { inDoubt, repeated, lost } = await killIntake(programs.intake, { events, kills, chance: new Chance(seed) });
  return `${text(events)} events, ${text(kills)} kills after an event was accepted: ${text(lost)} accepted ones lost, ${text(inDoubt)} in doubt, ${text(repeated)} repeated`;
});

await part("two processes", values.runs, async () => {
  const figures = await runInPair(programs.pair, { flows: Number(values.flows), runs: Number(values.runs) / 2 });
  const { flows, runs, shares, overlaps } = figures;
  return `${text(runs)} runs of ${text(flows)} flows, shared ${shares.map(text).join(" : ")}: ${text(overlaps)} at once, each in its turn`;
});

for (const program of Object.values(programs)) await program.remove();
