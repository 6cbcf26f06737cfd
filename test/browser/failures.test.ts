import { expect } from "vitest";
import { hostWithFlows, loaded, openWindow, siteOf, test, visit } from "./site.ts";

test("with the keyboard only, an order that did not arrive is found, looked at and sent again", async () => {
  const { host, scheduler, script, picky } = await hostWithFlows();
  const page = await visit(await siteOf(scheduler), "");
  script.refuses = false;

  await page.keyboard.press("/");
  await page.keyboard.type("1234");
  await page.keyboard.press("Enter");
  await page.getByText("1 failure with the key “1234”").waitFor();
  const focused = () => page.evaluate("document.activeElement.textContent");
  for (let presses = 0; presses < 40 && (await focused()) !== "1234"; presses++) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "1234", level: 1 }).waitFor();
  // After navigation the heading has the focus; the button is the next thing.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByText("A retry run was queued").waitFor();

  await expect.poll(() => host.clock.settle().then(() => host.failures())).toHaveLength(2);
  expect(picky.calls.at(-1)?.records).toEqual([{ id: "1234", customer: 0 }]);
});

test("a record is corrected, with what changes shown, and sent again", async () => {
  const { host, scheduler } = await hostWithFlows();
  const failure = (await host.failures()).find(({ key }) => key === "1234");
  // Once it is delivered, the failure is there no more.
  const page = await visit(await siteOf(scheduler), `failures/${failure?._id ?? ""}`, { allowed: /status of 404/ });

  await page.getByRole("button", { name: "Edit and retry" }).click();
  const editor = page.getByLabel("Record as JSON");
  await editor.fill("{ not JSON");
  await page.getByText("This is not JSON").waitFor();
  expect(await page.getByRole("button", { name: "Save and retry" }).isDisabled()).toBe(true);
  await editor.fill('{\n  "id": "1234",\n  "customer": 777\n}');
  expect(await page.locator(".diff-removed").textContent()).toContain('"customer": 0');
  expect(await page.locator(".diff-added").textContent()).toContain('"customer": 777');
  await page.getByRole("button", { name: "Save and retry" }).click();
  await page.getByText("A retry run was queued").waitFor();

  await expect.poll(() => host.clock.settle().then(() => host.failures())).toHaveLength(2);
});

test("an edit over what somebody else has changed meanwhile is refused, and nothing is overwritten", async () => {
  const { host, scheduler } = await hostWithFlows();
  const [failure] = await host.failures();
  const _id = failure?._id ?? "";
  const page = await visit(await siteOf(scheduler), `failures/${_id}`, { allowed: /status of 412/ });
  await page.getByRole("button", { name: "Edit and retry" }).click();
  await page.getByLabel("Record as JSON").fill('{ "mine": true }');

  await scheduler.editFailure(_id, { theirs: true });
  await page.getByRole("button", { name: "Save", exact: true }).click();

  await page.getByText("The failure has changed since it was opened").waitFor();
  expect((await scheduler.getFailure(_id)).record).toEqual({ theirs: true });
});

test("what was chosen is what is retried, though more has failed since", async () => {
  const { host, scheduler, script, picky } = await hostWithFlows();
  const page = await visit(await siteOf(scheduler), "failures?view=list");
  for (const key of ["1231", "1237"]) await page.getByLabel(`Choose ${key}`).check();
  await page.getByRole("button", { name: "Retry…" }).click();
  await page.getByRole("heading", { name: "Retry 2 failures?" }).waitFor();

  await scheduler.setCheckpoint("orders", undefined);
  await host.run("orders");
  script.refuses = false;
  await page.getByRole("button", { name: "Retry 2", exact: true }).click();
  await page.getByText("1 retry run queued").waitFor();

  await expect.poll(() => host.clock.settle().then(() => host.failures())).toHaveLength(1);
  expect(picky.calls.at(-1)?.records.map(({ id }) => id)).toEqual(["1231", "1237"]);
});

test("a bulk action names its number and its filter, and leaves alone what failed after it was asked for", async () => {
  const { host, registry, scheduler } = await hostWithFlows({ count: 6 });
  const page = await visit(await siteOf(scheduler), "failures");
  await page.getByRole("button", { name: "Resolve…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Resolve 2 failures?" }).waitFor();
  await dialog.getByText("Filter: cause “customer of order # has no VAT number”, open,").waitFor();
  await dialog.getByText("stored up to").waitFor();

  await registry.define("second", { name: "Second", _exportId: "orders", _importId: "ledger" });
  await host.run("second");
  await dialog.getByRole("button", { name: "Resolve 2", exact: true }).click();
  await page.getByText("2 resolved").waitFor();

  expect((await host.failures()).map(({ _flowId }) => _flowId)).toEqual(["second", "second"]);
});

test("a bulk action on what a search finds counts first, and acts on that and nothing else", async () => {
  const { host, registry, scheduler, script } = await hostWithFlows({ count: 6 });
  await registry.define("second", { name: "Second", _exportId: "orders", _importId: "ledger" });
  await host.run("second");
  const [wanted] = await host.failures("orders");
  const key = wanted?.key ?? "";
  const page = await visit(await siteOf(scheduler), `failures?text=${key}&flow=orders`);
  const dialog = page.getByRole("dialog");

  await page.getByRole("button", { name: "Resolve…" }).click();
  await dialog.getByRole("heading", { name: "Resolve 1 failure?" }).waitFor();
  await dialog.getByText(`Filter: text “${key}”, flow Orders`).waitFor();
  await page.keyboard.press("Escape");
  script.refuses = false;
  await page.getByRole("button", { name: "Retry…" }).click();
  await dialog.getByText("One flow gets a retry run.").waitFor();
  await dialog.getByRole("button", { name: "Retry 1", exact: true }).click();
  await page.getByText("1 retry run queued").waitFor();

  await expect.poll(() => host.clock.settle().then(() => host.failures("orders"))).toHaveLength(1);
  expect((await host.failures("orders")).map((failure) => failure.key)).not.toContain(key);
  expect(await host.failures("second")).toHaveLength(2);
});

test("a bulk action says how many failures are of disabled flows: none of them is retried, all are resolved", async () => {
  const { host, registry, scheduler, script } = await hostWithFlows();
  await registry.define("second", { name: "Second", _exportId: "orders", _importId: "ledger" });
  await host.run("second");
  await registry.patch("second", { disabled: true });
  const page = await visit(await siteOf(scheduler), "failures");
  const dialog = page.getByRole("dialog");

  await page.getByRole("button", { name: "Resolve…" }).click();
  await dialog.getByText("3 failures of 1 disabled flow are among them.").waitFor();
  await dialog.getByRole("button", { name: "Resolve 6", exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Retry…" }).click();
  await dialog.getByText("One flow gets a retry run.").waitFor();
  await dialog.getByText("3 failures of 1 disabled flow are left out.").waitFor();
  script.refuses = false;
  await dialog.getByRole("button", { name: "Retry 3", exact: true }).click();
  await page.getByText("1 flow left out: second").waitFor();
  await expect.poll(() => host.clock.settle().then(() => host.failures())).toHaveLength(3);

  await page.getByRole("link", { name: "One by one" }).click();
  await page.getByRole("button", { name: "Choose all of this page" }).click();
  await page.getByRole("button", { name: "Retry…", exact: true }).click();
  await dialog.getByText("3 failures of 1 disabled flow are left out.").waitFor();
  expect(await dialog.getByRole("button", { name: "Retry 0", exact: true }).isDisabled()).toBe(true);
});

test("back, forward and reload keep the filter of an action", async () => {
  const { host, registry, scheduler } = await hostWithFlows();
  await registry.define("second", { name: "Second", _exportId: "orders", _importId: "ledger" });
  await host.run("second");
  const site = await siteOf(scheduler);
  const page = await visit(site, "failures?view=list&flow=second");
  const boxes = page.getByRole("checkbox");
  const chooseAll = () => page.getByRole("button", { name: "Choose all of this page" }).click();
  const heading = (count: number) => page.getByRole("heading", { name: `Resolve ${count} failures?` }).waitFor();
  const leave = async () => {
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  };
  await boxes.first().waitFor();
  await chooseAll();
  await page.getByRole("button", { name: "Resolve…" }).click();
  await heading(3);
  await leave();

  await page.getByRole("link", { name: "Remove the filter Flow" }).click();
  await expect.poll(() => boxes.count()).toBe(6);
  expect(await page.getByText("3 chosen").count()).toBe(0);
  await page.goBack();
  await expect.poll(() => boxes.count()).toBe(3);
  await page.reload();
  await boxes.first().waitFor();
  await chooseAll();
  await page.getByRole("button", { name: "Resolve…" }).click();
  await heading(3);
  await page.getByRole("dialog").getByRole("button", { name: "Resolve 3", exact: true }).click();
  await page.getByText("3 resolved").waitFor();

  expect(new Set((await host.failures()).map(({ _flowId }) => _flowId))).toEqual(new Set(["orders"]));
});

test("a failure that is delivered meanwhile is said to be there no more, and its row stays where it is", async () => {
  const { host, scheduler, script } = await hostWithFlows();
  const page = await visit(await siteOf(scheduler), "failures?view=list");
  await page.getByRole("link", { name: "1231" }).waitFor();
  script.refuses = false;
  await host.end(await scheduler.retryFailures("orders"));

  await page.evaluate(`document.dispatchEvent(new Event("visibilitychange"))`);
  await expect.poll(() => page.locator("tr.gone").count(), { timeout: 30_000 }).toBe(3);
  expect(await page.getByRole("row").count()).toBe(4);
});

test("a page without permission to change anything shows no actions, and a refusal is shown well", async () => {
  const { scheduler } = await hostWithFlows();
  const readOnly = await siteOf(scheduler, { dashboard: { readOnly: true } });
  // The refusal of what the test itself asks for.
  const page = await openWindow({ allowed: /status of 403/ });
  const refused: string[] = [];
  page.on("response", (response) => response.status() === 403 && refused.push(response.url()));
  await page.goto(`${readOnly}flows/orders`);
  await page.getByText("Definition").waitFor();
  await loaded(page);

  expect(refused).toEqual([]);
  expect(await page.getByRole("button", { name: /Run now|Disable|Clone|Change|Retry|Resolve/ }).count()).toBe(0);
  const response = await page.evaluate(
    `fetch("api/flows/orders/run", { method: "POST" }).then(({ status }) => status)`,
  );
  expect(response).toBe(403);
}, 60_000);

test("a search in records says how many it has looked at, and back to when", async () => {
  const { host, scheduler } = await hostWithFlows({ count: 400 });
  expect(await host.failures()).toHaveLength(133);
  const page = await visit(await siteOf(scheduler), "failures?text=vat&zone=UTC");

  const status = page.locator(".choice-bar [role=status]");
  await expect.poll(() => status.innerText()).toBe("looked at 100 failures, back to 1 Jan 2030, 12:00");
});

test("what is found by the beginning of a key is counted as far as it is shown", async () => {
  const { scheduler } = await hostWithFlows({ count: 400 });
  const page = await visit(await siteOf(scheduler), "find?key=1");
  await page.getByRole("heading", { name: "More than 20 failures with a key that begins with “1”" }).waitFor();

  await page.goto(new URL("find?key=123", page.url()).href);
  await page.getByRole("heading", { name: "3 failures with a key that begins with “123”" }).waitFor();
});

test("why a record may not have arrived: the flow's last run failed, and where reading for its import goes on", async () => {
  const { scheduler } = await hostWithFlows();
  const page = await visit(await siteOf(scheduler), "find?key=none-such");
  const flow = page.getByLabel("Flow that should have moved it");
  await flow.fill("Returns");
  await page.locator("option[value=Returns]:only-child").waitFor({ state: "attached" });
  await flow.press("Enter");

  await page.getByText("The last run failed, so what came after the checkpoint has not been read.").waitFor();
  await page.getByText("Checkpoint of ledger: from the start").waitFor();
});

test("failures of one flow and one import are chosen by their names, and the choice is in the address", async () => {
  const { host, registry, scheduler } = await hostWithFlows();
  await registry.define("second", { name: "Orders to ledger, again", _exportId: "orders", _importId: "ledger" });
  await host.run("second");
  const page = await visit(await siteOf(scheduler), "failures?view=list");
  const flow = page.getByLabel("Flow", { exact: true });

  // It is a flow's whole name, and the beginning of another one's: typing it chooses none.
  await flow.pressSequentially("Orders to ledger");
  await page.locator("datalist option").nth(1).waitFor({ state: "attached" });
  expect(new URL(page.url()).searchParams.get("flow")).toBeNull();
  await flow.pressSequentially(", again");
  await page.locator("datalist option:only-child").waitFor({ state: "attached" });
  await flow.press("Enter");
  await page.locator(".chip", { hasText: "Orders to ledger, again" }).waitFor();
  await page.getByLabel("Import").selectOption("ledger");

  await expect.poll(() => new URL(page.url()).search).toBe("?view=list&flow=second&import=ledger");
  await expect.poll(() => page.locator("tbody tr").count()).toBe(3);
  await page.getByLabel("Remove the filter Flow").click();
  await expect.poll(() => page.locator("tbody tr").count()).toBe(6);
});

test("runs are chosen by their import, and by the name of their flow, with its id where two flows share one", async () => {
  const { host, registry, scheduler } = await hostWithFlows();
  await registry.define("second", { name: "Orders to ledger", _exportId: "orders", _importId: "ledger" });
  const run = await host.run("second");
  const page = await visit(await siteOf(scheduler), "runs");
  const flow = page.getByLabel("Flow", { exact: true });

  await flow.fill("Orders to ledger");
  await page.locator('option[value="Orders to ledger · second"]').waitFor({ state: "attached" });
  // As a browser does when one of the list is picked.
  await page.evaluate(`{
    const input = document.querySelector("input[list]");
    input.value = "Orders to ledger · second";
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }`);

  await expect.poll(() => page.locator("tbody tr").count()).toBe(1);
  expect(await page.locator("tbody a").first().getAttribute("href")).toContain(run._id);
  expect(new URL(page.url()).search).toBe("?flow=second");

  await page.getByLabel("Remove the filter Flow").click();
  await page.getByRole("combobox", { name: /^Import/ }).selectOption("mailer");
  await expect.poll(() => page.locator("tbody tr").count()).toBe(1);
  expect(new URL(page.url()).search).toBe("?import=mailer");
});
