// Takes the pictures of docs/guides/dashboard.md: `npm run pictures`. With a folder, `npm run pictures -- FOLDER`, every
// screen in light and dark, wide and narrow, to be looked at: of no flows, of few and of 100,000, or of those that are
// named after the folder.
import { mkdir, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Browser, type Page, chromium } from "playwright-core";
import { createDashboard } from "../../src/dashboard/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { startBrowser } from "./browser.ts";
import { type PictureHost, emptyHost, largeHost, smallHost } from "./picture-host.ts";

const maxBytes = 100_000;

/** How a screen is looked at. */
interface Look {
  readonly width: number;
  readonly height?: number;
  readonly scheme: "light" | "dark";
}

/** One picture: of which screen, and what is done there before it is taken. */
interface Picture extends Look {
  readonly name: string;
  readonly path: string;
  readonly act?: (page: Page) => Promise<unknown>;
}

/** A host's page, at an address. */
class Site {
  readonly host: PictureHost;
  readonly #server;

  constructor(host: PictureHost) {
    this.host = host;
    this.#server = createServer(toNodeListener(createDashboard({ handler: host.api })));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.host.close();
  }
}

async function open(browser: Browser, { width, height = 800, scheme }: Look, now: number): Promise<Page> {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, timezoneId: "UTC" });
  await context.addInitScript('sessionStorage.setItem("poundlock:token", "picture")');
  const page = await context.newPage();
  await page.clock.setFixedTime(now);
  return page;
}

/** What is shown has been loaded. */
async function settled(page: Page): Promise<void> {
  await page.locator("h1").waitFor();
  await page.locator(".skeleton").first().waitFor({ state: "detached" });
  await page
    .locator(".live-live")
    .first()
    .waitFor({ state: "attached" })
    .catch(() => undefined);
  await page.waitForTimeout(400);
}

async function take(browser: Browser, address: string, now: number, picture: Picture, folder: string): Promise<void> {
  const { name, path, act, height } = picture;
  const page = await open(browser, picture, now);
  await page.goto(address + path);
  await settled(page);
  await act?.(page);
  const file = join(folder, `${name}.png`);
  await page.screenshot({ path: file, fullPage: height === undefined });
  await page.context().close();
  const { size } = await stat(file);
  console.log(`${name}.png  ${size} bytes`);
  if (height !== undefined && size > maxBytes) throw new Error(`${name}.png has ${size} bytes, more than ${maxBytes}`);
}

/** A failure that the ledger refused, and a run with failures. */
async function ids({ scheduler }: PictureHost): Promise<{ readonly failure: string; readonly run: string }> {
  const { items } = await scheduler.listFailures({ status: "open", newestFirst: true, limit: 1 });
  const runs = await scheduler.listRuns({ status: "completed", limit: 1 });
  return { failure: items[0]?._id ?? "none", run: items[0]?._runId ?? runs.items[0]?._id ?? "none" };
}

const retryDialog = async (page: Page) => {
  await page.getByRole("button", { name: "Retry…" }).last().click();
  await page.getByText("stored up to").waitFor();
};

async function ofGuide(browser: Browser): Promise<void> {
  const folder = "docs/guides/dashboard";
  const small = new Site(await smallHost());
  const address = await small.listen();
  try {
    const { failure } = await ids(small.host);
    const wide = { width: 1_100, scheme: "light" } as const;
    for (const picture of [
      { ...wide, name: "overview-light", path: "", height: 990 },
      { ...wide, name: "flow-light", path: "flows/prices", height: 830 },
      { ...wide, name: "failure-light", path: `failures/${failure}`, height: 680 },
      { ...wide, name: "runs-dark", path: "runs", height: 620, scheme: "dark" },
      { ...wide, name: "failure-360", path: `failures/${failure}`, width: 360, height: 720 },
    ] as const)
      await take(browser, address, small.host.now, picture, folder);
  } finally {
    await small.close();
  }
  const large = new Site(await largeHost());
  const ofMany = await large.listen();
  try {
    const dialog = { name: "failures-light", width: 1_100, height: 560, scheme: "light", act: retryDialog } as const;
    const narrow = { name: "failures-dark-360", width: 360, height: 720, scheme: "dark" } as const;
    for (const picture of [dialog, narrow])
      await take(browser, ofMany, large.host.now, { ...picture, path: "failures" }, folder);
  } finally {
    await large.close();
  }
}

async function ofAll(browser: Browser, folder: string, name: string, host: PictureHost): Promise<void> {
  const site = new Site(host);
  const address = await site.listen();
  try {
    const { failure, run } = await ids(host);
    const { items } = await host.scheduler.listFailures({ status: "open", limit: 1 });
    const screens = {
      ...{ overview: "", flows: "flows", runs: "runs", failures: "failures", list: "failures?view=list", find: "find" },
      ...{ flow: `flows/${items[0]?._flowId ?? "none"}`, run: `runs/${run}`, failure: `failures/${failure}` },
      ...{ found: "find?key=o-1", missing: "find?key=none-such" },
    };
    for (const [screen, path] of Object.entries(screens))
      for (const width of [1_100, 360])
        for (const scheme of ["light", "dark"] as const)
          await take(
            browser,
            address,
            host.now,
            { name: `${name}-${screen}-${width}-${scheme}`, path, width, scheme },
            folder,
          );
  } finally {
    await site.close();
  }
}

const [folder, ...named] = process.argv.slice(2);
const { server, close } = await startBrowser();
try {
  const browser = await chromium.connect(server.wsEndpoint());
  if (folder === undefined) await ofGuide(browser);
  else {
    await mkdir(folder, { recursive: true });
    for (const [name, host] of Object.entries({ empty: emptyHost, small: smallHost, large: largeHost }))
      if (named.length === 0 || named.includes(name)) await ofAll(browser, folder, name, await host());
  }
} finally {
  await close();
}
