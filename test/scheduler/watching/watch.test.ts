import { expect, test } from "vitest";
import { MemoryStorage } from "../../../src/index.ts";
import { ChangeFeed, type Heard } from "../../../src/scheduler/watching/change-feed.ts";
import { watchChanges } from "../../../src/scheduler/watching/watch.ts";
import type { ChangeStorage, Storage } from "../../../src/storage/storage.ts";
import { ManualClock, arrayExport, collectingImport } from "../../../src/testing/index.ts";
import { Harness, noon, second } from "../../support/harness.ts";

/** A process with an export and an import. */
function processOn(storage: Storage): Harness {
  return new Harness({ exports: { from: arrayExport([1]) }, imports: { sink: collectingImport<number>() }, storage });
}

/** A storage whose changes have other methods. */
function withChanges(change: (honest: ChangeStorage) => Partial<ChangeStorage> | undefined): Storage {
  const storage = new MemoryStorage();
  const { changes } = storage;
  const spoiled = change(changes);
  const parts = spoiled && {
    pollMs: 1_000,
    followChanges: changes.followChanges.bind(changes),
    unfollowChanges: changes.unfollowChanges.bind(changes),
    changesSince: changes.changesSince.bind(changes),
    forgetChanges: changes.forgetChanges.bind(changes),
    ...spoiled,
  };
  return new Proxy<Storage>(storage, {
    get(target, name) {
      const member: unknown = name === "changes" ? parts : Reflect.get(target, name);
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
}

test("a scheduler that is not started watches what becomes of runs and flows in another process", async () => {
  const storage = new MemoryStorage();
  const [worker, web] = [processOn(storage), processOn(storage)];
  const abort = new AbortController();
  const watch = web.scheduler.watch({ signal: abort.signal });
  await watch.ready;
  await worker.scheduler.start();
  const flow = await worker.flow();
  const run = await worker.scheduler.run(flow._id);
  await worker.clock.advance(second);

  const seen: unknown[] = [];
  for await (const one of watch) {
    seen.push([one.change, one.run?._id ?? one.flow?._id]);
    if (one.change === "completed") abort.abort();
  }

  expect(seen).toEqual([
    ["flow:created", flow._id],
    ["queued", run._id],
    ["started", run._id],
    ["completed", run._id],
  ]);
  expect(web.events.of("run:completed")).toEqual([]);
});

test("a watch that is left or aborted follows nothing any more, and one that was aborted before yields nothing", async () => {
  const storage = new MemoryStorage();
  const harness = processOn(storage);
  const watch = harness.scheduler.watch();
  await watch.ready;
  await harness.flow();
  for await (const { change } of watch) if (change === "flow:created") break;
  const place = await storage.changes.followChanges({ _id: "me", at: noon, until: noon + 1 });
  await harness.clock.settle();
  await storage.changes.unfollowChanges("me");
  await harness.flow();
  const { gap } = await storage.changes.changesSince(place, { limit: 1, at: noon });

  const none: unknown[] = [];
  for await (const one of harness.scheduler.watch({ signal: AbortSignal.abort() })) none.push(one);
  const abort = new AbortController();
  const waiting = harness.scheduler.watch({ signal: abort.signal })[Symbol.asyncIterator]().next();
  abort.abort();

  // Nobody reads: nothing is noted.
  expect([gap, (await storage.changes.changesSince(place, { limit: 1, at: noon })).changes]).toEqual([false, []]);
  expect(none).toEqual([]);
  expect(await waiting).toEqual({ done: true, value: undefined });
  await expect(async () => harness.scheduler.watch({ signal: "no" as never })).rejects.toThrow(
    "signal: expected an AbortSignal",
  );
});

test("a watcher that is slower than 10,000 changes gets a gap instead, and what follows", async () => {
  let tell: (heard: Heard) => void = () => undefined;
  const watch = watchChanges({
    listen: (listener) => ((tell = listener), { ready: Promise.resolve(), end: () => undefined }),
  });
  const changes = (size: number, name: string) =>
    Array.from({ length: size }, () => ({ change: "flow:deleted", flow: { _id: name } as never }) as const);
  const iterator = watch[Symbol.asyncIterator]();

  tell({ changes: changes(10_000, "lost"), gap: false });
  tell({ changes: changes(1, "lost, too"), gap: false });
  tell({ changes: changes(2, "kept"), gap: false });
  tell({ changes: changes(1, "after a gap"), gap: true });
  const seen: unknown[] = [];
  for (let nth = 0; nth < 5; nth++) {
    const { value } = (await iterator.next()) as { value: { change: string; flow?: { _id: string } } };
    seen.push(value.flow?._id ?? value.change);
  }

  expect(seen).toEqual(["gap", "kept", "kept", "gap", "after a gap"]);
});

test("a storage that fails is tried again; what was missed before it could be followed is a gap", async () => {
  let calls = 0;
  const storage = withChanges((honest) => ({
    async followChanges(reader) {
      if (++calls < 3) throw new Error("not now");
      return honest.followChanges(reader);
    },
  }));
  const harness = processOn(storage);
  const watch = harness.scheduler.watch();
  await watch.ready;
  await harness.flow({ name: "missed" });
  await harness.clock.advance(second);
  await harness.flow({ name: "found" });
  await harness.clock.advance(second);

  const iterator = watch[Symbol.asyncIterator]();
  const [first, next] = [await iterator.next(), await iterator.next()];

  expect(first.value).toEqual({ change: "gap" });
  expect(next.value).toMatchObject({ change: "flow:created", flow: { name: "found" } });
  expect(harness.events.of("background:error")).toMatchObject(Array(2).fill({ during: "following changes" }));
  await iterator.return?.();
});

test("a reader says again that it is there, before changes are kept for it no more", async () => {
  const said: number[] = [];
  const storage = withChanges((honest) => ({
    async followChanges(reader) {
      said.push(reader.at - noon);
      return honest.followChanges(reader);
    },
  }));
  const clock = new ManualClock(noon);
  const feed = new ChangeFeed({ storage, clock, processId: "me", emit: () => undefined });
  const { end, ready } = feed.listen(() => undefined);
  await ready;
  await clock.advance(25 * second);
  end();
  await clock.settle();

  expect(said).toEqual([0, 10 * second, 20 * second]);
  expect(clock.timers).toBe(0);
});

test("of a storage without changes a watch tells what this process does to runs", async () => {
  const harness = processOn(withChanges(() => undefined));
  const watch = harness.scheduler.watch();
  await watch.ready;
  const flow = await harness.flow();
  const run = await harness.scheduler.run(flow._id);

  expect(await watch[Symbol.asyncIterator]().next()).toMatchObject({
    value: { change: "queued", run: { _id: run._id } },
  });
});

test("a signal of the host's that ends many watches and waits has no leak of listeners reported", async () => {
  const harness = processOn(new MemoryStorage());
  const { scheduler } = harness;
  const flow = await harness.registry.create({ name: "a flow", _exportId: "from", _importId: "sink" });
  const run = await scheduler.run(flow._id);
  const { signal } = new AbortController();
  const warnings: string[] = [];
  const warned = ({ name }: Error) => void warnings.push(name);
  process.on("warning", warned);

  for (let count = 0; count < 20; count++) scheduler.watch({ signal });
  const other = new AbortController();
  const waits = Array.from({ length: 20 }, () => scheduler.waitFor(run._id, { signal: other.signal }));
  await harness.clock.settle();
  other.abort(new Error("no more"));
  await Promise.allSettled(waits);
  process.off("warning", warned);

  expect(warnings).toEqual([]);
});
