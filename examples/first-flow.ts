// The whole of poundlock on real data, in about ten seconds: two exports, each into two imports at once.
//
//   zipcodes.csv (42,049 clean lines, read page by page)  ─┬─> zipcodes.ndjson, a file
//                                                          └─> a map, in memory, that refuses what it cannot place
//   movies.json (3,201 entries, dirty)                    ─┬─> movies.ndjson
//                                                          └─> an index by title, in memory, that refuses dirty entries
//
// Run it with `npm run example`. What it writes is in .work/first-flow afterwards.

import assert from "node:assert/strict";
import { appendFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type Clock, FlowRegistry, type Import, MemoryStorage, type Run, Scheduler } from "poundlock";
import { dataSet } from "./first-flow/data-set.ts";
import { fastClock } from "./first-flow/fast-clock.ts";
import { type Movie, moviesOf, releaseOf, titleOf } from "./first-flow/movies.ts";
import { NdjsonFile } from "./first-flow/ndjson-file.ts";
import { Refused } from "./first-flow/refused.ts";
import { count, durationOf, printReport, readBy } from "./first-flow/report.ts";
import { UniqueIndex } from "./first-flow/unique-index.ts";
import { type Zipcode, zipcodesOf } from "./first-flow/zipcodes.ts";

// ── The sources. zipcodes.csv grows in three steps, so that there is something new to export later on. ──────────────

const folder = fileURLToPath(new URL("../.work/first-flow", import.meta.url));
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });

const [header = "", ...zipcodeLines] = (await readFile(dataSet("zipcodes.csv"), "utf8")).trimEnd().split("\n");
const zipcodesCsv = join(folder, "zipcodes.csv");
const addZipcodes = (start: number, end: number) =>
  appendFile(zipcodesCsv, zipcodeLines.slice(start, end).join("\n") + "\n");
await writeFile(zipcodesCsv, `${header}\n`);
await addZipcodes(0, 30_000);

const exports = {
  zipcodes: zipcodesOf(zipcodesCsv, { pageMs: 30 }),
  movies: moviesOf(dataSet("movies.json")),
};

// ── The destinations. `filter` leaves out what is not wanted, `map` makes of a record what the destination takes. ───

const zipcodeFile = await NdjsonFile.open(join(folder, "zipcodes.ndjson"));
const zipcodeMap = new UniqueIndex<{ readonly name: string; readonly latitude: number; readonly longitude: number }>();
const movieFile = await NdjsonFile.open(join(folder, "movies.ndjson"));
const movieIndex = new UniqueIndex<{ readonly name: string; readonly released: string }>();

const zipcodesToFile: Import<Zipcode, object> = {
  idempotent: true, // writing a line again, under the same key, changes nothing: see ndjson-file.ts
  map: ({ zip_code, city, state }) => ({ zip: zip_code, place: `${city}, ${state}` }),
  write: (records, { keys }) => zipcodeFile.append(records, keys),
};

const zipcodesToMap: Import<Zipcode, { name: string; latitude: number; longitude: number }> = {
  idempotent: true,
  batchSize: 100, // this destination takes 100 at a time, however long the export's pages are
  filter: ({ state }) => state !== "AK" && state !== "HI", // the map has no room for Alaska and Hawaii
  map({ zip_code, city, state, ...text }) {
    const latitude = Number(text.latitude);
    const longitude = Number(text.longitude);
    // What `map` throws is the record's own fault: it becomes a failure, and the others are delivered.
    if (!(latitude >= 15 && latitude <= 50 && longitude >= -125 && longitude <= -60))
      throw new Refused("outside the map", `${zip_code} ${city}, ${state} at ${latitude}, ${longitude}`);
    return { name: zip_code, latitude, longitude };
  },
  write: async (records, { keys }) => zipcodeMap.put(records, keys),
};

const moviesToFile: Import<Movie, object> = {
  idempotent: true,
  filter: (movie) => movie["IMDB Rating"] !== null,
  map: (movie) => ({ title: String(movie.Title ?? ""), genre: movie["Major Genre"], rating: movie["IMDB Rating"] }),
  write: (records, { keys }) => movieFile.append(records, keys),
};

const moviesToIndex: Import<Movie, { name: string; released: string }> = {
  idempotent: true,
  map: (movie) => ({ name: titleOf(movie), released: releaseOf(movie) }),
  write: async (records, { keys }) => movieIndex.put(records, keys), // refuses remakes: their title is taken
};

const imports = { zipcodesToFile, zipcodesToMap, moviesToFile, moviesToIndex };

// ── 1. On demand: everything there is, both flows at once. ──────────────────────────────────────────────────────────

// A real application would use a durable storage. This one forgets when the example ends.
const storage = new MemoryStorage();
const registry = new FlowRegistry({ exports, imports, storage, timezone: "Europe/Oslo" });
const scheduler = new Scheduler(registry);

const zipcodes = await registry.create({
  name: "Zip codes to file and map",
  schedule: "0 2 * * *",
  _exportId: "zipcodes",
  _importIds: ["zipcodesToFile", "zipcodesToMap"],
});
const movies = await registry.create({
  name: "Movies to file and index",
  schedule: "30 2 * * 1-5",
  _exportId: "movies",
  _importIds: ["moviesToFile", "moviesToIndex"],
});

scheduler.on("run:progress", ({ run, total = 0 }) => {
  console.log(`  ${run._exportId.padEnd(9)} ${count(readBy(run)).padStart(6)} of about ${count(total)} records`);
});
scheduler.on("run:failed", () => (process.exitCode = 1));

console.log("1. On demand: everything there is\n");
await scheduler.start();
const firstRuns = [await scheduler.run(zipcodes._id), await scheduler.run(movies._id)];
const [zipcodesRun, moviesRun] = await Promise.all(firstRuns.map(({ _id }) => scheduler.waitFor(_id)));
assert(zipcodesRun !== undefined && moviesRun !== undefined);
await printReport(scheduler, zipcodes, zipcodesRun);
await printReport(scheduler, movies, moviesRun);
console.log("\n  by schedule the next runs are due at night, in Oslo");
for (const { name, schedule = "", nextRunAt = "" } of [zipcodes, movies])
  console.log(`    ${schedule.padEnd(13)} ${nextRunAt}  ${name}`);

// ── 2. Again, after 49 lines were added: a run goes on where the one before it ended. ───────────────────────────────

console.log("\n2. On demand again, after 49 zip codes were added: only what is new\n");
await addZipcodes(30_000, 30_049);
const secondRun = await scheduler.waitFor((await scheduler.run(zipcodes._id))._id);
await printReport(scheduler, zipcodes, secondRun);
assert.equal(readBy(secondRun), 49, "only what is new is read");
await scheduler.stop();

// ── 3. On a schedule. Nobody wants to wait for minutes to pass, so this clock takes half a second for one. ──────────

console.log("\n3. Every minute, by a clock that runs 120 times as fast, while the source keeps growing\n");
await addZipcodes(30_049, 41_049);
const soon = Math.ceil(Date.now() / 60_000) * 60_000 + 50_000;
await runEveryMinute(fastClock(soon, 120));

/** A process that is started anew: the same exports, imports and storage, and a flow that is now due each minute. */
async function runEveryMinute(clock: Clock): Promise<void> {
  const registry = new FlowRegistry({ exports, imports, storage, clock });
  const scheduler = new Scheduler(registry);
  await registry.patch(movies._id, { disabled: true });
  await registry.patch(zipcodes._id, { schedule: "* * * * *" });

  const say = (text: string) => console.log(`  ${new Date(clock.now()).toISOString().slice(11, 19)}  ${text}`);
  const runIds: string[] = [];
  const ended: Run[] = [];
  const nameOf = (run: Run) => `run ${runIds.indexOf(run._id) + 1}`;
  scheduler.on("run:queued", ({ run }) => {
    runIds.push(run._id);
    say(`due: ${nameOf(run)} joins the queue${runIds.length > 1 ? ", as only one may run at a time" : ""}`);
  });
  scheduler.on("run:started", ({ run }) => say(`${nameOf(run)} starts`));
  scheduler.on("schedule:coalesced", ({ run }) =>
    say(`due: ${nameOf(run)} waits already, so it serves this time, too`),
  );
  scheduler.once("run:progress", async ({ run }) => {
    await addZipcodes(41_049, 42_049);
    say(`1,000 more zip codes are added while ${nameOf(run)} is running`);
  });
  const twoRuns = new Promise<void>((resolve) => {
    scheduler.on("run:completed", ({ run }) => {
      say(`${nameOf(run)} completes: ${count(readBy(run))} records in ${durationOf(run)} by this clock`);
      if (ended.push(run) === 2) resolve();
    });
  });

  await scheduler.start();
  await twoRuns;
  await scheduler.stop();
  for (const run of ended) await printReport(scheduler, zipcodes, run);
}

// ── What there is now. ──────────────────────────────────────────────────────────────────────────────────────────────

const linesOf = async (name: string) => (await readFile(join(folder, name), "utf8")).split("\n").length - 1;
const zipcodesOnDisk = await linesOf("zipcodes.ndjson");
console.log(`
What there is now, in ${relative(process.cwd(), folder)} and in memory

  zipcodes.ndjson ${count(zipcodesOnDisk).padStart(8)} lines, of ${count(zipcodeLines.length)} zip codes
  zip code map    ${count(zipcodeMap.size).padStart(8)} places
  movies.ndjson   ${count(await linesOf("movies.ndjson")).padStart(8)} lines
  movie index     ${count(movieIndex.size).padStart(8)} titles`);

assert.equal(zipcodesOnDisk, zipcodeLines.length, "every zip code is in the file, once");
