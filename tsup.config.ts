import { defineConfig } from "tsup";

export default defineConfig({
  entry: {
    index: "src/index.ts",
    testing: "src/testing/index.ts",
    "storage/sqlite": "src/storage/sqlite-storage.ts",
  },
  format: ["esm", "cjs"],
  dts: true,
  // Without splitting, the CommonJS build of a default import (p-queue) throws at run time.
  splitting: true,
  sourcemap: true,
  clean: true,
  target: "node20",
  removeNodeProtocol: false,
  // CommonJS has no import.meta. The shims of tsup make a URL of the file name, which breaks where that has a `#`.
  esbuildOptions(options, { format }) {
    if (format === "cjs") options.define = { ...options.define, "import.meta.url": "__filename" };
  },
});
