import { defineConfig } from "tsup";

export default defineConfig({
  entry: {
    index: "src/index.ts",
    testing: "src/testing/index.ts",
    "storage/sqlite": "src/storage/sqlite/sqlite-storage.ts",
    http: "src/http/index.ts",
  },
  format: ["esm", "cjs"],
  dts: true,
  // Without splitting, the CommonJS build of a default import (p-queue) throws at run time.
  splitting: true,
  // With it, rollup writes the CommonJS build. What would do it otherwise turns `a ?? (yield b)` into a syntax error.
  treeshake: true,
  sourcemap: true,
  clean: true,
  target: "node20",
  removeNodeProtocol: false,
  // CommonJS has no import.meta, and what tools put in its place asks whether there is a `document`, as test runners have.
  esbuildOptions(options, { format }) {
    if (format === "cjs") options.define = { ...options.define, "import.meta.url": "__filename" };
  },
});
