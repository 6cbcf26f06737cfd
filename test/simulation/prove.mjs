// Proves that the simulation catches what it is there to catch: puts one bug after another into a copy of the source,
// lets the storms loose on it, and says which seed and which invariant caught it. `npm run test:fish`.
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bugs } from "./bugs.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const seeds = Number(process.argv[2] ?? 2_000);
const only = process.argv[3];
/** A bug may make the engine go round in circles; that is noticed, too. */
const longestMs = 300_000;

async function copyOfSource() {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-fish-"));
  for (const part of ["src", "test/simulation", "package.json", "tsconfig.json"])
    await cp(join(root, part), join(folder, part), { recursive: true });
  await symlink(join(root, "node_modules"), join(folder, "node_modules"), "dir");
  return folder;
}

async function edit(folder, [path, from, to]) {
  const text = await readFile(join(folder, path), "utf8");
  const times = text.split(from).length - 1;
  if (times !== 1) throw new Error(`${path}: expected to find this once, found it ${times} times:\n${from}`);
  await writeFile(
    join(folder, path),
    text.replace(from, () => to),
  );
}

function run(folder, script, ...args) {
  const node = ["--import", "tsx", join("test/simulation", script), ...args.map(String)];
  const limits = { cwd: folder, timeout: longestMs, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) =>
    execFile(process.execPath, node, limits, (error, stdout, stderr) =>
      resolve({ failed: error !== null, hung: error?.killed === true, stdout, stderr }),
    ),
  );
}

/** The seed and the invariant that caught it, the promise that its conformance cases saw broken; undefined: neither. */
async function catchIn(folder, { also }) {
  const { failed, hung, stdout, stderr } = await run(folder, "soak.ts", seeds, 1, 1);
  const [, seed, what] = /^seed (\d+): (.*)$/m.exec(stdout) ?? [];
  const storm = what !== undefined ? `seed ${seed}: ${what}` : hung ? "it went round in circles" : undefined;
  if (failed && storm === undefined) throw new Error(stderr || stdout);
  if (also === undefined) return { storm };
  const [, promise] = /^broken: (.*)$/m.exec((await run(folder, "conformance.ts")).stdout) ?? [];
  return { storm, promise };
}

async function prove(bug) {
  const folder = await copyOfSource();
  try {
    for (const change of bug.edits) await edit(folder, change);
    return await catchIn(folder, bug);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const control = { name: "no bug at all", edits: [], also: "storage" };
let missed = 0;
let caught = 0;

function report(bug, { storm, promise }) {
  const isRight = bug === control ? storm === undefined && promise === undefined : storm !== undefined;
  if (!isRight) missed++;
  else if (bug !== control) caught++;
  const verdict = bug === control ? (isRight ? "quiet     " : "FALSE ALARM") : isRight ? "caught    " : "NOT CAUGHT";
  console.log(`${verdict} ${bug.name}`);
  if (storm !== undefined) console.log(`             ${storm}`);
  else if (bug === control) console.log(`             ${seeds} seeds, every conformance case`);
  if (bug.also !== undefined && bug !== control) console.log(`             conformance case: ${promise ?? "none"}`);
}

const chosen = only === undefined ? [control, ...bugs] : bugs.filter(({ name }) => name.includes(only));
// Every text to replace has to be there before anything is run.
const gone = [];
for (const bug of chosen) {
  const folder = await copyOfSource();
  for (const change of bug.edits)
    await edit(folder, change).catch((error) => gone.push(`${bug.name}: ${error.message}`));
  await rm(folder, { recursive: true, force: true });
}
if (gone.length > 0) throw new Error(`the source has changed, so change bugs.mjs:\n${gone.join("\n")}`);
const waiting = [...chosen];
const results = new Map();
async function work() {
  for (let bug = waiting.shift(); bug !== undefined; bug = waiting.shift()) results.set(bug, await prove(bug));
}
await Promise.all([work(), work()]);
for (const bug of chosen) report(bug, results.get(bug));
console.log(`\n${caught} of ${chosen.filter((bug) => bug !== control).length} bugs caught`);
if (missed > 0) process.exitCode = 1;
