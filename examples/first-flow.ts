// The whole of poundlock on real data, and a crash in the middle of it, in about ten seconds.
//
//   zipcodes.csv (42,049 clean lines, read page by page)  ─┬─> zipcodes.ndjson
//                                                          └─> map.ndjson, which refuses what it cannot place
//   movies.json (3,201 entries, dirty)                    ─┬─> movies.ndjson
//                                                          └─> index.ndjson, which refuses dirty entries
//
// The application is in first-flow/application.ts: how to read, how to write, and which flows there are. It is started
// twice here: first-flow/first-start.ts kills its own process half-way, first-flow/second-start.ts goes on.
//
// Run it with `npm run example`. Every time it begins anew; what it wrote is in .work/first-flow afterwards.

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { pathsIn } from "./first-flow/application.ts";
import { addZipcodes } from "./first-flow/data-set.ts";

const folder = fileURLToPath(new URL("../.work/first-flow", import.meta.url));
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
await addZipcodes(pathsIn(folder).zipcodesCsv, 0, 30_000);

/** Starts a process and resolves with what ended it. Node 22 warns that its SQLite is experimental; later ones do not. */
async function start(program: string): Promise<string> {
  const execArgv = [...process.execArgv, "--disable-warning=ExperimentalWarning"];
  const child = fork(fileURLToPath(new URL(`first-flow/${program}.ts`, import.meta.url)), [folder], { execArgv });
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  return signal ?? `exit code ${code ?? 0}`;
}

console.log(`Everything is kept in ${relative(process.cwd(), folder)}, which begins empty.\n`);
console.log(
  "1. First start: both flows, on demand. The process will kill itself when half of the zip codes are through.\n",
);
const first = await start("first-start");
assert.notEqual(first, "exit code 0");

console.log(`\n2. Second start: the first process is dead (${first}). This is what the new one finds in flows.db:`);
assert.equal(await start("second-start"), "exit code 0");
