import { itemAt } from "../../src/model/item-at.ts";
import type { RunStart } from "../../src/model/run.ts";
import { type SharedMemory, changedWakes } from "../support/shared-memory.ts";
import type {
  Change,
  ChangeStorage,
  DueRetry,
  PageCommit,
  PlaceChange,
  Places,
  Storage,
  Tick,
  Wake,
} from "../../src/storage/storage.ts";

/** What a saboteur does otherwise than the storage it wraps. */
export type Spoil = (honest: SharedMemory) => Partial<Storage>;

const all = { limit: 1_000 };
const both = ["ledger", "mailer"];

/** Commits something else than it is given. */
const committing =
  (change: (page: PageCommit, honest: SharedMemory) => PageCommit | Promise<PageCommit>): Spoil =>
  (honest) => ({ commitPage: async (lease, page) => honest.commitPage(lease, await change(page, honest)) });

const withFailures = (change: (failure: PageCommit["failures"][number]) => PageCommit["failures"][number]): Spoil =>
  committing((page) => ({ ...page, failures: page.failures.map(change) }));

const withPlaces = (change: (place: PlaceChange) => PlaceChange): Spoil =>
  committing((page) => ({ ...page, places: page.places.map(change) }));

const idsOf = (failures: PageCommit["failures"]): readonly string[] => failures.map(({ _id }) => _id);

/** Title of a case that has to fail → what a storage does that breaks this promise: of places and pauses. */
const ofPlaces: Readonly<Record<string, Spoil>> = {
  "commitPage moves the places of several imports together, and each by itself": withPlaces((place) => ({
    ...place,
    _importIds: place._importIds.slice(0, 1),
  })),

  "commitPage leaves what a change of a place does not name, and takes away what it says is null": withPlaces(
    (place) => ({ position: null, pause: null, ...place }),
  ),

  "commits are numbered, not pages: the last one again changes nothing, and none can be left out": (honest) => ({
    async claimRun(_flowId, lease) {
      const claimed = await honest.claimRun(_flowId, lease);
      return claimed !== undefined && "run" in claimed
        ? { ...claimed, commits: claimed.run.numPagesProcessed }
        : claimed;
    },
  }),

  "commitPage of a run whose flow reads another export by now moves no place": (honest) => {
    const moved: Record<string, Places[string]> = {};
    return {
      async commitPage(lease, page) {
        for (const { _importIds, checkpoint } of page.places)
          for (const _importId of _importIds) moved[_importId] = checkpoint === undefined ? {} : { checkpoint };
        return honest.commitPage(lease, page);
      },
      findPlaces: async (_flowId) => ({ ...moved, ...(await honest.findPlaces(_flowId)) }),
    };
  },

  "commitPage resolves what failed at an import that the flow has lost meanwhile as `removed`": committing((page) => ({
    ...page,
    failures: page.failures.map((failure) => ({ ...failure, _importId: "ledger" })),
  })),

  "setCheckpoint moves the imports that it names, gives up their positions, and leaves the others": (honest) => ({
    setCheckpoint: (_id, checkpoint, change) => honest.setCheckpoint(_id, checkpoint, { ...change, _importIds: both }),
  }),

  "setCheckpoint returns false, and changes nothing, while a begun run waits to be resumed": (honest) => ({
    async setCheckpoint(_id, checkpoint, change) {
      await honest.setCheckpoint(_id, checkpoint, change);
      return true;
    },
  }),

  "cancelRun with `discard` gives up the flow's positions when the run is canceled, and no checkpoint": (honest) => ({
    cancelRun: (_id, { at }) => honest.cancelRun(_id, { at }),
  }),

  "endPauses ends the pauses of the imports it names, and returns those that were paused": (honest) => ({
    async endPauses(_flowId, _importIds) {
      await honest.endPauses(_flowId, _importIds);
      return [...new Set(_importIds)];
    },
  }),

  "resumableFlows returns, ascending, enabled flows with a pause that ends by itself by then": (honest) => ({
    resumableFlows: (until, limit, after) => honest.resumableFlows(until - 1, limit, after),
  }),

  "nextResumeAt returns when the first pause after the instant ends by itself, of enabled flows": (honest) => ({
    nextResumeAt: (after) => honest.nextResumeAt(after - 1),
  }),

  "replaceFlow with another export is `unread`, and changes nothing, while the inbox holds pages": (honest) => ({
    async replaceFlow(flow, change) {
      const pages = await honest.readInbox(flow._id, { maxRecords: 1_000 });
      await honest.dropInbox(flow._id, { _ids: pages.map(({ _id }) => _id) });
      return honest.replaceFlow(flow, change);
    },
  }),

  "replaceFlow with another export takes the places away, and cancels a begun run that waits": (honest) => {
    let kept: Places = {};
    return {
      async replaceFlow(flow, change) {
        kept = await honest.findPlaces(flow._id);
        return honest.replaceFlow(flow, change);
      },
      findPlaces: async (_flowId) => ({ ...kept, ...(await honest.findPlaces(_flowId)) }),
    };
  },

  "replaceFlow lets an added import join at the place moved last, and in the inbox from now on": (honest) => ({
    // It begins from the start instead.
    async findPlaces(_flowId) {
      const places = Object.entries(await honest.findPlaces(_flowId));
      return Object.fromEntries(places.filter(([, { movedAt }]) => movedAt !== undefined));
    },
  }),

  "replaceFlow takes the place of a removed import away, and resolves its failures as `removed`": (honest) => ({
    async findFailure(_id) {
      const failure = await honest.findFailure(_id);
      return failure?.resolvedBy === "removed" ? { ...failure, resolvedBy: "person" } : failure;
    },
  }),
};

/** Of the one open failure that a record has at an import. */
const ofKeys: Readonly<Record<string, Spoil>> = {
  "commitPage folds a failure into the open one of its key: the newest record, under the id it has": withFailures(
    (failure) => ({ ...failure, key: `${failure.key} of ${failure._id}` }),
  ),

  "commitPage stores many failures in their order, those that are known under the id they have": committing((page) => ({
    ...page,
    failures: page.failures.slice(0, 512),
  })),

  "commitPage keeps failures of one key apart by flow, export and import": withFailures((failure) => ({
    ...failure,
    _importId: "ledger",
  })),

  "an older version of a record does not replace a newer one, and is counted": withFailures(
    ({ version: _, ...failure }) => failure,
  ),

  "commitPage resolves superseded failures by delivery, and leaves those resolved before": committing((page) => ({
    ...page,
    superseded: [],
    delivered: [...page.delivered, ...page.superseded],
  })),

  "commitPage removes what a retry delivered, also if it was resolved meanwhile": committing(async (page, honest) => {
    const { items } = await honest.listFailures({ ...all, _ids: page.delivered, status: "open" });
    return { ...page, delivered: idsOf(items) };
  }),

  "a failure that was resolved stays resolved when a retry fails again under its id": committing(
    async (page, honest) => {
      const { items } = await honest.listFailures({ ...all, _ids: idsOf(page.failures), status: "resolved" });
      return { ...page, delivered: [...page.delivered, ...idsOf(items)] };
    },
  ),

  "a page's failure under a key that was resolved is an open one of its own": committing(async (page, honest) => {
    const { items } = await honest.listFailures({ ...all, status: "resolved" });
    const keys = items.map(({ key }) => key);
    return { ...page, failures: page.failures.filter(({ key }) => !keys.includes(key)) };
  }),

  "editFailure gives an open failure another record, and keeps the first one as `original`": (honest) => ({
    async editFailure(_id, change) {
      const before = await honest.findFailure(_id);
      const edited = await honest.editFailure(_id, change);
      return edited && { ...edited, original: before?.record };
    },
  }),

  "editFailure returns undefined, and changes nothing, for a failure that is not open": (honest) => ({
    editFailure: async (_id, change) => (await honest.editFailure(_id, change)) ?? honest.findFailure(_id),
  }),

  "editFailure returns undefined, and changes nothing, while a retry run of the flow is active": (honest) => ({
    async editFailure(_id, change) {
      const { items } = await honest.listRuns({ status: "running", limit: 1 });
      return items.length > 0 ? honest.findFailure(_id) : honest.editFailure(_id, change);
    },
  }),

  "openKeys returns the open keys of one export at one import, page by page, in their order": (honest) => ({
    async openKeys(query) {
      const { items } = await honest.listFailures({ ...query, status: "open" });
      return { items: items.map(({ _id, key }) => ({ _id, key })) };
    },
  }),

  "countOpenFailures counts the open failures at each import of the flow, up to the limit": (honest) => ({
    countOpenFailures: (_flowId) => honest.countOpenFailures(_flowId, Infinity),
  }),

  "dueRetries returns where failures are due, but for disabled flows, paused imports and former exports": (honest) => ({
    async dueRetries(retryUntil, limit) {
      const { items } = await honest.listFailures({ ...all, status: "open", retryUntil });
      const due = new Map<string, DueRetry>();
      for (const { _flowId, _importId } of items) due.set(`${_flowId} ${_importId}`, { _flowId, _importId });
      return [...due.values()].slice(0, limit);
    },
  }),

  "nextRetryAt returns the first `retryAt` after the instant of all open failures": (honest) => ({
    nextRetryAt: (after) => honest.nextRetryAt(after - 1),
  }),

  "a Buffer in a record reads back as a Buffer": withFailures((failure) => ({
    ...failure,
    record: structuredClone(failure.record),
  })),
};

/** Of the places that imports have in an inbox. */
const ofInboxes: Readonly<Record<string, Spoil>> = {
  "a page of an inbox goes when every import of the flow has settled it": withPlaces((place) =>
    place.inbox === undefined ? place : { ...place, _importIds: both },
  ),

  "dropInbox for an import leaves the page out of what it reads; the page goes when no import is left": (honest) => ({
    readInbox: (_flowId, { _importId: _, ...query }) => honest.readInbox(_flowId, query),
  }),

  "dropInbox for all imports removes the pages, and leaves the others": (honest) => ({
    dropInbox: (_flowId, { _ids }) => honest.dropInbox(_flowId, { _ids, _importId: "ledger" }),
  }),

  "appendInbox that is full names the import that has the most to settle": (honest) => ({
    async appendInbox(arrival, rule) {
      const appended = await honest.appendInbox(arrival, rule);
      return appended.outcome === "full" ? { ...appended, _importId: "ledger" } : appended;
    },
  }),

  "appendInbox stores the failures of an arrival for the flows that take it in, and none if it is full": (honest) => ({
    appendInbox: ({ failures: _, ...arrival }, rule) => honest.appendInbox(arrival, rule),
  }),

  "no realtime run is queued, or asked for, while every import with unread pages is paused": (honest) => ({
    async appendInbox(arrival, rule) {
      await honest.endPauses("flow", both);
      return honest.appendInbox(arrival, rule);
    },
  }),
};

/** Ends a run, and then queues these runs, whatever became of it. */
const queueingAfterEnd = (starts: (ending: Parameters<Storage["endRun"]>[1]) => readonly RunStart[]): Spoil => {
  return (honest) => ({
    async endRun(lease, ending) {
      const ended = await honest.endRun(lease, ending);
      for (const start of starts(ending)) await honest.queueRun(start, { maxQueued: 10 });
      return ended;
    },
  });
};

/** Of how runs end, follow from each other, and wait. */
const ofEndings: Readonly<Record<string, Spoil>> = {
  "endRun keeps how each import came out of the run, beside its counts": (honest) => ({
    endRun: (lease, ending) => honest.endRun(lease, { ...ending, imports: {} }),
  }),

  "endRun commits its last page before, and again with the same token only returns what came of it": (honest) => ({
    endRun: (lease, { page: _, ...ending }) => honest.endRun(lease, ending),
  }),

  "endRun with a page that is not the one after the last commit returns undefined, and changes nothing": (honest) => ({
    endRun: (lease, { page: _, ...ending }) => honest.endRun(lease, ending),
  }),

  "endRun queues the resume run behind the others, and returns it": (honest) => ({
    endRun: (lease, { resume: _, ...ending }) => honest.endRun(lease, ending),
  }),

  "endRun queues no resume run if one waits that will read for every import, or the run is canceled": queueingAfterEnd(
    ({ resume }) => (resume === undefined ? [] : [{ ...resume, trigger: "manual" }]),
  ),

  "endRun queues chained runs, folds them into one that waits, or skips them": (honest) => ({
    endRun: (lease, { next, ...ending }) =>
      honest.endRun(lease, next === undefined ? ending : { ...ending, next: { ...next, maxQueued: Infinity } }),
  }),

  "endRun of a run that does not complete chains nothing": queueingAfterEnd(({ next }) => next?.starts ?? []),

  "endRun again returns the run and its resume run, and queues nothing more": (honest) => {
    const seen = new Set<string>();
    return {
      async endRun(lease, ending) {
        const ended = await honest.endRun(lease, ending);
        if (ended === undefined || !seen.has(lease._runId)) {
          seen.add(lease._runId);
          return ended;
        }
        const { resume: _, ...rest } = ended;
        return rest;
      },
    };
  },

  "a run released to wait, and its flow with it, is claimed at its `notBefore` and no sooner": (honest) => ({
    async waitingFlows(limit, after) {
      return (await honest.waitingFlows(limit, after)).map(({ notBefore: _, ...flow }) => flow);
    },
  }),

  "listLeases returns the leases of active runs, by ascending run id, with at most so many": (honest) => ({
    listLeases: async (limit, after) => (await honest.listLeases(limit, after)).toReversed(),
  }),

  "reclaimExpiredRuns also reclaims runs whose lease is still the one observed, whatever it says": (honest) => ({
    // Does not look whether it was renewed.
    async reclaimExpiredRuns(rule) {
      const observed = new Set(rule.unchanged?.map(({ _runId }) => _runId));
      const unchanged = (await honest.listLeases(1_000)).filter(({ _runId }) => observed.has(_runId));
      return honest.reclaimExpiredRuns({ ...rule, unchanged });
    },
  }),

  "scheduledFlows returns, ascending, enabled flows with a schedule, and what their due time is made of": (honest) => ({
    insertFlow: (flow) => honest.insertFlow(flow),
  }),

  "endWait lets the run that waits for the instant be claimed, and no other": (honest) => ({
    // Whatever instant it is.
    async endWait(_flowId) {
      const waiting = (await honest.waitingFlows(10)).find((flow) => flow._flowId === _flowId);
      return waiting?.notBefore !== undefined && honest.endWait(_flowId, waiting.notBefore);
    },
  }),

  "rescheduleFlows moves due times that are still as expected, of flows that are still enabled": (honest) => ({
    // Compares nothing and sets.
    async rescheduleFlows(changes) {
      for (const change of changes) {
        const { nextRunAt } = (await honest.findFlow(change._flowId)) ?? {};
        const expected = nextRunAt === undefined ? undefined : Date.parse(nextRunAt);
        await honest.rescheduleFlows([{ ...change, expected }]);
      }
    },
  }),

  "rescheduleFlows forgets which due times after an instant had their runs, if asked to": (honest) => ({
    // Moves due times, and forgets nothing.
    async rescheduleFlows(changes) {
      await honest.rescheduleFlows(changes.map(({ forgetAfter: _, ...change }) => change));
    },
  }),

  "replaceFlow forgets which due times after an instant had their runs, if asked to": (honest) => ({
    replaceFlow: (flow, { forgetAfter: _, ...change }) => honest.replaceFlow(flow, change),
  }),

  "queueRun of a resume run returns `waiting` if a run waits that will read for every import": (honest) => ({
    queueRun: (start, limits) =>
      honest.queueRun(start.trigger === "resume" ? { ...start, trigger: "chained" } : start, limits),
  }),

  "queueRun of an automatic retry returns `waiting` if one of the same import waits": (honest) => ({
    // Of whichever import.
    async queueRun(start, limits) {
      const { retry } = start;
      if (retry?.dueBy === undefined) return honest.queueRun(start, limits);
      return honest.queueRun({ ...start, retry: { ...retry, _importId: "ledger" } }, limits);
    },
  }),

  "a lease holds its run by its token, whether it says the run's flow, another one or none": (honest) => ({
    commitPage: async (lease, page) => (lease._flowId === "other" ? undefined : honest.commitPage(lease, page)),
  }),
  "queueDue takes several due times of one flow one after the other": (honest) => ({
    async queueDue(ticks, rule) {
      const isLater = ({ _flowId }: Tick, index: number) => ticks.findIndex((tick) => tick._flowId === _flowId) < index;
      const results = await honest.queueDue(
        ticks.filter((tick, index) => !isLater(tick, index)),
        rule,
      );
      let next = 0;
      return ticks.map((tick, index) => (isLater(tick, index) ? { outcome: "taken" } : itemAt(results, next++)));
    },
  }),
  "queueDue with bufferOne folds nothing into a scheduled run that has begun and waits": (honest) => ({
    async queueDue(ticks, rule) {
      const { items } = await honest.listRuns({ ...all, status: "queued", trigger: "schedule" });
      const [run] = items;
      if (run === undefined) return honest.queueDue(ticks, rule);
      await honest.queueDue(
        ticks.map(({ start: _, ...tick }) => tick),
        rule,
      );
      return ticks.map(() => ({ outcome: "coalesced", run }));
    },
  }),
};

/** The same, of what became of runs and flows. */
const ofChanges: Readonly<Record<string, Spoil>> = {
  "changesSince returns what became of a flow and its runs, oldest first, as they are now": listing((changes) =>
    changes.toReversed(),
  ),

  "changesSince says why a run waits again, and how it ended then": listing((changes) =>
    changes.map((one) => (one.change === "requeued" ? { change: one.change, run: one.run } : one)),
  ),

  "changesSince returns runs that are canceled, when they have really ended": listing((changes) =>
    changes.map((one) => (one.change === "canceled" ? { ...one, change: "failed" } : one)),
  ),

  "changesSince returns a flow as it was before it was changed, and as it was last": listing((changes) =>
    changes.map((one) => (one.change === "flow:updated" ? { change: one.change, flow: one.flow } : one)),
  ),

  "changesSince leaves out runs and flows that are gone, and what changed nothing": () => ({ prune: async () => 0 }),

  "changesSince returns portions from place to place, each change in one of them": ({ changes }) => ({
    changes: changedChanges(changes, {
      changesSince: (place, query) => changes.changesSince(place, { ...query, limit: query.limit + 1 }),
    }),
  }),

  "changesSince overlooks nothing that many do at once, and keeps the order of each run": ({ changes }) => {
    let calls = 0;
    return {
      changes: changedChanges(changes, {
        async changesSince(place, query) {
          const list = await changes.changesSince(place, query);
          return calls++ % 3 === 0 ? { ...list, next: place } : list;
        },
      }),
    };
  },

  "a reader that comes back later finds everything, or is notified of a gap": ({ changes }) => ({
    changes: changedChanges(changes, {
      changesSince: async (...call) => ({ ...(await changes.changesSince(...call)), gap: false }),
    }),
  }),

  "what happened before followChanges is not found after it, and what follows is": ({ changes }) => ({
    changes: changedChanges(changes, {
      async followChanges(reader) {
        await changes.followChanges(reader);
        return "1";
      },
    }),
  }),

  "changesSince refuses a place that never was one": ({ changes }) => ({
    changes: changedChanges(changes, {
      changesSince: (place, query) => changes.changesSince(place === "nowhere" ? "0" : place, query),
    }),
  }),
};

function listing(change: (changes: readonly Change[]) => readonly Change[]): Spoil {
  return ({ changes }) => ({
    changes: changedChanges(changes, {
      async changesSince(...call) {
        const list = await changes.changesSince(...call);
        return { ...list, changes: change(list.changes) };
      },
    }),
  });
}

/** The same changes with other methods. */
function changedChanges(changes: ChangeStorage, change: Partial<ChangeStorage>): ChangeStorage {
  return {
    pollMs: changes.pollMs,
    followChanges: (reader) => changes.followChanges(reader),
    unfollowChanges: (_id) => changes.unfollowChanges(_id),
    changesSince: (...call) => changes.changesSince(...call),
    forgetChanges: (at) => changes.forgetChanges(at),
    ...change,
  };
}

/** The same, of what processes share. */
const ofProcesses: Readonly<Record<string, Spoil>> = {
  "claimDuty gives a duty to one holder at a time, and its holder may keep it": (honest) => ({
    // Its holder has to wait as well.
    claimDuty: (claim) => honest.claimDuty({ ...claim, holder: `${claim.holder} ${claim.at}` }),
  }),

  "claimDuty of one duty leaves another one to whoever claims it": (honest) => ({
    claimDuty: (claim) => honest.claimDuty({ ...claim, name: "duty" }),
  }),

  "claimDuty takes a duty away that is held for more than twice as long as anybody claims it for": (honest) => {
    const held = new Map<string, number>();
    return {
      async claimDuty(claim) {
        if ((held.get(claim.name) ?? 0) > claim.at) return false;
        held.set(claim.name, claim.until);
        return honest.claimDuty(claim);
      },
    };
  },

  "listProcesses returns, ascending, what processes said last, of those that said it since an instant": (honest) => ({
    listProcesses: (since) => honest.listProcesses(since + 1),
  }),

  "keepProcess forgets processes that said nothing since an instant, and removeProcess the one it names": (honest) => ({
    keepProcess: (process) => honest.keepProcess(process, 0),
  }),

  "claimWakes returns wake-ups oldest first, at most so many, each once": ({ wakes }) => ({
    wakes: changedWakes(wakes, { claimWakes: async (...call) => (await wakes.claimWakes(...call)).toReversed() }),
  }),

  "addWakes leaves a flow that waits already where it is, and takes the export that it names last": ({ wakes }) => ({
    wakes: changedWakes(wakes, {
      addWakes: (given) => wakes.addWakes(given.filter(({ _flowId }) => !wakes.flowIds.includes(_flowId))),
    }),
  }),

  "claimWakes leaves wake-ups of other exports where they are": ({ wakes }) => ({
    wakes: changedWakes(wakes, { claimWakes: (limit) => wakes.claimWakes(limit, ["orders", "parcels"]) }),
  }),

  "a flow that was claimed can be woken again": ({ wakes }) => {
    const known = new Set<string>();
    return {
      wakes: changedWakes(wakes, {
        async addWakes(given) {
          await wakes.addWakes(given.filter(({ _flowId }) => !known.has(_flowId)));
          for (const { _flowId } of given) known.add(_flowId);
        },
      }),
    };
  },

  "many that add the same wake-ups and claim them at once get each of them once": ({ wakes }) => {
    // The ones that were claimed last are claimed once more.
    let last: readonly Wake[] = [];
    const claimWakes: typeof wakes.claimWakes = async (...call) => {
      const found = await wakes.claimWakes(...call);
      const again = last;
      last = found;
      return [...found, ...again];
    };
    return { wakes: changedWakes(wakes, { claimWakes }) };
  },

  "releaseDuty gives a duty up, of its holder alone": (honest) => ({
    async releaseDuty({ name }) {
      for (const holder of ["a", "b"]) await honest.releaseDuty({ name, holder });
    },
  }),
};

/** Title of a case that has to fail → what a storage does that breaks this promise. */
export const importSaboteurs: Readonly<Record<string, Spoil>> = {
  ...ofPlaces,
  ...ofKeys,
  ...ofInboxes,
  ...ofEndings,
  ...ofProcesses,
  ...ofChanges,
};
