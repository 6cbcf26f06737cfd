import { defineConfig } from "tsup";

export default defineConfig({
  entry: { index: "src/index.ts", testing: "src/testing/index.ts" },
  format: ["esm", "cjs"],
  dts: true,
  // Without splitting, the CommonJS build of a default import (p-queue) throws at run time.
  splitting: true,
  sourcemap: true,
  clean: true,
  target: "node20",
  removeNodeProtocol: false,
});
