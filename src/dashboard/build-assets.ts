import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Plugin, build } from "esbuild";
import type { Assets } from "./assets.ts";

/** The page as it is built, and the folders of the packages that are inside. */
interface BuiltAssets extends Assets {
  readonly packages: readonly string[];
}

/** Builds the page with esbuild: the script that every screen needs, parts that are loaded when needed, and one style. */
export async function buildAssets(): Promise<BuiltAssets> {
  const folder = join(dirname(fileURLToPath(import.meta.url)), "app");
  const { outputFiles, metafile } = await build({
    entryPoints: [join(folder, "main.tsx"), join(folder, "style.css")],
    // The one in the folder is for the types.
    tsconfigRaw: {},
    outdir: "/assets",
    entryNames: "[name]-[hash]",
    chunkNames: "part-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    charset: "utf8",
    plugins: [elementsByCalls(join(folder, "view.ts")), wordsAsModule],
    jsx: "transform",
    jsxFactory: "$h",
    jsxFragment: "$Fragment",
    define: { "process.env.NODE_ENV": '"production"' },
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  const files = Object.fromEntries(outputFiles.map(({ path, text }) => [nameOf(path), text]));
  const named = (start: string) => Object.keys(files).find((name) => name.startsWith(start)) ?? "";
  // What is read and then left out is not inside.
  const inside = Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.keys(inputs).filter((path) => Number(inputs[path]?.bytesInOutput) > 0),
  );
  const packages = inside.flatMap((path) => {
    const [found] = /^.*?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? [];
    return found === undefined ? [] : [found];
  });
  return { files, script: named("main-"), style: named("style-"), packages: [...new Set(packages)] };
}

/** Elements as calls of `h`: half a kilobyte less, compressed, than with the runtime that the types are checked for. */
const elementsByCalls = (view: string): Plugin => ({
  name: "dashboard:elements",
  setup(builder) {
    const imports = `import { h as $h, Fragment as $Fragment } from ${JSON.stringify(view)};`;
    builder.onLoad({ filter: /\.tsx$/ }, async ({ path }) => ({
      loader: "tsx",
      contents: imports + (await readFile(path, "utf8")),
    }));
  },
});

/** The words of schedules as an ES module: as CommonJS they would come with a helper in a file of its own. */
const wordsAsModule: Plugin = {
  name: "dashboard:words",
  setup(builder) {
    builder.onLoad({ filter: /[\\/]cronstrue\.js$/ }, async ({ path }) => ({
      contents: `const module = { exports: {} }, { exports } = module, define = undefined;
        ${await readFile(path, "utf8")}
        export default module.exports.default;`,
    }));
  },
};

const nameOf = (path: string) => path.replace(/^.*[\\/]/, "");

/** Puts the built page in the place of `assets.ts`, for the package. `bundled` gets the folders of what is inside. */
export function dashboardAssets(bundled: (folder: string) => void): Plugin {
  let built: Promise<BuiltAssets> | undefined;
  return {
    name: "dashboard:assets",
    setup(builder) {
      builder.onLoad({ filter: /[\\/]dashboard[\\/]assets\.ts$/ }, async () => {
        const { packages, ...assets } = await (built ??= buildAssets());
        for (const folder of packages) bundled(folder);
        return { contents: `export const assets = ${JSON.stringify(assets)};` };
      });
    },
  };
}
