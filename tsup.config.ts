import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { transform } from "esbuild";
import { type Options, build, defineConfig } from "tsup";
import { dashboardAssets } from "./src/dashboard/build-assets.ts";

type Plugin = NonNullable<Options["esbuildPlugins"]>[number];
type BuildPlugin = NonNullable<Options["plugins"]>[number];

const outDir = "dist";

/** The CommonJS build has inside what is an ES module only: not every host can `require` one. */
const esmOnly: Plugin = {
  name: "esm-only",
  setup(build) {
    const isCommonJs = build.initialOptions.outExtension?.[".js"] === ".cjs";
    build.onResolve({ filter: /^(p-queue|oauth4webapi)$/ }, () => (isCommonJs ? undefined : { external: true }));
  },
};

/**
 * Both builds have the parser of cron-parser inside, without the part that walks dates with luxon, which nobody here
 * calls and which would be two fifths of what a host installs. All that is left of luxon is what a parsed expression
 * asks of it: the date at which it would begin.
 */
const cronParser: Plugin = {
  name: "cron-parser",
  setup(build) {
    const parser = join(import.meta.dirname, "node_modules/cron-parser/dist/CronExpressionParser.js");
    build.onResolve({ filter: /^cron-parser$/ }, () => ({ path: parser }));
    build.onResolve({ filter: /^luxon$/ }, ({ path }) => ({ path, namespace: "unused" }));
    build.onLoad({ filter: /^luxon$/, namespace: "unused" }, () => ({
      contents: "export const DateTime = { local: () => ({ isValid: true }) };",
    }));
  },
};

const bundled = new Set<string>();

/** Takes the comments out of packages that are inside, and writes their licences to `dist/licenses.txt`. */
const licenses: Plugin = {
  name: "licenses",
  setup(build) {
    build.onLoad({ filter: /[\\/]node_modules[\\/].*\.m?js$/ }, async ({ path }) => {
      const [folder] = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(path) ?? [];
      if (folder !== undefined) bundled.add(folder);
      // Their comments would be a tenth of the build.
      const { code } = await transform(readFileSync(path, "utf8"), { minifyWhitespace: true });
      return { contents: code };
    });
    build.onEnd(() => {
      mkdirSync(outDir, { recursive: true });
      writeFileSync(join(outDir, "licenses.txt"), [...bundled].sort().map(licenseOf).join("\n"));
    });
  },
};

function licenseOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<
    "name" | "version" | "license",
    string
  >;
  const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.\w+)?$/i.test(entry));
  if (file === undefined) throw new Error(`${name} is bundled, and has no file with its licence`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
}

/** What the program imports of the package itself: source → built file. */
const entriesOfProgram: Readonly<Record<string, string>> = {
  "src/index.ts": "./index.js",
  "src/storage/sqlite/sqlite-storage.ts": "./storage/sqlite.js",
  "src/dashboard/index.ts": "./dashboard.js",
};

/** The program uses the built entries beside it. The HTTP API is inside once more, with what hosts need not install for it. */
const besideProgram: Plugin = {
  name: "beside-program",
  setup(builder) {
    builder.onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir }) => {
      const file = relative(import.meta.dirname, join(resolveDir, path)).replaceAll("\\", "/");
      const entry = entriesOfProgram[file];
      return entry === undefined ? undefined : { path: entry, external: true };
    });
  },
};

/**
 * V8 keeps a source at two bytes a character if one of them is beyond Latin-1, which would be half a megabyte of every
 * host's heap. In strings they are escaped; in comments they are written with others.
 */
const oneByteComments: BuildPlugin = {
  name: "one-byte-comments",
  renderChunk: (code) => ({
    code: code.replace(/^\s*(?:\/\/|\/?\*).*$/gm, (comment) =>
      comment.replaceAll("→", "->").replaceAll("–", "-").replaceAll("…", "..."),
    ),
  }),
};

/** The program `poundlock`: `dist/cli.js`, and parts that are loaded when needed. */
const program: Options = {
  entry: { cli: "src/cli/main.ts" },
  outDir,
  format: "esm",
  splitting: true,
  target: "node20",
  removeNodeProtocol: false,
  noExternal: ["hono", "@hono/node-server"],
  esbuildPlugins: [besideProgram, licenses],
};

export default defineConfig({
  onSuccess: () => build({ ...program, config: false }),
  entry: {
    index: "src/index.ts",
    testing: "src/testing/index.ts",
    storage: "src/storage/storage.ts",
    "storage/sqlite": "src/storage/sqlite/sqlite-storage.ts",
    "storage/postgres": "src/storage/postgres/postgres-storage.ts",
    "executor/bullmq": "src/executor/bull-executor.ts",
    "executor/graphile-worker": "src/executor/graphile-executor.ts",
    connectors: "src/connectors/index.ts",
    http: "src/http/index.ts",
    "http/node": "src/http/node.ts",
    dashboard: "src/dashboard/index.ts",
    opentelemetry: "src/opentelemetry/index.ts",
    alerts: "src/alerts/index.ts",
    "connectors/sql": "src/connectors/sql/index.ts",
    "connectors/files": "src/connectors/files/index.ts",
    "connectors/http": "src/connectors/http/index.ts",
    "connectors/oauth": "src/connectors/http/oauth/index.ts",
    "connectors/singer": "src/connectors/singer/index.ts",
    "connectors/public-fetch": "src/connectors/http/public-fetch/public-fetch.ts",
  },
  outDir,
  format: ["esm", "cjs"],
  dts: true,
  // Without splitting, each entry would have its own copy of what several share, such as the classes of errors.
  splitting: true,
  // With it, rollup writes the CommonJS build. What would do it otherwise turns `a ?? (yield b)` into a syntax error.
  treeshake: true,
  clean: true,
  target: "node20",
  removeNodeProtocol: false,
  noExternal: ["p-queue", "oauth4webapi"],
  plugins: [oneByteComments],
  esbuildPlugins: [esmOnly, cronParser, dashboardAssets((folder) => bundled.add(folder)), licenses],
  // CommonJS has no import.meta, and what tools put in its place asks whether there is a `document`, as test runners have.
  esbuildOptions(options, { format }) {
    if (format === "cjs") options.define = { ...options.define, "import.meta.url": "__filename" };
  },
});
