import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MemoryStorage } from "../../../src/index.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { second } from "../../support/harness.ts";
import { type FaultMode, faultyStorage } from "../../support/faulty-storage.ts";
import { ScriptedHost } from "./scripted-host.ts";

/** A storage that can be opened again as it was left. */
interface OpenStorage {
  readonly storage: Storage;
  reopen(): Promise<Storage>;
  remove(): Promise<void>;
}

/** `POUNDLOCK_EVERY_FAULT=1` leaves no call out; it takes minutes. */
const everyFault = process.env.POUNDLOCK_EVERY_FAULT === "1";

/** `step`: of how many calls one is chosen for each mode but {@link wholly}; another one for each mode. */
const storages: readonly { readonly name: string; readonly open: () => Promise<OpenStorage>; readonly step: number }[] =
  [
    { name: "MemoryStorage", open: openMemory, step: 1 },
    { name: "SqliteStorage on a file", open: openFile, step: everyFault ? 1 : 16 },
  ];

async function openMemory(): Promise<OpenStorage> {
  const storage = new MemoryStorage();
  return { storage, reopen: async () => storage, remove: () => storage.close() };
}

async function openFile(): Promise<OpenStorage> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-faults-"));
  // Nobody pulls the plug here.
  const open = () => SqliteStorage.open(join(folder, "flows.db"), { synchronous: "normal" });
  let storage = await open();
  return {
    storage,
    reopen: async () => {
      await storage.close();
      return (storage = await open());
    },
    remove: async () => {
      await storage.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** After a fault of such a kind the same scheduler goes on by itself. */
const passing = [
  "throws",
  "is done, but reports failure",
  "fails, and all others for a while",
  "is done, but it and all others for a while report failure",
] as const satisfies readonly FaultMode[];
const lasting = [
  "hangs",
  "is done, but hangs",
  "fails, and all others for good",
] as const satisfies readonly FaultMode[];
/** Faults of one call only, which cost no run. */
const small: readonly FaultMode[] = ["throws", "is done, but reports failure"];

/** The one that goes through every call of every storage. */
const wholly: FaultMode = "is done, but reports failure";

/** Longer than a lease, so that what runs is reclaimed. */
const outageMs = 45 * second;

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);
beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", note);
});
afterEach(() => {
  process.off("unhandledRejection", note);
});

/** Every method of a storage. */
const methods = Object.getOwnPropertyNames(MemoryStorage.prototype).filter(
  (name) => name !== "constructor" && name !== "close",
);

/** The script on a storage where nothing goes wrong. */
async function faultless(open: () => Promise<OpenStorage>) {
  const opened = await open();
  const host = new ScriptedHost();
  const { storage, calls } = faultyStorage(host.audit.watch(opened.storage));
  await host.follow(storage);
  const names = [...calls];
  await host.recover();
  const { reclaimed } = host.audit;
  await host.check();
  await host.end();
  const { violations } = host;
  await opened.remove();
  return { names, reclaimed, violations, hung: host.hung, failed: host.failed };
}

for (const { name, open, step } of storages) {
  const { names, ...faultFree } = await faultless(open);
  const calls = names.map((method, index) => [index + 1, method] as const);

  describe(`${name}: a script of ${calls.length} calls`, () => {
    test("by itself it harms nothing, and calls every method there is", () => {
      expect(faultFree).toEqual({ reclaimed: 1, violations: "", hung: 0, failed: 0 });
      // Due times are computed anew, and waits ended, only after a change of zone, tz data or clock: test/scheduler has that.
      const wanted = methods.filter((method) => method !== "rescheduleFlows" && method !== "endWait");
      expect([...new Set(names)].sort()).toEqual(wanted.sort());
    });

    for (const [index, mode] of [...passing, ...lasting].entries()) {
      const chosen = calls.filter(([k]) => mode === wholly || k % step === index % step);
      const which = chosen.length === calls.length ? "every one" : `${chosen.length} of them, every ${step}th`;

      describe(`one call ${mode} (${which})`, () => {
        test.each(chosen)(`call %i (%s) ${mode}`, (k, method) =>
          survive(open, { k, method, mode }, faultFree.reclaimed),
        );
      });
    }
  });
}

async function survive(
  open: () => Promise<OpenStorage>,
  { k, method, mode }: { readonly k: number; readonly method: string; readonly mode: FaultMode },
  mayBeReclaimed: number,
): Promise<void> {
  const opened = await open();
  const host = new ScriptedHost();
  const fault = { at: k, mode, outageMs, now: () => host.clock.now() };
  const faulty = faultyStorage(host.audit.watch(opened.storage), fault);

  await host.follow(faulty.storage);
  // A file returns when it can, so that another call may have been the one with this number.
  if (opened.storage.capabilities.durable) expect(faulty.struck.length).toBeGreaterThan(0);
  else expect(faulty.struck[0], "what went wrong first").toBe(method);
  if (passing.some((each) => each === mode)) {
    await host.clock.advance(outageMs);
    await host.recover();
    expect(await host.check(), "without a restart").toBe("");
  }
  await host.end();
  await host.begin(host.audit.watch(await opened.reopen()));
  await host.recover();

  expect(await host.check(), "after a restart").toBe("");
  if (!mode.endsWith("hangs")) expect(host.hung, "host calls that never answered").toBe(0);
  if (small.includes(mode)) expect(host.audit.reclaimed, "runs reclaimed").toBeLessThanOrEqual(mayBeReclaimed);
  await host.end();
  expect(host.clock.timers).toBe(0);
  expect(host.violations, "when it has stopped").toBe("");
  expect(unhandled).toEqual([]);
  await opened.remove();
}
