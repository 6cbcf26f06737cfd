// The first start of the application: both flows run, and the process dies in the middle of one of them.

import { type Import, Scheduler } from "poundlock";
import { exportsOf, importsInto, openDestinations, openRegistry, openStorage } from "./application.ts";
import { count, printProgress } from "./report.ts";

const [folder = ""] = process.argv.slice(2);

/** The import, but as soon as it has written so many records the process is gone, as if the power had failed. */
function fatalAfter<In, Out>(into: Import<In, Out>, numRecords: number): Import<In, Out> {
  let written = 0;
  return {
    ...into,
    async write(records, context) {
      const results = await into.write(records, context);
      written += records.length;
      if (written < numRecords) return results;
      const { numPagesProcessed } = context.run;
      console.log(
        `\n  ${count(written)} zip codes are written, ${count(numPagesProcessed)} pages are committed: SIGKILL!`,
      );
      process.kill(process.pid, "SIGKILL");
      return results;
    },
  };
}

const imports = importsInto(await openDestinations(folder));
const { registry, zipcodes, movies } = await openRegistry({
  exports: exportsOf(folder),
  // Half of the 30,000 that there are, and one page more, which is never committed.
  imports: { ...imports, zipcodesToFile: fatalAfter(imports.zipcodesToFile, 15_250) },
  storage: await openStorage(folder),
});
const scheduler = new Scheduler(registry, { leaseMs: 1_000 }); // see second-start.ts
printProgress(scheduler);
scheduler.on("run:completed", ({ run }) => console.log(`  ${run._exportId.padEnd(9)} completed`));
await scheduler.start();

const runs = [await scheduler.run(zipcodes._id), await scheduler.run(movies._id)];
await Promise.all(runs.map(({ _id }) => scheduler.waitFor(_id)));
throw new Error("this process should have been killed");
