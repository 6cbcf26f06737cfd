import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, test } from "vitest";

/** Path below src → text. */
type Sources = Readonly<Record<string, string>>;

const contracts = ["storage/storage.ts", "executor/executor.ts"];
const parts = ["model", "cron", "clock", "errors", "events", "storage", "executor", "run"];

/** A folder, or a file at the root → what it may import beside its own folder; after `type `, as types only. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  model: [],
  cron: [],
  clock: [],
  errors: ["model"],
  events: ["model"],
  storage: ["model", "errors", "clock"],
  executor: ["model", "errors", "clock"],
  run: ["model", "errors", "type events", "clock", "storage/storage.ts"],
  "flow-registry": ["model", "errors", "events", "clock", "cron/cron.ts", "storage"],
  scheduler: [...parts, "flow-registry"],
  connectors: ["model", "errors", "clock"],
  http: ["model", "errors", "type clock", "type events", "type flow-registry", "type scheduler"],
  dashboard: [],
  testing: ["model", "errors", "events", "clock", ...contracts],
  index: [...parts, "flow-registry", "scheduler"],
};

/** Packages of which a host needs one, or none. */
const mayLack = ["node:sqlite", "libsql", "better-sqlite3"];
/** Where those are loaded. */
const loading = ["storage/sqlite/drivers.ts", "storage/sqlite/host-package.ts"];
/** Packages that are inside the build, and not installed by a host. */
const bundled = ["cron-parser"];
/** Packages that a host needs who opens the door. */
const doorNeeds = ["hono", "@hono/node-server"];

const timeWords =
  /\bDate\.now\b|\bnew Date\b(?!\([^)])|\bset(?:Timeout|Interval|Immediate)\b|\bperformance\.|\bhrtime\b|\bAbortSignal\.timeout\b|\bnode:timers\b/g;

/** Who may read time or set a timer, and how. */
const mayUseTime: Readonly<Record<string, (word: string) => boolean>> = {
  "clock.ts": () => true,
  "testing/manual-clock.ts": (word) => word === "setImmediate", // to let promises settle
};

const placeOf = (path: string) => /^[^/.]+/.exec(path)?.[0] ?? "";
const packageOf = (specifier: string) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? "";

const stringOrComment = /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[^]*?\*\/|\/\/.*/g;
const withoutComments = (text: string) => text.replace(stringOrComment, "$1");

const importing =
  /^\s*(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s*)?["']([^"']+)["']|\b(?:import|require|hostPackage)\(\s*["']([^"']+)["']/gm;

/** Every import in every file; `to` is a path below src if it is ours, and a package otherwise. `called`: not as the file loads. */
function importsOf(sources: Sources) {
  return Object.entries(sources).flatMap(([from, text]) =>
    [...withoutComments(text).matchAll(importing)].map(([, type, stated, called]) => {
      const specifier = stated ?? called ?? "";
      const ours = specifier.startsWith(".");
      const to = ours ? posix.join(posix.dirname(from), specifier).replace(/\.js$/, ".ts") : packageOf(specifier);
      return { from, to, ours, type: type !== undefined, called: called !== undefined };
    }),
  );
}

function allows(entry: string, to: string, type: boolean): boolean {
  const place = entry.replace("type ", "");
  return (place === to || place === placeOf(to)) && (type || place === entry);
}

/** The first way found from each file back to itself. */
function cyclesOf(sources: Sources): string[] {
  const imports = importsOf(sources).filter(({ ours }) => ours);
  const done = new Set<string>();
  const walk = (path: string, way: readonly string[]): string[] => {
    if (way.includes(path)) return [[...way.slice(way.indexOf(path)), path].join(" → ")];
    if (done.has(path)) return [];
    const found = imports.filter(({ from }) => from === path).flatMap(({ to }) => walk(to, [...way, path]));
    done.add(path);
    return found;
  };
  return Object.keys(sources).flatMap((path) => walk(path, []));
}

/** Rule → what breaks it. */
const rules = {
  "every file is in a place the architecture knows": (sources: Sources) =>
    Object.keys(sources).filter((path) => !(placeOf(path) in mayImport)),

  "each place imports only what the table allows it, and only contracts of other folders": (sources: Sources) =>
    importsOf(sources)
      .filter(({ ours, from, to }) => ours && placeOf(from) !== placeOf(to))
      .filter(({ from, to, type }) => !mayImport[placeOf(from)]?.some((entry) => allows(entry, to, type)))
      .map(({ from, to }) => `${from} → ${to}`),

  "no file leads back to itself, not even by types": cyclesOf,

  "each third-party package is imported by one file only": (sources: Sources) => {
    const packages = importsOf(sources).filter(({ ours, to }) => !ours && !to.startsWith("node:"));
    return packages
      .filter(({ from, to }) => packages.some((other) => other.to === to && other.from < from))
      .map(({ from, to }) => `${from} → ${to}`);
  },

  "SQLite is reached by its own entry only": (sources: Sources) =>
    importsOf(sources)
      .filter(({ from, to }) => to.startsWith("storage/sqlite/") && !from.startsWith("storage/sqlite/"))
      .map(({ from, to }) => `${from} → ${to}`),

  "what hosts may lack is named by the file of drivers, and is loaded when it is asked for": (sources: Sources) => {
    const loadedHere = (from: string, called: boolean) => loading.includes(from) && called;
    const builtins = Object.keys(sources).filter((path) => withoutComments(sources[path] ?? "").includes("getBuiltin"));
    return [
      ...importsOf(sources)
        .filter(({ to, from, called }) => mayLack.includes(to) && !loadedHere(from, called))
        .map(({ from, to }) => `${from} → ${to}`),
      ...builtins.filter((path) => !loadedHere(path, true)),
    ];
  },

  "only the clock reads time or sets timers": (sources: Sources) =>
    Object.entries(sources).flatMap(([path, text]) =>
      (withoutComments(text).match(timeWords) ?? [])
        .filter((word) => mayUseTime[path]?.(word) !== true)
        .map((word) => `${path}: ${word}`),
    ),

  "the front doors only re-export": (sources: Sources) => {
    const reExport = /\bexport\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s*["'][^"']+["'];?/g;
    const rest = (path: string) =>
      withoutComments(sources[path] ?? "")
        .replace(reExport, "")
        .trim();
    return ["index.ts", "testing/index.ts", "http/index.ts"].filter((path) => rest(path) !== "");
  },
};

type Rule = keyof typeof rules;
const ruleNames = Object.keys(rules) as Rule[];

describe("in src", () => {
  const root = new URL("../src/", import.meta.url);
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));
  const src = Object.fromEntries(files.map((path) => [path, readFileSync(new URL(path, root), "utf8")]));

  test.each(ruleNames)("%s", (rule) => {
    expect(rules[rule](src)).toEqual([]);
  });

  test("there is a front door", () => {
    expect(files).toContain("index.ts");
  });

  test("what is imported is what package.json depends on", () => {
    const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
    const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(text) as Record<string, object>;

    const imported = importsOf(src).flatMap(({ ours, to }) => (ours || to.startsWith("node:") ? [] : [to]));

    const installed = Object.keys({ ...dependencies, ...peerDependencies });
    expect([...new Set(imported)].sort()).toEqual([...installed, ...bundled].sort());
    const peers = [...doorNeeds, ...mayLack.filter((name) => name !== "node:sqlite")];
    expect(Object.keys(peerDependencies ?? {}).sort()).toEqual([...peers].sort());
    expect(peerDependenciesMeta).toEqual(Object.fromEntries(peers.map((name) => [name, { optional: true }])));
  });
});

describe("the rules see", () => {
  const [place, arrows, cycles, packages, sqlite, lack, clock, doors] = ruleNames as [
    Rule,
    Rule,
    Rule,
    Rule,
    Rule,
    Rule,
    Rule,
    Rule,
  ];
  const examples: [title: string, rule: Rule, sources: Sources, found: string[]][] = [
    ["a folder of helpers", place, { "utils/strings.ts": "", "model/flow.ts": "" }, ["utils/strings.ts"]],
    ["a stray file at the root", place, { "helpers.ts": "", "clock.ts": "" }, ["helpers.ts"]],
    [
      "a model that knows errors",
      arrows,
      { "model/a.ts": `import { x } from "../errors.ts";` },
      ["model/a.ts → errors.ts"],
    ],
    [
      "a runner that names a storage instead of the contract",
      arrows,
      {
        "run/a.ts": `import {\n  type A,\n  b,\n} from "../storage/memory-storage.ts";\nimport "../storage/storage.ts";`,
      },
      ["run/a.ts → storage/memory-storage.ts"],
    ],
    [
      "an import inside a type",
      arrows,
      { "testing/a.ts": `type A = import("../run/a.ts").A` },
      ["testing/a.ts → run/a.ts"],
    ],
    [
      "a value taken where only types may be",
      arrows,
      { "http/a.ts": `import type { A } from "../scheduler.ts";\nexport { b } from "../flow-registry.ts";` },
      ["http/a.ts → flow-registry.ts"],
    ],
    [
      "a part that enters by the front door",
      arrows,
      { "run/a.ts": `import { a } from "../index.js";` },
      ["run/a.ts → index.ts"],
    ],
    ["no import in a comment", arrows, { "model/a.ts": `// import "../run/a.ts"\n/* import "../errors.ts" */` }, []],
    [
      "an import after a string that looks like a comment",
      arrows,
      { "model/a.ts": `f("//"); import("../run/b.ts")` },
      ["model/a.ts → run/b.ts"],
    ],
    [
      "a cycle of types and re-exports",
      cycles,
      {
        "run/a.ts": `import "./b.ts";`,
        "run/b.ts": `import type { C } from "./c.ts";`,
        "run/c.ts": `export * from "./b.js";`,
      },
      ["run/b.ts → run/c.ts → run/b.ts"],
    ],
    ["a package in two files", packages, { "a.ts": `import "p/x";`, "b.ts": `import p from "p";` }, ["b.ts → p"]],
    [
      "two packages of one scope as two",
      packages,
      { "a.ts": `import "@p/a/x";`, "b.ts": `import "@p/b"; import "node:fs";` },
      [],
    ],
    [
      "a front door that leads to SQLite",
      sqlite,
      {
        "index.ts": `export * from "./storage/sqlite/sqlite-storage.ts";`,
        "storage/sqlite/sqlite-storage.ts": `import { openDatabase } from "./drivers.ts";`,
      },
      ["index.ts → storage/sqlite/sqlite-storage.ts"],
    ],
    [
      "a driver that is loaded by another file, or before it is asked for",
      lack,
      {
        "storage/sqlite/drivers.ts": `import Libsql from "libsql"; const load = () => require("better-sqlite3/package.json");`,
        "storage/a.ts": `const load = () => require("libsql"); process.getBuiltinModule("node:sqlite");`,
      },
      ["storage/sqlite/drivers.ts → libsql", "storage/a.ts → libsql", "storage/a.ts"],
    ],
    [
      "each way to read time",
      clock,
      { "run/a.ts": `new Date(); const now = Date.now; setTimeout(f); new Date(at); performance.now() // Date.now()` },
      ["run/a.ts: new Date", "run/a.ts: Date.now", "run/a.ts: setTimeout", "run/a.ts: performance."],
    ],
    [
      "a timer in the manual clock, which may only let promises settle",
      clock,
      { "clock.ts": `Date.now()`, "testing/manual-clock.ts": `setImmediate(f); setInterval(f)` },
      ["testing/manual-clock.ts: setInterval"],
    ],
    [
      "a constant at the front door",
      doors,
      { "index.ts": `export { a } from "./a.ts";\nexport const b = 1;` },
      ["index.ts"],
    ],
    ["an import at the door of testing", doors, { "testing/index.ts": `import "./a.ts";` }, ["testing/index.ts"]],
  ];

  test.each(examples)("%s", (_title, rule, sources, found) => {
    expect(rules[rule](sources)).toEqual(found);
  });
});
