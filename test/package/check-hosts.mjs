// Checks the package in hosts that take too long to install for every run of CI: the frameworks and runtimes of
// docs/guides/hosts.md with the code that is written there, Jest, webpack and Yarn's Plug'n'Play; with the oldest peers
// that package.json allows; and how long its import takes beside BullMQ's. Needs a built `dist`; `npm run check:hosts`
// builds it; with `-- WORD` it runs those checks whose titles have that word.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { callsAndEnds, opensNothing, writeGuide } from "./guide.mjs";
import { importedPeers, inProject, manifest, node, pack, pinned, run, runChecks } from "./pack.mjs";

const { tarball } = await pack();
const application = [tarball, pinned("libsql"), pinned("hono"), pinned("@hono/node-server")];
const parts = ["move-orders.cjs", "keep-orders.cjs", "serve-orders.cjs"];

function movedKeptAndServed(output) {
  for (const line of ["completed 250 0 0 250", "kept in libsql", "served over HTTP"])
    assert.ok(output.includes(`${line}\n`), output);
}

const worksInJest = async () =>
  inProject(
    {
      packages: [...application, ...(await importedPeers()).map(pinned), "jest@30.5.2"],
      files: ["hosts/orders.test.cjs", ...parts],
    },
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

const compiler = [
  ...["--noEmit", "--strict", "--skipLibCheck", "--experimentalDecorators", "--target", "es2022"],
  ...["--module", "esnext", "--moduleResolution", "bundler", "--types", "node"],
];

const nest = ["common", "core", "platform-express"].map((part) => `@nestjs/${part}@12.5.1`);
const frameworks = [
  ...[pinned("express"), pinned("fastify"), pinned("koa"), "@koa/bodyparser@6.1.0"],
  ...[...nest, "reflect-metadata@0.2.2", "rxjs@7.8.2"],
];
const types = ["@types/node", "@types/express", "@types/koa"].map(pinned);

const worksInFrameworks = () =>
  inProject(
    { type: "module", packages: [...application, ...frameworks, ...types, pinned("typescript"), pinned("tsx")] },
    async (folder) => {
      const hosts = ["express.ts", "fastify.ts", "koa.ts", "hono.ts", "nest.ts"];
      await writeGuide(folder, "flows.ts", ...hosts);
      await node(["node_modules/typescript/lib/tsc.js", ...compiler, ...hosts], folder);
      for (const host of hosts) await callsAndEnds(folder, [process.execPath, "--import", "tsx", host]);
    },
  );

/** No driver but libsql is installed, and the build does not stumble over the other. */
const worksInNext = (bundler) =>
  inProject(
    {
      packages: [...application, "next@16.4.6", ...["react@19.3.1", "react-dom@19.3.1", "@types/react@19.3.0"]].concat(
        pinned("typescript"),
        pinned("@types/node"),
      ),
      files: ["hosts/next/app"],
    },
    async (folder) => {
      await writeGuide(
        folder,
        "flows.ts",
        "instrumentation.ts",
        "instrumentation-node.ts",
        "app/api/[...path]/route.ts",
      );
      const next = [process.execPath, "node_modules/next/dist/bin/next"];
      const env = { NEXT_TELEMETRY_DISABLED: "1", NEXT_MANUAL_SIG_HANDLE: "true" };
      await run(next[0], [next[1], "build", `--${bundler}`], { cwd: folder, env });
      opensNothing(folder);
      await callsAndEnds(folder, [...next, "start"], { env, also: servesTheDashboard });
    },
  );

/** Its page and what that loads are strings: no bundler leaves them out. Next.js redirects from an address with a slash. */
async function servesTheDashboard(origin) {
  const signal = AbortSignal.timeout(20_000);
  const page = await fetch(`${origin}/admin/`, { signal });
  const html = await page.text();
  assert.equal(page.status, 200);
  const files = [...html.matchAll(/(?:src|href)="(assets\/[^"]+)"/g)].map(([, file]) => file);
  assert.equal(files.length, 2, html);
  for (const file of files) {
    const response = await fetch(`${origin}/admin/${file}`, { signal });
    assert.equal(response.status, 200, file);
    assert.ok((await response.text()).length > 10_000, file);
  }
}

/** SvelteKit 3 needs Node 22.17. */
const [major, minor] = process.versions.node.split(".").map(Number);
const isNew = major > 22 || (major === 22 && minor >= 17);
const newerNode = isNew ? [] : [`node-bin@npm:node-${process.platform}-${process.arch}@22`];
const binaryIn = (folder) => (isNew ? process.execPath : join(folder, "node_modules/node-bin/bin/node"));

const svelteKit = [
  ...["@sveltejs/kit@3.2.0", "@sveltejs/adapter-node@6.0.1", "@sveltejs/vite-plugin-svelte@7.3.1"],
  ...["svelte@5.57.3", "vite@8.3.8", "typescript@6.0.3"],
];

const worksInSvelteKit = () =>
  inProject(
    {
      type: "module",
      packages: [...application, ...svelteKit, ...newerNode],
      files: ["src", "vite.config.js"].map((file) => `hosts/svelte-kit/${file}`),
    },
    async (folder) => {
      await writeGuide(folder, "flows.ts", "src/hooks.server.ts", "src/routes/api/[...path]/+server.ts");
      await run(binaryIn(folder), ["node_modules/vite/bin/vite.js", "build"], { cwd: folder });
      opensNothing(folder);
      await callsAndEnds(folder, [binaryIn(folder), "build/index.js"]);
    },
  );

const worksInNitro = (version, packages, below, options) =>
  inProject({ type: "module", packages: [...application, ...packages] }, async (folder) => {
    await writeGuide(folder, "flows.ts", `${below}plugins/flows.ts`, `${below}routes/api/[...path].ts`);
    const config = { compatibilityDate: "2026-11-01", ...(below === "" ? {} : { srcDir: "server" }) };
    await writeFile(join(folder, "nitro.config.mjs"), `export default ${JSON.stringify(config)};\n`);
    await node([`node_modules/${version}/dist/cli/index.mjs`, "build"], folder);
    opensNothing(folder);
    await callsAndEnds(folder, [process.execPath, ".output/server/index.mjs"], options);
  });

const worksInBunAndDeno = () =>
  inProject({ type: "module", packages: [...application, "bun@1.4.5", "deno@2.9.6"] }, async (folder) => {
    await writeGuide(folder, "flows.ts", "bun.ts", "deno.ts");
    await callsAndEnds(folder, ["node_modules/.bin/bun", "bun.ts"]);
    await callsAndEnds(folder, ["node_modules/.bin/deno", "run", "-A", "--node-modules-dir=manual", "deno.ts"]);
  });

/** The first version that each range allows: a peer that is too old must not be allowed. */
const oldest = (name) => `${name}@${/\d+\.\d+\.\d+/.exec(manifest.peerDependencies[name])[0]}`;

const oldestPeers = ["hono", "@hono/node-server", "libsql", "better-sqlite3", "@opentelemetry/api"];
const sdk = ["@opentelemetry/context-async-hooks", "@opentelemetry/sdk-trace-base"];

const worksWithTheOldestPeers = () =>
  inProject(
    {
      type: "module",
      packages: [tarball, ...oldestPeers.map(oldest), ...sdk.map(pinned)],
      files: ["consumer.mjs", ...parts, "oldest-driver.mjs", "traced-host.cjs"],
    },
    async (folder) => {
      movedKeptAndServed(await node(["consumer.mjs"], folder));
      assert.match(await node(["oldest-driver.mjs"], folder), /^kept in better-sqlite3$/m);
      assert.match(
        await node(["traced-host.cjs"], folder),
        /^(?:commit 2,page orders 1,.*,run orders 0,write ledger 2\n){2}$/,
      );
    },
  );

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
  ["the guide's hosts of Express, Fastify, Koa, Hono and NestJS compile, serve and end", worksInFrameworks],
  ["the guide's Next.js host builds with Turbopack, serves and ends", () => worksInNext("turbopack")],
  ["the guide's Next.js host builds with webpack, serves and ends", () => worksInNext("webpack")],
  ["the guide's SvelteKit host builds, serves and ends", worksInSvelteKit],
  [
    "the guide's Nitro host builds, serves and ends",
    () => worksInNitro("nitro", ["nitro@3.0.0"], "", { waits: false }),
  ],
  [
    "the guide's Nuxt host, made with nitropack, builds, serves and ends",
    () => worksInNitro("nitropack", ["nitropack@2.13.6", "h3@1.15.11"], "server/"),
  ],
  ["the guide's hosts of Bun and Deno serve and end", worksInBunAndDeno],
  ["the oldest peers that package.json allows are enough", worksWithTheOldestPeers],
];
const [, , only = ""] = process.argv;
await runChecks(
  "hosts",
  checks.filter(([title]) => title.includes(only)),
);
