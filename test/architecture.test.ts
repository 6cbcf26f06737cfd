import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ESLint } from "eslint";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The rules of eslint.config.js that keep the sources to docs/architecture.md; none of them needs types. */
const architectureRules = [
  "import-x/no-cycle",
  "import-x/no-restricted-paths",
  "max-lines",
  "max-lines-per-function",
  "@typescript-eslint/consistent-type-imports",
  "@typescript-eslint/no-restricted-imports",
  "no-restricted-globals",
  "no-restricted-properties",
  "no-restricted-syntax",
  "poundlock/plain-words",
];

const eslint = new ESLint({
  cwd: root,
  ruleFilter: ({ ruleId }) => architectureRules.includes(ruleId),
  overrideConfig: [
    // The files below need not exist, so there is no program to find them in.
    { languageOptions: { parserOptions: { projectService: false } } },
    // Also where it is not on yet.
    { files: ["{src,test}/**"], rules: { "poundlock/plain-words": "error" } },
  ],
});

/** The rules that `code` breaks as the file at `filePath`; a parser's error is one, too. */
async function broken(filePath: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: root + filePath });
  return (result?.messages ?? []).map(({ ruleId, message }) => ruleId ?? message);
}

const paths = "import-x/no-restricted-paths";
const cycle = "import-x/no-cycle";
const imports = "@typescript-eslint/no-restricted-imports";
const syntax = "no-restricted-syntax";
const words = "poundlock/plain-words";

/** A function, and a file, of so many lines. */
const functionOf = (lines: number) => `export const a = () => {${"\n".repeat(lines - 1)}};`;
const fileOf = (lines: number) => `export const a = 1;${"\n// b".repeat(lines - 1)}`;

describe("the linter refuses", () => {
  test.each<[title: string, file: string, code: string, rules: string[]]>([
    ["a folder that architecture.md does not have", "src/utils/strings.ts", `export const a = 1;`, [syntax]],
    ["a stray file at the root", "src/helpers.ts", `export const a = 1;`, [syntax]],
    ["a model that imports errors", "src/model/x.ts", `import "../errors.ts";`, [paths]],
    ["a cron that imports the model", "src/cron/x.ts", `export { a } from "../model/run.ts";`, [paths]],
    ["a run that imports a storage", "src/run/x.ts", `import "../storage/memory/memory-storage.ts";`, [paths]],
    [
      "a run that imports a scheduler's type",
      "src/run/x.ts",
      `import type { A } from "../scheduler/options.ts";`,
      [paths],
    ],
    ["an entry imported from inside", "src/run/x.ts", `import { a } from "../index.ts";`, [paths]],
    ["an import inside a call", "src/model/x.ts", `void import("../run/runner.ts");`, [paths]],
    ["SQLite in the root entry", "src/index.ts", `export * from "./storage/sqlite/sqlite-storage.ts";`, [paths]],
    [
      "PostgreSQL in the root entry",
      "src/index.ts",
      `export * from "./storage/postgres/postgres-storage.ts";`,
      [paths],
    ],
    ["BullMQ in the root entry", "src/index.ts", `export * from "./executor/bull-executor.ts";`, [paths]],
    [
      "graphile-worker in another executor",
      "src/executor/bull-executor.ts",
      `export * from "./graphile-executor.ts";`,
      [paths],
    ],
    ["a client of Redis", "src/executor/bull-executor.ts", `import "ioredis";`, [imports]],
    ["a client of PostgreSQL", "src/storage/postgres/x.ts", `import "pg";`, [imports]],
    ["node:http in the HTTP entry", "src/http/x.ts", `export * from "./node.ts";`, [paths]],
    ["a value where types are allowed", "src/http/x.ts", `import { a } from "../flow-registry.ts";`, [imports]],
    [
      "an import inside a type",
      "src/run/x.ts",
      `export type A = import("../events.ts").Events;`,
      ["@typescript-eslint/consistent-type-imports"],
    ],
    [
      "a cycle",
      "src/scheduler/options.ts",
      `import { Scheduler } from "./scheduler.ts";\nexport const a = Scheduler;`,
      [cycle],
    ],
    ["a package in a second file", "src/run/x.ts", `import "p-queue";`, [imports]],
    ["a part of a package in a second file", "src/http/x.ts", `import "hono/tiny";`, [imports]],
    ["a driver that is loaded early", "src/storage/sqlite/drivers.ts", `import "libsql";`, [imports]],
    ["a driver loaded elsewhere", "src/storage/x.ts", `export const a = () => require("libsql") as unknown;`, [syntax]],
    ["a module of Node asked for elsewhere", "src/storage/x.ts", `process.getBuiltinModule("node:sqlite");`, [syntax]],
    [
      "the time now",
      "src/run/x.ts",
      `export const a = [new Date(), Date.now()];`,
      [syntax, "no-restricted-properties"],
    ],
    ["a timer", "src/run/x.ts", `setTimeout(() => undefined, 1);`, ["no-restricted-globals"]],
    ["a timer of Node's module", "src/run/x.ts", `import "node:timers/promises";`, [imports]],
    ["a timeout signal", "src/run/x.ts", `AbortSignal.timeout(1);`, ["no-restricted-properties"]],
    [
      "an interval in the manual clock",
      "src/testing/manual-clock.ts",
      `setInterval(() => undefined);`,
      ["no-restricted-globals"],
    ],
    ["a getter in an object literal of a run", "src/run/x.ts", `export const a = { get b() { return 1; } };`, [syntax]],
    [
      "a setter in one of the scheduler",
      "src/scheduler/x.ts",
      `export const a = { set b(c: 1) { void c; } };`,
      [syntax],
    ],
    ["a getter in one of the clock", "src/clock.ts", `export const a = { get b() { return 1; } };`, [syntax]],
    ["a constant in an entry", "src/index.ts", `export { a } from "./errors.ts";\nexport const b = 1;`, [syntax]],
    ["an import for its effect in an entry", "src/testing/index.ts", `import "./fakes.ts";`, [syntax]],
    ["a banned word in a comment", "src/run/x.ts", `// The caller is told.\nexport const a = 1;`, [words]],
    ["a banned word in a string", "src/run/x.ts", "export const a = [`in a lane`, 'a text'];", [words, words]],
    [
      "a banned word in a name, once",
      "src/run/x.ts",
      `export const openDoor = 1;\nexport const a = openDoor;`,
      [words],
    ],
    ["a banned word in the name of a file", "src/run/play.ts", `export const a = 1;`, [words]],
    ["a type named by a participle", "src/run/x.ts", `export interface Queued { a: 1 }`, [words]],
    ["a function of 41 lines", "src/run/x.ts", functionOf(41), ["max-lines-per-function"]],
    ["a component of 41 lines", "src/dashboard/app/x.tsx", functionOf(41), ["max-lines-per-function"]],
    ["a method of 41 lines", "src/run/x.ts", `export class A { b() {${"\n".repeat(40)}} }`, ["max-lines-per-function"]],
    [
      "a function of 41 lines that is called at once",
      "src/run/x.ts",
      `(() => {${"\n".repeat(40)}})();`,
      ["max-lines-per-function"],
    ],
    ["a file of 451 lines", "src/run/x.ts", fileOf(451), ["max-lines"]],
    ["a component's file of 451 lines", "src/dashboard/app/x.tsx", fileOf(451), ["max-lines"]],
    ["who as the caller", "src/run/x.ts", `// Returned to who asked.\nexport const a = 1;`, [words]],
  ])("%s", async (_title, file, code, rules) => {
    expect((await broken(file, code)).sort()).toEqual([...rules].sort());
  });

  test.each([
    ["the contract of a storage in a run", "src/run/x.ts", `import type { Storage } from "../storage/storage.ts";`],
    [
      "types of a scheduler in the HTTP API",
      "src/http/x.ts",
      `import type { Scheduler } from "../scheduler/scheduler.ts";`,
    ],
    ["the HTTP API's own events", "src/http/x.ts", `import { EventFeed } from "./events/event-feed.ts";`],
    ["a package in its one file", "src/executor/flow-slots.ts", `import "p-queue";`],
    ["an import in a comment", "src/model/x.ts", `// import "../errors.ts"\nexport const a = 1;`],
    ["a date of a given time", "src/run/x.ts", `export const a = (at: number) => new Date(at);`],
    ["a timer in the clock", "src/clock.ts", `setTimeout(() => undefined, Date.now());`],
    ["the setImmediate of the manual clock", "src/testing/manual-clock.ts", `setImmediate(() => undefined);`],
    ["a re-export in an entry", "src/testing/index.ts", `export { type A, b } from "./fakes.ts";`],
    ["a class of Node's net", "test/x.ts", `import { Socket } from "node:net";\nnew Socket();`],
    ["a function of 40 lines", "src/run/x.ts", functionOf(40)],
    ["a file of 450 lines", "src/run/x.ts", fileOf(450)],
    ["a word that contains a banned one", "src/run/x.ts", `// The stored threshold.\nexport const display = 1;`],
    ["a sender who signs", "src/run/x.ts", `// A sender who signs.\nexport const a = 1;`],
  ])("but not %s", async (_title, file, code) => {
    expect(await broken(file, code)).toEqual([]);
  });
});

test("a folder of src has at most 14 files", () => {
  const files = readdirSync(`${root}src`, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const counts = new Map<string, number>();
  for (const { parentPath } of files) counts.set(parentPath, (counts.get(parentPath) ?? 0) + 1);

  expect(counts.size).toBeGreaterThan(0);
  expect([...counts].filter(([, count]) => count > 14)).toEqual([]);
});

test("peers are optional, and those that the linter lets one file import", () => {
  const text = readFileSync(`${root}package.json`, "utf8");
  const { peerDependencies, peerDependenciesMeta } = JSON.parse(text) as Record<string, object>;

  const peers = Object.keys(peerDependencies ?? {});
  expect(peerDependenciesMeta).toEqual(Object.fromEntries(peers.map((name) => [name, { optional: true }])));
});

test("the root entry has at most 90 names", () => {
  const names = readFileSync(`${root}test/package/exported-names.txt`, "utf8").match(/^poundlock \w+:/gm);

  expect(names?.length).toBeGreaterThan(0);
  expect(names?.length).toBeLessThanOrEqual(90);
});
