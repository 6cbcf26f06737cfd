// poundlock on real data, through a crash, an outage and dirty records, in about fifteen seconds.
//
//   zipcodes.csv (30,000 lines, read page by page)  ─┬─> zipcodes.ndjson
//                                                    └─> map.ndjson, which is down for a while
//   movies.json (3,201 entries, dirty)              ─┬─> movies.ndjson
//                                                    └─> index.ndjson, which refuses dirty entries
//
// The application is in first-flow/application.ts: how to read, how to write, and which flows there are. It is started
// twice here: first-flow/first-start.ts kills its own process, first-flow/second-start.ts goes on.
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
import { heading, note, say } from "./first-flow/terminal.ts";

const folder = fileURLToPath(new URL("../.work/first-flow", import.meta.url));
const numZipcodes = 30_000;
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
await addZipcodes(pathsIn(folder).zipcodesCsv, 0, numZipcodes);

/** Starts a process and resolves with what ended it. Node 22 warns that its SQLite is experimental; later ones do not. */
async function start(program: string): Promise<string> {
  const execArgv = [...process.execArgv, "--disable-warning=ExperimentalWarning"];
  const args = [folder, String(numZipcodes)];
  const child = fork(fileURLToPath(new URL(`first-flow/${program}.ts`, import.meta.url)), args, { execArgv });
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  return signal ?? `exit code ${code ?? 0}`;
}

heading("1. Two flows, of zip codes and of movies, each with one source and two destinations");
note(`Everything is kept in ${relative(process.cwd(), folder)}, which begins empty.`);
assert.notEqual(await start("first-start"), "exit code 0");

heading("2. A second process opens the same files");
assert.equal(await start("second-start"), "exit code 0");

say("\nRead next: examples/first-flow/application.ts, how to read, how to write, and which flows there are.");
