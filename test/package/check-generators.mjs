// Checks that the OpenAPI document is what tools take it for: linted by Redocly and Spectral, and made into clients by
// five generators, which are compiled strictly and call a served API. They take long to install, so not in CI. Needs a
// built `dist`; `npm run check:generators` builds it; with `-- WORD` it runs those checks whose titles have that word.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build as esbuild } from "esbuild";
import { inProject, node, pack, pinned, run, runChecks } from "./pack.mjs";

const { tarball } = await pack();
const [, , only = ""] = process.argv;

/** Two of the generators need Node 22.18; what they generate does not. */
const [major, minor] = process.versions.node.split(".").map(Number);
const isNew = major > 22 || (major === 22 && minor >= 18);
const newer = isNew ? [] : [`node-bin@npm:node-${process.platform}-${process.arch}@22`];
const newerNode = isNew ? process.execPath : "node_modules/node-bin/bin/node";
const onNewer = (args, folder, env) => run(isNew ? newerNode : join(folder, newerNode), args, { cwd: folder, env });

const compiler = {
  ...{ strict: true, noEmit: true, skipLibCheck: false, target: "es2022", lib: ["es2023", "dom", "dom.iterable"] },
  ...{ module: "esnext", moduleResolution: "bundler", types: ["node"] },
};

/** What every client has to print. */
const called = "completed, 3, 1, Orders scheduled, o-2: an order of 2 is refused, 404, not_found\n";

/** Serves the API in a project with these packages while `work` runs. */
const served = (packages, files, work) =>
  inProject(
    { type: "module", packages: [tarball, pinned("hono"), pinned("@hono/node-server"), ...packages], files },
    async (folder) => {
      const server = spawn(process.execPath, ["serve.mjs"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
      try {
        const [address] = await once(server.stdout.setEncoding("utf8"), "data");
        const url = address.trim();
        const headers = { authorization: "Bearer let-me-in" };
        const document = await (await fetch(`${url}/openapi.json`, { headers })).text();
        await writeFile(join(folder, "openapi.json"), document);
        return await work(folder, { BASE_URL: url });
      } finally {
        server.kill();
        await once(server, "exit");
      }
    },
  );

/** The client that `generate` writes compiles and calls the API. */
const generated = (name, packages, generate, extra = []) =>
  served(
    [...packages, pinned("typescript"), pinned("@types/node")],
    ["serve.mjs", "use.ts", `use-${name}.ts`, ...extra].map((file) => `generators/${file}`),
    async (folder, env) => {
      await generate(folder, env);
      const source = `use-${name}.ts`;
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: compiler, files: [source] }));
      await node(["node_modules/typescript/lib/tsc.js", "-p", "."], folder);
      const outfile = join(folder, "bundle.mjs");
      const options = { bundle: true, platform: "node", format: "esm", logLevel: "error" };
      await esbuild({ ...options, absWorkingDir: folder, entryPoints: [source], outfile });
      assert.equal(await node(["bundle.mjs"], folder, env), called);
    },
  );

const redocly = () =>
  served(["@redocly/cli@2.77.0"], ["generators/serve.mjs"], async (folder) => {
    const args = ["--extends", "recommended-strict", "--format", "json", "openapi.json"];
    const found = JSON.parse(await node(["node_modules/@redocly/cli/bin/cli.js", "lint", ...args], folder));
    assert.deepEqual(found.problems, []);
  });

const spectral = () =>
  served(["@stoplight/spectral-cli@6.16.3"], ["generators/serve.mjs"], async (folder) => {
    await writeFile(join(folder, "rules.yaml"), 'extends: ["spectral:oas"]\n');
    const args = ["lint", "openapi.json", "-r", "rules.yaml", "-F", "hint", "-f", "json"];
    const found = await node(["node_modules/@stoplight/spectral-cli/dist/index.js", ...args], folder);
    assert.match(found, /^\[\]/);
  });

const generators = {
  orval: () =>
    generated(
      "orval",
      [...newer, "orval@8.38.0"],
      (folder, env) => onNewer(["node_modules/orval/dist/bin/orval.mjs"], folder, env),
      ["orval.config.mjs"],
    ),
  "@hey-api/openapi-ts": () =>
    generated("hey-api", [...newer, "@hey-api/openapi-ts@0.99.0"], (folder) =>
      onNewer(["node_modules/@hey-api/openapi-ts/bin/run.js", "-i", "openapi.json", "-o", "hey-api"], folder),
    ),
  "swagger-typescript-api": () =>
    generated("swagger-typescript-api", ["swagger-typescript-api@13.13.0"], (folder) => {
      const output = ["-p", "openapi.json", "-o", "swagger-typescript-api", "-n", "api.ts"];
      return node(["node_modules/swagger-typescript-api/dist/cli.mjs", "generate", ...output], folder);
    }),
  oazapfts: () =>
    generated("oazapfts", ["oazapfts@7.5.0", "@oazapfts/runtime@1.2.0"], (folder) =>
      node(["node_modules/oazapfts/dist/cli.js", "openapi.json", "oazapfts.ts"], folder),
    ),
  "openapi-typescript": () =>
    generated("openapi-typescript", [pinned("openapi-typescript"), pinned("openapi-fetch")], (folder) => {
      const output = ["-o", "openapi-typescript/api.d.ts"];
      return node(["node_modules/openapi-typescript/bin/cli.js", "openapi.json", ...output], folder);
    }),
};

const checks = [
  ["Redocly finds nothing in the OpenAPI document, even when strict", redocly],
  ["Spectral finds nothing in it, hints included", spectral],
  ...Object.entries(generators).map(([name, check]) => [`${name} makes a client that compiles and calls`, check]),
];
await runChecks(
  "generators",
  checks.filter(([title]) => title.includes(only)),
);
