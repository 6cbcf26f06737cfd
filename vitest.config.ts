import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

/** Kills, freezes, faults of storages, other programs, many seeds and long properties: minutes of work. */
const long = [
  "test/connectors/files/crash-points.test.ts",
  "test/connectors/files/sftp-files.test.ts",
  "test/connectors/singer/**/*.test.ts",
  "test/cron/cron-oracle.test.ts",
  "test/http/fuzz.test.ts",
  "test/processes/**/*.test.ts",
  "test/scheduler/overlap.test.ts",
  "test/scheduler/timetable/healthy-flows.test.ts",
  "test/simulation/**/*.test.ts",
  "test/storage/faults/**/*.test.ts",
  "test/storage/sqlite/full.test.ts",
];

/** What is tested in a browser. */
const inBrowser = ["test/browser/**/*.test.ts"];

/** What is tested on a PostgreSQL, and on a MariaDB or a Redis if there is one. */
const onPostgres = [
  "test/connectors/http/database/**/*.test.ts",
  "test/connectors/sql/**/*.test.ts",
  "test/executor/engines/**/*.test.ts",
  "test/storage/postgres/**/*.test.ts",
];

export default defineConfig({
  resolve: {
    alias: [
      { find: /^poundlock$/, replacement: source("index.ts") },
      { find: /^poundlock\/testing$/, replacement: source("testing/index.ts") },
      { find: /^poundlock\/storage$/, replacement: source("storage/storage.ts") },
      { find: /^poundlock\/storage\/sqlite$/, replacement: source("storage/sqlite/sqlite-storage.ts") },
      { find: /^poundlock\/connectors$/, replacement: source("connectors/index.ts") },
      {
        find: /^poundlock\/storage\/postgres$/,
        replacement: source("storage/postgres/postgres-storage.ts"),
      },
      { find: /^poundlock\/executor\/bullmq$/, replacement: source("executor/bull-executor.ts") },
      { find: /^poundlock\/executor\/graphile-worker$/, replacement: source("executor/graphile-executor.ts") },
      { find: /^poundlock\/http$/, replacement: source("http/index.ts") },
      { find: /^poundlock\/opentelemetry$/, replacement: source("opentelemetry/index.ts") },
      { find: /^poundlock\/dashboard$/, replacement: source("dashboard/index.ts") },
      { find: /^poundlock\/alerts$/, replacement: source("alerts/index.ts") },
      { find: /^poundlock\/http\/node$/, replacement: source("http/node.ts") },
      { find: /^poundlock\/connectors\/sql$/, replacement: source("connectors/sql/index.ts") },
      { find: /^poundlock\/connectors\/files$/, replacement: source("connectors/files/index.ts") },
      { find: /^poundlock\/connectors\/http$/, replacement: source("connectors/http/index.ts") },
      {
        find: /^poundlock\/connectors\/public-fetch$/,
        replacement: source("connectors/http/public-fetch/public-fetch.ts"),
      },
      { find: /^poundlock\/connectors\/singer$/, replacement: source("connectors/singer/index.ts") },
      { find: /^poundlock\/connectors\/oauth$/, replacement: source("connectors/http/oauth/index.ts") },
    ],
  },
  test: {
    setupFiles: ["test/support/seed.ts"],
    // Without this one core does no tests: half of the machine that CI has.
    maxWorkers: "100%",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // `npm test` runs the first of them, `npm run test:all` all.
    projects: [
      {
        extends: true,
        test: {
          name: "quick",
          // A test leaves nothing behind for the next, and each module is loaded once: four tenths of the CPU.
          isolate: false,
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...long, ...onPostgres, ...inBrowser],
          // Type tests count as tests; an unmet `@ts-expect-error` in one fails it. `npm run typecheck` reads the rest.
          typecheck: {
            enabled: true,
            include: ["test/**/*.test-d.ts"],
            tsconfig: "test/tsconfig.types.json",
            ignoreSourceErrors: true,
          },
        },
      },
      {
        extends: true,
        test: { name: "postgres", include: onPostgres, globalSetup: ["test/support/database-servers.ts"] },
      },
      { extends: true, test: { name: "long", include: long } },
      {
        extends: true,
        // One browser, shared by all of them.
        test: {
          name: "browser",
          include: inBrowser,
          globalSetup: ["test/browser/browser-server.ts"],
          fileParallelism: false,
        },
      },
    ],
    coverage: {
      include: ["src/**/*.ts"],
      // It runs in a browser, and is tested there (test/browser): V8 counts in Node alone.
      exclude: ["src/dashboard/app/**"],
      // Of all projects together, as CI measures it.
      thresholds: { branches: 97 },
      reporter: ["text-summary", "html"],
      reportOnFailure: true,
    },
  },
});
