// The second start of the application. It knows nothing of the first one but what is in its files.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type Failure, Scheduler } from "poundlock";
import { exportsOf, importsInto, openDestinations, openRegistry, openStorage, pathsIn } from "./application.ts";
import { addZipcodes } from "./data-set.ts";
import { type Movie, correctedReleaseOf } from "./movies.ts";
import { withOutage } from "./outage.ts";
import { logTo, openFailures } from "./report.ts";
import { count, done, failed, heading, leaveBars, note, showBars, waits } from "./terminal.ts";

const [folder = "", numZipcodes = ""] = process.argv.slice(2);
const total = Number(numZipcodes);
const paths = pathsIn(folder);
const destinations = await openDestinations(folder);
const written = () => `${count(destinations.zipcodes.size)} in the file, ${count(destinations.map.size)} on the map`;

const map = withOutage(destinations.map, {
  begins: () => destinations.map.size >= 15_000,
  forMs: 1_000,
  onEnd: () => done(`The map is up again, and next in the queue: ${written()}.`),
});
const storage = await openStorage(folder);
const { registry, zipcodes, movies } = await openRegistry({
  exports: exportsOf(folder),
  imports: importsInto({ ...destinations, map }, correctedReleaseOf),
  storage,
});

// A process that is killed cannot give its runs back: others wait until its lease has run out, by default half a minute.
// And a destination that asks for more patience than `maxWaitMs` is paused. Both are short, since you wait for this.
const scheduler = new Scheduler(registry, { leaseMs: 1_000, maxWaitMs: 500, logger: logTo(paths.log) });

// ── A crash, and an outage. ─────────────────────────────────────────────────────────────────────────────────────────

let crashes = 0;
scheduler.on("run:requeued", ({ run }) => {
  crashes++;
  done(`The run is reclaimed, since its process died. It goes on with page ${run.numPagesProcessed + 1}.`);
});
let paused = false;
scheduler.on("import:paused", () => {
  paused = true;
  waits(`The map is down. Only its import is paused: ${written()}.`);
});
scheduler.once("run:completed", () => done(`The run is completed: ${written()}.`));
scheduler.on("import:resumed", () => {
  paused = false;
  done(`The map's import goes on where it was, in a run of its own: ${written()}.`);
});
const caughtUp = new Promise<void>((resolve) => {
  scheduler.on("run:completed", async () => {
    const deliveries = await scheduler.deliveries(zipcodes._id);
    if (deliveries.every(({ behind, paused }) => !behind && paused === undefined)) resolve();
  });
});
scheduler.on("run:failed", ({ run }) => failed(run.error?.message ?? ""));

showBars([
  { name: "zipcodes.ndjson", total, value: () => destinations.zipcodes.size },
  { name: "map.ndjson", total, value: () => destinations.map.size, note: () => (paused ? "paused" : "") },
]);
await scheduler.start();
await caughtUp;
leaveBars();

const linesOf = async (path: string) => (await readFile(path, "utf8")).trimEnd().split("\n");
const inFile = (await linesOf(paths.zipcodes)).map((line) => (JSON.parse(line) as { zip: string }).zip);
const inSource = (await linesOf(paths.zipcodesCsv)).slice(1).map((line) => line.slice(0, line.indexOf(",")));
const { repeated } = destinations.zipcodes;
done(`Nothing is lost, nothing is there twice: ${written()}.`);
note(`${repeated} were sent twice: written, but not committed when the process died. The file knew their keys.`);
assert.deepEqual(inFile, inSource, "every zip code is in the file, once, in order");
assert(repeated > 0 && repeated <= crashes * 250 && destinations.map.repeated <= crashes * 250, "one page at the most");
assert.equal(destinations.map.size, total, "every zip code is on the map");

// ── Failures. ───────────────────────────────────────────────────────────────────────────────────────────────────────

heading("3. The failures of the movies, which are stored with their records");

const retry = async (failures: readonly Failure[]) => {
  const run = await scheduler.retryFailures(movies._id, { _ids: failures.map(({ _id }) => _id) });
  return (await scheduler.waitFor(run._id)).numSuccess;
};
const open = () => openFailures(scheduler, movies._id);
const withCode = async (code: string) => (await open()).filter((failure) => failure.code === code);

const misdated = await withCode("release date after the list was made");
const corrected = await retry(misdated); // this start's code knows better: see correctedReleaseOf
const remade = misdated.length - corrected;
done(`The code corrected, those ${misdated.length} retried: ${corrected} delivered, the title of ${remade} is taken.`);

const untitled = await withCode("no title");
for (const { _id, record } of untitled) await scheduler.editFailure(_id, { ...(record as Movie), Title: "Untitled" });
done(`The record edited that has no title, and retried: ${await retry(untitled)} delivered.`);

const taken = await withCode("name taken already");
await scheduler.resolveFailures(taken.map(({ _id }) => _id));
done(`That leaves ${taken.length} with a title that is taken: resolved by hand. Open now: ${(await open()).length}.`);
assert.deepEqual(
  [misdated, untitled, taken].map(({ length }) => length),
  [24, 1, 24],
);
assert.deepEqual(await open(), []);

// ── Only what is new. ───────────────────────────────────────────────────────────────────────────────────────────────

heading("4. The next run, after 49 zip codes were added to the source");

await addZipcodes(paths.zipcodesCsv, total, total + 49);
const next = await scheduler.waitFor((await scheduler.run(zipcodes._id))._id);
done(`It reads what is new: ${next.imports.zipcodesToFile?.numSuccess ?? 0}. Now ${written()}.`);
note(
  `From here on it is due at ${zipcodes.schedule ?? ""}, ${zipcodes.timezone ?? "in Oslo"}: next at ${zipcodes.nextRunAt ?? ""}.`,
);
await scheduler.stop();
await storage.close();
