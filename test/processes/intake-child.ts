import { appendFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { hasEnded } from "../../src/model/run.ts";
import { messageOf } from "../../src/model/message.ts";
import { isPoundlockError } from "../../src/errors.ts";
import { FileHost, type HostSetting } from "./file-host.ts";

/** What a process that takes events in is to do. */
export interface IntakeSetting extends HostSetting {
  /** Events to send again, as nobody said OK to them. */
  readonly again: readonly number[];
  /** The first event that was not sent yet. */
  readonly from: number;
  /** One after the last event. */
  readonly to: number;
}

/** What it tells, a line each. */
export type IntakeReport =
  | { readonly what: "accepted"; readonly events: number }
  | { readonly what: "drained" }
  | { readonly what: "background:error"; readonly message: string };

const senders = 50;

// As in child.ts: written before anything else happens.
function report(line: IntakeReport): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

async function work(setting: IntakeSetting): Promise<void> {
  const host = await FileHost.open(setting);
  const { scheduler, storage } = host;
  scheduler.on("background:error", ({ error, during }) =>
    report({ what: "background:error", message: `${during}: ${messageOf(error)}` }),
  );
  await scheduler.start();
  const again = [...setting.again];
  let next = setting.from;
  let events = 0;
  const send = async () => {
    for (;;) {
      const n = again.shift() ?? (next < setting.to ? next++ : undefined);
      if (n === undefined) return;
      appendFileSync(join(setting.folder, "sent"), `${n}\n`);
      while (!(await isTaken(n))) await pause(5);
      appendFileSync(join(setting.folder, "accepted"), `${n}\n`);
      if (++events % 10 === 0) report({ what: "accepted", events });
    }
  };
  // A full inbox says so: its sender tries again.
  const isTaken = async (n: number) => {
    try {
      await scheduler.accept("events", [{ n }], { ids: [`event-${n}`] });
      return true;
    } catch (error) {
      if (isPoundlockError(error) && error.code === "busy") return false;
      throw error;
    }
  };
  await Promise.all(Array.from({ length: senders }, send));
  const open = async () => (await scheduler.listRuns()).items.filter((run) => !hasEnded(run));
  for (let runs = await open(); runs.length > 0; runs = await open())
    for (const { _id } of runs) await scheduler.waitFor(_id);
  const left = await storage.readInbox("events", { maxRecords: 1 });
  await host.close();
  if (left.length > 0) throw new Error("events are in the inbox, and no run waits for them");
  report({ what: "drained" });
}

work(JSON.parse(process.argv[2] ?? "") as IntakeSetting).catch((error: unknown) => {
  report({
    what: "background:error",
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
  process.exitCode = 1;
});
