import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { Harness } from "../support/harness.ts";
import { closeAfter, hostWithFlows, loaded, siteOf, test, visit } from "./site.ts";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What axe-core finds, each with where. */
async function findings(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(`
    axe.run(document, { runOnly: { type: "tag", values: ${JSON.stringify(rules)} } }).then(({ violations }) =>
      violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html.slice(0, 120))),
    )
  `);
}

const overflow = (page: Page) =>
  page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");

/** Every screen of a host with flows: where it is, and what is there once it has loaded. */
async function screensOf() {
  const { scheduler, host, run, failedRun } = await hostWithFlows();
  const [failure] = await host.failures();
  const site = await siteOf(scheduler, { basePath: "/flows" });
  const screens = [
    ["", "Overview"],
    ["flows", "Orders of last year"],
    ["flows/orders", "Definition"],
    ["flows/returns", "Definition"],
    ["flows/gone", "This flow does not exist"],
    ["runs", "completed"],
    [`runs/${run._id}`, "Failures of this run"],
    [`runs/${failedRun._id}`, "export_failed"],
    ["failures", "customer of order"],
    ["failures?view=list", "1231"],
    ["failures?status=resolved", "No failure matches"],
    [`failures/${failure?._id ?? ""}`, "no_vat"],
    ["find", "Type the key"],
    ["find?key=1231", "1 failure with the key"],
    ["find?key=12", "begins with"],
    ["find?key=none-such", "Why else"],
  ] as const;
  return { site, screens };
}

describe.each(["light", "dark"] as const)("in %s", (scheme) => {
  test.each([1100, 360])("every screen at %i px is accessible, fits, and leaves the console silent", async (width) => {
    const { site, screens } = await screensOf();
    const page = await visit(site, "", { width, scheme, allowed: /status of 404/ });
    for (const [path, content] of screens) {
      await page.goto(site + path);
      await page.getByText(content).filter({ visible: true }).first().waitFor();
      await loaded(page);
      expect(await findings(page), path).toEqual([]);
      expect(await overflow(page), path).toBe(0);
    }
  });
});

test("a host without flows says on every screen what would be there and how it comes", async () => {
  const host = new Harness();
  await host.scheduler.start();
  closeAfter(() => host.scheduler.stop());
  const site = await siteOf(host.scheduler);
  const page = await visit(site, "");
  for (const [path, content] of [
    ["flows", "There are no flows yet"],
    ["runs", "There are no runs yet"],
    ["failures", "There are no open failures"],
  ] as const) {
    await page.goto(site + path);
    await page.getByText(content).filter({ visible: true }).first().waitFor();
    expect(await findings(page), path).toEqual([]);
  }
});

test("the form to sign in is accessible, says when a token is refused, and leads to the screen that was asked for", async () => {
  const { scheduler } = await hostWithFlows();
  const site = await siteOf(scheduler);
  const page = await visit(site, "flows/orders", { token: undefined, allowed: /status of 401/ });

  expect(await findings(page)).toEqual([]);
  await page.getByLabel("Access token").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("This token was refused").waitFor();
  await page.getByLabel("Access token").fill("secret-token-of-the-test");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Orders to ledger", level: 1 }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();

  await page.getByLabel("Access token").waitFor();
  expect(await page.evaluate("sessionStorage.length")).toBe(0);
});

test("an address that leads nowhere says so", async () => {
  const { scheduler } = await hostWithFlows();
  const page = await visit(await siteOf(scheduler), "nothing/here", { allowed: /status of 404/ });

  await page.getByText("There is no such page").waitFor();
});
