// Kills hosts that add records up, at random steps of their writes, for as long as is asked, and counts effects.
//
//   npm run test:soak:once -- --minutes 5
import { parseArgs } from "node:util";
import { bundle } from "./child-process.ts";
import { type KilledOnce, type PlaceSource, killAt, postgresPlaces, sqlitePlaces } from "./once-kills.ts";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "5" } } });
const pages = 6;
const program = await bundle("once-child");
const sources = [sqlitePlaces, await postgresPlaces()];
const minutes = Number(values.minutes);
let wrong = 0;
for (const source of sources) wrong += await soak(source, Date.now() + (minutes * 60_000) / sources.length);
for (const source of sources) await source.stop();
await program.remove();
process.exitCode = wrong === 0 ? 0 : 1;

async function soak(source: PlaceSource, until: number): Promise<number> {
  const counts = new Map<string, number>();
  let [hosts, records, bad] = [0, 0, 0];
  while (Date.now() < until) {
    const kills = Math.floor(Math.random() * 6);
    const steps = Array.from({ length: kills }, () => 1 + Math.floor(Math.random() * 60));
    const found = await killAt(program, source, pages, steps);
    for (const point of found.points) counts.set(point, (counts.get(point) ?? 0) + 1);
    hosts++;
    records += pages * 2;
    if (!isRight(found)) {
      bad++;
      console.log(`WRONG at ${JSON.stringify(steps)}: ${JSON.stringify(found)}`);
    }
  }
  const kills = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const places = [...counts].map(([point, count]) => `${count} ${point}`).join(", ");
  console.log(`${source.name}: ${hosts} flows, ${kills} kills (${places}), ${records} records, ${bad} wrong`);
  return bad;
}

function isRight({ ended, wrong, total, expected }: KilledOnce): boolean {
  return ended === `completed ${pages * 2} 0` && wrong.length === 0 && total === expected;
}
