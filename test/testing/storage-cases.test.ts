import { describe, expect, test } from "vitest";
import type { Failure } from "../../src/model/failure.ts";
import type { Run } from "../../src/model/run.ts";
import type { ListResult, Storage } from "../../src/storage/storage.ts";
import { type OpenStorage, type TestCase, storageCases } from "../../src/testing/index.ts";
import { SharedMemory } from "../support/shared-memory.ts";
import { type Spoil, importSaboteurs } from "./storage-saboteurs.ts";

// SharedMemory, but for the methods that are spoiled.
function spoiled(honest: SharedMemory, spoil: Spoil): Storage {
  const spoiledParts: object = spoil(honest);
  return new Proxy<Storage>(honest, {
    get(_, name) {
      const part: unknown = Reflect.get(spoiledParts, name) ?? Reflect.get(honest, name);
      return typeof part === "function" ? (part.bind(honest) as unknown) : part;
    },
  });
}

/** A storage that is durable and shared as far as one process can tell: what has the same place is the same. */
function lasting(spoil: Spoil = () => ({})): OpenStorage {
  const places = new Map<string, Storage>();
  return (place) => {
    const stored = places.get(place) ?? spoiled(new SharedMemory(), spoil);
    places.set(place, stored);
    return new Proxy(stored, {
      get: (_, name) =>
        name === "capabilities" ? { durable: true, shared: true } : (Reflect.get(stored, name) as unknown),
    });
  };
}

async function failuresOf(cases: readonly TestCase[]): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const { title, run } of cases)
    await run().catch(() => {
      failed.push(title);
    });
  return failed;
}

const everyRun = { limit: 1_000 };
const waitingRun = async (honest: SharedMemory, _flowId: string): Promise<Run | undefined> =>
  (await honest.listRuns({ ...everyRun, _flowId, status: "queued" })).items.at(-1);

/** Title of a case that has to fail → what a storage does that breaks this promise. */
const saboteurs: Readonly<Record<string, Spoil>> = {
  "commitPage with a token that is not the run's returns undefined, and changes nothing": (honest) => {
    const tokens = new Map<string, string>();
    return {
      async claimRun(_flowId, lease) {
        const taken = await honest.claimRun(_flowId, lease);
        if (taken !== undefined && "run" in taken) tokens.set(taken.run._id, lease.token);
        return taken;
      },
      commitPage: (runLease, page) =>
        honest.commitPage({ ...runLease, token: tokens.get(runLease._runId) ?? "" }, page),
    };
  },

  "commitPage of the page last committed returns the run again, and changes nothing": (honest) => ({
    async commitPage(runLease, page) {
      const run = await honest.findRun(runLease._runId);
      return honest.commitPage(runLease, { ...page, ordinal: (run?.numPagesProcessed ?? 0) + 1 });
    },
  }),

  "commitPage removes what the flow's inbox holds up to and including the cursor": (honest) => ({
    commitPage: (runLease, page) =>
      honest.commitPage(runLease, { ...page, places: page.places.map(({ inbox: _, ...change }) => change) }),
  }),

  "commitPage stores new failures, and replaces a stored one in its place": (honest) => ({
    commitPage: (runLease, page) =>
      honest.commitPage(runLease, { ...page, delivered: [...page.delivered, ...page.failures.map(({ _id }) => _id)] }),
  }),

  "commitPage that cannot store one of its failures rejects, and changes nothing": (honest) => ({
    async commitPage(runLease, { failures, ...page }) {
      const run = await honest.commitPage(runLease, { ...page, failures: [] });
      structuredClone(failures);
      return run;
    },
  }),

  "endRun with a token that is not the run's returns undefined, and changes nothing": (honest) => {
    let token = "";
    return {
      async claimRun(_flowId, lease) {
        token = lease.token;
        return honest.claimRun(_flowId, lease);
      },
      endRun: (runLease, ending) => honest.endRun({ ...runLease, token }, ending),
    };
  },

  "endRun again with the same token returns the same run, and changes nothing": (honest) => ({
    async endRun(runLease, ending) {
      const run = await honest.findRun(runLease._runId);
      return run?.endedAt === undefined ? honest.endRun(runLease, ending) : undefined;
    },
  }),

  "claimRun returns undefined while a run of the flow is active, running or canceling": (honest) => ({
    async claimRun(_flowId, lease) {
      const taken = await honest.claimRun(_flowId, lease);
      const [flow, run] = [await honest.findFlow(_flowId), await waitingRun(honest, _flowId)];
      return taken ?? (flow && run && { flow, run: { ...run, status: "running" }, commits: 0, places: {} });
    },
  }),

  "claimRun asked again with the same token returns the same run, and starts no second one": (honest) => {
    const seen = new Set<string>();
    return {
      async claimRun(_flowId, lease) {
        if (seen.has(lease.token)) return undefined;
        seen.add(lease.token);
        return honest.claimRun(_flowId, lease);
      },
    };
  },

  "claimRun takes a flow's runs first in, first out, whatever their ids, times and triggers": (honest) => ({
    // Says that it started the waiting run with the smallest id.
    async claimRun(_flowId, lease) {
      const { items } = await honest.listRuns({ ...everyRun, _flowId, status: "queued" });
      const first = items.map(({ _id }) => _id).sort()[0];
      const taken = await honest.claimRun(_flowId, lease);
      const run = await honest.findRun(first ?? "");
      return taken && run && { ...taken, run: { ...run, status: "running" } };
    },
  }),

  "renewLeases prolongs leases, so that a run is not reclaimed before the new time": (honest) => ({
    renewLeases: (holds) => honest.renewLeases(holds, 0),
  }),

  "reclaimExpiredRuns fails a run that has crashed more than maxCrashes times": (honest) => ({
    reclaimExpiredRuns: (rule) => honest.reclaimExpiredRuns({ ...rule, maxCrashes: Infinity }),
  }),

  "reclaimExpiredRuns leaves runs alone whose lease has not run out at `now`": (honest) => ({
    reclaimExpiredRuns: (rule) => honest.reclaimExpiredRuns({ ...rule, now: rule.now + 1 }),
  }),

  "releaseRun gives the run back to the front of its queue": (honest) => ({
    async releaseRun(runLease) {
      const ended = await honest.endRun(runLease, { status: "canceled", at: 0, imports: {}, places: [] });
      return ended && { ...ended.run, status: "queued" };
    },
  }),

  "queueDue with bufferOne folds a due time into a scheduled run that waits, and counts it": (honest) => ({
    // Loses the count.
    async queueDue(ticks, rule) {
      const [tick] = ticks;
      const waiting = tick && (await waitingRun(honest, tick._flowId));
      if (tick === undefined || waiting === undefined || waiting.trigger === "manual")
        return honest.queueDue(ticks, rule);
      await honest.queueDue([{ _flowId: tick._flowId, dueAt: tick.dueAt, nextDueAt: tick.nextDueAt }], rule);
      return [{ outcome: "coalesced", run: waiting }];
    },
  }),

  "queueDue again with the same ticks returns taken, and queues nothing more": (honest) => ({
    // Compares nothing and sets.
    async queueDue(ticks, rule) {
      const flows = await Promise.all(ticks.map(({ _flowId }) => honest.findFlow(_flowId)));
      return honest.queueDue(
        ticks.map((tick, index) => ({ ...tick, dueAt: Date.parse(flows[index]?.nextRunAt ?? "2000-01-01") })),
        rule,
      );
    },
  }),

  "queueDue with skip queues nothing while a run waits or runs, and counts the due time on that run": (honest) => ({
    queueDue: (ticks) => honest.queueDue(ticks, { overlap: "bufferOne", maxQueued: 1_000 }),
  }),

  "queueRun returns full, and queues nothing, if maxQueued runs of the flow wait already": (honest) => ({
    queueRun: (start, { maxQueued }) => honest.queueRun(start, { maxQueued: maxQueued + 1 }),
  }),

  "queueRun with the id of a stored run adds nothing and returns that run, whatever became of it": (honest) => {
    let nth = 0;
    return { queueRun: (start, limits) => honest.queueRun({ ...start, _id: `${start._id} ${nth++}` }, limits) };
  },

  "cancelRun makes a running run canceling, which the process with its lease learns when it renews that": (honest) => ({
    async cancelRun(_id, at) {
      const run = await honest.findRun(_id);
      return run?.status === "running" ? run : honest.cancelRun(_id, at);
    },
  }),

  "listRuns returns the newest first, by the order in which they were queued, whatever became of them": (honest) => ({
    async listRuns(query) {
      const listed = await honest.listRuns(query);
      return { ...listed, items: listed.items.toReversed() };
    },
  }),

  "prune removes runs that ended before the instant, and none that ended at it or later": (honest) => ({
    prune: (rule) => honest.prune({ ...rule, endedBefore: rule.endedBefore + 1 }),
  }),

  "replaceFlow that disables the flow cancels its waiting runs, and lets the active one go on": (honest) => ({
    // Stores the flow as enabled, so that nothing is canceled, and only says that it is not.
    async replaceFlow(flow, change) {
      const replaced = await honest.replaceFlow({ ...flow, disabled: false }, change);
      return replaced.outcome === "replaced" ? { ...replaced, flow } : replaced;
    },
  }),

  "replaceFlow leaves the next due time as it is stored, unless asked to reschedule": (honest) => ({
    replaceFlow: (flow, change) => honest.replaceFlow(flow, { ...change, reschedule: true }),
  }),

  "replaceFlow changes nothing if lastModified has moved, or if there is no such flow": (honest) => ({
    async replaceFlow(flow, change) {
      const stored = await honest.findFlow(flow._id);
      return honest.replaceFlow(flow, { ...change, expected: stored?.lastModified ?? "" });
    },
  }),

  "deleteFlow removes the flow with its checkpoint, its inbox and its open failures, however many": (honest) => {
    const kept = new Map<string, Awaited<ReturnType<Storage["findPlaces"]>>>();
    return {
      async deleteFlow(_id, change) {
        kept.set(_id, await honest.findPlaces(_id));
        return honest.deleteFlow(_id, change);
      },
      findPlaces: async (_id) => ({ ...kept.get(_id), ...(await honest.findPlaces(_id)) }),
    };
  },

  "deleteFlow cancels the waiting runs, makes the active one canceling, and returns them and the flow": (honest) => ({
    async deleteFlow(_id, change) {
      const { active: _, ...deleted } = { active: undefined, ...(await honest.deleteFlow(_id, change)) };
      return deleted;
    },
  }),

  "insertFlow returns false, and changes nothing, if the id is taken": (honest) => ({
    async insertFlow(flow) {
      await honest.deleteFlow(flow._id, { at: 0 });
      return honest.insertFlow(flow);
    },
  }),

  "listFlows lists a flow that is there all the while exactly once, while others come and go": (honest) => ({
    // The cursor counts what was listed, so whatever comes or goes before it shifts the rest.
    async listFlows({
      after = "0",
      limit,
      ...query
    }): Promise<ListResult<Awaited<ReturnType<Storage["findFlow"]>> & object>> {
      const { items } = await honest.listFlows({ ...query, limit: 1_000 });
      const end = Number(after) + limit;
      return { items: items.slice(Number(after), end), ...(end < items.length ? { next: String(end) } : {}) };
    },
  }),

  "dueFlows returns enabled flows due at or before the instant, the earliest first, at most so many": (honest) => ({
    dueFlows: (until, limit) => honest.dueFlows(until - 1, limit),
  }),

  "setCheckpoint returns false, and changes nothing, without such a flow or while a run of it is active": (honest) => {
    const set = new Map<string, Awaited<ReturnType<Storage["findPlaces"]>>>();
    return {
      async setCheckpoint(_id, checkpoint, change) {
        set.set(_id, { ledger: checkpoint === undefined ? {} : { checkpoint } });
        return honest.setCheckpoint(_id, checkpoint, change);
      },
      findPlaces: async (_id) => set.get(_id) ?? honest.findPlaces(_id),
    };
  },

  "a failure's record reads back deeply equal: dates, maps, sets, big integers and bytes included": (honest) => ({
    commitPage: (runLease, page) =>
      honest.commitPage(runLease, {
        ...page,
        failures: page.failures.map((failure) => ({ ...failure, record: asJson(failure.record) })),
      }),
  }),

  "listFailures returns them in the order they were stored, whatever their ids and times": (honest) => ({
    async listFailures(query) {
      const listed = await honest.listFailures(query);
      return { ...listed, items: listed.items.toSorted((one, other) => (one._id < other._id ? -1 : 1)) };
    },
  }),

  "resolveFailures again returns none, and leaves the time at which they were resolved": (honest) => ({
    async resolveFailures(_ids, at) {
      await honest.resolveFailures(_ids, at);
      return (await honest.listFailures({ _ids, limit: 1_000 })).items;
    },
  }),

  "appendInbox drops a record whose event id was seen, in the same arrival or an earlier one": (honest) => ({
    appendInbox: ({ ids: _, ...arrival }, rule) => honest.appendInbox(arrival, rule),
  }),

  "appendInbox knows an event id that it saw at `dedupeAfter`, and has forgotten older ones": (honest) => ({
    appendInbox: (arrival, rule) => honest.appendInbox(arrival, { ...rule, dedupeAfter: rule.dedupeAfter + 1 }),
  }),

  "appendInbox takes nothing in for any flow if one inbox holds maxInboxPages, event ids included": (honest) => ({
    // Flow by flow, each with a transaction of its own.
    async appendInbox(arrival, rule) {
      const flows = [];
      for (const start of arrival.starts) {
        const appended = await honest.appendInbox({ ...arrival, starts: [start] }, rule);
        if (appended.outcome === "full") return appended;
        flows.push(...appended.flows);
      }
      return { outcome: "appended", flows };
    },
  }),

  "appendInbox of an arrival that waits already adds it no second time, and queues no second run": (honest) => {
    let nth = 0;
    return { appendInbox: (arrival, rule) => honest.appendInbox({ ...arrival, _id: `${arrival._id} ${nth++}` }, rule) };
  },

  "readInbox returns the oldest entries, whole pages, until there are maxRecords or more": (honest) => ({
    async readInbox(_flowId, query) {
      const pages = await honest.readInbox(_flowId, query);
      return pages.map((page) => ({ ...page, records: page.records.slice(0, query.maxRecords) }));
    },
  }),

  "readInbox returns no more than about 16 MB of records at once, but one page at least": (honest) => ({
    async readInbox(_flowId, query) {
      const first = await honest.readInbox(_flowId, query);
      const cursor = first.at(-1)?.cursor;
      return cursor === undefined
        ? first
        : [...first, ...(await honest.readInbox(_flowId, { ...query, after: cursor }))];
    },
  }),

  "listFailures returns no more than about 16 MB of records at once, but one at least": (honest) => ({
    async listFailures(query) {
      const { items, next } = await honest.listFailures(query);
      if (next === undefined) return { items };
      const rest = await honest.listFailures({ ...query, after: next });
      return { ...rest, items: [...items, ...rest.items] };
    },
  }),

  "unreadInboxes returns, ascending, enabled flows with pages and neither a waiting nor an active realtime run": (
    honest,
  ) => ({
    async unreadInboxes(limit, after = "") {
      const { items } = await honest.listFlows({ limit: 1_000 });
      const unread: string[] = [];
      for (const { _id, disabled } of items)
        if (!disabled && _id > after && (await honest.readInbox(_id, { maxRecords: 1 })).length > 0) unread.push(_id);
      return unread.slice(0, limit);
    },
  }),

  "waitingFlows returns, ascending, enabled flows that have waiting runs and no active one": (honest) => ({
    async waitingFlows() {
      const { items } = await honest.listRuns({ ...everyRun, status: "queued" });
      return [...new Set(items.map(({ _flowId }) => _flowId))]
        .sort()
        .map((_flowId) => ({ _flowId, _exportId: "orders" }));
    },
  }),

  "what it returns is frozen, all the way down": (honest) => ({
    async findRun(_id) {
      const run = await honest.findRun(_id);
      return run && { ...run };
    },
  }),

  "what it was given is copied: changing it afterwards changes nothing that is stored": (honest) => ({
    insertFlow: (flow) => honest.insertFlow(Object.freeze(flow)),
  }),

  "close may be called twice": () => {
    let closed = false;
    return {
      async close() {
        if (closed) throw new Error("closed already");
        closed = true;
      },
    };
  },

  "deleteFlow leaves nothing to be found of what it has not removed yet, in any way": (honest) => {
    // Finds what was deleted with its flow.
    const stored = new Map<string, Failure>();
    return {
      async commitPage(runLease, page) {
        for (const failure of page.failures) stored.set(failure._id, failure);
        return honest.commitPage(runLease, page);
      },
      findFailure: async (_id) => (await honest.findFailure(_id)) ?? stored.get(_id),
    };
  },

  "insertFlow returns false until purgeFlows has removed all that a deleted flow has left": (honest) => ({
    async insertFlow(flow, hidden) {
      while (await honest.purgeFlows({ limit: 100, _flowId: flow._id }));
      return honest.insertFlow(flow, hidden);
    },
  }),

  "a flow with the id of one that was deleted has nothing of it, however much there was": (honest) => {
    const deleted = new Map<string, string>();
    return {
      // Knows the event ids of the former flow.
      async deleteFlow(_id, change) {
        deleted.set(_id, _id);
        return honest.deleteFlow(_id, change);
      },
      async appendInbox(arrival, rule) {
        const appended = await honest.appendInbox(arrival, rule);
        if (appended.outcome === "full") return appended;
        const flows = appended.flows.map((flow) => (deleted.has(flow._flowId) ? { ...flow, duplicates: 2 } : flow));
        return { ...appended, flows };
      },
    };
  },

  "purgeFlows leaves flows that are there, ended runs and resolved failures as they are": (honest) => ({
    async purgeFlows(rule) {
      const more = await honest.purgeFlows(rule);
      await honest.prune({ endedBefore: Date.UTC(2100, 0, 1), runsPerFlow: 0, limit: 100 });
      return more;
    },
  }),

  "deleteFlow removes several flows with much in them, each for itself": (honest) => ({
    // Ends after the first of them.
    async purgeFlows(rule) {
      if (rule._flowId !== undefined) return honest.purgeFlows(rule);
      while (await honest.purgeFlows({ ...rule, _flowId: "flow" }));
      return false;
    },
  }),

  "it has the capabilities that it is tested for, and says so": () => ({
    capabilities: { durable: false, shared: true },
  }),
};

describe("storageCases", () => {
  test.each(Object.entries({ ...saboteurs, ...importSaboteurs }))("catch what breaks: %s", async (title, spoil) => {
    const cases = storageCases(() => spoiled(new SharedMemory(), spoil), { wakes: true, changes: true });

    const failed = await failuresOf(cases.filter((each) => each.title === title));

    expect(failed).toEqual([title]);
  });

  test("pass a storage that keeps every promise, through the same wrapper", async () => {
    const failed = await failuresOf(
      storageCases(() => spoiled(new SharedMemory(), () => ({})), { wakes: true, changes: true }),
    );

    expect(failed).toEqual([]);
  });

  test("pass a durable and shared storage, and leave none out", async () => {
    const cases = storageCases(lasting(), { durable: true, shared: true, wakes: true, changes: true });

    expect(await failuresOf(cases)).toEqual([]);
    expect(cases.skipped).toEqual([]);
  });

  test("catch a storage that says it is durable and shared, and is neither", async () => {
    const forgetful: OpenStorage = () =>
      spoiled(new SharedMemory(), () => ({ capabilities: { durable: true, shared: true } }));

    const failed = await failuresOf(
      storageCases(forgetful, { durable: true, shared: true, wakes: true, changes: true }),
    );

    const { skipped } = storageCases(forgetful, { wakes: true, changes: true });
    expect(skipped.map(({ title }) => title).filter((title) => !failed.includes(title))).toEqual([]);
  });

  test("catch two processes that read first and write later, as if nobody else did", async () => {
    const racing = lasting((honest) => ({
      async claimRun(_flowId, lease) {
        const active = (await honest.listRuns({ ...everyRun, _flowId, status: "running" })).items;
        const [flow, run] = [await honest.findFlow(_flowId), await waitingRun(honest, _flowId)];
        const taken = await honest.claimRun(_flowId, lease);
        return taken ?? (active.length === 0 && flow && run ? { flow, run, commits: 0, places: {} } : undefined);
      },
    }));

    const failed = await failuresOf(storageCases(racing, { durable: true, shared: true, wakes: true, changes: true }));

    expect(failed).toContain("claimRun by many at once starts one run of the flow");
  });

  test("leave nothing open that they opened", async () => {
    let open = 0;
    const counting: OpenStorage = () => {
      open++;
      let closed = false;
      const close = async () => {
        if (!closed) open--;
        closed = true;
      };
      return spoiled(new SharedMemory(), () => ({ close }));
    };

    await failuresOf(storageCases(counting, { durable: true, shared: true, wakes: true, changes: true }));

    expect(open).toBe(0);
  });

  test("open a place of their own, whose name is fit for a file or a schema", async () => {
    const places: string[] = [];
    const cases = storageCases((place) => {
      places.push(place);
      return new SharedMemory();
    });

    await failuresOf(cases);

    expect(new Set(places).size).toBe(cases.length);
    expect(places.filter((place) => !/^[a-z0-9_]{1,63}$/.test(place))).toEqual([]);
  });

  test("have titles that are all different", () => {
    const cases = storageCases(lasting(), { durable: true, shared: true, wakes: true, changes: true });

    const titles = cases.map(({ title }) => title);

    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([]);
  });
});

function asJson(record: unknown): unknown {
  const text = JSON.stringify(record, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  return JSON.parse(text) as unknown;
}
