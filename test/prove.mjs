// Proves that the tests of a folder catch what they are there to catch: puts one bug of its `bugs.mjs` after another into a
// copy of the source, runs the tests that have to see it, and says which one did.
// `node test/prove.mjs faults|http [part of a bug's name]`.
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const [folderOfBugs = "faults", only] = process.argv.slice(2);
/** `parts`: what the tests need, beside the source. */
const { bugs, parts } = await import(`./${folderOfBugs}/bugs.mjs`);
/** A bug may make everything hang; that is noticed, too. */
const longestMs = 180_000;

async function copyWith(edits) {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-fish-"));
  const always = [
    "src",
    "test/support/harness.ts",
    "test/seed.ts",
    "package.json",
    "tsconfig.json",
    "vitest.config.ts",
  ];
  for (const part of [...always, ...parts]) await cp(join(root, part), join(folder, part), { recursive: true });
  await symlink(join(root, "node_modules"), join(folder, "node_modules"), "dir");
  for (const [path, from, to] of edits) {
    const text = await readFile(join(folder, path), "utf8");
    const times = text.split(from).length - 1;
    if (times !== 1) throw new Error(`${path}: expected to find this once, found it ${times} times:\n${from}`);
    await writeFile(
      join(folder, path),
      text.replace(from, () => to),
    );
  }
  return folder;
}

/** The first test that failed, and why; undefined if none did. */
async function firstFailure(folder, { files, only: title }) {
  const report = join(folder, "report.json");
  const options = ["--typecheck.enabled=false", "--testTimeout=20000", "--bail=1"];
  const chosen = title === undefined ? [] : ["-t", title];
  const vitest = [join(root, "node_modules/vitest/vitest.mjs"), "run", ...files, ...options, ...chosen];
  const output = ["--reporter=json", `--outputFile=${report}`];
  const limits = { cwd: folder, timeout: longestMs, maxBuffer: 64 * 1024 * 1024 };
  const said = await new Promise((resolve) =>
    execFile(process.execPath, [...vitest, ...output], limits, (error, stdout, stderr) => resolve(stdout + stderr)),
  );
  const text = await readFile(report, "utf8").catch(() => undefined);
  if (text === undefined) throw new Error(`the tests did not run: ${said}`);
  const { testResults, numPassedTests } = JSON.parse(text);
  const tests = testResults.flatMap((file) => file.assertionResults);
  const failed = tests.find(({ status }) => status === "failed");
  if (failed === undefined && numPassedTests === 0)
    throw new Error(`no test ran: ${testResults.map(({ message }) => message).join("\n")}`);
  if (failed === undefined) return undefined;
  return `${failed.fullName}: ${failed.failureMessages[0]?.split("\n")[0] ?? ""}`;
}

async function prove({ edits, ...tests }) {
  const folder = await copyWith(edits);
  try {
    return await firstFailure(folder, tests);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const files = [...new Set(bugs.map(({ file }) => file))];
const chosen = bugs.filter(({ name }) => only === undefined || name.includes(only));
// Every text to replace has to be there before anything is run.
for (const { edits } of chosen) await rm(await copyWith(edits), { recursive: true, force: true });
let caught = 0;
let isQuiet = true;
if (only === undefined) {
  const alarm = await prove({ edits: [], files });
  isQuiet = alarm === undefined;
  console.log(isQuiet ? "quiet      no bug at all" : `FALSE ALARM ${alarm}`);
}
for (const { name, file, ...bug } of chosen) {
  const seen = await prove({ ...bug, files: [file] });
  if (seen !== undefined) caught++;
  console.log(`${seen === undefined ? "NOT CAUGHT" : "caught    "} ${name}\n             ${seen ?? file}`);
}
console.log(`\n${caught} of ${chosen.length} bugs caught`);
if (caught < chosen.length || !isQuiet) process.exitCode = 1;
