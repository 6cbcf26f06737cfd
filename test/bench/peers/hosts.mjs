import { join } from "node:path";

/** What a contender loads that opens a storage of that kind. */
export const modulesOf = (kind) => [
  "poundlock",
  ...(kind === "sqlite" ? ["poundlock/storage/sqlite"] : []),
  ...(kind === "postgres" ? ["poundlock/storage/postgres", "pg"] : []),
];

/** Opens the storage of that kind; `close` closes what it needs, too. */
export async function openStorage(kind, { out, folder = out, postgres, place = `poundlock_${process.pid}` }) {
  if (kind === "memory") {
    const { MemoryStorage } = await import("poundlock");
    return { storage: new MemoryStorage(), close: async () => undefined };
  }
  if (kind === "sqlite") {
    const { SqliteStorage } = await import("poundlock/storage/sqlite");
    const storage = await SqliteStorage.open(join(folder, `flows-${process.pid}.db`), { synchronous: "full" });
    return { storage, close: () => storage.close() };
  }
  const [{ default: pg }, { PostgresStorage }] = await Promise.all([
    import("pg"),
    import("poundlock/storage/postgres"),
  ]);
  const pool = new pg.Pool({ connectionString: postgres, max: 8 });
  const storage = await PostgresStorage.open(pool, { schema: place });
  return {
    storage,
    async close() {
      await storage.close();
      await pool.end();
    },
  };
}

/** Runs a flow from `from` to the imports once. @throws unless it completed. */
export async function runOnce(catalog, storage, options = {}) {
  const { FlowRegistry, Scheduler } = await import("poundlock");
  const registry = new FlowRegistry({ ...catalog, storage });
  const scheduler = new Scheduler(registry, options);
  const flow = await registry.create({ name: "bench", _exportId: "from", _importIds: Object.keys(catalog.imports) });
  await scheduler.start();
  try {
    const run = await scheduler.waitFor((await scheduler.run(flow._id))._id);
    if (run.status !== "completed") throw new Error(`the run ${run.status}: ${run.error?.message ?? ""}`);
    return run;
  } finally {
    await scheduler.stop();
  }
}
