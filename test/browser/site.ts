import { type RequestListener, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, inject, test as plain } from "vitest";
import type { DashboardOptions } from "../../src/dashboard/index.ts";
import { createDashboard } from "../../src/dashboard/index.ts";
import { type HandlerOptions, bearerToken, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import type { Result, Scheduler } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Harness, type Setting } from "../support/harness.ts";

/** Tests in a browser: skipped, and said so, where none could be started. */
export const test = plain.skipIf(inject("browser") === "");

/** What callers have to send. */
export const token = "secret-token-of-the-test";

let browser: Browser | undefined;
beforeAll(async () => {
  if (inject("browser") !== "") browser = await chromium.connect(inject("browser"));
});
afterAll(() => browser?.close());

const closing: (() => Promise<unknown>)[] = [];
const problems: string[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  expect(problems.splice(0), "what the console of the browser said").toEqual([]);
});

/** Closes something when the test has ended. */
export function closeAfter(close: () => Promise<unknown>): void {
  closing.push(close);
}

/** Listens on a port of its own until the test ends. */
export async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closeAfter(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** How a page is served. */
export interface SiteOptions {
  readonly basePath?: string;
  readonly http?: Partial<HandlerOptions>;
  readonly dashboard?: Partial<DashboardOptions>;
}

/** Serves the page of a scheduler, and returns its address, with a slash at its end. */
export async function siteOf(scheduler: Scheduler, { basePath = "", http = {}, dashboard = {} }: SiteOptions = {}) {
  const handler = createHandler({ scheduler, authorize: bearerToken(token), basePath: `${basePath}/api`, ...http });
  const page = createDashboard({ handler, basePath, ...dashboard });
  const address = await serve(toNodeListener(page));
  return `${address}${basePath}/`;
}

/** How a page is looked at. */
export interface Look {
  readonly width?: number;
  readonly scheme?: "light" | "dark";
  /** Without it nobody has signed in. @default that of the site */
  readonly token?: string | undefined;
  /** What the console may say, part of it. */
  readonly allowed?: RegExp;
}

/** A window of its own, in which nothing may be written to the console and no policy violated. */
export async function openWindow(look: Look = {}): Promise<Page> {
  const { width = 1100, scheme = "light", allowed = /^never$/ } = look;
  const given = "token" in look ? look.token : token;
  const context = await newContext({ viewport: { width, height: 800 }, colorScheme: scheme });
  if (given !== undefined) await context.addInitScript(signInBefore(given));
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const report = (text: string) => {
    if (!allowed.test(text)) problems.push(text);
  };
  page.on("console", (message) => report(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => report(`thrown: ${error.message}`));
  return page;
}

async function newContext(options: object): Promise<BrowserContext> {
  if (browser === undefined) throw new Error("There is no browser");
  const context = await browser.newContext(options);
  closeAfter(() => context.close());
  return context;
}

/** Runs in the browser, in every frame, before anything else does. */
const signInBefore = (given: string): string => `
  addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    console.error("violates " + violatedDirective + ": " + blockedURI),
  );
  try {
    sessionStorage.setItem("poundlock:token", ${JSON.stringify(given)});
  } catch {
    // A frame without an origin of its own.
  }
`;

/** Opens a screen and waits until it has been shown. */
export async function visit(address: string, path: string, look: Look = {}): Promise<Page> {
  const page = await openWindow(look);
  await page.goto(address + path);
  await page.locator("h1").waitFor();
  return page;
}

/** The screen has loaded what it shows. */
export async function loaded(page: Page): Promise<void> {
  await page.locator(".skeleton").first().waitFor({ state: "detached" });
  await page.locator("[aria-busy=true]").first().waitFor({ state: "detached" });
}

const rejected = (message: string, code?: string): Result => ({
  ok: false,
  fault: "reject",
  error: Object.assign(new Error(message), code === undefined ? {} : { code }),
});

/** An order of the tests. */
export interface Order {
  readonly id: string;
  readonly customer: number;
}

/** Orders 1230 and on; each third has a customer that the ledger refuses. */
export const ordersFrom = (count: number): Order[] =>
  Array.from({ length: count }, (_, index) => ({ id: `${1230 + index}`, customer: index % 3 === 1 ? 0 : 500 + index }));

/** A scheduler that has run flows: one with failures, one that failed, one that is disabled. */
export async function hostWithFlows(setting: Setting & { readonly count?: number } = {}) {
  const script = { refuses: true };
  const picky = scriptedImport<Order>(({ records }) =>
    records.map(({ id, customer }) =>
      script.refuses && customer === 0 ? rejected(`customer of order ${id} has no VAT number`, "no_vat") : { ok: true },
    ),
  );
  const orders = { ...arrayExport(ordersFrom(setting.count ?? 9)), key: ({ id }: Order) => id };
  const broken = {
    async *pages() {
      throw new Error("connect ECONNREFUSED");
    },
  };
  const host = new Harness({
    exports: { orders, broken },
    imports: { ledger: picky, mailer: collectingImport<unknown>() },
    ...setting,
  });
  const { registry, scheduler } = host;
  await registry.define("orders", {
    name: "Orders to ledger",
    schedule: "*/5 * * * *",
    _exportId: "orders",
    _importIds: ["ledger", "mailer"],
  });
  await registry.define("returns", { name: "Returns", _exportId: "broken", _importId: "ledger" });
  await registry.define("old", {
    name: "Orders of last year",
    _exportId: "orders",
    _importId: "ledger",
    disabled: true,
  });
  await scheduler.start();
  closeAfter(() => scheduler.stop());
  const run = await host.run("orders");
  const failedRun = await host.run("returns");
  return { host, registry, scheduler, script, picky, run, failedRun };
}
