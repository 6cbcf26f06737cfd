import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Where a file of the `vega-datasets` package is. */
export function dataSet(name: string): string {
  const entry = createRequire(import.meta.url).resolve("vega-datasets");
  return join(dirname(entry), "..", "data", name);
}
