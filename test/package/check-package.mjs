// Checks the package as a host gets it: packed, installed into empty projects, imported, required, bundled and type-checked.
// Needs a built `dist`; `npm run check:package` builds it. With `--update` it writes exported-names.txt before it compares.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { gunzipSync } from "node:zlib";
import { build as esbuild } from "esbuild";
import { tsImport } from "tsx/esm/api";
import { checkExportedNames } from "./exported-names.mjs";
import { importedPeers, inProject, manifest, node, pack, pinned, root, run, runChecks } from "./pack.mjs";
import { dueTimes } from "./due-times.mjs";

/** In bytes. What is over it needs a reason, which goes into the commit that raises it. */
const budget = { tarball: 1_375_000, unpacked: 5_300_000, installed: 8_250_000 };

const { default: options } = await tsImport("../../tsup.config.ts", import.meta.url);
const entries = Object.keys(options.entry);
const { tarball, size, unpackedSize, files } = await pack();
const packed = files.map(({ path }) => path);

async function tool(name, ...args) {
  await node([join(root, "node_modules", name), ...args], root);
}

/** The conditions of one entry point, as publint, attw and every module resolution accept them. */
const conditions = (entry) => ({
  import: { types: `./dist/${entry}.d.ts`, default: `./dist/${entry}.js` },
  require: { types: `./dist/${entry}.d.cts`, default: `./dist/${entry}.cjs` },
});
const subpath = (entry) => (entry === "index" ? "." : `./${entry}`);

function exportsAreTheEntries() {
  const expected = Object.fromEntries(entries.map((entry) => [subpath(entry), conditions(entry)]));
  assert.deepEqual(manifest.exports, { ...expected, "./package.json": "./package.json" });
  const beside = entries.filter((entry) => entry !== "index");
  assert.deepEqual(
    manifest.typesVersions["*"],
    Object.fromEntries(beside.map((entry) => [entry, [`./dist/${entry}.d.cts`]])),
  );
  const { main, module, types } = manifest;
  assert.deepEqual(
    { main, module, types },
    { main: "./dist/index.cjs", module: "./dist/index.js", types: "./dist/index.d.cts" },
  );
}

const built = packed.filter((path) => /^dist\/.+(?:\.d\.c?ts|\.c?js)$/.test(path));
const sources = new Map(await Promise.all(built.map(async (path) => [path, await readFile(join(root, path), "utf8")])));

/** What a host loads is one byte a character to V8. */
function sourcesAreOneByte() {
  const wide = [...sources].filter(
    ([path, text]) => /\.c?js$/.test(path) && !path.includes("cli") && /[^\0-\xff]/.test(text),
  );
  assert.deepEqual(
    wide.map(([path]) => path),
    [],
    "V8 keeps these at two bytes a character",
  );
}

/** A built file is an entry point's, or one that some other built file names. */
function distIsTheExports() {
  const exported = [
    ...entries.flatMap((entry) => [".js", ".cjs", ".d.ts", ".d.cts"].map((end) => `dist/${entry}${end}`)),
    ...Object.values(manifest.bin),
  ];
  const missing = exported.filter((file) => !built.includes(file));
  assert.deepEqual(missing, [], "missing from dist");
  const stem = (file) => posix.basename(file).replace(/(\.d)?\.c?[jt]s$/, "");
  const isNamed = (file) => built.some((other) => other !== file && sources.get(other).includes(`/${stem(file)}.`));
  const unused = built.filter((file) => !exported.includes(file) && !isNamed(file));
  assert.deepEqual(unused, [], "in dist, but part of no entry point");
}

function tarballHasWhatHostsNeed() {
  const wanted =
    /^(?:dist\/.+(?:\.d\.c?ts|\.c?js)|dist\/licenses\.txt|docs\/.+\.md|docs\/guides\/telemetry\/.+\.(?:json|yml)|README\.md|LICENSE|package\.json)$/;
  const unwanted = packed.filter((path) => !wanted.test(path));
  assert.deepEqual(unwanted, []);
  const telemetry = ["grafana.json", "alert-rules.yml"].map((name) => `docs/guides/telemetry/${name}`);
  for (const path of ["README.md", "LICENSE", "docs/reference.md", ...telemetry])
    assert.ok(packed.includes(path), `${path} is not packed`);
}

/** Of links between pages; those to sources and tests lead to the repository. */
async function linksLeadToPages() {
  const pages = packed.filter((path) => path.endsWith(".md"));
  const broken = [];
  for (const page of pages) {
    const text = await readFile(join(root, page), "utf8");
    const links = [...text.matchAll(/\]\(([^()\s:#]+\.md)(?:#[^()\s]*)?\)/g)];
    for (const [, link] of links)
      if (!packed.includes(posix.join(posix.dirname(page), link))) broken.push(`${page} → ${link}`);
  }
  assert.deepEqual(broken, []);
  return `${pages.length} pages`;
}

function sizeIsInBudget() {
  const bytes = `${size} bytes packed, ${unpackedSize} unpacked`;
  assert.ok(size <= budget.tarball && unpackedSize <= budget.unpacked, `over the budget of this file: ${bytes}`);
  return bytes;
}

/** esbuild writes above each part of a build from where it is. */
const inside = /^\/\/ node_modules\/((?:@[^/\s]+\/)?[^/\s]+)/gm;
const imported =
  /^(?:import (?:.* from )?|(?:var|const) \w+ = require\()['"]((?:@[^/'"]+\/)?[^./'"][^/'"]*)[^'"]*['"]\)?;$/gm;
const matches = (pattern, end) =>
  built
    .filter((path) => path.endsWith(end))
    .flatMap((path) => [...sources.get(path).matchAll(pattern)].map(([, name]) => name));

async function bundlesWhatIsLicensed() {
  // The page is inside as strings, in which no comments are left.
  const inThePage = ["@preact/signals", "@preact/signals-core", "cronstrue", "eventsource-parser", "preact"];
  const inTheProgram = ["@hono/node-server", "hono"];
  assert.deepEqual([...new Set(matches(inside, ".js"))].sort(), [...inTheProgram, "cron-parser"].sort());
  assert.deepEqual([...new Set(matches(inside, ".cjs"))].sort(), [
    "cron-parser",
    "oauth4webapi",
    "p-queue",
    "p-timeout",
  ]);
  const licenses = await readFile(join(root, "dist/licenses.txt"), "utf8");
  const licensed = [...licenses.matchAll(/^(\S+) \d+\.\d+\.\d+ \(([\w.-]+)\)\n\n(?=[^]{500})/gm)].map(
    ([, name]) => name,
  );
  assert.deepEqual(
    licensed.sort(),
    [...inThePage, ...inTheProgram, "cron-parser", "oauth4webapi", "p-queue", "p-timeout"].sort(),
  );
}

function importsWhatIsInstalled() {
  const { dependencies, peerDependencies } = manifest;
  const installed = Object.keys({ ...dependencies, ...peerDependencies });
  const names = new Set(matches(imported, "js").filter((name) => !name.startsWith("node:")));
  assert.ok(names.has("valibot") && names.has("hono"), `found only ${[...names].join()}`);
  const others = [...names].filter((name) => !installed.includes(name));
  assert.deepEqual(others, [], "imported, but no dependency");
}

/** As browsers get it, compressed. */
async function pageIsInBudget() {
  const { createDashboard } = await import("../../dist/dashboard.js");
  const dashboard = createDashboard({ handler: async () => new Response() });
  const get = (path) => dashboard(new Request(`http://host${path}`, { headers: { "accept-encoding": "gzip" } }));
  const page = gunzipSync(await (await get("/")).arrayBuffer()).toString();
  const sizes = {};
  for (const [, name] of page.matchAll(/(assets\/[\w-]+\.\w+)/g))
    sizes[name.endsWith(".css") ? "css" : "js"] = (await (await get(`/${name}`)).arrayBuffer()).byteLength;
  assert.ok(sizes.js > 10_000 && sizes.js <= 45 * 1_024, `the script that the page begins with: ${sizes.js} bytes`);
  assert.ok(sizes.css > 1_000 && sizes.css <= 6 * 1_024, `the style of the page: ${sizes.css} bytes`);
  return `${sizes.js} bytes of script, ${sizes.css} of style`;
}

/** The build has cron-parser without luxon inside, the sources import both as they are. */
async function schedulesAsTheSourcesDo() {
  const { cronOf } = await tsImport("../../src/cron/cron.ts", import.meta.url);
  const expected = dueTimes.expressions.map((expression) => cronOf(expression, dueTimes.timezone, dueTimes._id));
  const start = dueTimes.start.getTime();
  const found = await dueTimes.of(await import("../../dist/index.js"), await import("../../dist/testing.js"));
  assert.deepEqual(
    found,
    expected.map((cron) => new Date(cron.next(start)).toISOString()),
  );
  return `${found.length} expressions`;
}

/** With nothing installed but the peers that a built file imports; and bundled, with everything inside. */
const loadsEveryEntry = async () =>
  inProject({ type: "module", packages: [tarball, ...(await importedPeers()).map(pinned)] }, async (folder) => {
    const names = entries.map((entry) => (entry === "index" ? "poundlock" : `poundlock/${entry}`));
    await writeFile(
      join(folder, "every.mjs"),
      everyEntry(names, (name) => `await import("${name}")`),
    );
    await writeFile(
      join(folder, "every.cjs"),
      everyEntry(names, (name) => `require("${name}")`),
    );
    const outfile = join(folder, "every-bundle.cjs");
    // graphile-worker reads configurations in TypeScript where that is installed.
    await esbuild({ ...toCommonJs, external: ["typescript"], entryPoints: [join(folder, "every.cjs")], outfile });
    const commonJs = ["--no-experimental-require-module"];
    const found = await Promise.all(
      [["every.mjs"], [...commonJs, "every.cjs"], [...commonJs, outfile]].map((args) => node(args, folder)),
    );
    assert.deepEqual(found.slice(1), [found[0], found[0]], "not every build exports the same");
    return `${names.length} entry points`;
  });

/** A program that prints what each entry point exports. */
const everyEntry = (names, load) => {
  const lines = names.map(
    (name) =>
      `  console.log(${JSON.stringify(name)}, Object.keys(${load(name)}).filter((key) => key !== "default" && key !== "__esModule").sort().join());`,
  );
  return `async function main() {\n${lines.join("\n")}\n}\nmain().catch((error) => {\n  console.error(error);\n  process.exitCode = 1;\n});\n`;
};

const driver = pinned("libsql");
const http = [pinned("hono"), pinned("@hono/node-server")];
const parts = ["move-orders.cjs", "keep-orders.cjs", "serve-orders.cjs"];

async function movesOrders(folder, args, env) {
  const output = await node(args, folder, env);
  assert.match(output, /^completed 250 0 0 250$/m, output);
  return output;
}

async function movesKeepsAndServes(folder, args, { served = 1, env } = {}) {
  const output = await movesOrders(folder, args, env);
  assert.match(output, /^kept in libsql$/m, output);
  assert.equal(output.match(/^served over HTTP$/gm)?.length, served, output);
}

const worksAsModule = () =>
  inProject({ type: "module", packages: [tarball, driver, ...http], files: ["consumer.mjs", ...parts] }, (folder) =>
    movesKeepsAndServes(folder, ["consumer.mjs"], { served: 2 }),
  );

const toCommonJs = { bundle: true, platform: "node", format: "cjs", logLevel: "error" };

/** Also where Node must not `require` an ES module, as Jest and Yarn's Plug'n'Play cannot. */
const worksInCommonJs = () =>
  inProject(
    {
      type: "commonjs",
      packages: [tarball, driver, ...http],
      files: ["consumer.cjs", "bundled.mjs", "tsup.config.mjs", ...parts],
    },
    async (folder) => {
      await movesKeepsAndServes(folder, ["consumer.cjs"], { served: 2 });
      await movesKeepsAndServes(folder, ["--no-experimental-require-module", "consumer.cjs"], { served: 2 });
      await bundlesWork(folder);
    },
  );

/** Run from elsewhere, so that drivers are found from the bundle alone. */
async function bundlesWork(folder) {
  const outfile = join(folder, "esbuild/bundled.js");
  await esbuild({ ...toCommonJs, entryPoints: [join(folder, "bundled.mjs")], outfile });
  await node([join(root, "node_modules/tsup/dist/cli-default.js")], folder);
  for (const bundler of ["esbuild", "tsup", "tsup-all"])
    await movesKeepsAndServes(root, [join(folder, bundler, "bundled.js")]);
}

const asksForADriver = () =>
  inProject({ type: "module", packages: [tarball], files: ["without-driver.mjs"] }, async (folder) => {
    const installed = await bytesIn(join(folder, "node_modules"));
    assert.ok(installed <= budget.installed, `over the budget of this file: ${installed} bytes installed`);
    const outfile = join(folder, "bundle/without-driver.cjs");
    const entryPoints = [join(folder, "without-driver.mjs")];
    await esbuild({ ...toCommonJs, entryPoints, outfile });
    for (const file of ["without-driver.mjs", outfile]) {
      const output = await node([file], folder);
      assert.match(output, /^(said what to install|node:sqlite is enough)$/m, output);
    }
    await writeFile(join(folder, "some.db"), "");
    const flows = poundlock(folder, "flows", "--file", "some.db");
    await assert.rejects(flows, /npm install libsql|it has no tables of poundlock/);
    return `${installed} bytes installed`;
  });

/** As a host's shell finds it. */
const poundlock = (folder, ...args) => run("npx", ["--no-install", "poundlock", ...args], { cwd: folder });

/** With nothing installed beside the package but a driver: no hono, no server. */
const runsTheProgram = async () => {
  for (const type of ["module", "commonjs"])
    await inProject({ type, packages: [tarball, driver] }, async (folder) => {
      await writeFile(join(folder, "host.mjs"), programsHost);
      await node(["host.mjs"], folder);
      const flows = (await poundlock(folder, "flows", "--json", "--file", "flows.db")).trim().split("\n");
      assert.deepEqual(
        flows.map((line) => JSON.parse(line)._id),
        ["orders"],
      );
      assert.match(await poundlock(folder, "run", "orders", "--file", "flows.db"), /is queued\./);
      assert.equal((await poundlock(folder, "--version")).trim(), manifest.version);
      await assert.rejects(poundlock(folder, "doctor", "--file", "flows.db"), /No process whose scheduler is started/);
      await servesTheDashboard(folder);
    });
};

const programsHost = `import { FlowRegistry } from "poundlock";
import { SqliteStorage } from "poundlock/storage/sqlite";
const storage = await SqliteStorage.open("flows.db");
const orders = { async *pages() {} };
const ledger = { idempotent: true, async write() {} };
const registry = new FlowRegistry({ exports: { orders }, imports: { ledger }, storage });
await registry.define("orders", { name: "Orders", _exportId: "orders", _importId: "ledger" });
await storage.close();
`;

async function servesTheDashboard(folder) {
  const program = join(folder, "node_modules/poundlock", manifest.bin.poundlock);
  const child = spawn(process.execPath, [program, "dashboard", "--json", "--file", "flows.db"], { cwd: folder });
  try {
    const [printed] = await once(child.stdout, "data");
    const { url, token } = JSON.parse(printed.toString());
    assert.match(await (await fetch(url)).text(), /<html/);
    const flows = await fetch(`${url}api/flows`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await flows.json()).length, 1);
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [0, null]);
  } finally {
    child.kill("SIGKILL");
  }
}

async function bytesIn(folder) {
  const names = await readdir(folder, { recursive: true });
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

const servesWithHonoAlone = () =>
  inProject({ type: "commonjs", packages: [tarball, pinned("hono")], files: ["hono-alone.cjs"] }, async (folder) => {
    const output = await node(["hono-alone.cjs"], folder);
    assert.equal(output, "200 200\n");
  });

/** A host that watches nothing loads nothing for it. */
function onlyOneEntryKnowsTelemetry() {
  const knowing = (pattern) => built.filter((path) => pattern.test(sources.get(path)));
  const own = [".cjs", ".d.cts", ".d.ts", ".js"].map((end) => `dist/opentelemetry${end}`);
  assert.deepEqual(knowing(/["']@opentelemetry\//).sort(), own);
  assert.deepEqual(knowing(/["'][./]+\/opentelemetry\.(?:c?js)["']/), []);
}

const asksForOpenTelemetry = () =>
  inProject({ type: "module", packages: [tarball] }, async (folder) => {
    for (const load of ['await import("poundlock/opentelemetry")', 'require("poundlock/opentelemetry")'])
      await assert.rejects(node(["-e", `(async () => ${load})()`], folder), /Cannot find \w+ '@opentelemetry\/api'/);
  });

const telemetry = ["api", "context-async-hooks", "sdk-trace-base"].map((name) => pinned(`@opentelemetry/${name}`));

const tracesRuns = () =>
  inProject({ type: "commonjs", packages: [tarball, ...telemetry], files: ["traced-host.cjs"] }, async (folder) => {
    const output = await node(["traced-host.cjs"], folder);
    const spans = "commit 2,page orders 1,read orders 1,read orders 1,run orders 0,write ledger 2";
    assert.equal(output, `${spans}\n${spans}\n`);
  });

const resolutions = [
  ["node16", "--module", "node16"],
  ["nodenext", "--module", "nodenext"],
  ["bundler", "--module", "esnext", "--moduleResolution", "bundler", "--noEmit"],
];
const strict = ["--strict", "--skipLibCheck", "false", "--target", "es2022", "--lib", "es2023", "--types", "node"];

const compilesAndWorks = () =>
  inProject(
    {
      type: "module",
      packages: [tarball, driver, ...http, pinned("typescript"), pinned("@types/node")],
      files: ["consumer.ts"],
    },
    async (folder) => {
      const sources = ["consumer.ts", "consumer.mts", "consumer.cts"];
      for (const source of sources.slice(1)) await cp(join(folder, "consumer.ts"), join(folder, source));
      const tsc = join(folder, "node_modules/typescript/lib/tsc.js");
      for (const [name, ...resolution] of resolutions) {
        await node([tsc, ...strict, ...resolution, "--outDir", name, ...sources], folder);
        if (resolution.includes("--noEmit")) continue;
        for (const file of ["consumer.js", "consumer.mjs", "consumer.cjs"]) {
          const output = await movesOrders(folder, [join(name, file)]);
          assert.match(output, /^kept completed 250$/m, output);
        }
      }
    },
  );

const runsTheExample = () =>
  inProject(
    {
      type: "module",
      packages: [tarball, driver, ...http, pinned("typescript"), pinned("@types/node")],
      files: ["host-example.ts"],
    },
    async (folder) => {
      for (const end of ["mts", "cts"]) await cp(join(folder, "host-example.ts"), join(folder, `host-example.${end}`));
      const tsc = join(folder, "node_modules/typescript/lib/tsc.js");
      const sources = ["host-example.mts", "host-example.cts"];
      await node([tsc, ...strict, "--module", "nodenext", "--outDir", "out", ...sources], folder);
      for (const file of ["host-example.mjs", "host-example.cjs"]) {
        const output = await node([join("out", file)], folder);
        assert.match(output, /^completed o1,o2,o3,o4 7\n1 1\n200 1 false\ntrue function$/m, output);
      }
    },
  );

const compilesConnectors = () =>
  inProject(
    {
      type: "module",
      packages: [tarball, ...["oauth4webapi", "pg", "typescript", "@types/node", "@types/pg"].map(pinned)],
      files: ["connectors-host.ts"],
    },
    async (folder) => {
      for (const end of ["mts", "cts"])
        await cp(join(folder, "connectors-host.ts"), join(folder, `connectors-host.${end}`));
      const tsc = join(folder, "node_modules/typescript/lib/tsc.js");
      const sources = ["connectors-host.mts", "connectors-host.cts"];
      const exact = [...strict, "--exactOptionalPropertyTypes", "--esModuleInterop"];
      await node([tsc, ...exact, "--module", "nodenext", "--outDir", "out", ...sources], folder);
      for (const file of ["connectors-host.mjs", "connectors-host.cjs"]) await node([join("out", file)], folder);
    },
  );

await runChecks("package", [
  ["package.json names exactly the entry points that tsup builds", exportsAreTheEntries],
  ["dist holds every entry point and no other", distIsTheExports],
  ["no file that a host loads has a character beyond Latin-1", sourcesAreOneByte],
  ["the tarball holds what hosts need and nothing else", tarballHasWhatHostsNeed],
  ["links between README.md and docs lead to packed pages", linksLeadToPages],
  ["the tarball is no larger than its budget", sizeIsInBudget],
  [
    "the entry points export the names in exported-names.txt",
    () => checkExportedNames(entries, process.argv.includes("--update")),
  ],
  ["every package that is bundled has its licence in dist/licenses.txt", bundlesWhatIsLicensed],
  ["every package that is imported is a dependency", importsWhatIsInstalled],
  ["the page of the dashboard is no larger than its budget", pageIsInBudget],
  ["the build reads schedules as the sources do", schedulesAsTheSourcesDo],
  ["publint finds nothing, even when strict", () => tool("publint/src/cli.js", "run", tarball, "--strict")],
  ["the types resolve in every way, node10 included", () => tool("@arethetypeswrong/cli/dist/index.js", tarball)],
  ["every entry point loads, exports the same by import and by require, and can be bundled", loadsEveryEntry],
  ["an ESM project imports it, moves records, keeps them in a file and serves them", worksAsModule],
  [
    "so does a CommonJS project that requires it, also without require(esm), and bundled by esbuild and tsup",
    worksInCommonJs,
  ],
  ["a project without a driver for SQLite, bundled or not, is small and gets to know what to install", asksForADriver],
  ["the program runs in an ES module project and in a CommonJS one, and serves the page there", runsTheProgram],
  ["poundlock/http needs no other package than hono", servesWithHonoAlone],
  [
    "OpenTelemetry is imported by poundlock/opentelemetry alone, and by no other entry point",
    onlyOneEntryKnowsTelemetry,
  ],
  ["poundlock/opentelemetry names the package that is missing", asksForOpenTelemetry],
  ["poundlock/opentelemetry makes spans by import and by require", tracesRuns],
  ["a TypeScript project compiles it as .ts, .mts and .cts with node16, nodenext and bundler", compilesAndWorks],
  ["the design's example compiles strictly and runs, as an ES module and as CommonJS", runsTheExample],
  ["so does the design's host of connectors", compilesConnectors],
]);
