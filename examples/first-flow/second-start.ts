// The second start of the application. It knows nothing of the first one but what is in its files.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { Scheduler } from "poundlock";
import { exportsOf, importsInto, openDestinations, openRegistry, openStorage, pathsIn } from "./application.ts";
import { addZipcodes, numZipcodes } from "./data-set.ts";
import { runEveryMinute } from "./every-minute.ts";
import { count, printProgress, printReport, readBy } from "./report.ts";

const [folder = ""] = process.argv.slice(2);
const paths = pathsIn(folder);
const destinations = await openDestinations(folder);
const parts = {
  exports: exportsOf(folder),
  imports: importsInto(destinations),
  storage: await openStorage(folder),
};
const { registry, zipcodes, movies } = await openRegistry(parts);

// A process that is killed cannot give its runs back: others have to wait until its lease has run out. The default is
// half a minute; this is the shortest there is, so that nobody has to wait for this example.
const leaseMs = 1_000;
const scheduler = new Scheduler(registry, { leaseMs });

// ── What the first start left behind. ───────────────────────────────────────────────────────────────────────────────

const { items: runs } = await scheduler.listRuns();
const moviesRun = runs.find(({ _flowId }) => _flowId === movies._id);
const interrupted = runs.find(({ _flowId }) => _flowId === zipcodes._id);
assert(moviesRun !== undefined && interrupted !== undefined, "every run is in the file");
await printReport(scheduler, movies, moviesRun);
await printReport(scheduler, zipcodes, interrupted);
assert.equal(interrupted.status, "running");

// ── It goes on. ─────────────────────────────────────────────────────────────────────────────────────────────────────

console.log(`
  It says running, but its process is dead. It is reclaimed once its lease has run out, ${leaseMs} ms after the crash.`);
const began = Date.now();
let crashes = 0;
scheduler.on("run:requeued", ({ run, reason }) => {
  crashes++;
  const waited = `${((Date.now() - began) / 1_000).toFixed(1)} s`;
  console.log(
    `  Reclaimed after ${waited} of waiting (${reason} ${run.crashes}). Page ${run.numPagesProcessed + 1} is next.\n`,
  );
});
scheduler.on("run:failed", () => (process.exitCode = 1));
printProgress(scheduler);
await scheduler.start();
const resumed = await scheduler.waitFor(interrupted._id);
await printReport(scheduler, zipcodes, resumed);

// What was written, but not committed, is written again under the same keys: at each import one page for each crash.
const linesOf = async (path: string) => (await readFile(path, "utf8")).trimEnd().split("\n");
const zips = (await linesOf(paths.zipcodes)).map((line) => (JSON.parse(line) as { zip: string }).zip);
const sources = (await linesOf(paths.zipcodesCsv)).slice(1).map((line) => line.slice(0, line.indexOf(",")));
const { repeated } = destinations.zipcodes;
const row = (number: number, text: string) => console.log(`    ${count(number).padStart(6)}  ${text}`);
console.log("\n  Nothing is lost, and nothing is there twice");
row(sources.length, "zip codes in the source");
row(zips.length, `lines in zipcodes.ndjson, for ${count(new Set(zips).size)} different zip codes`);
row(repeated, "sent twice: their page was written, but not committed. The file knew their keys and left them out.");
assert.deepEqual(zips, sources, "every zip code is in the file, once, in order");
assert(repeated > 0 && repeated <= crashes * 250, "at most a page is sent again");
assert(destinations.map.repeated <= crashes * 250, "at most a page is sent again");

// ── Again, after 49 lines were added: a run goes on where the one before it ended. ──────────────────────────────────

console.log("\n3. On demand again, after 49 zip codes were added: only what is new\n");
await addZipcodes(paths.zipcodesCsv, 30_000, 30_049);
const nextRun = await scheduler.waitFor((await scheduler.run(zipcodes._id))._id);
await printReport(scheduler, zipcodes, nextRun);
assert.equal(readBy(nextRun), 49, "only what is new is read");
console.log("\n  by schedule both flows are due at night, in Oslo");
for (const { name, schedule = "", nextRunAt = "" } of [zipcodes, movies])
  console.log(`    ${schedule.padEnd(13)} ${nextRunAt}  ${name}`);
await scheduler.stop();

// ── On a schedule. ──────────────────────────────────────────────────────────────────────────────────────────────────

console.log("\n4. Every minute, by a clock that runs 120 times as fast, while the source keeps growing\n");
await addZipcodes(paths.zipcodesCsv, 30_049, 41_049);
await registry.patch(movies._id, { disabled: true });
await runEveryMinute(zipcodes, {
  ...parts,
  whileRunning: () => addZipcodes(paths.zipcodesCsv, 41_049, numZipcodes),
});
await parts.storage.close();

// ── What there is now. ──────────────────────────────────────────────────────────────────────────────────────────────

const zipcodesOnDisk = (await linesOf(paths.zipcodes)).length;
console.log(`
What there is now, all of it on the disk

  zipcodes.ndjson ${count(zipcodesOnDisk).padStart(8)} lines, of ${count(numZipcodes)} zip codes
  map.ndjson      ${count(destinations.map.size).padStart(8)} places
  movies.ndjson   ${count((await linesOf(paths.movies)).length).padStart(8)} lines
  index.ndjson    ${count(destinations.index.size).padStart(8)} titles
  flows.db                 flows, runs, checkpoints and the refused records`);
assert.equal(zipcodesOnDisk, numZipcodes, "every zip code is in the file, once");
