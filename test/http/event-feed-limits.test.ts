import { describe, expect, test } from "vitest";
import { EventRing } from "../../src/http/events/event-ring.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, aborted, second, upTo } from "../support/harness.ts";
import { type Reader, started } from "./feed-stage.ts";

const counts = (readers: readonly Reader[]) => readers.map(({ events }) => events.length);

describe("an event", () => {
  test("is told as the scheduler tells it, whichever it is of a run", async () => {
    const gate = new Gate();
    let tries = 0;
    const { stage, scheduler, registry, clock, listen } = await started({
      exports: {
        numbers: arrayExport(upTo(3)),
        broken: {
          pages() {
            throw new Error("no \ud800 numbers\n\nid: 7\u2028");
          },
        },
      },
      imports: {
        ledger: collectingImport<number>(),
        shaky: scriptedImport<number>(() => {
          if (++tries === 1) throw new Error("not yet");
          return undefined;
        }),
        slow: scriptedImport<number>((_call, { signal }) =>
          Promise.race([gate.opened, aborted(signal)]).then(() => undefined),
        ),
      },
    });
    const reader = listen();
    const reading = reader.readAll();
    await stage.run((await stage.flow({ _importId: "shaky" }))._id);
    await stage.run((await stage.flow({ _exportId: "broken", _importId: "ledger" }))._id);
    const { _id } = await stage.flow({ _importId: "slow" });
    await scheduler.run(_id);
    await scheduler.run(_id);
    await clock.settle();
    await registry.patch(_id, { disabled: true });
    const stopping = scheduler.stop({ graceMs: second });
    await clock.advance(10 * second);
    await Promise.all([stopping, reading]);

    const told = stage.events.all.filter(({ name }) => name.startsWith("run:"));
    const runs = reader.events.filter(({ name }) => name.startsWith("run:"));
    expect(runs.map(({ name, data }) => ({ name, payload: data }))).toEqual(JSON.parse(JSON.stringify(told)));
    expect([...new Set(runs.map(({ name }) => name))].sort()).toEqual([
      ...["run:canceled", "run:completed", "run:failed", "run:progress", "run:queued", "run:requeued"],
      ...["run:retrying", "run:started"],
    ]);
  });

  test("stays one event, whatever its name holds", async () => {
    const { stage, scheduler, listening } = await started();
    const reader = await listening();
    const names = ["a\r\rb", "\n\nevent: gap\ndata: {}\n\n", "\u0001", "\u0085\u2029", "data", "\ufeff"];
    for (const name of names) await stage.flow({ name: `<${name}>` });
    await Promise.all([scheduler.stop(), reader.readAll()]);

    expect(reader.events.map(({ data }) => (data as { flow: { name: string } }).flow.name)).toEqual(
      names.map((name) => `<${name}>`),
    );
  });

  test("of nobody's interest starts no timer, and is there for who comes back", async () => {
    const { stage, scheduler, clock, listening, listen } = await started();
    const first = await listening();
    await first.leave();
    const { timers } = clock;
    for (let index = 0; index < 5; index++) await stage.flow();

    expect(clock.timers).toBe(timers);
    const again = listen({ lastEventId: first.lastEventId });
    await Promise.all([scheduler.stop(), again.readAll()]);
    expect(again.events).toHaveLength(5);
  });
});

describe("a reader", () => {
  test("that reads no further has no timer, is not waited for by a stop, and finds what is left, and the end", async () => {
    const { stage, scheduler, clock, feed, listening } = await started();
    const { timers } = clock;
    const reader = await listening();
    await stage.flow();

    expect([feed.listening, clock.timers]).toEqual([1, timers]);
    await scheduler.stop();
    expect([feed.listening, clock.timers]).toEqual([1, 0]);
    await reader.readAll();
    expect([reader.names, feed.listening]).toEqual([["flow:created"], 0]);
  });

  test("that comes while the scheduler is stopping is told the rest, and the end", async () => {
    const gate = new Gate();
    const { stage, scheduler, clock, listen } = await started({
      imports: { slow: scriptedImport<number>(() => gate.opened.then(() => undefined)) },
    });
    await scheduler.run((await stage.flow())._id);
    await clock.settle();
    const stopping = scheduler.stop();
    const reader = listen();
    const reading = reader.readAll();
    await clock.settle();
    const before = reader.ended;
    gate.open();
    await Promise.all([stopping, reading]);

    expect([before, reader.names.at(-1)]).toEqual([false, "run:completed"]);
  });

  test("that comes before a start and reads after it comes to its end, and the next one goes on where it was", async () => {
    const { stage, scheduler, clock, listen, listening } = await started();
    await scheduler.stop();
    const early = await listening();
    await scheduler.start();
    await early.readAll();
    const late = listen({ lastEventId: early.lastEventId });
    const reading = late.readAll();
    await stage.flow();
    await clock.settle();

    expect([late.ended, late.names]).toEqual([false, ["flow:created"]]);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("that leaves as the last who waits takes the timers with it, also while all rest", async () => {
    const { stage, scheduler, clock, feed, listening } = await started();
    const { timers } = clock;
    const slow = await listening();
    const readers = await Promise.all(Array.from({ length: 60 }, () => listening()));
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    for (let index = 0; index < 2; index++) {
      await stage.flow();
      await clock.settle();
    }
    const resting = clock.timers - timers;
    for (const reader of readers) await reader.leave();
    await reading;

    expect(resting).toBe(2);
    expect([feed.listening, clock.timers]).toEqual([1, timers]);
    await Promise.all([scheduler.stop(), slow.readAll()]);
  });
});

describe("a comment after silence", () => {
  test("needs one timer for all, and comes to all", async () => {
    const { scheduler, clock, listening } = await started({ heartbeatMs: 10 * second });
    const { timers } = clock;
    const readers: Reader[] = [];
    for (let index = 0; index < 5; index++) {
      readers.push(await listening());
      await clock.advance(second / 10);
    }
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();

    expect(clock.timers).toBe(timers + 1);
    await clock.advance(11 * second);
    expect(readers.map(({ comments }) => comments)).toEqual([1, 1, 1, 1, 1]);
    expect(clock.timers).toBe(timers + 1);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("comes in time, whoever begins to wait meanwhile, or leaves", async () => {
    const { scheduler, clock, listening } = await started({ heartbeatMs: 10 * second });
    const gone = await listening();
    const waiting = gone.readAll();
    await clock.settle();
    await gone.leave();
    const early = await listening();
    const reading = [waiting, early.readAll()];
    await clock.advance(9 * second);
    const late = await listening();
    reading.push(late.readAll());
    await clock.advance(second);

    expect([gone, early, late].map(({ comments }) => comments)).toEqual([0, 1, 0]);
    await clock.advance(9 * second);
    expect([gone, early, late].map(({ comments }) => comments)).toEqual([0, 1, 1]);
    await Promise.all([scheduler.stop(), ...reading]);
  });

  test("comes in time to who begins to wait when the clock has been set back", async () => {
    const { scheduler, clock, listening } = await started({ heartbeatMs: 10 * second });
    const reader = await listening();
    clock.jumpTo(clock.now() - 3_600 * second);
    const reading = reader.readAll();
    await clock.advance(10 * second);

    expect(reader.comments).toBe(1);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("comes in time although the clock is set back, or forward", async () => {
    const { scheduler, clock, listening } = await started({ heartbeatMs: 10 * second });
    const reader = await listening();
    const reading = reader.readAll();
    const comments: number[] = [];
    for (const jump of [-3_600, 3_600, -3_600]) {
      clock.jumpTo(clock.now() + jump * second);
      await clock.advance(10 * second);
      comments.push(reader.comments);
    }

    expect(comments).toEqual([1, 2, 3]);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("comes to a listener to one integration although much happens in another, and brings its place along", async () => {
    const { stage, scheduler, clock, listening, listen } = await started({ capacity: 3, heartbeatMs: 10 * second });
    const reader = await listening({ _integrationId: "acme" });
    const reading = reader.readAll();
    for (let index = 0; index < 12; index++) {
      await stage.flow({ _integrationId: "other" });
      await clock.advance(second);
    }
    await reader.leave();
    await reading;
    const again = listen({ _integrationId: "acme", lastEventId: reader.lastEventId });
    await stage.flow({ _integrationId: "acme" });
    await Promise.all([scheduler.stop(), again.readAll()]);

    expect([reader.comments, reader.names, again.names]).toEqual([1, [], ["flow:created"]]);
  });
});

describe("many listeners", () => {
  test("are woken in portions, and others have their turns between them", async () => {
    const { stage, scheduler, clock, listening } = await started();
    const readers = await Promise.all(Array.from({ length: 120 }, () => listening()));
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();
    await stage.flow();
    const steps: number[] = [];
    for (let told = 0, turns = 0; told < 120 && turns < 20; turns++) {
      await clock.yieldToEventLoop();
      const now = counts(readers).reduce((sum, count) => sum + count, 0);
      steps.push(now - told);
      told = now;
    }

    expect(steps.reduce((sum, step) => sum + step, 0)).toBe(120);
    expect(Math.max(...steps)).toBeLessThanOrEqual(50);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("rest also from what happens while they are woken, and are told it then", async () => {
    const { stage, scheduler, clock, listening } = await started();
    const readers = await Promise.all(Array.from({ length: 120 }, () => listening()));
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();
    await stage.flow();
    while (counts(readers)[0] === 0) await clock.yieldToEventLoop();
    const woken = counts(readers).filter((count) => count === 1).length;
    await stage.flow();
    await clock.advance(119);
    const resting = counts(readers).filter((count) => count === 1).length;
    await clock.advance(1);

    expect(woken).toBeLessThanOrEqual(50);
    expect(resting).toBe(woken);
    expect(new Set(counts(readers))).toEqual(new Set([2]));
    await Promise.all([scheduler.stop(), reading]);
  });

  test.each([
    ["in proportion to what it took to tell them", 20, 600],
    ["no longer than 20 milliseconds for each of them, whatever it took", 3_600 * second, 2_400],
  ])("rest %s", async (_rule, tookMs, restMs) => {
    const { stage, scheduler, clock, listening } = await started();
    const readers = await Promise.all(Array.from({ length: 120 }, () => listening()));
    const told = () => [...new Set(counts(readers))];
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();
    await stage.flow();
    while (counts(readers)[0] === 0) await clock.yieldToEventLoop();
    // Half of them have been told.
    clock.jumpTo(clock.now() + tookMs);
    await clock.settle();
    await stage.flow();
    await clock.advance(restMs - 1);
    const resting = told();
    await clock.advance(1);

    expect([resting, told()]).toEqual([[1], [2]]);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("rest longer for what they read on after they were woken", async () => {
    const { stage, scheduler, clock, listening } = await started();
    const readers = await Promise.all(Array.from({ length: 120 }, () => listening()));
    const told = () => [...new Set(counts(readers))];
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();
    // Two chunks for each of them.
    await Promise.all(Array.from({ length: 150 }, () => stage.flow({ name: "x".repeat(255) })));
    while (counts(readers)[0] === 0) await clock.yieldToEventLoop();
    clock.jumpTo(clock.now() + 20);
    await clock.settle();
    await stage.flow();
    await clock.advance(1_199);
    const resting = told();
    await clock.advance(1);

    expect([resting, told()]).toEqual([[150], [151]]);
    expect(readers[0]?.chunks.length).toBe(4);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("rest no longer than a second when telling takes no time, and a clock that was set back does not make it longer", async () => {
    const { stage, scheduler, clock, listening } = await started();
    const readers = await Promise.all(Array.from({ length: 1_100 }, () => listening()));
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    const told = () => [...new Set(counts(readers))];
    await stage.flow();
    await clock.settle();
    await stage.flow();
    await clock.advance(999);
    const resting = told();
    await clock.advance(1);
    const rested = told();
    clock.jumpTo(clock.now() - 3_600 * second);
    await stage.flow();
    await clock.settle();

    expect([resting, rested, told()]).toEqual([[1], [2], [3]]);
    await Promise.all([scheduler.stop(), reading]);
  });
});

describe("a ring", () => {
  /** Counts how often it is made text of. */
  class Counted {
    count = 0;
    toJSON() {
      return { nth: ++this.count };
    }
  }

  test("makes text of an event when it is read, and once for all places and integrations", () => {
    const ring = new EventRing("e", 10);
    const data = new Counted();
    ring.add({ name: "a", _integrationId: "acme", data });
    ring.add({ name: "b", _integrationId: undefined, data: {} });
    const before = data.count;
    const chunks = [ring.after(0, undefined), ring.after(0, undefined), ring.after(0, "acme"), ring.after(0, "other")];

    expect([before, data.count]).toEqual([0, 1]);
    expect(chunks[0]?.chunk).toBe(chunks[1]?.chunk);
    expect(chunks.slice(1).map((portion) => new TextDecoder().decode(portion?.chunk))).toEqual([
      'id: e-1\nevent: a\ndata: {"nth":1}\n\nid: e-2\nevent: b\ndata: {}\n\n',
      'id: e-1\nevent: a\ndata: {"nth":1}\n\n',
      "",
    ]);
    expect(chunks.map((portion) => portion?.place)).toEqual([2, 2, 2, 2]);
  });

  test("does not take an integration for the lack of one, whatever it is called", () => {
    const ring = new EventRing("e", 10);
    ring.add({ name: "a", _integrationId: undefined, data: {} });

    expect(ring.after(0, undefined)?.chunk.length).toBeGreaterThan(0);
    for (const _integrationId of ["undefined", "", " ", "of "])
      expect(ring.after(0, _integrationId)?.chunk.length).toBe(0);
  });

  test("keeps few bytes to be shared, from however many places it is read", () => {
    const ring = new EventRing("e", 1_000);
    for (let index = 0; index < 1_000; index++)
      ring.add({ name: "a", _integrationId: undefined, data: { text: "x".repeat(1_000) } });
    const first = ring.after(0, undefined);
    const kept = new Set(upTo(900).map((place) => ring.after(place, undefined)));
    const again = upTo(900).filter((place) => kept.has(ring.after(place, undefined)));

    // Of those of 64 KiB, not even one mebibyte is left when the others have been asked for.
    expect(again).toEqual([]);
    expect(ring.after(0, undefined)).not.toBe(first);
    expect(ring.after(0, undefined)).toBe(ring.after(0, undefined));
  });

  test("tells an event that is longer than a chunk by itself", () => {
    const ring = new EventRing("e", 10);
    const data = { text: "ß".repeat(2 ** 21) };
    for (const name of ["a", "b"]) ring.add({ name, _integrationId: undefined, data });

    const chunks = [ring.after(0, undefined), ring.after(1, undefined)];
    expect(chunks.map((portion) => portion?.place)).toEqual([1, 2]);
    expect(ring.after(2, undefined)).toBeUndefined();
  });

  test.each([
    ["e-0", 0],
    ["e-2", 2],
    ["e-3", undefined],
    ["f-1", undefined],
    ["e-", undefined],
    ["e-1 ", undefined],
    ["e-9007199254740993", undefined],
  ])("knows the place of its own ids only: %j", (id, place) => {
    const ring = new EventRing("e", 1);
    for (let index = 0; index < 2; index++) ring.add({ name: "a", _integrationId: undefined, data: {} });

    expect(ring.placeOf(id)).toBe(place);
  });
});
