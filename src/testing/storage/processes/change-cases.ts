import assert from "node:assert/strict";
import { delay, systemClock } from "../../../clock.ts";
import type { Change, ChangeStorage, Storage } from "../../../storage/storage.ts";
import {
  type StorageCase,
  addFlow,
  at,
  defined,
  endingOf,
  flowOf,
  iso,
  queue,
  roomy,
  startOf,
  take,
} from "../harness.ts";

interface ReadingCase {
  readonly storage: Storage;
  /** Reads what the other process follows: all changes so far, until there are `size`, and then what else is there. */
  readonly read: (size: number) => Promise<readonly Change[]>;
}

/** A case of what another process reads that began to follow before anything happened. */
function on(title: string, run: (followed: ReadingCase) => Promise<void>): StorageCase {
  return {
    title,
    needs: "changes",
    async run({ storage, other }) {
      await expectShared(storage, other);
      const read = await reading(changesOf(other));
      await run({ storage, read });
    },
  };
}

// If they had nothing in common, each read would wait for what never comes.
async function expectShared(storage: Storage, other: Storage): Promise<void> {
  await addFlow(storage, "shared");
  defined(await other.findFlow("shared"));
}

function changesOf({ changes }: Storage): ChangeStorage {
  return changes ?? assert.fail("the storage has no changes");
}

const reader = (_id = "reader") => ({ _id, at: at(0), until: at(60) });

// A database may keep changes back while others, of transactions that began before them, may still come.
const patienceMs = 10_000;

async function reading(changes: ChangeStorage, limit = 100): Promise<ReadingCase["read"]> {
  let place = await changes.followChanges(reader());
  const all: Change[] = [];
  return async (size) => {
    for (const until = systemClock.now() + patienceMs; ;) {
      const list = await changes.changesSince(place, { limit, at: at(0) });
      assert.equal(list.gap, false, "there is a gap");
      assert.ok(list.changes.length <= limit, "there are more changes than were asked for");
      place = list.next;
      all.push(...list.changes);
      if (!list.more && all.length >= size) return all;
      assert.ok(systemClock.now() < until, `expected ${size} changes, found ${JSON.stringify(all)}`);
      await delay(systemClock, 5);
    }
  };
}

/** What became of which, in words. */
function wordsOf(changes: readonly Change[]): readonly string[] {
  return changes.map((one) =>
    one.flow === undefined ? `${one.change} ${one.run._id}` : `${one.change} ${one.flow._id}`,
  );
}

/** What a storage with `changes` promises of them. */
export const changeStorageCases: readonly StorageCase[] = [
  on(
    "changesSince returns what became of a flow and its runs, oldest first, as they are now",
    async ({ storage, read }) => {
      await addFlow(storage);
      await queue(storage, "run");
      const { runLease } = await take(storage);
      await storage.endRun(runLease, endingOf("completed", 3));

      const changes = await read(4);

      assert.deepEqual(wordsOf(changes), ["flow:created flow", "queued run", "started run", "completed run"]);
      assert.deepEqual(changes.at(-1)?.run, await storage.findRun("run"));
      assert.deepEqual(changes[0]?.flow, await storage.findFlow("flow"));
    },
  ),

  on("changesSince says why a run waits again, and how it ended then", async ({ storage, read }) => {
    await addFlow(storage);
    await queue(storage, "run");
    const stopped = await take(storage);
    await storage.releaseRun(stopped.runLease, {});
    const waiting = await take(storage);
    await storage.releaseRun(waiting.runLease, { notBefore: at(2) });
    await take(storage, "flow", "crashed", 3);
    const rule = { now: at(4), maxCrashes: 1, error: { code: "lease_lost", message: "it died" }, limit: 10 };
    await storage.reclaimExpiredRuns(rule);
    await take(storage, "flow", "crashed again", 3);
    await storage.reclaimExpiredRuns(rule);

    const changes = await read(9);

    const reasons = changes.flatMap((one) => (one.change === "requeued" ? [one.reason] : []));
    assert.deepEqual(reasons, ["stop", "wait", "crash"]);
    assert.deepEqual(wordsOf(changes.slice(-2)), ["started run", "failed run"]);
  }),

  on("changesSince returns runs that are canceled, when they have really ended", async ({ storage, read }) => {
    await addFlow(storage);
    await queue(storage, "active");
    await queue(storage, "waiting");
    const { runLease } = await take(storage);
    await storage.cancelRun("active", { at: at(3) });
    await storage.cancelRun("waiting", { at: at(3) });

    const before = wordsOf(await read(5));
    await storage.endRun(runLease, endingOf("canceled", 4));
    const after = wordsOf(await read(6));

    assert.deepEqual(before.slice(3), ["started active", "canceled waiting"]);
    assert.deepEqual(after.slice(5), ["canceled active"]);
  }),

  on("changesSince returns a flow as it was before it was changed, and as it was last", async ({ storage, read }) => {
    const first = await addFlow(storage, "flow", { _integrationId: "acme" });
    const next = { ...first, _integrationId: "shop", lastModified: iso(1) };
    await storage.replaceFlow(next, { expected: first.lastModified, reschedule: false, at: at(1) });

    const [, updated] = await read(2);
    await storage.deleteFlow("flow", { at: at(2) });
    const [, , deleted] = await read(3);

    assert.deepEqual(updated, { change: "flow:updated", flow: next, previous: first });
    assert.deepEqual(deleted, { change: "flow:deleted", flow: next });
  }),

  on("changesSince leaves out runs and flows that are gone, and what changed nothing", async ({ storage, read }) => {
    await addFlow(storage);
    await queue(storage, "run");
    await storage.queueRun(startOf("run"), roomy);
    await storage.insertFlow(flowOf("flow"));
    await storage.claimRun("flow", { token: "token", at: at(2), until: at(3) });
    await storage.renewLeases([{ _runId: "run", token: "token" }], at(4));
    await storage.cancelRun("run", { at: at(3) });
    await storage.endRun({ _runId: "run", token: "token" }, endingOf("canceled", 4));
    await storage.prune({ endedBefore: at(5), runsPerFlow: 1, limit: 10 });
    await addFlow(storage, "other");

    assert.deepEqual(wordsOf(await read(2)), ["flow:created flow", "flow:created other"]);
  }),

  {
    title: "changesSince returns portions from place to place, each change in one of them",
    needs: "changes",
    async run({ storage, other }) {
      await expectShared(storage, other);
      const read = await reading(changesOf(other), 2);
      const flowIds = Array.from({ length: 7 }, (_, index) => `flow ${index}`);
      for (const _id of flowIds) await addFlow(storage, _id);

      const first = wordsOf(await read(7));
      await addFlow(storage, "last");

      assert.deepEqual(
        first,
        flowIds.map((_id) => `flow:created ${_id}`),
      );
      assert.deepEqual(wordsOf(await read(8)).slice(7), ["flow:created last"]);
    },
  },

  {
    title: "changesSince overlooks nothing that many do at once, and keeps the order of each run",
    needs: "changes",
    async run({ storage, other }) {
      await expectShared(storage, other);
      const read = await reading(changesOf(other), 7);
      const runIds = Array.from({ length: 40 }, (_, index) => `run ${index}`);
      const work = runIds.map(async (_id, index) => {
        const [one, next] = index % 2 === 0 ? [storage, other] : [other, storage];
        await addFlow(one, `flow of ${_id}`);
        await queue(next, _id, `flow of ${_id}`);
        const { runLease } = await take(one, `flow of ${_id}`, `token of ${_id}`);
        await next.endRun(runLease, endingOf("completed", 3));
      });

      await Promise.all([...work, read(80)]);

      const all = await read(160);
      const expected = ["queued", "started", "completed"];
      const found = runIds.map((_id) => all.flatMap(({ change, run }) => (run?._id === _id ? [change] : [])));
      assert.deepEqual(
        found,
        runIds.map(() => expected),
      );
    },
  },

  {
    title: "a reader that comes back later finds everything, or is notified of a gap",
    needs: "changes",
    async run({ storage, other }) {
      const changes = changesOf(other);
      const place = await changes.followChanges(reader());
      await changes.unfollowChanges("reader");
      await addFlow(storage);
      await changes.forgetChanges(at(100));
      await changes.followChanges(reader("another"));

      // Once may be too early: others, of transactions that began before, may go on. They are not waited for for ever.
      let next = place;
      let isFound = false;
      for (let second = 0; second < 10 && !isFound; second++) {
        const list = await changes.changesSince(next, { limit: 10, at: at(second) });
        next = list.next;
        isFound = list.gap || wordsOf(list.changes).includes("flow:created flow");
      }

      assert.ok(isFound, "a change is missing, and nothing is said of it");
    },
  },

  {
    title: "what happened before followChanges is not found after it, and what follows is",
    needs: "changes",
    async run({ storage, other }) {
      await expectShared(storage, other);
      const changes = changesOf(other);
      await changes.followChanges(reader("earlier"));
      await addFlow(storage, "before");
      // Until it is found, it may be beside what happens from now on.
      const earlier = await reading(changes);
      await earlier(0);
      await addFlow(storage, "between");
      await earlier(1);

      const read = await reading(changes);
      await addFlow(storage, "after");

      assert.deepEqual(wordsOf(await read(1)).at(-1), "flow:created after");
      assert.equal(wordsOf(await read(1)).includes("flow:created before"), false);
    },
  },

  {
    title: "changesSince refuses a place that never was one",
    needs: "changes",
    async run({ other }) {
      const { changes } = other;
      await assert.rejects(async () => defined(changes).changesSince("nowhere", { limit: 1, at: at(0) }), {
        code: "invalid_request",
      });
    },
  },
];
