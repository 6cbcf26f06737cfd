import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Export, type Import, MemoryStorage, type SchedulerOptions } from "../../src/index.ts";
import { version } from "../../src/model/worker-process.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, Harness, aborted, faltering, minute, second } from "../support/harness.ts";
import { SharedMemory } from "../support/shared-memory.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-processes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Parts {
  readonly storage: Storage;
  readonly from?: Export<number>;
  readonly sink?: Import<number>;
  readonly options?: SchedulerOptions;
}

/** A process: its exports and imports are there unless they are left out. */
function processOn({
  storage,
  from = arrayExport([1]),
  sink = collectingImport<number>(),
  options = {},
}: Parts): Harness {
  return new Harness({ exports: { from }, imports: { sink }, storage, options });
}

/** Moves the time of all of them on, in steps. */
async function advance(processes: readonly Harness[], ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 250)
    for (const { clock } of processes) await clock.advance(Math.min(250, left));
}

describe("processes that share a storage", () => {
  test("are listed while they live, with what each is there for", async () => {
    const storage = new MemoryStorage();
    const one = processOn({ storage, options: { name: "api", roles: [] } });
    const other = processOn({ storage, options: { concurrency: 3, roles: ["run"] } });
    await one.scheduler.start();
    await other.scheduler.start();
    const both = await one.scheduler.processes();
    await other.clock.advance(31 * second);
    const living = await other.scheduler.processes();
    await other.scheduler.stop();

    expect(both).toMatchObject([
      { name: "api", version, roles: [], concurrency: 10, exportIds: ["from"], importIds: ["sink"], running: 0 },
      { roles: ["run"], concurrency: 3 },
    ]);
    expect(living).toMatchObject([{ roles: ["run"], seenAt: "2030-01-01T12:00:30.000Z" }]);
    expect(await other.scheduler.processes()).toEqual([]);
  });

  test("are listed no longer than others if they died with their clock ahead", async () => {
    const storage = new MemoryStorage();
    const died = processOn({ storage });
    died.clock.jumpTo(died.clock.now() + minute);
    await died.scheduler.start();

    const { scheduler } = processOn({ storage });
    await scheduler.start();

    expect(await scheduler.processes()).toHaveLength(1);
    await Promise.all([scheduler.stop(), died.scheduler.stop()]);
  });

  test("say which version of poundlock they are, which is the package's", () => {
    const { version: packaged } = JSON.parse(readFileSync("package.json", "utf8")) as { readonly version: string };

    expect(version).toBe(packaged);
  });

  test("hand a wake-up on whose imports only another one has", async () => {
    const storage = new SharedMemory({ hasBell: true, pollMs: 1_000 });
    const without = new Harness({ exports: { from: arrayExport([1]) }, imports: {}, storage });
    const having = processOn({ storage });
    const flow = await having.flow();
    await having.scheduler.start();
    await without.scheduler.start();
    await advance([without, having], second);

    // Here it finds a free slot, and the export.
    const run = await without.scheduler.run(flow._id);
    await advance([without, having], 5 * second);

    expect(await having.scheduler.getRun(run._id)).toMatchObject({ status: "completed" });
    expect(without.events.of("run:started")).toEqual([]);
  });

  test("leave a wake-up to the one that has the imports, however many others have the export alone", async () => {
    const storage = new SharedMemory({ pollMs: 250 });
    const parts = { exports: { from: arrayExport([1]) }, imports: {}, storage };
    const without = [new Harness(parts), new Harness(parts)] as const;
    const having = processOn({ storage });
    const flow = await having.flow();
    // They look at the same instants, and before the one that can.
    const all = [...without, having];
    for (const { scheduler } of all) await scheduler.start();
    await advance(all, second);

    const run = await without[0].scheduler.run(flow._id);
    await advance(all, 3 * second);

    expect(await having.scheduler.getRun(run._id)).toMatchObject({ status: "completed" });
  });

  test("report a heartbeat that fails, and go on", async () => {
    const storage = faltering(new MemoryStorage(), { method: "keepProcess", fails: (nth) => nth === 2 });
    const one = processOn({ storage });
    await one.scheduler.start();
    await one.clock.advance(30 * second);

    expect(one.events.of("background:error")).toMatchObject([{ during: "saying that this process is there" }]);
    expect(await one.scheduler.processes()).toHaveLength(1);
  });

  test("do by their roles: one without `run` executes nothing, and wakes one that does", async () => {
    const storage = new SharedMemory({ hasBell: true, pollMs: 1_000 });
    const api = processOn({ storage, options: { roles: [] } });
    const worker = processOn({ storage, options: { roles: ["run"] } });
    await api.scheduler.start();
    const flow = await api.flow({ schedule: "* * * * *" });
    const run = await api.scheduler.run(flow._id);
    await api.clock.advance(3 * minute);
    const alone = await api.runs(flow._id);

    await worker.scheduler.start();
    await advance([api, worker], second);

    expect(alone).toMatchObject([{ _id: run._id, status: "queued" }]);
    expect(await api.runs(flow._id)).toMatchObject([{ _id: run._id, status: "completed" }]);
    expect(worker.events.of("run:completed")).toHaveLength(1);
  });

  test("listen by their roles", async () => {
    let isOpen = false;
    const from: Export<number> = { listen: () => ((isOpen = true), () => undefined) };
    const storage = new MemoryStorage();
    const worker = processOn({ storage, from, options: { roles: ["schedule", "run"] } });
    await worker.flow();
    await worker.scheduler.start();
    await worker.clock.advance(minute);
    const before = isOpen;

    const listener = processOn({ storage, from, options: { roles: ["listen"] } });
    await listener.scheduler.start();
    await listener.clock.settle();

    expect([before, isOpen]).toEqual([false, true]);
  });

  test("cancel each other's runs within two seconds", async () => {
    const storage = new SharedMemory({ hasBell: true, pollMs: 1_000 });
    const sink = scriptedImport<number>((_, { signal }) => aborted(signal).then(() => undefined), {
      writeTimeoutMs: minute,
    });
    const [one, other] = [
      processOn({ storage, sink, options: { leaseMs: 60_000 } }),
      processOn({ storage, options: { roles: [] } }),
    ];
    await one.scheduler.start();
    await other.scheduler.start();
    const flow = await one.flow();
    const { _id } = await one.scheduler.run(flow._id);
    await advance([one, other], second);

    await other.scheduler.cancel(_id);
    await advance([one, other], 2 * second);

    expect(await other.scheduler.getRun(_id)).toMatchObject({ status: "canceled" });
  });

  test("look at once when it rings: for flows that changed, and for runs that are canceled", async () => {
    const rings = new Map<string, () => void>();
    const on = (topic: string, ring: () => void) => {
      rings.set(topic, ring);
      return () => void rings.delete(topic);
    };
    const storage = Object.assign(new SharedMemory({ hasBell: true, pollMs: 1_000 }), { bell: { on } });
    let looks = 0;
    const nextDueAt = storage.nextDueAt.bind(storage);
    storage.nextDueAt = () => (looks++, nextDueAt());
    const sink = scriptedImport<number>((_, { signal }) => aborted(signal).then(() => undefined), {
      writeTimeoutMs: minute,
    });
    const worker = processOn({ storage, sink, options: { leaseMs: 60_000 } });
    const web = processOn({ storage, options: { roles: [] } });
    await worker.scheduler.start();
    const flow = await web.flow();
    looks = 0;
    rings.get("flows")?.();
    await worker.clock.advance(50);
    const looksAtOnce = looks;
    const run = await web.scheduler.run(flow._id);
    await worker.clock.advance(second);

    await web.scheduler.cancel(run._id);
    rings.get("cancel")?.();
    await worker.clock.settle();

    expect(looksAtOnce).toBe(1);
    expect(await web.scheduler.getRun(run._id)).toMatchObject({ status: "canceled" });
    await worker.scheduler.stop();
    expect([...rings.keys()]).toEqual([]);
  });

  test("run what only one of them has the export for, there", async () => {
    const storage = new SharedMemory({ hasBell: true, pollMs: 1_000 });
    const without = new Harness({ exports: {}, imports: { sink: collectingImport<number>() }, storage });
    const having = processOn({ storage });
    await without.scheduler.start();
    await having.scheduler.start();
    const flow = await having.flow();

    const run = await without.scheduler.run(flow._id);
    await advance([without, having], second);

    expect(await without.scheduler.getRun(run._id)).toMatchObject({ status: "completed" });
    expect(without.events.of("run:started")).toEqual([]);
    expect([...without.events.of("run:unclaimed"), ...having.events.of("run:unclaimed")]).toEqual([]);
  });

  test("report runs once a minute whose export none of them has, and run them once one has it", async () => {
    const storage = new SharedMemory({ hasBell: true, pollMs: 1_000 });
    const maker = processOn({ storage });
    const flow = await maker.flow();
    const without = new Harness({ exports: {}, imports: { sink: collectingImport<number>() }, storage });
    await without.scheduler.start();
    const run = await without.scheduler.run(flow._id);
    await without.clock.advance(2 * minute);
    const reported = without.events.of("run:unclaimed");

    const having = processOn({ storage });
    having.clock.jumpTo(without.clock.now());
    await having.scheduler.start();
    await advance([without, having], 2 * second);

    expect(reported.length).toBeGreaterThanOrEqual(2);
    expect(reported.length).toBeLessThanOrEqual(3);
    expect(reported[0]).toMatchObject({ run: { _id: run._id }, missing: [{ kind: "export", _id: "from" }] });
    expect(await having.scheduler.getRun(run._id)).toMatchObject({ status: "completed" });
  });
});

describe("two processes on one file", () => {
  test("share work at once: what finds no free slot in one runs in the other", async () => {
    const file = join(folder, "shared.db");
    const gate = new Gate();
    const slow = scriptedImport<number>(() => gate.opened.then(() => undefined), { writeTimeoutMs: minute });
    await using first = await SqliteStorage.open(file);
    await using second = await SqliteStorage.open(file);
    const busy = processOn({ storage: first, sink: slow, options: { concurrency: 1 } });
    const idle = processOn({ storage: second });
    await busy.scheduler.start();
    await idle.scheduler.start();
    const flows = [await busy.flow(), await busy.flow(), await busy.flow()];
    await advance([busy, idle], 10_000);

    for (const { _id } of flows) await busy.scheduler.run(_id);
    await advance([busy, idle], 1_000);

    expect(idle.events.of("run:completed")).toHaveLength(2);
    gate.open();
    await busy.scheduler.stop();
    await idle.scheduler.stop();
  });

  test("and one process alone on it keep nothing in the file that wakes others", async () => {
    await using storage = await SqliteStorage.open(join(folder, "alone.db"));
    let added = 0;
    const { wakes } = storage;
    const counted = new Proxy(storage, {
      get(target, name) {
        if (name === "wakes")
          return {
            pollMs: wakes.pollMs,
            claimWakes: wakes.claimWakes.bind(wakes),
            addWakes: async () => {
              added++;
            },
          };
        const member: unknown = Reflect.get(target, name);
        return typeof member === "function" ? (member.bind(target) as unknown) : member;
      },
    });
    const one = processOn({ storage: counted, options: { concurrency: 1 } });
    await one.scheduler.start();
    const flows = await Promise.all(Array.from({ length: 20 }, () => one.flow()));
    await Promise.all(flows.map(({ _id }) => one.scheduler.run(_id)));
    await one.clock.advance(minute);

    expect(one.events.of("run:completed")).toHaveLength(20);
    expect(added).toBe(0);
    await one.scheduler.stop();
  });
});
