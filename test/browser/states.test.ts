import { expect } from "vitest";
import { Gate } from "../support/harness.ts";
import { hostWithFlows, loaded, openWindow, siteOf, test } from "./site.ts";

const screens = [
  ...["", "flows", "flows/orders", "runs", "runs/{run}", "failures", "failures?view=list", "failures/{failure}"],
  "find?key=1231",
];
const refused = { code: "unexpected", message: "Unexpected error 01943c05" };

/** A screen of which every part is responded to only when the gate is open, and then with this status until it heals. */
async function failingScreen(path: string, status: number) {
  const { host, run, scheduler } = await hostWithFlows();
  const [failure] = await host.failures();
  const site = await siteOf(scheduler);
  const page = await openWindow({ allowed: /status of (403|500)/ });
  const [gate, script] = [new Gate(), { fails: true }];
  await page.route(/\/api\/(?!permissions|events)/, async (route) => {
    await gate.opened;
    if (script.fails) await route.fulfill({ status, json: { errors: [refused] } });
    else await route.continue();
  });
  await page.goto(site + path.replace("{run}", run._id).replace("{failure}", failure?._id ?? ""));
  return { gate, page, script };
}

test.each(screens)(
  "the screen %j says that it is loading, then why it cannot, and tries again on demand",
  async (path) => {
    const { gate, page, script } = await failingScreen(path, 500);
    const again = page.getByRole("button", { name: "Try again" });

    await page.locator(".skeleton[aria-busy=true]").first().waitFor();
    gate.open();
    await page.getByText("Unexpected error 01943c05").first().waitFor();
    script.fails = false;
    await expect
      .poll(async () => {
        if ((await again.count()) > 0) await again.first().click();
        return again.count();
      })
      .toBe(0);
    await loaded(page);

    expect(await page.getByRole("alert").count()).toBe(0);
  },
);

test.each(screens)("the screen %j says what is not allowed, and does not offer to try it again", async (path) => {
  const { gate, page } = await failingScreen(path, 403);

  gate.open();
  await page.getByText("You are not allowed to see or do this.").first().waitFor();

  expect(await page.getByRole("button", { name: "Try again" }).count()).toBe(0);
});
