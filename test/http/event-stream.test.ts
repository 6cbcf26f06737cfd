import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { streamEvents } from "../../src/http/events/event-broadcast.ts";
import { second } from "../support/harness.ts";
import { type ReceivedEvent, type EventReader, createBroadcast, startedBroadcast } from "./harness.ts";

describe("a stream", () => {
  test("sends the events of flows and runs in order, with their payloads", async () => {
    const { host, registry, scheduler, open } = await startedBroadcast();
    const received: [string, unknown][] = [];
    scheduler.on("run:queued", (data) => received.push(["run:queued", data]));
    scheduler.on("run:started", (data) => received.push(["run:started", data]));
    scheduler.on("run:progress", (data) => received.push(["run:progress", data]));
    scheduler.on("run:completed", (data) => received.push(["run:completed", data]));
    const reader = open();
    const reading = reader.readAll();

    const flow = await host.flow();
    await host.run(flow._id);
    const renamed = await registry.patch(flow._id, { name: "new" });
    await registry.delete(flow._id);
    await scheduler.stop();
    await reading;

    expect(reader.retry).toBe(1_000);
    expect(reader.events.map(({ name, data }) => [name, data])).toEqual([
      ["flow:created", { flow }],
      ...received,
      ["flow:updated", { flow: { ...renamed } }],
      ["flow:deleted", { flow: renamed }],
    ]);
    expect(received.map(([name]) => name)).toEqual(["run:queued", "run:started", "run:progress", "run:completed"]);
  });

  test("begins with what happens from then on, and knows at once where it is", async () => {
    const { host, scheduler, listen, open } = await startedBroadcast();
    await host.flow({ name: "before" });
    const reader = await listen();
    await host.flow({ name: "after" });
    const again = open({ lastEventId: reader.lastEventId });
    await Promise.all([scheduler.stop(), reader.readAll(), again.readAll()]);

    expect(reader.lastEventId).not.toBe("");
    for (const { events } of [reader, again]) expect(events).toMatchObject([{ data: { flow: { name: "after" } } }]);
  });

  test("ends when the scheduler stops, after the events before", async () => {
    const { host, scheduler, listen, broadcast } = await startedBroadcast();
    const readers = [await listen(), await listen()];
    const run = await scheduler.run((await host.flow())._id);
    const both = Promise.all(readers.map((reader) => reader.readAll()));

    await scheduler.stop();
    await both;

    expect((await scheduler.getRun(run._id)).status).toBe("completed");
    for (const { names } of readers) expect(names.at(-1)).toBe("run:completed");
    expect([broadcast.openStreams, host.clock.timers]).toEqual([0, 0]);
  });

  test("ends at once while the scheduler is stopped, with what it missed", async () => {
    const { host, scheduler, listen, open } = await startedBroadcast();
    const before = await listen();
    await Promise.all([scheduler.stop(), before.readAll()]);
    await host.flow({ name: "while stopped" });

    const after = await open({ lastEventId: before.lastEventId }).readAll();

    expect(after.events).toMatchObject([{ name: "flow:created", data: { flow: { name: "while stopped" } } }]);
    expect(await open().readAll()).toMatchObject({ ended: true, events: [], retry: 1_000 });
  });

  test("of a scheduler that was never started stays open, and ends when that is stopped", async () => {
    const { host, broadcast, scheduler, listen, open } = createBroadcast();
    const reader = await listen();
    await scheduler.run((await host.flow())._id);
    const reading = reader.readAll();
    await host.clock.advance(5 * second);

    await scheduler.stop();
    await reading;

    expect(reader.names).toEqual(["flow:created", "run:queued"]);
    expect([broadcast.openStreams, host.clock.timers]).toEqual([0, 0]);
    expect(await open().readAll()).toMatchObject({ ended: true, events: [] });
  });

  test("that is not read keeps nothing, and delays nothing", async () => {
    const { host, broadcast, scheduler } = await startedBroadcast();

    const stream = broadcast.open({});
    await host.flow();
    await scheduler.stop();

    expect([broadcast.openStreams, host.clock.timers]).toEqual([0, 0]);
    await stream.cancel();
  });

  test("is forgotten as soon as its reader leaves, and leaves no timer behind", async () => {
    const { host, broadcast, listen, scheduler } = await startedBroadcast();
    const timers = host.clock.timers;
    const readers = [await listen(), await listen()];
    const waiting = readers.map((reader) => reader.read());

    expect([broadcast.openStreams, host.clock.timers]).toEqual([2, timers + 1]);
    await readers[0]?.leave();
    expect(broadcast.openStreams).toBe(1);
    await readers[1]?.leave();
    await Promise.all(waiting);

    expect([broadcast.openStreams, host.clock.timers]).toEqual([0, timers]);
    await scheduler.stop();
  });

  test("is sent a comment with its position after a silence, and not before", async () => {
    const { host, listen, open, scheduler } = await startedBroadcast({ heartbeatMs: 10_000 });
    const reader = await listen();
    const reading = reader.readAll();
    await host.clock.advance(9 * second);
    const before = reader.comments;
    await host.flow();
    await host.clock.advance(9 * second);
    const still = reader.comments;
    await host.clock.advance(2 * second);

    expect([before, still, reader.comments]).toEqual([0, 0, 1]);
    const again = open({ lastEventId: reader.lastEventId });
    await host.flow({ name: "later" });
    const readingAgain = again.readAll();
    await host.clock.advance(25 * second);
    expect(reader.comments).toBe(3);
    await Promise.all([scheduler.stop(), reading, readingAgain]);
    expect(again.names).toEqual(["flow:created"]);
  });

  test("cannot be broken by the content of names", async () => {
    const { host, listen, scheduler } = await startedBroadcast();
    const reader = await listen();
    const name = "a\nid: 7\r\n\r\ndata: x\u2028\u0001 🎈";
    await host.flow({ name });
    await Promise.all([scheduler.stop(), reader.readAll()]);

    expect(reader.events).toMatchObject([{ data: { flow: { name } } }]);
  });
});

describe("a client that reconnects", () => {
  test("receives the events after the last one it has seen, each once", async () => {
    const { host, listen, open, scheduler } = await startedBroadcast();
    const first = await listen();
    await host.flow({ name: "1" });
    await first.read();
    await first.leave();
    await host.flow({ name: "2" });
    const second = open({ lastEventId: first.lastEventId });
    const reading = second.readAll();
    await host.flow({ name: "3" });
    await host.clock.settle();
    await Promise.all([scheduler.stop(), reading]);

    const names = [first, second].map(({ events }) =>
      events.map(({ data }) => (data as { flow: { name: string } }).flow.name),
    );
    expect(names).toEqual([["1"], ["2", "3"]]);
  });

  test("too late receives one gap, then what happens from then on", async () => {
    const { host, listen, open, scheduler } = await startedBroadcast({ capacity: 2 });
    const first = await listen();
    for (const name of ["1", "2", "3"]) await host.flow({ name });
    await first.leave();

    const second = await listen({ lastEventId: first.lastEventId });
    await second.read();
    const third = open({ lastEventId: second.lastEventId });
    await host.flow({ name: "4" });
    await Promise.all([scheduler.stop(), second.readAll(), third.readAll()]);

    expect(second.names).toEqual(["gap", "flow:created"]);
    expect(third.names).toEqual(["flow:created"]);
    expect(second.events[1]).toMatchObject({ data: { flow: { name: "4" } } });
  });

  test.each(["x", "", "other-3", "-1", "…", "1e3"])(
    "with an id of another process (%j) receives a gap",
    async (lastEventId) => {
      const { host, open, scheduler } = await startedBroadcast();
      await host.flow({ name: "1" });

      const reader = open({ lastEventId });
      await reader.read();
      await host.flow({ name: "2" });
      await Promise.all([scheduler.stop(), reader.readAll()]);

      expect(reader.names).toEqual(["gap", "flow:created"]);
    },
  );

  test("with an id that was never sent receives a gap", async () => {
    const { listen, open, scheduler } = await startedBroadcast();
    const { lastEventId } = await listen();

    const reader = open({ lastEventId: lastEventId.split("").reverse().join("") });
    await Promise.all([scheduler.stop(), reader.readAll()]);

    expect(reader.names).toEqual(["gap"]);
  });

  test("receives a gap when it reads too slowly, and no event is kept for it", async () => {
    const { host, listen, scheduler } = await startedBroadcast({ capacity: 3 });
    const slow = await listen();
    for (let index = 0; index < 10; index++) await host.flow({ name: String(index) });
    await slow.read();
    for (let index = 10; index < 13; index++) await host.flow({ name: String(index) });

    await Promise.all([scheduler.stop(), slow.readAll()]);

    expect(slow.names).toEqual(["gap", "flow:created", "flow:created", "flow:created"]);
    expect(slow.events.slice(1).map(({ data }) => (data as { flow: { name: string } }).flow.name)).toEqual([
      "10",
      "11",
      "12",
    ]);
  });
});

describe("with many listeners", () => {
  test("an event is serialized once for all readers at the same position", async () => {
    const { host, listen, scheduler } = await startedBroadcast();
    const readers = await Promise.all(Array.from({ length: 5 }, () => listen()));
    const other = await listen({ _integrationId: "acme" });
    const reads = readers.map((reader) => reader.read());
    await host.flow({ _integrationId: "acme" });
    await Promise.all(reads);
    await other.read();

    expect(new Set(readers.map(({ chunks }) => chunks.at(-1))).size).toBe(1);
    const content = (reader: EventReader | undefined) => reader?.events.map(({ name, data }) => ({ name, data }));
    expect(content(other)).toEqual(content(readers[0]));
    await scheduler.stop();
  });

  test("the interval between two wake-ups has a millisecond for each stream, and nothing is lost", async () => {
    const { host, listen, scheduler, clock } = await startedBroadcast();
    const readers = await Promise.all(Array.from({ length: 200 }, () => listen()));
    const all = Promise.all(readers.map((reader) => reader.readAll()));
    const counts = () => [...new Set(readers.map(({ events }) => events.length))];

    await host.flow();
    await clock.settle();
    const first = counts();
    await host.flow();
    await host.flow();
    await clock.advance(199);
    const resting = counts();
    await clock.advance(1);
    await clock.settle();

    expect([first, resting, counts()]).toEqual([[1], [1], [3]]);
    await Promise.all([scheduler.stop(), all]);
    expect(counts()).toEqual([3]);
  });

  test("a burst is one chunk, of bounded size", async () => {
    const { host, listen, scheduler } = await startedBroadcast();
    const reader = await listen();
    for (let index = 0; index < 500; index++) await host.flow({ name: "x".repeat(250) });
    await Promise.all([scheduler.stop(), reader.readAll()]);

    expect(reader.events).toHaveLength(500);
    expect(reader.chunks.length).toBeLessThan(10);
    expect(Math.max(...reader.chunks.map(({ length }) => length))).toBeLessThan(2 ** 16 + 2_000);
  });
});

describe("a listener to one integration", () => {
  test("receives its own events, and a flow that leaves it as deleted", async () => {
    const { host, registry, listen, scheduler } = await startedBroadcast();
    const [acme, other, all] = [
      await listen({ _integrationId: "acme" }),
      await listen({ _integrationId: "other" }),
      await listen(),
    ];
    const flow = await host.flow({ _integrationId: "acme" });
    const unowned = await host.flow();
    await host.run(flow._id);
    await registry.patch(flow._id, { _integrationId: "other", name: "moved" });
    await registry.patch(unowned._id, { _integrationId: "acme" });
    await Promise.all([scheduler.stop(), ...[acme, other, all].map((reader) => reader.readAll())]);

    const runs = ["run:queued", "run:started", "run:progress", "run:completed"];
    expect(acme.names).toEqual([
      "flow:created",
      ...runs.filter((name) => name !== "run:progress" || acme.names.includes(name)),
      "flow:deleted",
      "flow:updated",
    ]);
    expect(acme.events.at(-2)?.data).toMatchObject({ flow: { _id: flow._id, name: "a flow", _integrationId: "acme" } });
    expect(other.events).toMatchObject([{ name: "flow:updated", data: { flow: { name: "moved" } } }]);
    expect(all.names.filter((name) => name.startsWith("flow"))).toEqual([
      ...["flow:created", "flow:created", "flow:updated", "flow:updated"],
    ]);
  });
});

/** One who watches for long: loses connections, and comes back with the last id that was seen. */
class Watcher {
  readonly seen: ReceivedEvent[] = [];
  readonly of: string | undefined;
  readonly #open: (lastEventId?: string) => EventReader;
  #reader: EventReader;
  #lastEventId = "";
  #taken = 0;
  #reading = false;

  constructor(of: string | undefined, open: (lastEventId?: string) => EventReader) {
    this.of = of;
    this.#open = open;
    this.#reader = open();
  }

  /** Begins to read one chunk, unless it does already. */
  read(): void {
    if (!this.#reading) void this.#read(this.#reader);
  }

  /** Sees what has been read. */
  see(): void {
    this.seen.push(...this.#reader.events.slice(this.#taken));
    this.#taken = this.#reader.events.length;
    if (this.#reader.lastEventId !== "") this.#lastEventId = this.#reader.lastEventId;
  }

  /** Loses the connection, and what was sent but not seen. */
  async comeBack(): Promise<void> {
    await this.#reader.leave();
    this.#reader = this.#open(this.#lastEventId);
    this.#taken = 0;
    this.#reading = false;
    this.read();
  }

  async readAll(): Promise<void> {
    await this.#reader.readAll();
    this.see();
  }

  async #read(reader: EventReader): Promise<void> {
    this.#reading = true;
    await reader.read();
    if (reader === this.#reader) this.#reading = false;
  }
}

test("each reader receives every event of its scope once and in order, however it reads, leaves and reconnects", async () => {
  const integrations = [undefined, "acme", "other"];
  const anyStep = fc.oneof(
    fc.record({ kind: fc.constant("event" as const), of: fc.constantFrom(...integrations) }),
    fc.record({ kind: fc.constant("read" as const), reader: fc.nat(2) }),
    fc.record({ kind: fc.constant("see" as const), reader: fc.nat(2) }),
    fc.record({ kind: fc.constant("back" as const), reader: fc.nat(2) }),
    fc.record({ kind: fc.constant("time" as const), ms: fc.nat(20_000) }),
  );
  let gaps = 0;
  let received = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { minLength: 20, maxLength: 80, size: "max" }),
      fc.constantFrom(2, 5, 1_000),
      async (steps, capacity) => {
        const { host, clock, scheduler, broadcast, open } = await startedBroadcast({ capacity });
        const happened: { name: string; of: string | undefined }[] = [];
        const watchers = integrations.map(
          (of) => new Watcher(of, (id) => open({ ...scoped(of), ...(id === undefined ? {} : { lastEventId: id }) })),
        );
        for (const watcher of watchers) watcher.read();
        await clock.settle();
        for (const watcher of watchers) watcher.see();
        for (const step of steps) {
          if (step.kind === "event") {
            const name = `#${happened.length}`;
            happened.push({ name, of: step.of });
            await host.flow({ name, ...scoped(step.of) });
          } else if (step.kind === "time") await clock.advance(step.ms);
          else if (step.kind === "back") await watchers[step.reader]?.comeBack();
          else {
            watchers[step.reader]?.[step.kind]();
            await clock.settle();
          }
        }
        await clock.settle();
        await Promise.all([scheduler.stop(), ...watchers.map((watcher) => watcher.readAll())]);

        for (const { of, seen } of watchers) {
          const expected = happened.filter((one) => of === undefined || one.of === of).map(({ name }) => name);
          const names = seen.map(({ name, data }) =>
            name === "gap" ? "gap" : (data as { flow: { name: string } }).flow.name,
          );
          // No gap is sent unless more happened than is kept.
          expect(happened.length > capacity ? withoutGaps(names, expected) : names).toEqual(expected);
          gaps += names.filter((name) => name === "gap").length;
          received += names.length;
        }
        expect([broadcast.openStreams, clock.timers]).toEqual([0, 0]);
      },
    ),
    { numRuns: 100 },
  );
  expect([gaps > 20, received > 500]).toEqual([true, true]);
});

const scoped = (_integrationId: string | undefined) => (_integrationId === undefined ? {} : { _integrationId });

/** What was received, with a gap filled by what is missing there: events before the one that was received next. */
function withoutGaps(names: readonly string[], expected: readonly string[]): string[] {
  const filled: string[] = [];
  for (const [index, name] of names.entries()) {
    if (name !== "gap") filled.push(name);
    else {
      const next = names.slice(index + 1).find((one) => one !== "gap");
      const to = next === undefined ? expected.length : expected.indexOf(next);
      filled.push(...expected.slice(filled.length, to));
    }
  }
  return filled;
}

test("every event name is one that the registry or the scheduler emits", () => {
  expect(new Set(streamEvents).size).toBe(streamEvents.length);
});
