import type { TestProject } from "vitest/node";
import { startBrowser } from "./browser.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Where the browser is reached; empty: none could be started. */
    browser: string;
    /** Why none could be started. */
    noBrowser: string;
  }
}

/** Starts the browser that all tests share. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  try {
    const { server, close } = await startBrowser();
    project.provide("browser", server.wsEndpoint());
    project.provide("noBrowser", "");
    return close;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.warn(`SKIPPED: no browser could be started, so none of the pages was tested: ${reason}`);
    project.provide("browser", "");
    project.provide("noBrowser", reason);
    return async () => undefined;
  }
}
