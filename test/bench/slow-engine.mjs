import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What makes the engine wait for a promise at every record of a page that an import filters or maps. */
const changes = [
  ["prepared = prepare(page, to);", "prepared = await prepare(page, to);"],
  ["function prepare(page: Batch, to: Destination): PreparedBatch {", "async function prepare(page: Batch, to: Destination): Promise<PreparedBatch> {"], // prettier-ignore
  [
    "      const problem = problems?.get(index);",
    "      await undefined;\n      const problem = problems?.get(index);",
  ],
];

/** Builds poundlock with a promise for each record, for the guard to notice. Returns the path of the module. */
export async function buildSlowEngine() {
  const outfile = `${root}/.work/bench/slow-engine.mjs`;
  const slow = {
    name: "slow",
    setup: ({ onLoad }) => onLoad({ filter: /import-page\.ts$/ }, async ({ path }) => ({ loader: "ts", contents: changed(await readFile(path, "utf8")) })), // prettier-ignore
  };
  await build({
    ...{ entryPoints: [`${root}/src/index.ts`], outfile, bundle: true, packages: "external", plugins: [slow] },
    ...{ format: "esm", platform: "node", target: "node20", logLevel: "warning" },
  });
  return outfile;
}

function changed(source) {
  return changes.reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) throw new Error(`import-page.ts has not exactly one ${from}`);
    return text.replace(from, to);
  }, source);
}
