import { expect } from "vitest";
import { retryLater } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, Harness, hour } from "../support/harness.ts";
import { closeAfter, hostWithFlows, loaded, openWindow, siteOf, test, visit } from "./site.ts";

test("the overview says what fails, why imports are paused, how many records were moved and why records fail", async () => {
  const { host, scheduler } = await hostWithFlows();
  await host.registry.define("old", { name: "Stock to shop", _exportId: "orders", _importId: "ledger" });
  await host.clock.advance(10_000);
  const site = await siteOf(scheduler);
  const page = await openWindow();
  // The last 48 hours are those of the browser.
  await page.clock.setFixedTime(host.clock.now());
  await page.goto(site);
  await page.locator("h1").waitFor();
  await loaded(page);

  const attention = page.locator("section", { has: page.getByRole("heading", { name: "Needs attention" }) });
  await attention.getByRole("link", { name: "Returns" }).waitFor();
  await attention.getByText("connect ECONNREFUSED").waitFor();
  expect(await page.locator("a.tile", { hasText: "Failing" }).locator(".tile-value").textContent()).toBe("1");
  await page.locator("a.tile", { hasText: "Open failures" }).click();
  await page.getByRole("heading", { name: "Failures", level: 1 }).waitFor();
  await page.goBack();
  const records = page.locator("section", { has: page.getByRole("heading", { name: /Records/ }) });
  await records.getByText("15").first().waitFor();
  await page.getByRole("link", { name: /Failing/ }).click();
  await page.getByRole("heading", { name: "Flows", level: 1 }).waitFor();
  await loaded(page);

  expect(new URL(page.url()).search).toBe("?state=failing");
  expect(await page.locator("tbody tr").count()).toBe(1);
});

test("a paused import can be resumed from the overview", async () => {
  const script = { isAway: true };
  const erp = scriptedImport<number>(() => {
    if (script.isAway) throw retryLater("503 Service Unavailable", { afterMs: 6 * hour });
    return undefined;
  });
  const host = new Harness({ exports: { from: arrayExport([1, 2]) }, imports: { erp } });
  closeAfter(() => host.scheduler.stop());
  const { _flowId } = await host.move();
  const page = await visit(await siteOf(host.scheduler), "");
  await page.getByText("erp").first().waitFor();
  script.isAway = false;

  await page.getByRole("button", { name: "Resume now" }).click();
  await host.clock.settle();

  await expect.poll(() => erp.calls.length).toBeGreaterThan(1);
  await expect.poll(async () => (await host.scheduler.deliveries(_flowId))[0]?.paused).toBeUndefined();
});

test("flows are found by a part of their name and by their state, and the address says so", async () => {
  const { scheduler } = await hostWithFlows();
  const page = await visit(await siteOf(scheduler), "flows");
  await loaded(page);
  const rows = page.locator("tbody tr");
  await page.getByLabel("Part of a name").fill("LEDGER");
  await page.keyboard.press("Enter");
  await expect.poll(() => rows.count()).toBe(1);
  expect(new URL(page.url()).searchParams.get("q")).toBe("LEDGER");

  await page.goto(`${page.url().split("?")[0] ?? ""}?state=failures`);
  await loaded(page);
  await expect.poll(() => rows.allTextContents()).toEqual([expect.stringContaining("Orders to ledger")]);
  expect(await rows.first().textContent()).toContain("3");
});

test("a run that goes on shows how far it is, also after a reload", async () => {
  const gate = new Gate();
  const host = new Harness({
    exports: {
      orders: {
        async *pages() {
          yield { records: [1, 2, 3], total: 12, checkpoint: 3 };
          await gate.opened;
        },
        readTimeoutMs: 9 * hour,
      },
    },
    imports: { ledger: collectingImport<number>() },
  });
  closeAfter(async () => {
    gate.open();
    await host.scheduler.stop();
  });
  await host.scheduler.start();
  await host.scheduler.run((await host.flow())._id);
  await host.clock.settle();
  const page = await visit(await siteOf(host.scheduler), "");

  await page.getByText("3 of 12").first().waitFor();
  await page.reload();
  await page.getByText("3 of 12").first().waitFor();
});

test("the header says who is signed in, and a flow's screen offers the zone of its schedule", async () => {
  const { host, scheduler } = await hostWithFlows();
  const zoned = { schedule: "0 6 * * *", timezone: "Asia/Tokyo" };
  const { _id } = await host.registry.create({ name: "Zoned", _exportId: "orders", _importId: "ledger", ...zoned });
  const authorize = () => ({ fullAccess: true as const, caller: "ann@example.com" });
  const page = await visit(await siteOf(scheduler, { http: { authorize } }), `flows/${_id}`);
  await loaded(page);
  const zones = page.getByLabel("Time zone");

  await page.getByTitle("Signed in").getByText("ann@example.com").waitFor();
  await zones.selectOption({ label: "Asia/Tokyo, of the flow" });
  await expect.poll(() => new URL(page.url()).searchParams.get("zone")).toBe("Asia/Tokyo");
  await page.getByRole("link", { name: "Runs", exact: true }).click();
  await page.getByRole("heading", { name: "Runs", level: 1 }).waitFor();

  expect(await zones.locator("option").allTextContents()).toContain("Asia/Tokyo");
  expect(await zones.locator("option").allTextContents()).not.toContain("Asia/Tokyo, of the flow");

  // The first one is the browser's own.
  await zones.selectOption({ index: 0 });
  await expect.poll(() => new URL(page.url()).search).toBe("");
});

test("the overview says how often a flow has failed, samples left out, and why it failed last", async () => {
  const { host, scheduler } = await hostWithFlows();
  await host.clock.advance(hour);
  await host.run("returns");
  await host.run("returns", { limit: 1 });
  const site = await siteOf(scheduler);
  const page = await visit(site, "");

  const row = page.locator(".attention-row", { hasText: "Returns" });
  await row.getByText("failed 2 times since").waitFor();
  await row.getByText("connect ECONNREFUSED").waitFor();
  await row.getByRole("link", { name: "last run" }).click();
  await page.getByText("The export could not read its source.").waitFor();
});

test("a flow's screen says how many records an hour each import gets, and how far one that is paused is behind", async () => {
  const mailer = scriptedImport<unknown>(() => {
    throw retryLater("503 Service Unavailable", { afterMs: 6 * hour });
  });
  const records = Array.from({ length: 20 }, (_, index) => index);
  const host = new Harness({
    exports: { orders: arrayExport(records) },
    imports: { ledger: collectingImport<unknown>(), mailer },
  });
  closeAfter(() => host.scheduler.stop());
  const { _flowId } = await host.move();
  await host.clock.advance(hour);
  const site = await siteOf(host.scheduler);
  const page = await openWindow();
  await page.clock.setFixedTime(host.clock.now());
  await page.goto(`${site}flows/${_flowId}`);

  const diagram = page.getByRole("region", { name: "What the flow links" });
  await diagram.getByRole("listitem").filter({ hasText: "ledger" }).getByText("20/h").waitFor();
  await diagram.getByRole("listitem").filter({ hasText: "mailer" }).getByText("about 20 records behind").waitFor();
});

test.each([false, true])(
  "causes that are not all counted yet are said to be so wherever they are shown, none so far: %s",
  async (isNone) => {
    const { scheduler } = await hostWithFlows();
    const site = await siteOf(scheduler);
    const page = await openWindow();
    await page.route(/\/api\/causes/, async (route) => {
      const response = await route.fetch();
      const headers = { ...response.headers(), "poundlock-complete": "false" };
      await route.fulfill({ response, headers, ...(isNone ? { json: [] } : {}) });
    });

    for (const path of ["", "flows/orders", "failures"]) {
      await page.goto(site + path);
      await page.getByText("Still counting").waitFor();
      expect(await page.getByText("There are no open failures").count(), path).toBe(0);
      expect(await page.getByText("has no VAT number").count(), path).toBe(isNone ? 0 : 1);
    }
  },
);
