import { readSync, writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { messageOf } from "../../src/model/message.ts";
import { FileHost, type HostSetting, ordersOf } from "./file-host.ts";
import type { Place } from "./points.ts";

/** What a child process is to do. */
export interface ChildSetting extends HostSetting {
  /**
   * `orders`: runs that flow once, or goes on with the run that there is. `events`: takes in all pages, one after the
   * other, and moves them. `all`: runs `orders` again and again, until both imports have all pages.
   */
  readonly task: "orders" | "events" | "all";
}

/** What it tells its parent, a line each. */
export type Report =
  | { readonly what: "halted"; readonly place: Place }
  | { readonly what: "committed"; readonly page: number; readonly held: boolean }
  | { readonly what: "ended"; readonly held: boolean }
  | { readonly what: "lost" | "closed" }
  | { readonly what: "background:error"; readonly message: string };

// Written before anything else happens: what comes next may be the end.
function report(line: Report): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

/** Halts the whole process until its parent lets it go on, or is gone. */
function halted(place: Place): void {
  report({ what: "halted", place });
  if (readSync(0, Buffer.alloc(1)) === 0) process.exit(1);
}

async function work(setting: ChildSetting): Promise<void> {
  const host = await FileHost.open(setting, {
    halted,
    committed: (page, held) => report({ what: "committed", page, held }),
    ended: (held) => report({ what: "ended", held }),
  });
  const { scheduler } = host;
  if (setting.task === "all") {
    await runUntilAllIsThere(host, setting.pages);
    return;
  }
  scheduler.on("background:error", ({ error, during }) =>
    report({ what: "background:error", message: `${during}: ${messageOf(error)}` }),
  );
  const over = new Promise<void>((resolve) => {
    scheduler.on("lease:lost", () => {
      report({ what: "lost" });
      resolve();
    });
    for (const event of ["run:completed", "run:failed", "run:canceled"] as const) scheduler.on(event, () => resolve());
  });
  if (setting.task === "events")
    for (let page = 1; page <= setting.pages; page++)
      await scheduler.accept("events", ordersOf(page), { ids: ordersOf(page).map(({ n }) => `event-${n}`) });
  await scheduler.start();
  if (setting.task === "orders" && (await scheduler.listRuns()).items.length === 0) await scheduler.run("orders");
  await over;
  await host.close();
  report({ what: "closed" });
}

async function runUntilAllIsThere(host: FileHost, pages: number): Promise<void> {
  const { scheduler } = host;
  await scheduler.start();
  const isThere = ({ checkpoint }: { readonly checkpoint?: unknown }) =>
    (checkpoint as { readonly page: number } | undefined)?.page === pages;
  while (!(await scheduler.deliveries("orders")).every(isThere)) {
    const { _id } = await scheduler.run("orders");
    await scheduler.waitFor(_id);
    await pause(10);
  }
  await host.close();
  report({ what: "closed" });
}

work(JSON.parse(process.argv[2] ?? "") as ChildSetting).catch((error: unknown) => {
  report({
    what: "background:error",
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
  process.exitCode = 1;
});
