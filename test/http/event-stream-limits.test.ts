import { describe, expect, test } from "vitest";
import { EventRing } from "../../src/http/events/event-ring.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, aborted, second, upTo } from "../support/harness.ts";
import { type EventReader, startedBroadcast } from "./harness.ts";

const counts = (readers: readonly EventReader[]) => readers.map(({ events }) => events.length);

describe("an event", () => {
  test("of every kind is sent as the scheduler emits it", async () => {
    const gate = new Gate();
    let tries = 0;
    const { host, scheduler, registry, clock, open } = await startedBroadcast({
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
    const reader = open();
    const reading = reader.readAll();
    await host.run((await host.flow({ _importId: "shaky" }))._id);
    await host.run((await host.flow({ _exportId: "broken", _importId: "ledger" }))._id);
    const { _id } = await host.flow({ _importId: "slow" });
    await scheduler.run(_id);
    await scheduler.run(_id);
    await clock.settle();
    await registry.patch(_id, { disabled: true });
    const stopping = scheduler.stop({ graceMs: second });
    await clock.advance(10 * second);
    await Promise.all([stopping, reading]);

    const received = host.events.all.filter(({ name }) => name.startsWith("run:"));
    const runs = reader.events.filter(({ name }) => name.startsWith("run:"));
    expect(runs.map(({ name, data }) => ({ name, payload: data }))).toEqual(JSON.parse(JSON.stringify(received)));
    expect([...new Set(runs.map(({ name }) => name))].sort()).toEqual([
      ...["run:canceled", "run:completed", "run:failed", "run:progress", "run:queued", "run:requeued"],
      ...["run:retrying", "run:started"],
    ]);
  });

  test("stays one event, whatever its name contains", async () => {
    const { host, scheduler, listen } = await startedBroadcast();
    const reader = await listen();
    const names = ["a\r\rb", "\n\nevent: gap\ndata: {}\n\n", "\u0001", "\u0085\u2029", "data", "\ufeff"];
    for (const name of names) await host.flow({ name: `<${name}>` });
    await Promise.all([scheduler.stop(), reader.readAll()]);

    expect(reader.events.map(({ data }) => (data as { flow: { name: string } }).flow.name)).toEqual(
      names.map((name) => `<${name}>`),
    );
  });

  test("without a reader starts no timer, and is kept for clients that reconnect", async () => {
    const { host, scheduler, clock, listen, open } = await startedBroadcast();
    const first = await listen();
    await first.leave();
    const { timers } = clock;
    for (let index = 0; index < 5; index++) await host.flow();

    expect(clock.timers).toBe(timers);
    const again = open({ lastEventId: first.lastEventId });
    await Promise.all([scheduler.stop(), again.readAll()]);
    expect(again.events).toHaveLength(5);
  });
});

describe("a reader", () => {
  test("that reads no further has no timer, is not waited for by a stop, and finds what is left, and the end", async () => {
    const { host, scheduler, clock, broadcast, listen } = await startedBroadcast();
    const { timers } = clock;
    const reader = await listen();
    await host.flow();

    expect([broadcast.openStreams, clock.timers]).toEqual([1, timers]);
    await scheduler.stop();
    expect([broadcast.openStreams, clock.timers]).toEqual([1, 0]);
    await reader.readAll();
    expect([reader.names, broadcast.openStreams]).toEqual([["flow:created"], 0]);
  });

  test("that is opened while the scheduler stops receives the remaining events and ends", async () => {
    const gate = new Gate();
    const { host, scheduler, clock, open } = await startedBroadcast({
      imports: { slow: scriptedImport<number>(() => gate.opened.then(() => undefined)) },
    });
    await scheduler.run((await host.flow())._id);
    await clock.settle();
    const stopping = scheduler.stop();
    const reader = open();
    const reading = reader.readAll();
    await clock.settle();
    const before = reader.ended;
    gate.open();
    await Promise.all([stopping, reading]);

    expect([before, reader.names.at(-1)]).toEqual([false, "run:completed"]);
  });

  test("that comes before a start and reads after it comes to its end, and the next one goes on where it was", async () => {
    const { host, scheduler, clock, open, listen } = await startedBroadcast();
    await scheduler.stop();
    const early = await listen();
    await scheduler.start();
    await early.readAll();
    const late = open({ lastEventId: early.lastEventId });
    const reading = late.readAll();
    await host.flow();
    await clock.settle();

    expect([late.ended, late.names]).toEqual([false, ["flow:created"]]);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("that is closed as the last one clears the timers, also during an interval", async () => {
    const { host, scheduler, clock, broadcast, listen } = await startedBroadcast();
    const { timers } = clock;
    const slow = await listen();
    const readers = await Promise.all(Array.from({ length: 60 }, () => listen()));
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    for (let index = 0; index < 2; index++) {
      await host.flow();
      await clock.settle();
    }
    const during = clock.timers - timers;
    for (const reader of readers) await reader.leave();
    await reading;

    expect(during).toBe(2);
    expect([broadcast.openStreams, clock.timers]).toEqual([1, timers]);
    await Promise.all([scheduler.stop(), slow.readAll()]);
  });
});

describe("a comment after silence", () => {
  test("needs one timer for all, and comes to all", async () => {
    const { scheduler, clock, listen } = await startedBroadcast({ heartbeatMs: 10 * second });
    const { timers } = clock;
    const readers: EventReader[] = [];
    for (let index = 0; index < 5; index++) {
      readers.push(await listen());
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

  test("comes in time, also when other streams are opened or closed meanwhile", async () => {
    const { scheduler, clock, listen } = await startedBroadcast({ heartbeatMs: 10 * second });
    const gone = await listen();
    const waiting = gone.readAll();
    await clock.settle();
    await gone.leave();
    const early = await listen();
    const reading = [waiting, early.readAll()];
    await clock.advance(9 * second);
    const late = await listen();
    reading.push(late.readAll());
    await clock.advance(second);

    expect([gone, early, late].map(({ comments }) => comments)).toEqual([0, 1, 0]);
    await clock.advance(9 * second);
    expect([gone, early, late].map(({ comments }) => comments)).toEqual([0, 1, 1]);
    await Promise.all([scheduler.stop(), ...reading]);
  });

  test("comes in time to a stream that begins to wait after the clock was set back", async () => {
    const { scheduler, clock, listen } = await startedBroadcast({ heartbeatMs: 10 * second });
    const reader = await listen();
    clock.jumpTo(clock.now() - 3_600 * second);
    const reading = reader.readAll();
    await clock.advance(10 * second);

    expect(reader.comments).toBe(1);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("comes in time although the clock is set back, or forward", async () => {
    const { scheduler, clock, listen } = await startedBroadcast({ heartbeatMs: 10 * second });
    const reader = await listen();
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
    const { host, scheduler, clock, listen, open } = await startedBroadcast({ capacity: 3, heartbeatMs: 10 * second });
    const reader = await listen({ _integrationId: "acme" });
    const reading = reader.readAll();
    for (let index = 0; index < 12; index++) {
      await host.flow({ _integrationId: "other" });
      await clock.advance(second);
    }
    await reader.leave();
    await reading;
    const again = open({ _integrationId: "acme", lastEventId: reader.lastEventId });
    await host.flow({ _integrationId: "acme" });
    await Promise.all([scheduler.stop(), again.readAll()]);

    expect([reader.comments, reader.names, again.names]).toEqual([1, [], ["flow:created"]]);
  });
});

describe("many listeners", () => {
  test("are woken in portions, and others have their turns between them", async () => {
    const { host, scheduler, clock, listen } = await startedBroadcast();
    const readers = await Promise.all(Array.from({ length: 120 }, () => listen()));
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();
    await host.flow();
    const steps: number[] = [];
    for (let received = 0, turns = 0; received < 120 && turns < 20; turns++) {
      await clock.yieldToEventLoop();
      const now = counts(readers).reduce((sum, count) => sum + count, 0);
      steps.push(now - received);
      received = now;
    }

    expect(steps.reduce((sum, step) => sum + step, 0)).toBe(120);
    expect(Math.max(...steps)).toBeLessThanOrEqual(50);
    await Promise.all([scheduler.stop(), reading]);
  });

  test.each([
    [2, 10],
    [3, 2],
    [10, 2],
  ])("of a few, %i, are sent ten events of 90 milliseconds in %i chunks", async (count, chunks) => {
    const { host, scheduler, clock, listen } = await startedBroadcast();
    const readers = await Promise.all(Array.from({ length: count }, () => listen()));
    const before = readers[0]?.chunks.length ?? 0;
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    for (let index = 0; index < 10; index++) {
      await host.flow();
      await clock.advance(9);
    }
    await clock.advance(10);

    expect(new Set(counts(readers))).toEqual(new Set([10]));
    expect((readers[0]?.chunks.length ?? 0) - before).toBe(chunks);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("wait for the interval after events that happen during a wake-up, too", async () => {
    const { host, scheduler, clock, listen } = await startedBroadcast();
    const readers = await Promise.all(Array.from({ length: 120 }, () => listen()));
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();
    await host.flow();
    while (counts(readers)[0] === 0) await clock.yieldToEventLoop();
    const woken = counts(readers).filter((count) => count === 1).length;
    await host.flow();
    await clock.advance(119);
    const during = counts(readers).filter((count) => count === 1).length;
    await clock.advance(1);

    expect(woken).toBeLessThanOrEqual(50);
    expect(during).toBe(woken);
    expect(new Set(counts(readers))).toEqual(new Set([2]));
    await Promise.all([scheduler.stop(), reading]);
  });

  test.each([
    ["in proportion to what it took to tell them", 20, 600],
    ["no longer than 20 milliseconds for each of them, whatever it took", 3_600 * second, 2_400],
  ])("wait %s", async (_rule, tookMs, intervalMs) => {
    const { host, scheduler, clock, listen } = await startedBroadcast();
    const readers = await Promise.all(Array.from({ length: 120 }, () => listen()));
    const received = () => [...new Set(counts(readers))];
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();
    await host.flow();
    while (counts(readers)[0] === 0) await clock.yieldToEventLoop();
    // Half of them have received it.
    clock.jumpTo(clock.now() + tookMs);
    await clock.settle();
    await host.flow();
    await clock.advance(intervalMs - 1);
    const during = received();
    await clock.advance(1);

    expect([during, received()]).toEqual([[1], [2]]);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("wait longer after chunks that were read after the wake-up", async () => {
    const { host, scheduler, clock, listen } = await startedBroadcast();
    const readers = await Promise.all(Array.from({ length: 120 }, () => listen()));
    const received = () => [...new Set(counts(readers))];
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    await clock.settle();
    // Two chunks for each of them.
    await Promise.all(Array.from({ length: 150 }, () => host.flow({ name: "x".repeat(255) })));
    while (counts(readers)[0] === 0) await clock.yieldToEventLoop();
    clock.jumpTo(clock.now() + 20);
    await clock.settle();
    await host.flow();
    await clock.advance(1_199);
    const during = received();
    await clock.advance(1);

    expect([during, received()]).toEqual([[150], [151]]);
    expect(readers[0]?.chunks.length).toBe(4);
    await Promise.all([scheduler.stop(), reading]);
  });

  test("wait no longer than a second when a wake-up takes no time, also after the clock was set back", async () => {
    const { host, scheduler, clock, listen } = await startedBroadcast();
    const readers = await Promise.all(Array.from({ length: 1_100 }, () => listen()));
    const reading = Promise.all(readers.map((reader) => reader.readAll()));
    const received = () => [...new Set(counts(readers))];
    await host.flow();
    await clock.settle();
    await host.flow();
    await clock.advance(999);
    const during = received();
    await clock.advance(1);
    const after = received();
    clock.jumpTo(clock.now() - 3_600 * second);
    await host.flow();
    await clock.settle();

    expect([during, after, received()]).toEqual([[1], [2], [3]]);
    await Promise.all([scheduler.stop(), reading]);
  });
});

describe("a ring", () => {
  /** Counts how often it is serialized. */
  class Counted {
    count = 0;
    toJSON() {
      return { nth: ++this.count };
    }
  }

  test("serializes an event when it is read, and once for all positions and integrations", () => {
    const ring = new EventRing(10);
    const data = new Counted();
    ring.add({ name: "a", _integrationId: "acme", data });
    ring.add({ name: "b", _integrationId: undefined, data: {} });
    const before = data.count;
    const chunks = [ring.after(0, undefined), ring.after(0, undefined), ring.after(0, "acme"), ring.after(0, "other")];

    expect([before, data.count]).toEqual([0, 1]);
    expect(chunks[0]?.bytes).toBe(chunks[1]?.bytes);
    const withoutIds = (chunk: (typeof chunks)[number]) =>
      new TextDecoder().decode(chunk?.bytes).replace(/^id: [\w-]{22}$/gm, "id: …");
    expect(chunks.slice(1).map(withoutIds)).toEqual([
      'id: …\nevent: a\ndata: {"nth":1}\n\nid: …\nevent: b\ndata: {}\n\n',
      'id: …\nevent: a\ndata: {"nth":1}\n\n',
      "",
    ]);
    expect(chunks.map((portion) => portion?.position)).toEqual([2, 2, 2, 2]);
  });

  test("does not take an integration for the lack of one, whatever it is called", () => {
    const ring = new EventRing(10);
    ring.add({ name: "a", _integrationId: undefined, data: {} });

    expect(ring.after(0, undefined)?.bytes.length).toBeGreaterThan(0);
    for (const _integrationId of ["undefined", "", " ", "of "])
      expect(ring.after(0, _integrationId)?.bytes.length).toBe(0);
  });

  test("keeps few bytes to be shared, from however many places it is read", () => {
    const ring = new EventRing(1_000);
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

  test("sends an event that is longer than a chunk by itself", () => {
    const ring = new EventRing(10);
    const data = { text: "ß".repeat(2 ** 21) };
    for (const name of ["a", "b"]) ring.add({ name, _integrationId: undefined, data });

    const chunks = [ring.after(0, undefined), ring.after(1, undefined)];
    expect(chunks.map((portion) => portion?.position)).toEqual([1, 2]);
    expect(ring.after(2, undefined)).toBeUndefined();
  });

  const idOf = (ring: EventRing, position: number) => /^id: (.*)$/m.exec(ring.marker(position))?.[1] ?? "";

  test("knows the positions of its own ids, and of no others", () => {
    const [ring, another] = [new EventRing(1), new EventRing(1)];
    const id = idOf(ring, 7);

    expect([0, 7, 2 ** 40].map((position) => ring.positionOf(idOf(ring, position)))).toEqual([0, 7, 2 ** 40]);
    for (const foreign of ["", "x", "7", `${id} `, `${id}A`, id.slice(1), `${id.slice(0, -2)}AA`, idOf(another, 7)])
      expect(ring.positionOf(foreign), foreign).toBeUndefined();
  });

  test("gives the same position another id each time, so that ids reveal nothing about other events", () => {
    const ring = new EventRing(1);

    expect(new Set(upTo(1_000).map(() => idOf(ring, 7))).size).toBe(1_000);
  });
});
