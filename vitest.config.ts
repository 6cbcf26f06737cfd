import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^poundlock$/, replacement: source("index.ts") },
      { find: /^poundlock\/testing$/, replacement: source("testing/index.ts") },
      { find: /^poundlock\/storage$/, replacement: source("storage/storage.ts") },
      { find: /^poundlock\/storage\/sqlite$/, replacement: source("storage/sqlite/sqlite-storage.ts") },
      { find: /^poundlock\/http$/, replacement: source("http/index.ts") },
      { find: /^poundlock\/http\/node$/, replacement: source("http/node.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/seed.ts"],
    // Type tests count as tests; an unmet `@ts-expect-error` in one fails it.
    typecheck: { enabled: true, include: ["test/**/*.test-d.ts"], ignoreSourceErrors: true },
    // Without this one core does no tests: half of the machine that CI has.
    maxWorkers: "100%",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
