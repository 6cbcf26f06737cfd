import { expect } from "vitest";
import type { Export } from "../../src/index.ts";
import { scriptedImport } from "../../src/testing/index.ts";
import { Harness } from "../support/harness.ts";
import { closeAfter, loaded, siteOf, test, visit } from "./site.ts";

const script = `<script>document.title="taken over"</script>`;
const image = `<img src=x onerror="document.title='taken over'">`;
const reversed = "\u202Eevil\u202C\u0000";

/** Whatever is stored, everywhere. */
async function hostileHost() {
  const record = { [image]: script, deep: { __proto__: null, constructor: image }, "__proto__ ": 1, reversed };
  const orders: Export<unknown> = {
    key: () => `${script}${reversed}`,
    async *pages() {
      yield [JSON.parse(`{"__proto__":{"polluted":true},"a":${JSON.stringify(record)}}`)];
      yield [{ big: "x".repeat(2_000_000) }];
    },
  };
  const ledger = scriptedImport<unknown>(({ records }) =>
    records.map(() => ({
      ok: false,
      fault: "reject",
      error: Object.assign(new Error(`${image} ${script}`), { code: script }),
    })),
  );
  const host = new Harness({ exports: { orders }, imports: { [`ledger ${image}`]: ledger } });
  const { registry, scheduler } = host;
  await registry.define("hostile", {
    name: `${script} ${image} ${reversed.replace("\u0000", "")}`,
    _exportId: "orders",
    _importId: `ledger ${image}`,
    _integrationId: image,
    settings: { [script]: image },
  });
  await scheduler.start();
  closeAfter(() => scheduler.stop());
  const run = await host.run("hostile");
  return { host, scheduler, run };
}

test("names, keys, messages and records are shown as what they are, whatever they contain", async () => {
  const { host, scheduler, run } = await hostileHost();
  const failures = await host.failures();
  const site = await siteOf(scheduler, { dashboard: { title: `${script}"'&` } });
  const page = await visit(site, "");
  const paths = ["", "flows", "flows/hostile", "runs", `runs/${run._id}`, "failures", "failures?view=list"];
  const ofFailures = failures.map(({ _id }) => `failures/${_id}`);
  for (const path of [
    ...paths,
    ...ofFailures,
    `find?key=${encodeURIComponent(image)}`,
    `flows?q=${encodeURIComponent(script)}`,
  ]) {
    await page.goto(site + path);
    await page.locator("h1").waitFor();
    await loaded(page);
    expect(await page.locator("#app script, #app img").count(), path).toBe(0);
    expect(await page.title(), path).not.toBe("taken over");
  }
  expect(await page.evaluate(`"polluted" in {}`)).toBe(false);
  await page.goto(`${site}flows/hostile`);
  await page.getByRole("heading", { level: 1 }).getByText(script).waitFor();
});

test("a record of two megabytes is cut, and can be downloaded as a whole", async () => {
  const { host, scheduler } = await hostileHost();
  const big = (await host.failures()).find(({ record }) => JSON.stringify(record).length > 1_000_000);
  const page = await visit(await siteOf(scheduler), `failures/${big?._id ?? ""}`);

  await page.getByText("The first 200,000 of").waitFor();
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download" }).click();

  expect(await (await download).createReadStream().then(sizeOf)).toBeGreaterThan(2_000_000);
});

async function sizeOf(stream: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  for await (const chunk of stream) size += chunk.length;
  return size;
}
