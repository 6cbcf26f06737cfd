// Measures how long screens take from reload to rows and chart, with 100,000 flows and a million failures:
// `npx tsx test/browser/reload.ts`. Makes the file of `npm run pictures` first.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { type BrowserContext, type Page, chromium } from "playwright-core";
import { createDashboard } from "../../src/dashboard/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { startBrowser } from "./browser.ts";
import { largeHost } from "./picture-host.ts";

const rounds = { warm: 2, measured: 5 };
const rowsReach = (count: number) => `document.querySelectorAll("tbody tr").length >= ${count}`;

/** Path → when all that it shows is there. */
const screens = {
  "": `document.querySelectorAll(".attention").length === 3 && document.querySelector(".bar-delivered") && ${rowsReach(6)}`,
  flows: rowsReach(100),
  runs: rowsReach(100),
  failures: rowsReach(6),
  "failures?view=list": rowsReach(100),
};

/** Notes in each frame whether all is there, and then when, from the start of the navigation. */
const noteWhen = (isShown: string) => `{
  const look = () => requestAnimationFrame(() => {
    if (document.body && ${isShown}) globalThis.shownAt = performance.now();
    else look();
  });
  look();
}`;

/** The browser's clock goes on from a time. */
const clockFrom = (time: number) => `{
  const Real = Date;
  const ahead = ${time} - Real.now();
  globalThis.Date = class extends Real {
    constructor(...given) {
      if (given.length === 0) super(Real.now() + ahead);
      else super(...given);
    }
    static now() {
      return Real.now() + ahead;
    }
  };
}`;

async function shownAt(page: Page): Promise<number> {
  for (let tries = 0; tries < 600; tries++) {
    const time = await page.evaluate("globalThis.shownAt");
    if (typeof time === "number") return time;
    await wait(50);
  }
  throw new Error(`${page.url()} does not show all`);
}

async function measure(context: BrowserContext, url: string, isShown: string): Promise<readonly number[]> {
  const page = await context.newPage();
  await page.addInitScript(noteWhen(isShown));
  await page.goto(url);
  await shownAt(page);
  const times: number[] = [];
  for (let round = 0; round < rounds.warm + rounds.measured; round++) {
    await page.reload();
    times.push(await shownAt(page));
  }
  await page.close();
  return times.slice(rounds.warm).sort((one, other) => one - other);
}

const host = await largeHost();
const server = createServer(toNodeListener(createDashboard({ handler: host.api })));
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const started = await startBrowser();
try {
  const browser = await chromium.connect(started.server.wsEndpoint());
  const context = await browser.newContext({ viewport: { width: 1_100, height: 800 }, timezoneId: "UTC" });
  await context.addInitScript('sessionStorage.setItem("poundlock:token", "picture")');
  await context.addInitScript(clockFrom(host.now));
  for (const [path, isShown] of Object.entries(screens)) {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${path}`;
    const times = (await measure(context, url, isShown)).map(Math.round);
    const median = times[(times.length - 1) / 2] ?? NaN;
    console.log(`/${path}: ${median} ms [${times.join(" ")}], load ${loadavg()[0]?.toFixed(0) ?? ""}`);
  }
} finally {
  await started.close();
  server.closeAllConnections();
  server.close();
  await host.close();
}
