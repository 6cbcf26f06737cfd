// Checks the package as a host gets it: packed, installed into empty projects, imported, required and type-checked.
// Needs a built `dist`; `npm run check:package` builds it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { tsImport } from "tsx/esm/api";

const root = fileURLToPath(new URL("../..", import.meta.url));
const here = join(root, "test/package");
const packed = join(root, ".work/package");
const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
const { default: build } = await tsImport("../../tsup.config.ts", import.meta.url);
const entries = Object.keys(build.entry);

// What npm tells the scripts it runs about this package would make it work here instead of in the projects below.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix)/.test(name)),
);

async function run(command, args, cwd = root) {
  const execution = promisify(execFile)(command, args, { cwd, env, maxBuffer: 2 ** 26 });
  execution.child.stdin?.end();
  const { stdout } = await execution.catch(({ message, stdout = "", stderr = "" }) => {
    throw new Error([message, stdout, stderr].join("\n"));
  });
  return stdout;
}

const tool = (name, ...args) => run(process.execPath, [join(root, "node_modules", name), ...args]);

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

/** A built file is an entry point's, or one that some other built file names. */
async function distIsTheExports() {
  const files = await readdir(join(root, "dist"), { recursive: true });
  const built = files.map((file) => file.replaceAll("\\", "/")).filter((file) => /\.d\.c?ts$|\.c?js$/.test(file));
  const exported = entries.flatMap((entry) => [".js", ".cjs", ".d.ts", ".d.cts"].map((end) => entry + end));
  assert.deepEqual(
    exported.filter((file) => !built.includes(file)),
    [],
    "missing from dist",
  );
  const texts = await Promise.all(built.map((file) => readFile(join(root, "dist", file), "utf8")));
  const stem = (file) => file.slice(file.lastIndexOf("/") + 1).replace(/(\.d)?\.c?[jt]s$/, "");
  const named = (file) => texts.some((text, index) => built[index] !== file && text.includes(`/${stem(file)}.`));
  assert.deepEqual(
    built.filter((file) => !exported.includes(file) && !named(file)),
    [],
    "in dist, but nobody's",
  );
}

let tarball = "";

async function tarballHasWhatHostsNeed() {
  await rm(packed, { recursive: true, force: true });
  await mkdir(packed, { recursive: true });
  const [{ filename, files }] = JSON.parse(
    await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", packed]),
  );
  tarball = join(packed, filename);
  const paths = files.map(({ path }) => path);
  for (const entry of entries) assert.ok(paths.includes(`dist/${entry}.js`), `dist/${entry}.js is not packed`);
  const wanted = /^(?:dist\/.+|README\.md|LICENSE|package\.json)$/;
  assert.deepEqual(
    paths.filter((path) => !wanted.test(path)),
    [],
  );
  for (const path of ["README.md", "LICENSE"]) assert.ok(paths.includes(path), `${path} is not packed`);
}

const publintFindsNothing = () => tool("publint/src/cli.js", "run", tarball, "--strict");
const typesResolveEverywhere = () => tool("@arethetypeswrong/cli/dist/index.js", tarball);

/** Runs `work` in a project that has nothing but the tarball, its dependencies and `others`. */
async function inProject(type, others, work) {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-consumer-"));
  try {
    await writeFile(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type }));
    await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", tarball, ...others], folder);
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function movesOrders(folder, file) {
  const told = await run(process.execPath, [join(folder, file)], folder);
  assert.match(told, /^completed 250 0 0 250$/m, told);
  return told;
}

const {
  libsql,
  hono,
  "@hono/node-server": nodeServer,
  typescript,
  "@types/node": nodeTypes,
} = manifest.devDependencies;
const driver = `libsql@${libsql}`;
const door = [`hono@${hono}`, `@hono/node-server@${nodeServer}`];

function worksIn(type, file) {
  return inProject(type, [driver, ...door], async (folder) => {
    for (const name of [file, "move-orders.cjs", "keep-orders.cjs", "serve-orders.cjs"])
      await cp(join(here, name), join(folder, name));
    const told = await movesOrders(folder, file);
    assert.match(told, /^kept in libsql$/m, told);
    assert.equal(told.match(/^served over HTTP$/gm)?.length, 2, told);
  });
}

function saysWhatIsMissing() {
  return inProject("module", [], async (folder) => {
    await cp(join(here, "without-driver.mjs"), join(folder, "without-driver.mjs"));
    const told = await run(process.execPath, [join(folder, "without-driver.mjs")], folder);
    assert.match(told, /^(told what to install|node:sqlite is enough)$/m, told);
  });
}

const resolutions = [
  ["node16", "--module", "node16"],
  ["nodenext", "--module", "nodenext"],
  ["bundler", "--module", "esnext", "--moduleResolution", "bundler", "--noEmit"],
];
const strict = ["--strict", "--skipLibCheck", "false", "--target", "es2022", "--lib", "es2023", "--types", "node"];

function typeChecksAndRuns() {
  return inProject(
    "module",
    [driver, ...door, `typescript@${typescript}`, `@types/node@${nodeTypes}`],
    async (folder) => {
      const sources = ["consumer.ts", "consumer.mts", "consumer.cts"];
      for (const source of sources) await cp(join(here, "consumer.ts"), join(folder, source));
      const tsc = join(folder, "node_modules/typescript/lib/tsc.js");
      for (const [name, ...resolution] of resolutions) {
        await run(process.execPath, [tsc, ...strict, ...resolution, "--outDir", name, ...sources], folder);
        if (resolution.includes("--noEmit")) continue;
        for (const file of ["consumer.js", "consumer.mjs", "consumer.cjs"]) {
          const told = await movesOrders(folder, join(name, file));
          assert.match(told, /^kept completed 250$/m, told);
        }
      }
    },
  );
}

const checks = [
  ["package.json names exactly the entry points that tsup builds", exportsAreTheEntries],
  ["dist holds every entry point and no other", distIsTheExports],
  ["the tarball holds what hosts need and nothing else", tarballHasWhatHostsNeed],
  ["publint finds nothing, even when strict", publintFindsNothing],
  ["the types resolve in every way, node10 included", typesResolveEverywhere],
  [
    "an ESM project imports it, moves records, keeps them in a file and serves them",
    () => worksIn("module", "consumer.mjs"),
  ],
  [
    "a CommonJS project requires it, moves records, keeps them in a file and serves them",
    () => worksIn("commonjs", "consumer.cjs"),
  ],
  ["a project without a driver for SQLite is told what to install", saysWhatIsMissing],
  ["a TypeScript project compiles it as .ts, .mts and .cts with node16, nodenext and bundler", typeChecksAndRuns],
];

let failed = 0;
for (const [title, check] of checks) {
  try {
    await check();
    console.log(`✓ ${title}`);
  } catch (error) {
    failed++;
    console.error(`✗ ${title}\n${error.message}`);
  }
}
console.log(`package: ${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
