// Checks the package in hosts that take too long to install for every run of CI: Jest, webpack, Yarn's Plug'n'Play and
// Next.js; and how long its import takes beside BullMQ's. Needs a built `dist`; `npm run check:hosts` builds it; with
// `-- WORD` it runs those checks whose titles have that word.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { inProject, node, pack, pinned, run, runChecks } from "./pack.mjs";

const { tarball } = await pack();
const application = [tarball, pinned("libsql"), pinned("hono"), pinned("@hono/node-server")];
const parts = ["move-orders.cjs", "keep-orders.cjs", "serve-orders.cjs"];

function movedKeptAndServed(output) {
  for (const line of ["completed 250 0 0 250", "kept in libsql", "served over HTTP"])
    assert.ok(output.includes(`${line}\n`), output);
}

const worksInJest = () =>
  inProject(
    { packages: [...application, "jest@30.5.2"], files: ["hosts/orders.test.cjs", ...parts] },
    async (folder) => {
      await node(["node_modules/jest/bin/jest.js", "--rootDir", ".", "--ci"], folder);
    },
  );

const worksInWebpack = () =>
  inProject(
    {
      packages: [...application, "webpack@5.113.0", "webpack-cli@7.3.1"],
      files: ["hosts/webpack.config.cjs", "bundled.mjs", ...parts],
    },
    async (folder) => {
      const built = await node(["node_modules/webpack-cli/bin/cli.js", "--config", "webpack.config.cjs"], folder);
      assert.doesNotMatch(built, /warning/i, built);
      for (const file of ["bundled.cjs", "bundled.mjs"])
        movedKeptAndServed(await node([join(folder, "webpack", file)], tmp(folder)));
    },
  );

/** Not below the project, so that nothing is found from the current directory. */
const tmp = (folder) => join(folder, "..");

const worksWithYarnPnp = () =>
  inProject({ packages: ["@yarnpkg/cli-dist@4.18.1"], files: ["consumer.cjs", ...parts] }, async (folder) => {
    const yarn = join(folder, "node_modules/@yarnpkg/cli-dist/bin/yarn.js");
    const registry = (await run("npm", ["config", "get", "registry"], { cwd: folder })).trim();
    const settings = {
      YARN_NPM_REGISTRY_SERVER: registry,
      YARN_ENABLE_GLOBAL_CACHE: "false",
      YARN_ENABLE_TELEMETRY: "0",
    };
    if (registry.startsWith("http:")) settings.YARN_UNSAFE_HTTP_WHITELIST = new URL(registry).hostname;
    await writeFile(join(folder, ".yarnrc.yml"), "nodeLinker: pnp\n");
    await writeFile(join(folder, "yarn.lock"), "");
    // It removes node_modules, and with it itself.
    await node([yarn, "add", `poundlock@file:${tarball}`, ...application.slice(1)], folder, settings);
    const pnpOptions = ["--require", "./.pnp.cjs", "--loader", "./.pnp.loader.mjs"];
    movedKeptAndServed(await node([...pnpOptions, "consumer.cjs"], folder));
    movedKeptAndServed(await node([...pnpOptions, "--no-experimental-require-module", "consumer.cjs"], folder));
  });

/** No driver but libsql is installed, and the build does not stumble over the other. */
const worksInNext = (bundler) =>
  inProject(
    { packages: [...application, "next@16.4.6", "react@19.3.1", "react-dom@19.3.1"], files: ["hosts/next/app"] },
    async (folder) => {
      const next = join(folder, "node_modules/next/dist/bin/next");
      const env = { NEXT_TELEMETRY_DISABLED: "1" };
      await node([next, "build", `--${bundler}`], folder, env);
      assert.deepEqual(await served(folder, next, env), ["completed", 3, 200]);
    },
  );

/** What the started application says to `GET /run`. */
async function served(folder, next, env) {
  const port = await freePort();
  const args = [next, "start", "-p", String(port), "-H", "127.0.0.1"];
  const server = spawn(process.execPath, args, { cwd: folder, env: { ...process.env, ...env }, stdio: "ignore" });
  try {
    for (let tries = 0; ; tries++) {
      const response = await fetch(`http://127.0.0.1:${port}/run`).catch((error) => error);
      if (response instanceof Response) return await response.json();
      if (tries === 100) throw response;
      await wait(200);
    }
  } finally {
    server.kill();
    await once(server, "exit");
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** The fastest of several processes each, in turn: what else a busy computer does is not compared. */
const importsFasterThanBullMq = () =>
  inProject({ type: "module", packages: [tarball, "bullmq@6.7.0"] }, async (folder) => {
    const times = { poundlock: Infinity, bullmq: Infinity };
    for (let round = 0; round < 7; round++)
      for (const name of Object.keys(times)) {
        const code = `const t = performance.now(); await import("${name}"); console.log(performance.now() - t)`;
        times[name] = Math.min(times[name], Number(await node(["--input-type=module", "-e", code], folder)));
      }
    const { poundlock: ours, bullmq: theirs } = times;
    const found = `${ours.toFixed(0)} ms and ${theirs.toFixed(0)} ms, × ${(ours / theirs).toFixed(2)}`;
    assert.ok(ours <= 0.35 * theirs, found);
    return found;
  });

const checks = [
  ["importing it takes at most 0.35 of the time that importing BullMQ takes", importsFasterThanBullMq],
  ["its applications are tested by Jest in its default mode", worksInJest],
  ["webpack bundles it to CommonJS and to an ES module", worksInWebpack],
  ["Yarn's Plug'n'Play requires it", worksWithYarnPnp],
  ["Next.js builds and runs it with Turbopack", () => worksInNext("turbopack")],
  ["Next.js builds and runs it with webpack", () => worksInNext("webpack")],
];
const [, , only = ""] = process.argv;
await runChecks(
  "hosts",
  checks.filter(([title]) => title.includes(only)),
);
