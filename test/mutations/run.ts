// Proves that the tests notice when a promise is broken: puts one mutation after another into a copy of the source, and
// runs the tests that have to fail then.
//
//   npm run test:mutations                     all of them
//   npm run test:mutations -- inbox            those whose promise or file contains "inbox"
//   npm run test:mutations -- --some 5         a handful, chosen by the commit, or else by the date
//   npm run test:mutations -- --list
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { hasMariadb } from "../support/mariadb-server.ts";
import { hasRedis } from "../support/redis-server.ts";
import { type Mutation, mutations } from "./mutations.ts";
import { ScratchTree, root } from "./scratch-tree.ts";
import { type TestSelection, runTests } from "./vitest-run.ts";

/** Copies of the source, each with one mutation at a time. */
const parallel = 2;

const { values: options, positionals } = parseArgs({
  options: { some: { type: "string" }, list: { type: "boolean" } },
  allowPositionals: true,
});

/** The commit, or today where there is no repository. */
function occasion(): string {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8", stdio: "pipe" }).trim();
  } catch {
    return new Date().toISOString().slice(0, 10);
  }
}

/** `count` rows that differ from one occasion to the next; over time, all of them. */
function rotating(all: readonly Mutation[], count: number, name: string): readonly Mutation[] {
  let first = 0;
  for (const character of name) first = (first * 31 + character.charCodeAt(0)) % all.length;
  return [...all.slice(first), ...all.slice(0, first)].slice(0, count);
}

function choose(): readonly Mutation[] {
  const all = mutations.filter(({ promise, file }) =>
    positionals.every((part) => promise.includes(part) || file.includes(part)),
  );
  const has = { MariaDB: hasMariadb(), Redis: hasRedis() };
  const matching = all.filter(({ needs }) => needs === undefined || has[needs]);
  for (const server of ["MariaDB", "Redis"] as const) {
    const left = has[server] ? 0 : all.filter(({ needs }) => needs === server).length;
    if (left > 0) console.log(`${left} left out: ${server} is not installed`);
  }
  if (options.some === undefined) return matching;
  const name = occasion();
  console.log(`${options.some} of ${matching.length} mutations, chosen by ${name}`);
  return rotating(matching, Number(options.some), name);
}

/** Tests of several rows in as few runs as possible: titles are chosen for all files of a run. */
function control(rows: readonly Mutation[]): readonly TestSelection[] {
  const whole = new Set(rows.filter(({ only }) => only === undefined).flatMap(({ tests }) => tests));
  const byTitle = new Map<string, string[]>();
  for (const { only, tests } of rows)
    if (only !== undefined) byTitle.set(only, [...(byTitle.get(only) ?? []), ...tests]);
  const parts = [...byTitle].map(([only, files]) => ({ files: [...new Set(files)], only }));
  return whole.size === 0 ? parts : [{ files: [...whole] }, ...parts];
}

/** Calls `work` for every item, `parallel` at a time, each time with a tree that nobody else uses. */
async function forEach<T>(items: readonly T[], work: (item: T, tree: ScratchTree) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const workOn = async () => {
    const tree = await ScratchTree.create();
    try {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item, tree);
    } finally {
      await tree.remove();
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, workOn));
}

async function runAll(rows: readonly Mutation[]): Promise<boolean> {
  let alarms = 0;
  await forEach(control(rows), async (selection, tree) => {
    const { failure } = await runTests(tree.folder, selection);
    if (failure === undefined) return;
    alarms++;
    console.log(`FALSE ALARM  without any mutation: ${failure}`);
  });
  if (alarms > 0) return false;
  console.log("quiet        without any mutation");
  let caught = 0;
  await forEach(rows, async (row, tree) => {
    const started = Date.now();
    const { failure, passed } = await tree.with(row, () => runTests(tree.folder, { ...row, files: row.tests }));
    if (failure !== undefined) caught++;
    const seconds = Math.round((Date.now() - started) / 1_000);
    console.log(`${failure === undefined ? "MISSED" : "caught"}  ${String(seconds).padStart(3)} s ${row.promise}`);
    console.log(`             ${failure ?? `${passed} tests passed: ${row.tests.join(", ")}`}`);
  });
  console.log(`\n${caught} of ${rows.length} mutations caught`);
  return caught === rows.length;
}

const rows = choose();
if (rows.length === 0) throw new Error(`no mutation matches ${positionals.join(" ")}`);
if (options.list === true) for (const { promise, file } of rows) console.log(`${file}: ${promise}`);
else if (!(await runAll(rows))) process.exitCode = 1;
