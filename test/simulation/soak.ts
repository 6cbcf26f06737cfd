import { parseArgs } from "node:util";
import { type Kind, addTally, simulate } from "./simulate.ts";

// `npm run test:soak:simulation -- N [first [failures]]`: N seeds from `first` on (1,000 from 1), until so many (20) have failed.
// `npm run test:soak:simulation -- 1 SEED` replays one, with all that happens. `--many`: of many processes; `--sqlite`: on SQLite.
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { many: { type: "boolean", default: false }, sqlite: { type: "boolean", default: false } },
});
const kind: Kind = values.sqlite ? "sqlite" : values.many ? "many" : "few";
const [count = 1_000, first = 1, mostFailures = 20] = positionals.map(Number);
const started = performance.now();
const totals = new Map<string, number>();
let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const { violation, trace, tally } = await simulate(seed, kind);
  addTally(totals, tally);
  if (count === 1) console.log(trace.join("\n"));
  if (violation === undefined) continue;
  failed++;
  console.log(`seed ${seed}: ${violation.invariant}: ${violation.what}`);
  console.log(`  replay: npm run test:soak:simulation -- 1 ${seed}${kind === "few" ? "" : ` --${kind}`}`);
  if (failed >= mostFailures) break;
}
const seconds = ((performance.now() - started) / 1_000).toFixed(1);
console.log(`${count} seeds from ${first}: ${failed} failed, ${seconds} s`);
console.log(Object.fromEntries(totals));
if (failed > 0) process.exitCode = 1;

// So many are chaos: everything that is counted came often, or the promises were not put to the test.
if (count >= 500 && kind === "few" && failed < mostFailures)
  for (const [name, times] of totals)
    if (times <= count / 100) {
      console.log(`${name}: expected more than ${count / 100}, found ${times}`);
      process.exitCode = 1;
    }
