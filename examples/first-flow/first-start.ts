// The first start of the application: both flows run, and the process dies in the middle of one of them.

import { type Import, Scheduler } from "poundlock";
import { exportsOf, importsInto, openDestinations, openRegistry, openStorage, pathsIn } from "./application.ts";
import { causesOf, logTo } from "./report.ts";
import { count, done, failed, leaveBars, note, showBars } from "./terminal.ts";

const [folder = "", numZipcodes = ""] = process.argv.slice(2);
const destinations = await openDestinations(folder);
const imports = importsInto(destinations);

/** The import, but as soon as it has written so many records the process is gone, as if the power had failed. */
function fatalAfter<In, Out>(into: Import<In, Out>, numRecords: number): Import<In, Out> {
  let written = 0;
  return {
    ...into,
    async write(records, context) {
      const results = await into.write(records, context);
      written += records.length;
      if (written < numRecords) return results;
      const pages = context.run.numPagesProcessed;
      leaveBars();
      failed(
        `SIGKILL: ${count(pages)} pages, ${count(250 * pages)} zip codes, are committed; one page more is written.`,
      );
      process.kill(process.pid, "SIGKILL");
      return results;
    },
  };
}

const { registry, zipcodes, movies } = await openRegistry({
  exports: exportsOf(folder),
  // The last page before the end is written, but never committed.
  imports: { ...imports, zipcodesToFile: fatalAfter(imports.zipcodesToFile, 10_250) },
  storage: await openStorage(folder),
});
const scheduler = new Scheduler(registry, { leaseMs: 1_000, logger: logTo(pathsIn(folder).log) });
await scheduler.start();

const total = Number(numZipcodes);
showBars([
  { name: "zipcodes.ndjson", total, value: () => destinations.zipcodes.size },
  { name: "map.ndjson", total, value: () => destinations.map.size },
]);
const zipcodesRun = await scheduler.run(zipcodes._id);
const { imports: written, numError } = await scheduler.waitFor((await scheduler.run(movies._id))._id);
const { moviesToFile: file, moviesToIndex: index } = written;
done(`Movies: ${count(file?.numSuccess ?? 0)} of 3,201 are in movies.ndjson; ${file?.numIgnore ?? 0} have no rating.`);
done(`${count(index?.numSuccess ?? 0)} are in index.ndjson, and ${numError} failures are stored:`);
for (const [cause, failures] of await causesOf(scheduler, movies._id))
  note(`${String(failures.length).padStart(3)} ${cause}, for example ${failures[0]?.message ?? ""}`);

await scheduler.waitFor(zipcodesRun._id);
throw new Error("this process should have been killed");
