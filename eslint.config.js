import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { createNodeResolver, importX } from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

const json = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));

/** Tests of the words, which have to contain some. */
const wordTests = ["test/architecture.test.ts", "test/docs.test.ts"];

// ---- Who may import whom: docs/architecture.md has the same table. ----

const contracts = ["storage/storage.ts", "executor/executor.ts"];
const parts = ["model", "cron", "clock.ts", "errors.ts", "events.ts", "storage", "executor", "run"];

/** A place in src → what it may import beside its own folder; after `type `, as types only. */
const mayImport = {
  model: [],
  cron: [],
  "clock.ts": [],
  "errors.ts": ["model"],
  "events.ts": ["model", "errors.ts"],
  storage: ["model", "errors.ts", "clock.ts"],
  executor: ["model", "errors.ts", "clock.ts", "storage/storage.ts"],
  run: ["model", "errors.ts", "type events.ts", "clock.ts", "storage/storage.ts"],
  "registry-options.ts": ["model", "clock.ts", "cron/cron.ts", "storage/storage.ts"],
  "flow-registry.ts": ["model", "errors.ts", "events.ts", "clock.ts", "cron/cron.ts", "registry-options.ts", "storage"],
  scheduler: [...parts, "flow-registry.ts"],
  connectors: ["model", "errors.ts", "clock.ts"],
  http: ["model", "errors.ts", "type clock.ts", "type events.ts", "type flow-registry.ts", "type scheduler"],
  testing: ["model", "errors.ts", "events.ts", "clock.ts", ...contracts],
  dashboard: ["model", "errors.ts", "type http"],
  alerts: ["model", "errors.ts", "type index.ts"],
  cli: ["model", "errors.ts", "clock.ts", "index.ts", "http", "dashboard", "storage"],
  opentelemetry: ["model", "errors.ts", "clock.ts", "type run"],
  "index.ts": [...parts, "flow-registry.ts", "registry-options.ts", "scheduler"],
};

const within = (place) => (place.endsWith(".ts") ? `src/${place}` : `src/${place}/**`);
const places = Object.keys(mayImport);
const typesOnly = (place) =>
  mayImport[place].filter((entry) => entry.startsWith("type ")).map((entry) => entry.slice(5));

/** Folders of connectors, and the contracts that the others may import. */
const connectors = { files: ["format.ts"], http: [], singer: [], sql: ["database.ts"] };
const betweenConnectors = Object.entries(connectors).map(([folder, contracts]) => ({
  target: ["./src/connectors/*.ts", `./src/connectors/!(${folder})/**/*`],
  from: `./src/connectors/${folder}`,
  except: contracts.map((contract) => `./${contract}`),
  message: "Folders of connectors import only contracts of each other.",
}));

const zones = [
  ...betweenConnectors,
  ...Object.entries({
    storage: ["sqlite/sqlite-storage.ts"],
    http: ["index.ts", "node.ts"],
    dashboard: ["index.ts"],
  }).map(([folder, entries]) => ({
    target: "./src/cli",
    from: `./src/${folder}`,
    except: entries.map((entry) => `./${entry}`),
    message: "The command line imports entries only.",
  })),
  ...places.map((place) => ({
    target: `./src/${place}`,
    from: "./src",
    except: [place, ...mayImport[place]].map((entry) => `./${entry.replace("type ", "")}`),
    message: "docs/architecture.md says what each place may import.",
  })),
  {
    target: ["./src/*.ts", "./src/!(storage|cli)/**/*", "./src/storage/!(sqlite)/**/*"],
    from: "./src/storage/sqlite",
    message: "SQLite is reached by its own entry only.",
  },
  {
    target: ["./src/*.ts", "./src/!(storage)/**/*", "./src/storage/!(postgres)/**/*"],
    from: "./src/storage/postgres",
    message: "PostgreSQL is reached by its own entry only.",
  },
  {
    target: ["./src/**/*"],
    from: "./src/executor/bull-executor.ts",
    message: "What needs bullmq is reached by its own entry only.",
  },
  {
    target: ["./src/**/*"],
    from: "./src/executor/graphile-executor.ts",
    message: "What needs graphile-worker is reached by its own entry only.",
  },
  {
    target: ["./src/*.ts", "./src/!(http|cli)/**/*", "./src/http/!(node).ts", "./src/http/*/**/*"],
    from: "./src/http/node.ts",
    message: "What needs @hono/node-server is reached by its own entry only.",
  },
  {
    target: ["./src/*.ts", "./src/!(connectors)/**/*", "./src/connectors/*.ts", "./src/connectors/http/*.ts"],
    from: "./src/connectors/http/public-fetch",
    message: "What needs undici is reached by its own entry only.",
  },
  {
    target: ["./src/*.ts", "./src/!(connectors)/**/*", "./src/connectors/*.ts", "./src/connectors/http/*.ts"],
    from: "./src/connectors/http/oauth",
    message: "What needs oauth4webapi is reached by its own entry only.",
  },
];

// ---- Each third-party package is imported by one file. ----

const importer = {
  "@opentelemetry/api": "src/opentelemetry/api.ts",
  "@hono/node-server": "src/http/node.ts",
  "@preact/signals": "src/dashboard/app/view.ts",
  "@valibot/to-json-schema": "src/http/openapi.ts",
  bullmq: "src/executor/bull-executor.ts",
  "cron-parser": "src/cron/fields.ts",
  cronstrue: "src/dashboard/app/format/schedule.ts",
  esbuild: "src/dashboard/build-assets.ts",
  eventemitter3: "src/events.ts",
  "eventsource-parser": "src/dashboard/app/api/live.ts",
  "fastest-levenshtein": "src/model/suggest.ts",
  "graphile-worker": "src/executor/graphile-executor.ts",
  hono: "src/http/router.ts",
  oauth4webapi: "src/connectors/http/oauth/oauth.ts",
  "p-queue": "src/executor/flow-slots.ts",
  picomatch: "src/connectors/files/file-export.ts",
  preact: "src/dashboard/app/view.ts",
  undici: "src/connectors/http/public-fetch/public-fetch.ts",
  uuidv7: "src/registry-options.ts",
  valibot: "src/model/validate.ts",
};

const { dependencies, peerDependencies } = json("package.json");
// Bundled packages are among the importers only.
const packages = Object.keys({ ...dependencies, ...peerDependencies, ...importer });
const timers = ["node:timers", "node:perf_hooks"];

/** What a file of src may not import, by the files that may. */
function restrictedImports(file, place) {
  const others = [...packages, "node:sqlite"].filter((name) => !(name in importer) || importer[name] !== file);
  const message = "Each package is imported by one file; eslint.config.js says which.";
  const patterns = [...others, ...timers].map((name) => ({ regex: `^${name}(/|$)`, message }));
  const types = typesOnly(place).map((entry) => ({
    regex: `^(\\.\\./)+${entry.replace(".ts", "\\.ts$")}`,
    allowTypeImports: true,
    message: `${place} may import types of it only.`,
  }));
  return { "@typescript-eslint/no-restricted-imports": ["error", { patterns: [...patterns, ...types] }] };
}

// ---- Only clock.ts reads time or sets a timer. ----

const ofTheClock = "Only clock.ts reads time or sets a timer; take a Clock.";
const restrictedGlobals = ["setTimeout", "setInterval", "setImmediate", "performance", "Temporal"].map((name) => ({
  name,
  message: ofTheClock,
}));
const restrictedProperties = [
  ["Date", "now"],
  ["AbortSignal", "timeout"],
  ["process", "hrtime"],
  ["process", "uptime"],
].map(([object, property]) => ({ object, property, message: ofTheClock }));
const readsTime = [
  { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: ofTheClock },
  { selector: "CallExpression[callee.name='Date']", message: ofTheClock },
];

// ---- Other syntax. ----

const loadsDrivers = [
  {
    selector:
      "CallExpression[callee.name=/^(require|hostPackage)$/] > Literal[value=/^(node:sqlite|libsql|better-sqlite3)/]",
    message: "Only storage/sqlite/drivers.ts loads a driver, when it is asked for.",
  },
  {
    selector: "MemberExpression > Identifier.property[name='getBuiltinModule']",
    message: "Only storage/sqlite/{drivers,host-package}.ts ask whether Node has a module.",
  },
];
/** Where such an object is made for each page, batch or request, it keeps them alive. There is no exception. */
const getters = {
  selector: "ObjectExpression > Property[kind=/^[gs]et$/]",
  message:
    "An object literal with a getter gets a hidden class of its own each time (Node 20): use a class or a function.",
};
const onlyReExports = {
  selector: "Program > :not(ExportAllDeclaration, ExportNamedDeclaration[source])",
  message: "An entry only re-exports.",
};
const unknownPlace = { selector: "Program", message: "docs/architecture.md knows no such place in src." };

// ---- Plain words: test/words.json has them, and the exceptions. ----

const { words, typeNames, exceptions } = json("test/words.json");
const banned = words.map(({ pattern, say }) => ({
  regex: new RegExp(`${pattern.startsWith("(?:^") ? "" : "\\b"}(?:${pattern})\\b`, "giu"),
  say,
}));

const wordsOf = (name) =>
  name
    .replace(/([a-z\d])([A-Z])/g, "$1 $2")
    .replace(/[_$#./-]+/g, " ")
    .trim();

/** What is wrong with some prose of a file: the words found, and what to say instead. */
function wordProblems(prose, path) {
  let rest = prose;
  for (const { text, in: place = "" } of exceptions) if (path.startsWith(place)) rest = rest.replaceAll(text, "");
  return banned.flatMap(({ regex, say }) => [...rest.matchAll(regex)].map(([found]) => ({ found: found.trim(), say })));
}

const plainWords = {
  meta: { type: "suggestion", schema: [], messages: { word: "“{{found}}” is not one of our words; say: {{say}}" } },
  create(context) {
    const path = relative(import.meta.dirname, context.filename).replaceAll("\\", "/");
    const seen = new Set();
    const check = (loc, prose) => {
      for (const data of wordProblems(prose, path)) context.report({ loc, messageId: "word", data });
    };
    const checkName = ({ name, loc }) => {
      if (seen.has(name)) return;
      seen.add(name);
      check(loc, wordsOf(name));
    };
    const checkType = ({ id }) => {
      if (new RegExp(typeNames.pattern).test(id.name))
        context.report({ loc: id.loc, messageId: "word", data: { found: id.name, say: typeNames.say } });
    };
    return {
      Program() {
        check({ line: 1, column: 0 }, wordsOf(path));
        for (const comment of context.sourceCode.getAllComments()) check(comment.loc, comment.value);
      },
      Identifier: checkName,
      PrivateIdentifier: checkName,
      Literal: ({ value, loc }) => typeof value === "string" && check(loc, value),
      TemplateElement: ({ value, loc }) => check(loc, value.raw),
      TSInterfaceDeclaration: checkType,
      TSTypeAliasDeclaration: checkType,
    };
  },
};

const syntax = (...refused) => ({ "no-restricted-syntax": ["error", ...refused] });
const placeOf = (file) => places.find((place) => file === `src/${place}` || file.startsWith(`src/${place}/`));

export default tseslint.config(
  {
    ignores: [
      "dist/",
      "node_modules/",
      ".work/",
      "coverage/",
      "test/docs-preamble.ts",
      "test/docs-hosts.d.ts",
      "test/package/generators/*.ts",
      "test/package/hosts/**/*.ts",
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { "import-x": importX, poundlock: { rules: { "plain-words": plainWords } } },
    settings: {
      "import-x/extensions": [".ts"],
      "import-x/resolver-next": [createNodeResolver({ extensions: [".ts"] })],
    },
    rules: {
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": ["error", { ignoreRestSiblings: true }],
      // Contracts promise asynchrony; an implementation in memory has nothing to wait for.
      "@typescript-eslint/require-await": "off",
      // A host's `write` is `Promise<void | readonly Result[]>`: the union is the contract.
      "@typescript-eslint/no-invalid-void-type": "off",
    },
  },
  // Scripts outside the TypeScript program have no types to check.
  { files: ["**/*.{js,mjs,cjs}"], ...tseslint.configs.disableTypeChecked },
  { files: ["**/*.cjs"], rules: { "@typescript-eslint/no-require-imports": "off" } },
  {
    files: ["{src,test,examples}/**"],
    ignores: wordTests,
    rules: { "poundlock/plain-words": "error" },
  },
  {
    files: ["src/**"],
    rules: {
      "import-x/no-cycle": "error",
      "import-x/no-restricted-paths": ["error", { zones, basePath: import.meta.dirname }],
      // A type imported as `import("…").T` would pass the rules above.
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "no-restricted-globals": ["error", ...restrictedGlobals],
      "no-restricted-properties": ["error", ...restrictedProperties],
      ...syntax(...readsTime, ...loadsDrivers, getters),
      // Blank lines and comments count, too; test/architecture.test.ts counts the files of a folder.
      "max-lines": ["error", 450],
      "max-lines-per-function": ["error", { max: 40, IIFEs: true }],
    },
  },
  ...places.map((place) => ({ files: [within(place)], rules: restrictedImports(undefined, place) })),
  ...Object.values(importer).map((file) => ({ files: [file], rules: restrictedImports(file, placeOf(file)) })),
  { files: ["src/storage/sqlite/{drivers,host-package}.ts"], rules: syntax(...readsTime, getters) },
  { files: ["src/index.ts", "src/*/index.ts"], rules: syntax(...readsTime, ...loadsDrivers, getters, onlyReExports) },
  { files: ["src/**"], ignores: places.map(within), rules: syntax(unknownPlace) },
  {
    files: ["src/clock.ts"],
    rules: { "no-restricted-globals": "off", "no-restricted-properties": "off", ...syntax(...loadsDrivers, getters) },
  },
  {
    files: ["src/dashboard/app/browser/clock.ts"], // the clock of the page
    rules: { "no-restricted-globals": "off", "no-restricted-properties": "off" },
  },
  {
    files: ["src/testing/manual-clock.ts"], // lets promises settle
    rules: { "no-restricted-globals": ["error", ...restrictedGlobals.filter(({ name }) => name !== "setImmediate")] },
  },
);
