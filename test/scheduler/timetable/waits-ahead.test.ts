import { describe, expect, test } from "vitest";
import { MemoryStorage, retryLater } from "../../../src/index.ts";
import { UnreadableRowError } from "../../../src/storage/sql/values/unreadable.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { scriptedImport } from "../../../src/testing/index.ts";
import { Harness, day, faltering, hour, minute, noon } from "../../support/harness.ts";

const decade = 3_652 * day;

const kinds = [
  ["a run whose export asked for two hours", "export"],
  ["an import whose destination asked for two hours", "import"],
  ["a failure that is sent again by itself", "failure"],
] as const;

/** A flow that waits for two hours; `onDown` is called before. */
function waiting(kind: (typeof kinds)[number][1], storage: Storage = new MemoryStorage()) {
  const state = { isDown: true, onDown: () => undefined as void };
  const check = (here: typeof kind) => {
    if (kind !== here || !state.isDown) return;
    state.onDown();
    throw retryLater(new Error("quota"), { afterMs: 2 * hour });
  };
  async function* pages() {
    await Promise.resolve();
    check("export");
    yield [1, 2];
  }
  const sink = scriptedImport<number>(({ records }) => {
    check("import");
    if (kind !== "failure" || !state.isDown) return undefined;
    state.onDown();
    return records.map((record) => (record === 1 ? { ok: false, fault: "retry", error: "no" } : { ok: true }));
  });
  const options = { maxAttempts: kind === "export" ? 2 : 1, autoRetry: { afterMs: 2 * hour } };
  const harness = new Harness({ exports: { from: { key: String, pages } }, imports: { sink }, storage, options });
  return { harness, state, sink };
}

describe.each(kinds)("%s waits for no clock that was ahead and is put right", (_, kind) => {
  test.each([
    ["by two hours before it began", 2 * hour, false],
    ["by ten years before it began", decade, false],
    ["by two hours while it ran", 2 * hour, true],
    ["by ten years while it ran", decade, true],
  ])("%s", async (_how, byMs, isMeanwhile) => {
    const { harness, state, sink } = waiting(kind);
    await harness.scheduler.start();
    const { _id } = await harness.flow();
    const jump = () => harness.clock.jumpTo(noon + byMs);
    if (isMeanwhile) state.onDown = jump;
    else jump();
    await harness.scheduler.run(_id);
    await harness.clock.advance(minute);
    state.isDown = false;
    const before = sink.written.length;

    harness.clock.jumpTo(noon + minute);
    await harness.clock.advance(2 * minute);

    expect(before).toBeLessThan(2);
    expect(sink.written.toSorted()).toEqual([1, 2]);
    expect(await harness.failures()).toEqual([]);
  });

  test.each([
    ["by two hours", 2 * hour],
    ["by ten years", decade],
  ])("%s, before the scheduler starts", async (_how, byMs) => {
    const { harness, state, sink } = waiting(kind);
    await harness.scheduler.start();
    const { _id } = await harness.flow();
    harness.clock.jumpTo(noon + byMs);
    await harness.scheduler.run(_id);
    await harness.clock.advance(minute);
    await harness.scheduler.stop();
    state.isDown = false;

    harness.clock.jumpTo(noon + minute);
    await harness.scheduler.start();
    await harness.clock.advance(2 * minute);

    expect(sink.written.toSorted()).toEqual([1, 2]);
  });

  test("while a call of the storage fails", async () => {
    let isFailing = false;
    const storage = faltering(new MemoryStorage(), { method: "dueRetries", fails: () => isFailing });
    const { harness, state, sink } = waiting(kind, storage);
    await harness.scheduler.start();
    const { _id } = await harness.flow();
    harness.clock.jumpTo(noon + decade);
    await harness.scheduler.run(_id);
    await harness.clock.advance(minute);
    state.isDown = false;

    isFailing = true;
    harness.clock.jumpTo(noon + minute);
    await harness.clock.advance(2 * minute);
    isFailing = false;
    await harness.clock.advance(2 * minute);

    expect(sink.written.toSorted()).toEqual([1, 2]);
  });

  test("of a clock that is set back by less than an hour waits as long as was asked for", async () => {
    const { harness, state, sink } = waiting(kind);
    await harness.scheduler.start();
    await harness.scheduler.run((await harness.flow())._id);
    await harness.clock.advance(minute);
    state.isDown = false;
    const before = sink.written.length;

    harness.clock.jumpTo(noon - 50 * minute);
    await harness.clock.advance(2 * hour);
    const early = sink.written.length;
    await harness.clock.advance(hour);

    expect(early).toBe(before);
    expect(sink.written.toSorted()).toEqual([1, 2]);
  });
});

describe("an import that a clock paused which was ahead goes on", () => {
  /** Has the import paused by a clock that is two hours ahead, until it is four hours ahead. */
  async function paused() {
    const { harness, state, sink } = waiting("import");
    await harness.scheduler.start();
    const { _id } = await harness.flow();
    harness.clock.jumpTo(noon + 2 * hour);
    await harness.scheduler.run(_id);
    await harness.clock.advance(minute);
    state.isDown = false;
    return { _id, harness, sink };
  }

  test("when its flow is enabled that was disabled while the clock was put right", async () => {
    const { _id, harness, sink } = await paused();
    await harness.registry.patch(_id, { disabled: true });
    harness.clock.jumpTo(noon + minute);
    await harness.clock.advance(2 * minute);
    const before = [...sink.written];

    await harness.registry.patch(_id, { disabled: false });
    await harness.clock.advance(2 * minute);

    expect(before).toEqual([]);
    expect(sink.written.toSorted()).toEqual([1, 2]);
  });

  test("where the flow has run by the right clock before anybody looked", async () => {
    const { _id, harness, sink } = await paused();
    await harness.scheduler.stop();
    const { storage } = harness;
    harness.clock.jumpTo(noon + minute);
    const flow = await harness.registry.get(_id);
    const queued = await harness.scheduler.run(_id);
    await storage.claimRun(_id, { token: "elsewhere", at: noon + minute, until: noon + minute + 1 });
    expect([flow.lastExecutedAt, queued.status]).toEqual([new Date(noon + 2 * hour).toISOString(), "queued"]);

    await harness.scheduler.start();
    await harness.clock.advance(3 * minute);

    expect(sink.written.toSorted()).toEqual([1, 2]);
  });

  test("where it had been paused before, and nobody looked while the clock was ahead", async () => {
    const { harness, state, sink } = waiting("import");
    await harness.scheduler.start();
    const { _id } = await harness.flow();
    await harness.scheduler.run(_id);
    await harness.clock.settle();
    harness.clock.jumpTo(noon + 3 * hour);
    await harness.scheduler.run(_id);
    await harness.clock.settle();
    const [delivery] = await harness.scheduler.deliveries(_id);
    expect(delivery?.paused).toMatchObject({ since: new Date(noon).toISOString(), attempts: 2 });
    state.isDown = false;

    harness.clock.jumpTo(noon);
    await harness.clock.advance(3 * minute);

    expect(sink.written.toSorted()).toEqual([1, 2]);
  });

  test.each([
    ["as the clock is put right", false],
    ["later, when its flow is enabled", true],
  ])("%s, though something of another flow cannot be read", async (_how, isDisabled) => {
    let unreadable = "";
    const memory = new MemoryStorage();
    const storage = new Proxy<Storage>(memory, {
      get(target, name) {
        if (name === "findPlaces")
          return (_flowId: string) =>
            _flowId === unreadable
              ? Promise.reject(new UnreadableRowError("places", _flowId, "it is not JSON"))
              : memory.findPlaces(_flowId);
        const member: unknown = Reflect.get(target, name);
        return typeof member === "function" ? (member.bind(target) as unknown) : member;
      },
    });
    const { harness, state, sink } = waiting("import", storage);
    await harness.scheduler.start();
    const flows = [await harness.flow({ name: "a" }), await harness.flow({ name: "b" })];
    const [first = "", second = ""] = flows.map(({ _id }) => _id).toSorted();
    harness.clock.jumpTo(noon + 2 * hour);
    for (const _id of [first, second]) await harness.scheduler.run(_id);
    await harness.clock.advance(minute);
    state.isDown = false;
    unreadable = first;
    if (isDisabled) await harness.registry.patch(second, { disabled: true });

    harness.clock.jumpTo(noon + minute);
    await harness.clock.advance(2 * minute);
    if (isDisabled) await harness.registry.patch(second, { disabled: false });
    await harness.clock.advance(2 * minute);

    expect(sink.written.toSorted()).toEqual([1, 2]);
  });
});
