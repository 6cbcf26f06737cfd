import { expect, test } from "vitest";
import { MemoryStorage, type Run } from "../../src/index.ts";
import { minute, second } from "../support/harness.ts";
import { type EventReader, createBroadcast, startedBroadcast } from "./harness.ts";

/** A memory that processes share, as far as they can tell. */
class SharedStorage extends MemoryStorage {
  override readonly capabilities = Object.freeze({ durable: false, shared: true }) as never;
}

/** Reads on until an event of this name, while time passes. */
async function until(reader: EventReader, name: string, advance: () => Promise<void>): Promise<void> {
  while (!reader.names.includes(name)) {
    let hasRead = false;
    const reading = reader.read().finally(() => (hasRead = true));
    while (!(hasRead as boolean)) await advance();
    await reading;
  }
}

test("events of another process are streamed as those of this one, each once", async () => {
  const storage = new SharedStorage();
  const web = await startedBroadcast({ storage, options: { roles: [] } });
  const worker = await startedBroadcast({ storage });
  const streams = [await web.listen(), await worker.listen()];
  const advance = async () => {
    for (const { clock } of [worker, web]) await clock.advance(250);
  };

  const flow = await web.host.flow();
  await worker.scheduler.run(flow._id);
  for (const reader of streams) await until(reader, "run:completed", advance);

  for (const { events, names } of streams) {
    expect(names.filter((name) => name !== "run:progress")).toEqual([
      ...["flow:created", "run:queued", "run:started", "run:completed"],
    ]);
    expect((events.at(-1)?.data as { run: Run }).run).toMatchObject({ _flowId: flow._id, status: "completed" });
  }
  await Promise.all([web, worker].map(({ scheduler }) => scheduler.stop()));
});

test("what changes its integration is deleted for the one it leaves, also in another process", async () => {
  const storage = new SharedStorage();
  const [one, other] = [
    await startedBroadcast({ storage }),
    await startedBroadcast({ storage, options: { roles: [] } }),
  ];
  const reader = await other.listen({ _integrationId: "acme" });
  const flow = await one.host.flow({ _integrationId: "acme" });
  await until(reader, "flow:created", () => other.clock.advance(250));
  await one.registry.patch(flow._id, { _integrationId: "shop" });

  await until(reader, "flow:deleted", () => other.clock.advance(250));

  expect(reader.names).toEqual(["flow:created", "flow:deleted"]);
  await Promise.all([one, other].map(({ scheduler }) => scheduler.stop()));
});

test("a client that comes back within five minutes has missed nothing, and receives a gap after ten", async () => {
  const storage = new SharedStorage();
  const { clock, host, listen, open, scheduler } = await startedBroadcast({ storage });
  const first = await listen();
  await host.flow({ name: "1" });
  await until(first, "flow:created", () => clock.advance(250));
  const { lastEventId } = first;
  await first.leave();
  await clock.advance(4 * minute);
  await host.flow({ name: "2" });
  await clock.advance(second);

  const soon = open({ lastEventId });
  await until(soon, "flow:created", () => clock.advance(250));
  await soon.leave();
  await clock.advance(11 * minute);
  await host.flow({ name: "3" });
  await clock.advance(second);
  const late = open({ lastEventId });
  await until(late, "gap", () => clock.advance(250));

  expect(soon.events).toMatchObject([{ data: { flow: { name: "2" } } }]);
  expect(late.names).toEqual(["gap"]);
  await scheduler.stop();
});

test("a process that starts no scheduler streams what others do, until its scheduler is stopped", async () => {
  const storage = new SharedStorage();
  const web = createBroadcast({ storage });
  const worker = await startedBroadcast({ storage });
  const reader = await web.listen();
  const flow = await worker.host.flow();
  await worker.scheduler.run(flow._id);
  await until(reader, "run:completed", async () => {
    for (const { clock } of [worker, web]) await clock.advance(250);
  });
  const ended = reader.readAll();

  await web.scheduler.stop();
  await ended;
  await web.clock.settle();

  expect(reader.names).toEqual(["flow:created", "run:queued", "run:started", "run:completed"]);
  expect(web.clock.timers).toBe(0);
  await worker.scheduler.stop();
});

test("while the scheduler is stopped nothing is followed", async () => {
  const { clock, open, scheduler } = await startedBroadcast({ storage: new SharedStorage() });
  await scheduler.stop();

  expect((await open().readAll()).events).toEqual([]);
  expect(clock.timers).toBe(0);
});
