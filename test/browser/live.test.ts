import { mkdtempSync, rmSync } from "node:fs";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { createDashboard } from "../../src/dashboard/index.ts";
import { bearerToken, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { type Export, FlowRegistry, Scheduler } from "../../src/index.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { closeAfter, loaded, openWindow, siteOf, test, token, visit } from "./site.ts";

/** A flow whose export gives a page each time it is let go on, on a clock that runs. */
async function steppedHost(pages: number) {
  const steps: (() => void)[] = [];
  const orders: Export<number, number> = {
    order: "ordered",
    async *pages({ checkpoint = 0, signal }) {
      signal.addEventListener("abort", () => {
        for (const go of steps.splice(0)) go();
      });
      for (let page = checkpoint; page < pages && !signal.aborted; page++) {
        yield {
          records: Array.from({ length: 100 }, (_, index) => page * 100 + index),
          checkpoint: page + 1,
          total: pages * 100,
        };
        await new Promise<void>((resolve) => void steps.push(resolve));
      }
    },
  };
  const registry = new FlowRegistry({ exports: { orders }, imports: { ledger: collectingImport<number>() } });
  const scheduler = new Scheduler(registry, { logger: silentLogger, prefetch: 0 });
  await registry.define("orders", { name: "Orders", _exportId: "orders", _importId: "ledger" });
  await scheduler.start();
  closeAfter(() => scheduler.stop({ graceMs: 0 }));
  const step = async () => {
    await expect.poll(() => steps.length).toBeGreaterThan(0);
    for (const go of steps.splice(0)) go();
  };
  return { registry, scheduler, step };
}

test("a run is followed as it goes on, and its end is shown, without loading the page again", async () => {
  const { scheduler, step } = await steppedHost(30);
  const run = await scheduler.run("orders");
  const page = await visit(await siteOf(scheduler), `runs/${run._id}`);
  await page.getByText("live", { exact: true }).waitFor();

  // Progress is emitted once a second at most.
  const progress = page.getByText(/^[\d,]+ of 3,000$/);
  const shown = async () => {
    await step();
    return progress.count();
  };
  await expect.poll(shown, { interval: 400, timeout: 20_000 }).toBe(1);
  for (let isOver = false; !isOver;) {
    await Promise.race([step(), scheduler.waitFor(run._id)]);
    isOver = (await scheduler.getRun(run._id)).status === "completed";
  }

  await page.locator(".subtitle").getByText("completed").waitFor();
  const row = page.getByRole("row", { name: /ledger/ });
  await row.getByText("3,000").first().waitFor();
});

test("new runs do not move the rows of a list: they are announced, and shown on demand", async () => {
  const { scheduler, step } = await steppedHost(1);
  const finish = async () => {
    const run = await scheduler.run("orders", { moveCheckpoint: false });
    await step();
    await scheduler.waitFor(run._id);
  };
  await finish();
  const page = await visit(await siteOf(scheduler), "runs");
  await page.getByText("live", { exact: true }).waitFor();
  const rows = page.locator("tbody tr");
  expect(await rows.count()).toBe(1);

  await finish();
  await finish();
  await page.getByRole("button", { name: "2 new runs: show" }).waitFor();
  expect(await rows.count()).toBe(1);
  await page.getByRole("button", { name: "2 new runs: show" }).click();

  await expect.poll(() => rows.count()).toBe(3);
});

test("a server that is gone for a while is said to be gone, and what happened meanwhile is shown when it is back", async () => {
  const { registry, scheduler } = await steppedHost(1);
  const handler = createHandler({ scheduler, authorize: bearerToken(token), basePath: "/api" });
  const listener = toNodeListener(createDashboard({ handler }));
  let server = await listening(createServer(listener), 0);
  const { port } = server.address() as AddressInfo;
  closeAfter(() => ended(server));
  const page = await visit(`http://127.0.0.1:${port}/`, "flows", {
    allowed: /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_EMPTY/,
  });
  await page.getByText("live", { exact: true }).waitFor();

  await ended(server);
  await page.getByText("offline since").waitFor();
  expect(await page.getByRole("link", { name: "Orders" }).count()).toBe(1);
  await registry.define("later", { name: "Made meanwhile", _exportId: "orders", _importId: "ledger" });
  await registry.patch("orders", { name: "Renamed meanwhile" });
  server = await listening(createServer(listener), port);

  await page.getByText("live", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Renamed meanwhile" }).waitFor();
});

test("events that were missed are a reason to load what is shown anew", async () => {
  const { registry, scheduler } = await steppedHost(1);
  const page = await visit(await siteOf(scheduler, { http: { eventBuffer: 1 } }), "flows/orders");
  await page.getByText("live", { exact: true }).waitFor();
  await page.getByRole("heading", { name: "Orders", level: 1 }).waitFor();

  for (let times = 0; times < 20; times++) await registry.patch("orders", { name: `Orders ${times}` });

  await page.getByRole("heading", { name: "Orders 19", level: 1 }).waitFor();
});

/** Says to the page whether anybody looks at it. */
async function look(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate(`
    Object.defineProperty(document, "hidden", { get: () => ${hidden}, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  `);
}

/** The paths that a page asks for from now on, with the status of each. */
function askedBy(page: Page): string[] {
  const asked: string[] = [];
  page.on("response", (response) => asked.push(`${new URL(response.url()).pathname} ${response.status()}`));
  return asked;
}

test("a page that nobody looks at asks for nothing, whatever happens, and once it is looked at for all at once", async () => {
  const { registry, scheduler } = await steppedHost(1);
  const site = await siteOf(scheduler);
  const witness = await visit(site, "flows");
  const page = await openWindow();
  await page.clock.install();
  await page.goto(`${site}flows`);
  await page.getByRole("link", { name: "Orders" }).waitFor();
  await page.getByText("live", { exact: true }).waitFor();
  await loaded(page);
  const asked = askedBy(page);

  await look(page, true);
  await registry.patch("orders", { name: "Renamed meanwhile" });
  await witness.getByRole("link", { name: "Renamed meanwhile" }).waitFor();
  await page.clock.runFor(20_000);
  expect(asked).toEqual([]);
  await look(page, false);
  await page.clock.runFor(3_000);

  await page.getByRole("link", { name: "Renamed meanwhile" }).waitFor();
  expect(asked).toContain("/api/flows 200");
});

test("what has not changed is not sent again when the page looks every 15 seconds", async () => {
  const { scheduler } = await steppedHost(1);
  const page = await visit(await siteOf(scheduler), "");
  await page.getByText("live", { exact: true }).waitFor();
  await loaded(page);
  const asked = askedBy(page);

  await expect.poll(() => asked.includes("/api/overview 304"), { timeout: 25_000 }).toBe(true);

  expect(asked.filter((one) => one.endsWith(" 200") && !one.startsWith("/api/flows/"))).toEqual([]);
});

test("of two processes on one file, the page of each shows what the other one does, in two windows of each", async () => {
  const folder = mkdtempSync(join(tmpdir(), "poundlock-live-"));
  const hosts = [];
  for (let process = 0; process < 2; process++) {
    const storage = await SqliteStorage.open(join(folder, "flows.db"));
    const [exports, imports] = [{ orders: arrayExport([1, 2, 3]) }, { ledger: collectingImport<number>() }];
    const registry = new FlowRegistry({ exports, imports, storage });
    const scheduler = new Scheduler(registry, { logger: silentLogger, roles: process === 0 ? ["run"] : [] });
    closeAfter(async () => {
      await scheduler.stop({ graceMs: 0 });
      await storage.close();
      if (process === 0) rmSync(folder, { recursive: true });
    });
    await scheduler.start();
    hosts.push({ registry, scheduler });
  }
  const [worker, web] = hosts;
  if (worker === undefined || web === undefined) throw new Error("There are two");
  await worker.registry.define("orders", { name: "Orders", _exportId: "orders", _importId: "ledger" });
  const sites = [await siteOf(worker.scheduler), await siteOf(web.scheduler)];
  const windows = [];
  for (const site of [...sites, ...sites]) windows.push(await visit(site, "flows/orders"));
  for (const page of windows) await page.getByText("live", { exact: true }).waitFor();

  await web.scheduler.run("orders");
  for (const page of windows) await page.getByText("completed").first().waitFor();
  await web.registry.patch("orders", { name: "Renamed by the other" });
  for (const page of windows) await page.getByRole("heading", { name: "Renamed by the other", level: 1 }).waitFor();
});

async function listening(server: Server, port: number): Promise<Server> {
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

async function ended(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
