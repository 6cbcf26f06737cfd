import { expect, test } from "vitest";
import { MemoryStorage } from "../../../src/index.ts";
import { StorageFailedError } from "../../../src/errors.ts";
import type { Arrival, InboxRule } from "../../../src/storage/storage.ts";
import { collectingImport } from "../../../src/testing/index.ts";
import { Harness, upTo } from "../../support/harness.ts";

/** Calls `before` with the number of each arrival. */
class WatchedStorage extends MemoryStorage {
  before: (nth: number) => Promise<void> = async () => undefined;
  arrivals = 0;

  override async appendInbox(arrival: Arrival, rule: InboxRule) {
    await this.before(++this.arrivals);
    return super.appendInbox(arrival, rule);
  }
}

async function receiving() {
  const storage = new WatchedStorage();
  const sink = collectingImport<number>();
  const exports = { events: { listen: () => () => undefined } };
  const host = new Harness({ storage, exports, imports: { sink } });
  await host.registry.define("flow", { name: "Events", _exportId: "events", _importId: "sink" });
  const waiting = async () => (await host.scheduler.listInbox("flow")).items.length;
  const { clock, registry, scheduler } = host;
  return { clock, registry, scheduler, sink, storage, waiting };
}

const many = upTo(12_000);
const ids = many.map(String);

test("12,000 event ids of which the last record is invalid are refused before any of them is stored", async () => {
  const { scheduler, storage } = await receiving();
  const records = [...many.slice(1), Symbol("no record")] as number[];

  await expect(scheduler.accept("events", records, { ids })).rejects.toMatchObject({ code: "invalid_request" });
  await expect(scheduler.accept("events", many, { ids: [...ids.slice(1), ""] })).rejects.toMatchObject({
    code: "invalid_request",
  });

  expect(storage.arrivals).toBe(0);
});

test("12,000 event ids whose storage fails in the middle are delivered once each when they are sent again", async () => {
  const { clock, scheduler, sink, storage, waiting } = await receiving();
  storage.before = async (nth) => {
    if (nth === 2) throw new StorageFailedError("appendInbox", new Error("the disk is full"));
  };
  await expect(scheduler.accept("events", many, { ids })).rejects.toMatchObject({ code: "storage_failed" });
  expect(await waiting()).toBe(1);

  const result = await scheduler.accept("events", many, { ids });

  expect(result).toEqual({ accepted: 7_000, duplicates: 5_000 });
  await scheduler.start();
  await clock.advance(1_000);
  expect([...sink.written].sort((one, other) => one - other)).toEqual(many);
  await scheduler.stop();
});

test("12,000 event ids whose only flow is disabled in the middle are refused, and delivered once each later", async () => {
  const { clock, registry, scheduler, sink, storage } = await receiving();
  storage.before = async (nth) => {
    if (nth === 2) await registry.patch("flow", { disabled: true });
  };
  await expect(scheduler.accept("events", many, { ids })).rejects.toMatchObject({ code: "flow_disabled" });

  await registry.patch("flow", { disabled: false });
  await scheduler.accept("events", many, { ids });

  await scheduler.start();
  await clock.advance(1_000);
  expect([...sink.written].sort((one, other) => one - other)).toEqual(many);
  await scheduler.stop();
});

test("12,000 records without event ids are stored together, or none of them", async () => {
  const { scheduler, storage, waiting } = await receiving();
  storage.before = async () => {
    throw new StorageFailedError("appendInbox", new Error("the disk is full"));
  };
  await expect(scheduler.accept("events", many)).rejects.toMatchObject({ code: "storage_failed" });
  expect(await waiting()).toBe(0);

  storage.before = async () => undefined;
  expect(await scheduler.accept("events", many)).toEqual({ accepted: 12_000, duplicates: 0 });

  expect([storage.arrivals, await waiting()]).toEqual([2, 1]);
});
