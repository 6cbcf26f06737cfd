import { appendFile, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Where a file of the `vega-datasets` package is. */
export function dataSet(name: string): string {
  const entry = createRequire(import.meta.url).resolve("vega-datasets");
  return join(dirname(entry), "..", "data", name);
}

const [header = "", ...lines] = (await readFile(dataSet("zipcodes.csv"), "utf8")).trimEnd().split("\n");

/** How many zip codes the data set has. */
export const numZipcodes = lines.length;

/** Adds the data set's zip codes from `start` up to `end` to the end of a CSV file, which 0 begins. */
export async function addZipcodes(path: string, start: number, end: number): Promise<void> {
  const added = lines.slice(start, end);
  await appendFile(path, (start === 0 ? [header, ...added] : added).join("\n") + "\n");
}
