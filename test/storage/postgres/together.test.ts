import pg from "pg";
import { afterAll, expect, inject, test } from "vitest";
import { type Export, FlowRegistry, Scheduler, type SchedulerOptions } from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { aborted } from "../../support/harness.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const pool = new pg.Pool({ ...connectionTo(inject("postgresPort")), max: 12 });
const closing: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing) await close();
  await pool.end();
});

interface ProcessParts {
  readonly options?: SchedulerOptions;
  readonly from?: Export<number>;
  readonly isSlow?: boolean;
}

/** A process of its own, as far as the others can tell. */
async function processOn(schema: string, { options = {}, from = arrayExport([1]), isSlow = false }: ProcessParts = {}) {
  const storage = await PostgresStorage.open(pool, { schema });
  const until = scriptedImport<number>((_, { signal }) => aborted(signal).then(() => undefined), {
    writeTimeoutMs: 60_000,
  });
  const sink = isSlow ? until : collectingImport<number>();
  const registry = new FlowRegistry({ exports: { from }, imports: { sink }, storage });
  const scheduler = new Scheduler(registry, { logger: silentLogger, ...options });
  closing.push(async () => {
    await scheduler.stop();
    await storage.close();
  });
  await scheduler.start();
  return { registry, scheduler, storage };
}

const flowTo = { name: "a flow", _exportId: "from", _importId: "sink" };

test("waitFor resolves with a run of another process before it would look, and `watch` with all that becomes of it", async () => {
  const worker = await processOn("waited_for");
  const web = await processOn("waited_for", { options: { roles: [] } });
  const abort = new AbortController();
  const watch = web.scheduler.watch({ signal: abort.signal });
  await watch.ready;
  const flow = await web.registry.create(flowTo);
  const times: number[] = [];

  for (let nth = 0; nth < 5; nth++) {
    const since = performance.now();
    const run = await web.scheduler.run(flow._id);
    expect(await web.scheduler.waitFor(run._id)).toMatchObject({ status: "completed" });
    times.push(performance.now() - since);
  }
  const seen: string[] = [];
  for await (const { change } of watch) {
    seen.push(change);
    if (seen.length === 16) abort.abort();
  }

  // It would look after a second.
  expect(Math.min(...times)).toBeLessThan(900);
  expect(seen).toEqual(["flow:created", ...Array.from({ length: 5 }, () => ["queued", "started", "completed"]).flat()]);
  expect(worker.scheduler.state).toBe("started");
});

test("a run is canceled by another process's bell, and a flow that is due is found by it", async () => {
  const worker = await processOn("belled", { isSlow: true, options: { leaseMs: 60_000 } });
  const web = await processOn("belled", { options: { roles: [] } });
  const flow = await web.registry.create(flowTo);
  const run = await web.scheduler.run(flow._id);
  await new Promise<void>((resolve) => worker.scheduler.on("run:started", () => resolve()));

  await web.scheduler.cancel(run._id);

  expect(await web.scheduler.waitFor(run._id)).toMatchObject({ status: "canceled" });
});

test("`bell` rings in another process for flows that change and runs that are canceled; with listen: false there is none", async () => {
  const [one, other] = [
    await PostgresStorage.open(pool, { schema: "rings" }),
    await PostgresStorage.open(pool, { schema: "rings", listen: false }),
  ];
  closing.push(() => one.close());
  const heard: string[] = [];
  const ready = new Promise<void>((resolve) => one.bell?.on("flows", () => resolve()));
  one.bell?.on("flows", () => heard.push("flows"));
  one.bell?.on("cancel", () => heard.push("cancel"));
  await ready;
  await new Promise((resolve) => setImmediate(resolve));
  heard.length = 0;
  const registry = new FlowRegistry({
    exports: { from: arrayExport([1]) },
    imports: { sink: collectingImport() },
    storage: other,
  });

  const rings = new Promise<void>((resolve) => one.bell?.on("cancel", () => resolve()));
  const flow = await registry.create(flowTo);
  const scheduler = new Scheduler(registry, { logger: silentLogger });
  const run = await scheduler.run(flow._id);
  await scheduler.cancel(run._id);
  await rings;

  expect(heard).toEqual(["flows", "cancel"]);
  expect(other.bell).toBeUndefined();
  await other.close();
});
