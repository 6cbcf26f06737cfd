import { expect } from "vitest";
import { MemoryStorage } from "../../src/index.ts";
import { causeOf } from "../../src/model/cause.ts";
import type { Failure } from "../../src/model/failure.ts";
import { flowStates } from "../../src/model/flow/activity.ts";
import type { Pause } from "../../src/model/delivery.ts";
import type { Flow } from "../../src/model/flow/flow.ts";
import { type RunStart, runStatuses, triggers } from "../../src/model/run.ts";
import type {
  CauseCount,
  DueTimeChange,
  FailureQuery,
  ListResult,
  Paging,
  Places,
  RunEnding,
  Storage,
  Tick,
} from "../../src/storage/storage.ts";
import { at, failureOf, flowOf, iso } from "../../src/testing/storage/harness.ts";
import { Chance } from "../support/chance.ts";

// The same calls, by chance but always the same ones, on MemoryStorage and on another one: every answer must be the
// same, and so must all that can be read afterwards. Pools of ids are small, so that calls meet. More by hand:
// MODEL_SEEDS=500 npx vitest run test/storage/storage-model.test.ts

/** How many sequences of calls a test makes. */
export const modelSeeds = Number(process.env.MODEL_SEEDS ?? 16);
const stepsEach = Number(process.env.MODEL_STEPS ?? 160);

const flowIds = ["a", "b", "ß"] as const;
const exportIds = ["orders", "refunds"] as const;
const importIds = ["ledger", "shop", "mail"] as const;
const integrationIds = ["acme", "zeta", undefined] as const;
const eventIds = ["e1", "e2", "e3", "e4", "\ud800"] as const;
const failureIds = ["f1", "f2", "f3", "f4"] as const;
const tokens = ["t1", "t2", "t3", "t4"] as const;
const records = [1, { order: 1 }, { on: new Date(0) }, "text", null, new Map([["k", 1n]]), { n: -0 }] as const;
const messages = [{}, { message: "customer 17 has no name" }, { message: "no", code: "E1", fault: "reject" }] as const;
const bools = [true, false] as const;
const error = { code: "lease_lost", message: "it died" };

/** Lists of failures, which find the same ones. */
const listsOfFailures = [
  ["listFailures", (storage: Storage, query: FailureQuery) => storage.listFailures(query)],
  ["listFailureIds", (storage: Storage, query: FailureQuery) => storage.listFailureIds(query)],
] as const;

/** What is called on both storages; `side` tells them apart, since each has cursors of its own. */
type Call = (storage: Storage, side: 0 | 1) => Promise<unknown>;

/** Each storage has cursors of its own. */
function withoutCursors(places: Places): unknown {
  return Object.fromEntries(
    Object.entries(places).map(([_importId, { inbox, ...place }]) => [
      _importId,
      { ...place, reads: inbox !== undefined },
    ]),
  );
}

class Model {
  readonly trace: string[] = [];
  readonly #sides: readonly [Storage, Storage];
  readonly #chance: Chance;
  readonly #runIds: string[] = [];
  /** Commits of each run so far. */
  readonly #commits = new Map<string, number>();
  /** Of all arrivals: what was forgotten once stays forgotten. */
  readonly #dedupeSeconds: number;
  #now = 10;
  #made = 0;

  constructor(sides: readonly [Storage, Storage], chance: Chance) {
    this.#sides = sides;
    this.#chance = chance;
    this.#dedupeSeconds = chance.oneOf([0, 4, 1_000]);
  }

  /** One call by chance. */
  async step(): Promise<void> {
    if (this.#chance.happens(0.4)) this.#now += this.#chance.between(1, 3);
    const name = this.#chance.weighted({
      insertFlow: 5,
      purgeFlows: 2,
      replaceFlow: 3,
      deleteFlow: 3,
      queueRun: 8,
      queueDue: 8,
      rescheduleFlows: 2,
      cancelRun: 3,
      prune: 2,
      claimRun: 12,
      renewLeases: 3,
      commitPage: 16,
      endRun: 7,
      releaseRun: 3,
      reclaimExpiredRuns: 3,
      setCheckpoint: 2,
      resolveFailures: 3,
      appendInbox: 8,
    });
    const { title, call } = await this[name]();
    await this.#both(title, call);
    if (this.#chance.happens(0.15)) await this.#both(`again ${title}`, call);
  }

  /** All that can be read, by every way of reading it. */
  async compareAll(): Promise<void> {
    const flows = await this.#listed("listFlows", {}, (s, query) => s.listFlows(query));
    const runs = await this.#listed("listRuns", {}, (s, query) => s.listRuns(query));
    const failures = await this.#listed("listFailures", {}, (s, query) => s.listFailures(query));
    for (const [name, choices] of [
      ["_flowId", flowIds],
      ["_exportId", exportIds],
      ["_importId", importIds],
      ["_integrationId", integrationIds],
      ["_connectorId", integrationIds],
      ["status", runStatuses],
      ["trigger", triggers],
    ] as const)
      for (const value of choices) await this.#listed("listRuns", { [name]: value }, (s, query) => s.listRuns(query));
    for (const _flowId of flowIds)
      await this.#listed("listRuns", { _flowId, status: "completed" as const }, (s, query) => s.listRuns(query));
    for (const _importId of importIds)
      for (const filter of [{ status: "queued" as const }, { status: "completed" as const }, { _flowId: "a" }])
        await this.#listed("listRuns", { _importId, ...filter }, (s, query) => s.listRuns(query));
    for (const [name, choices] of [
      ["_flowId", flowIds],
      ["_importId", importIds],
      ["_runId", this.#runIds.slice(-12)],
      ["_integrationId", integrationIds],
      ["status", ["open", "resolved"]],
      ["_ids", [["a/f1", "b/f2", "a/f3"], failureIds.map((_id) => `b/${_id}`).reverse(), []]],
    ] as const)
      for (const value of choices)
        await this.#listed("listFailures", { [name]: value }, (s, query) => s.listFailures(query));
    await this.#compareCauses(failures);
    for (const filter of [
      { cause: causeOf(failureOf("", messages[0])).cause },
      { keyPrefix: "l" },
      { keyPrefix: "s", _flowId: "a", status: "open" as const },
      { text: "LEDGER" },
      { text: "order", _flowId: "a" },
      { through: "a/f3" },
      { newestFirst: true },
      { newestFirst: true, _flowId: "b", status: "open" as const },
      { newestFirst: true, through: "b/f2" },
    ])
      for (const [name, list] of listsOfFailures)
        await this.#listed<unknown, object>(name, filter, (s, query) => list(s, query));
    for (const filter of [
      ...exportIds.map((_exportId) => ({ _exportId })),
      ...importIds.map((_importId) => ({ _importId })),
      ...bools.map((disabled) => ({ disabled, _integrationId: "acme" })),
    ])
      await this.#listed("listFlows", filter, (s, query) => s.listFlows(query));
    for (const state of flowStates)
      for (const filter of [{}, { q: "LOW B" }, { _integrationId: "acme" }])
        await this.#listed("listFlows", { ...filter, state, now: at(this.#now) }, (s, query) => s.listFlows(query));
    await this.#listed("listFlows", { q: "low" }, (s, query) => s.listFlows(query));
    for (const filter of [{}, { _integrationId: "acme" }])
      await this.#both(`flowActivities ${shown(filter)}`, (s) =>
        s.flowActivities({ ...filter, _flowIds: flowIds, now: at(this.#now) }),
      );
    for (const filter of [{}, { _integrationId: "acme" }])
      for (const seconds of [0, this.#now, 9_999])
        await this.#both(`overview ${seconds} ${shown(filter)}`, (s) => s.overview({ ...filter, now: at(seconds) }));
    await this.#both("dueFlows", async (s) => (await s.dueFlows(at(this.#now), 100)).slice().sort(byDueTime));
    await this.#both("nextDueAt", (s) => s.nextDueAt());
    await this.#both("waitingFlows", (s) => s.waitingFlows(10));
    await this.#both("resumableFlows", (s) => s.resumableFlows(at(this.#now), 10));
    await this.#both("nextResumeAt", (s) => s.nextResumeAt(at(this.#now)));
    await this.#both("dueRetries", async (s) => (await s.dueRetries(at(this.#now), 100)).map(shown).sort());
    await this.#both("nextRetryAt", (s) => s.nextRetryAt(at(this.#now)));
    await this.#both("listLeases", (s) => s.listLeases(10));
    await this.#both("scheduledFlows", (s) => s.scheduledFlows(10));
    await this.#both("waitingFlows after", (s) => s.waitingFlows(1, "a"));
    await this.#both("unreadInboxes", (s) => s.unreadInboxes(10));
    await this.#both("unreadInboxes after", (s) => s.unreadInboxes(1, "a"));
    for (const _flowId of flowIds) {
      await this.#both(`findPlaces ${_flowId}`, async (s) => withoutCursors(await s.findPlaces(_flowId)));
      await this.#both(`countOpenFailures ${_flowId}`, (s) => s.countOpenFailures(_flowId, 3));
      for (const _importId of importIds)
        for (const _exportId of exportIds)
          await this.#listed("openKeys", { _flowId, _importId, _exportId }, (s, query) => s.openKeys(query));
      for (const maxRecords of [1, 3, 1_000])
        await this.#both(`readInbox ${_flowId} ${maxRecords}`, async (s) =>
          (await s.readInbox(_flowId, { maxRecords })).map(({ records, keys }) => ({ records, keys })),
        );
    }
    for (const flow of flows) await this.#both(`findFlow ${flow._id}`, (s) => s.findFlow(flow._id));
    for (const run of runs) await this.#both(`findRun ${run._id}`, (s) => s.findRun(run._id));
    for (const { _id } of failures) await this.#both(`findFailure ${_id}`, (s) => s.findFailure(_id));
  }

  async insertFlow(): Promise<Step> {
    const flow = this.#flow(this.#chance.oneOf(flowIds));
    const hidden = this.#chance.happens(0.7) ? { followingDueAt: at(this.#now + this.#chance.between(1, 9)) } : {};
    // How many portions it takes is not promised, but what there is in the end is.
    const call: Call = async (s) => {
      while (await s.purgeFlows({ limit: 2, _flowId: flow._id }));
      return s.insertFlow(flow, hidden);
    };
    return { title: `insertFlow ${shown(flow)} ${shown(hidden)}`, call };
  }

  async purgeFlows(): Promise<Step> {
    const rule = {
      limit: this.#chance.between(1, 4),
      ...(this.#chance.happens(0.5) ? { _flowId: this.#chance.oneOf(flowIds) } : {}),
    };
    const call: Call = async (s) => {
      await s.purgeFlows(rule);
    };
    return { title: `purgeFlows ${shown(rule)}`, call };
  }

  async replaceFlow(): Promise<Step> {
    const stored = await this.#anyFlow();
    const expected = this.#chance.happens(0.9) ? stored.lastModified : "never";
    const flow = { ...this.#flow(stored._id), lastModified: iso(this.#now) };
    const change = {
      expected,
      reschedule: this.#chance.oneOf(bools),
      at: at(this.#now),
      followingDueAt: at(this.#now + 5),
    };
    return { title: `replaceFlow ${shown(flow)} ${shown(change)}`, call: (s) => s.replaceFlow(flow, change) };
  }

  async deleteFlow(): Promise<Step> {
    const { _id, lastModified } = await this.#anyFlow();
    const change = {
      at: at(this.#now),
      ...this.#chance.oneOf<{ readonly expected?: string }>([{}, { expected: lastModified }, { expected: "never" }]),
      ...this.#chance.oneOf<{ readonly limit?: number }>([{}, { limit: 0 }, { limit: 2 }]),
    };
    return { title: `deleteFlow ${_id} ${shown(change)}`, call: (s) => s.deleteFlow(_id, change) };
  }

  async queueRun(): Promise<Step> {
    const limit = this.#chance.happens(0.2) ? { limit: 3 } : {};
    const retry = this.#chance.happens(0.2) ? { _importId: "ledger", _ids: ["f1", "f2"] } : undefined;
    const trigger = retry === undefined ? this.#chance.oneOf(["manual", "realtime"] as const) : ("retry" as const);
    const start: RunStart = {
      _id: this.#chance.happens(0.9) ? this.#newRun() : this.#knownRun(),
      _flowId: this.#chance.oneOf(flowIds),
      queuedAt: iso(this.#now),
      trigger,
      ...limit,
      ...(retry === undefined ? {} : { retry }),
    };
    const maxQueued = this.#chance.oneOf([1, 3, Infinity]);
    return { title: `queueRun ${shown(start)} ${maxQueued}`, call: (s) => s.queueRun(start, { maxQueued }) };
  }

  async queueDue(): Promise<Step> {
    const flows = await this.#sides[0].listFlows({ limit: 100 });
    const ticks = flows.items
      .filter(() => this.#chance.happens(0.7))
      .map(({ _id, nextRunAt }): Tick => {
        const dueAt = nextRunAt === undefined || this.#chance.happens(0.1) ? at(this.#now) : Date.parse(nextRunAt);
        const trigger = this.#chance.oneOf(["schedule", "catch-up"] as const);
        // Due times come again now and then, as they do when the clock was set back.
        const nextDueAt = this.#chance.oneOf([undefined, dueAt - 1_000, dueAt + 1_000, dueAt + 2_000, dueAt + 1_000]);
        const followingDueAt = this.#chance.oneOf([undefined, at(this.#now + 3), at(this.#now + 9)]);
        const tick = { _flowId: _id, dueAt, nextDueAt, followingDueAt };
        const start = {
          ...{ _id: this.#newRun(), _flowId: _id, trigger },
          ...{ queuedAt: iso(this.#now), dueAt: new Date(dueAt).toISOString() },
        };
        return this.#chance.happens(0.85) ? { ...tick, start } : tick;
      });
    const overlap = this.#chance.oneOf(["bufferOne", "bufferOne", "bufferAll", "skip"] as const);
    const rule = { overlap, maxQueued: this.#chance.oneOf([2, 1_000]) };
    return { title: `queueDue ${shown(ticks)} ${shown(rule)}`, call: (s) => s.queueDue(ticks, rule) };
  }

  async rescheduleFlows(): Promise<Step> {
    const flows = await this.#sides[0].listFlows({ limit: 100 });
    const changes = flows.items
      .filter(() => this.#chance.happens(0.5))
      .map(({ _id, nextRunAt }): DueTimeChange => {
        const stored = nextRunAt === undefined ? undefined : Date.parse(nextRunAt);
        const expected = this.#chance.happens(0.8) ? stored : at(this.#now);
        const dueAt = this.#chance.oneOf([undefined, at(this.#now), at(this.#now + 2)]);
        const forgetting = this.#chance.happens(0.5) ? { forgetAfter: at(this.#now - 4) } : {};
        return { _flowId: _id, expected, dueAt, basis: "another", ...forgetting };
      });
    return { title: `rescheduleFlows ${shown(changes)}`, call: (s) => s.rescheduleFlows(changes) };
  }

  async cancelRun(): Promise<Step> {
    const _id = this.#knownRun();
    const now = at(this.#now);
    const discard = this.#chance.happens(0.3);
    return { title: `cancelRun ${_id} ${discard}`, call: (s) => s.cancelRun(_id, { at: now, discard }) };
  }

  async prune(): Promise<Step> {
    const endedBefore = at(this.#now - this.#chance.between(0, 40));
    const rule = { endedBefore, runsPerFlow: this.#chance.oneOf([2, 4, 1_000]), limit: this.#chance.oneOf([2, 1_000]) };
    // Which ones go first is not promised, but which ones go in the end is.
    const call: Call = async (s) => {
      let removed = 0;
      for (let size = -1; size !== 0; removed += size) size = await s.prune(rule);
      return removed;
    };
    return { title: `prune ${shown(rule)}`, call };
  }

  async claimRun(): Promise<Step> {
    const _flowId = this.#chance.oneOf(flowIds);
    const token = this.#chance.happens(0.9) ? `token ${this.#newId()}` : this.#chance.oneOf(tokens);
    const lease = { token, at: at(this.#now), until: at(this.#now + this.#chance.between(1, 20)) };
    if (this.#tokens.length > 6) this.#tokens.shift();
    this.#tokens.push(token);
    const call: Call = async (s) => {
      const taken = await s.claimRun(_flowId, lease);
      if (taken === undefined || !("run" in taken)) return taken;
      this.#leases.set(taken.run._id, token);
      return { ...taken, places: withoutCursors(taken.places) };
    };
    return { title: `claimRun ${_flowId} ${shown(lease)}`, call };
  }

  async renewLeases(): Promise<Step> {
    const leases = [await this.#runLease(), await this.#runLease()];
    const until = at(this.#now + 10);
    return { title: `renewLeases ${shown(leases)}`, call: (s) => s.renewLeases(leases, until) };
  }

  async commitPage(): Promise<Step> {
    const runLease = await this.#runLease();
    const run = await this.#sides[0].findRun(runLease._runId);
    const processed = this.#commits.get(runLease._runId) ?? 0;
    const ordinal = this.#chance.happens(0.85) ? processed + 1 : this.#chance.between(0, processed + 2);
    const value = { page: ordinal, by: runLease._runId };
    const { _flowId = "a", _integrationId } = run ?? {};
    const failures = this.#chance
      .someOf(failureIds, 0, 3)
      .map((_id) => this.#failure(_id, _flowId, runLease._runId))
      .filter(({ key }, index, all) => all.findIndex((one) => one.key === key) === index);
    const _importIds = this.#chance.someOf(importIds, 1, 2);
    const position = this.#chance.oneOf([
      undefined,
      null,
      { _runId: runLease._runId, pages: ordinal, at: at(this.#now), checkpoint: { value, version: 1 } },
    ]);
    const change = {
      _importIds,
      ...(this.#chance.happens(0.5) ? { checkpoint: { value, version: 2 } } : {}),
      ...(position === undefined ? {} : { position }),
      ...this.#chance.oneOf<object>([{}, {}, { behind: true }, { behind: false }]),
      ...this.#chance.oneOf<object>([{}, {}, { pause: null }, { pause: this.#pause() }]),
    };
    const page = {
      ordinal,
      at: at(this.#now),
      processed: this.#chance.between(0, 1),
      superseded: this.#chance.someOf(failureIds, 0, 1).map((_id) => `${_flowId}/${_id}`),
      generated: ordinal + 1,
      counts: { [this.#chance.oneOf(importIds)]: { numSuccess: 3, numError: failures.length, numIgnore: 1 } },
      failures: failures.map((failure) => (_integrationId === undefined ? failure : { ...failure, _integrationId })),
      delivered: this.#chance.someOf(failureIds, 0, 1).map((_id) => `${_flowId}/${_id}`),
      ...(this.#chance.happens(0.5) ? { position: { pages: ordinal, checkpoint: { value, version: 1 } } } : {}),
    };
    const through = this.#chance.happens(0.4) ? await this.#cursors(_flowId) : undefined;
    const call: Call = async (s, side) => {
      const inbox = through?.[side];
      const places = [inbox === undefined ? change : { ...change, inbox }];
      const committed = await s.commitPage(runLease, { ...page, places });
      if (committed !== undefined && ordinal === processed + 1) this.#commits.set(runLease._runId, ordinal);
      // What a page committed before had stored is not said again.
      return committed?.run;
    };
    return { title: `commitPage ${shown(runLease)} ${shown(page)} ${shown(through)}`, call };
  }

  #lastPage(_runId: string): NonNullable<RunEnding["page"]> {
    const ordinal = (this.#commits.get(_runId) ?? 0) + this.#chance.oneOf([0, 1, 1, 1, 2]);
    const counts = { [this.#chance.oneOf(importIds)]: { numSuccess: 0, numError: 0, numIgnore: 1 } };
    return { ordinal, generated: ordinal, processed: 1, counts };
  }

  async endRun(): Promise<Step> {
    const runLease = await this.#runLease();
    const status = this.#chance.oneOf(["completed", "failed", "canceled"] as const);
    const checkpoint = { value: runLease._runId, version: 1 };
    const [first] = importIds;
    const ending: RunEnding = {
      ...{ status, at: at(this.#now) },
      ...(status === "failed" ? { error } : {}),
      imports: { [first]: { status: status === "completed" ? "completed" : "failed" } },
      places: this.#chance.happens(0.5) ? [{ _importIds: [...importIds], checkpoint, position: null }] : [],
      ...(this.#chance.happens(0.3) ? { page: this.#lastPage(runLease._runId) } : {}),
      ...(this.#chance.happens(0.3)
        ? {
            resume: {
              _id: this.#newRun(),
              _flowId: this.#chance.oneOf(flowIds),
              trigger: "resume" as const,
              queuedAt: iso(this.#now),
            },
          }
        : {}),
      ...(this.#chance.happens(0.3)
        ? {
            next: {
              starts: [
                {
                  _id: this.#newRun(),
                  _flowId: this.#chance.oneOf(flowIds),
                  trigger: "chained" as const,
                  queuedAt: iso(this.#now),
                },
              ],
              maxQueued: 3,
            },
          }
        : {}),
    };
    return { title: `endRun ${shown(runLease)} ${shown(ending)}`, call: (s) => s.endRun(runLease, ending) };
  }

  async releaseRun(): Promise<Step> {
    const runLease = await this.#runLease();
    const wait = this.#chance.happens(0.3) ? { notBefore: at(this.#now + this.#chance.between(0, 9)), waits: 1 } : {};
    return { title: `releaseRun ${shown(runLease)} ${shown(wait)}`, call: (s) => s.releaseRun(runLease, wait) };
  }

  async reclaimExpiredRuns(): Promise<Step> {
    const rule = { now: at(this.#now), maxCrashes: this.#chance.between(0, 2), error, limit: 100 };
    return {
      title: `reclaimExpiredRuns ${shown(rule)}`,
      call: async (s) => (await s.reclaimExpiredRuns(rule)).slice().sort(byId),
    };
  }

  async setCheckpoint(): Promise<Step> {
    const _flowId = this.#chance.oneOf(flowIds);
    const checkpoint = this.#chance.happens(0.7) ? { value: [this.#now, null], version: 3 } : undefined;
    const change = { _importIds: this.#chance.someOf(importIds, 1, 2), at: at(this.#now) };
    const call: Call = (s) => s.setCheckpoint(_flowId, checkpoint, change);
    return { title: `setCheckpoint ${_flowId} ${shown(checkpoint)}`, call };
  }

  async resolveFailures(): Promise<Step> {
    const _flowId = this.#chance.oneOf(flowIds);
    const _ids = this.#chance
      .someOf([...failureIds, "f1", "none"], 0, 4)
      .map((_id) => `${_flowId}/${_id}`)
      .reverse();
    const now = at(this.#now);
    return { title: `resolveFailures ${shown(_ids)}`, call: (s) => s.resolveFailures(_ids, now) };
  }

  async appendInbox(): Promise<Step> {
    const size = this.#chance.between(0, 3);
    const ids = Array.from({ length: size }, () => this.#chance.oneOf(eventIds));
    const starts = this.#chance.someOf(flowIds, 1, 3).map((_flowId) => ({
      ...{ _id: this.#newRun(), _flowId, trigger: "realtime" as const, queuedAt: iso(this.#now) },
    }));
    const arrival = {
      _id: `arrival ${this.#chance.happens(0.8) ? this.#newId() : this.#chance.between(1, 3)}`,
      _exportId: this.#chance.oneOf(exportIds),
      records: Array.from({ length: size }, () => this.#chance.anyOf(records)),
      ...(this.#chance.happens(0.6) ? { ids } : {}),
      at: at(this.#now),
      starts,
    };
    const rule = {
      maxInboxPages: this.#chance.oneOf([2, 4, 1_000]),
      dedupeAfter: at(this.#now - this.#dedupeSeconds),
    };
    return { title: `appendInbox ${shown(arrival)} ${shown(rule)}`, call: (s) => s.appendInbox(arrival, rule) };
  }

  readonly #tokens: string[] = [];
  /** Who took which run last. */
  readonly #leases = new Map<string, string>();

  async #runLease(): Promise<{ readonly _runId: string; readonly token: string }> {
    const active = [
      ...(await this.#sides[0].listRuns({ status: "running", limit: 10 })).items,
      ...(await this.#sides[0].listRuns({ status: "canceling", limit: 10 })).items,
    ];
    const _runId = (this.#chance.happens(0.8) ? this.#chance.anyOf(active)?._id : undefined) ?? this.#knownRun();
    const token = this.#chance.happens(0.95) ? this.#leases.get(_runId) : this.#chance.anyOf(this.#tokens);
    return { _runId, token: token ?? "nobody's" };
  }

  // A page of the inbox, by the cursor that each storage has for it.
  async #cursors(_flowId: string): Promise<readonly [string, string] | undefined> {
    const [one, other] = await Promise.all(this.#sides.map((s) => s.readInbox(_flowId, { maxRecords: 1_000 })));
    const index = this.#chance.between(0, Math.max(0, (one?.length ?? 0) - 1));
    const here = one?.[index]?.cursor;
    const there = other?.[index]?.cursor;
    return here === undefined || there === undefined ? undefined : [here, there];
  }

  async #anyFlow(): Promise<Flow> {
    const { items } = await this.#sides[0].listFlows({ limit: 10 });
    return this.#chance.anyOf(items) ?? flowOf("none");
  }

  #flow(_id: string): Flow {
    const { nextRunAt, ...flow } = flowOf(_id, { lastModified: iso(this.#now), createdAt: iso(this.#now) });
    const _importIds = this.#chance.someOf(importIds, 1, 3);
    const _integrationId = this.#chance.oneOf(integrationIds);
    const _connectorId = this.#chance.oneOf(integrationIds);
    return {
      ...flow,
      _exportId: this.#chance.oneOf(exportIds),
      _importId: _importIds[0] ?? "ledger",
      ...(_importIds.length > 1 ? { _importIds } : {}),
      ...(_integrationId === undefined ? {} : { _integrationId }),
      ...(_connectorId === undefined ? {} : { _connectorId }),
      disabled: this.#chance.happens(0.15),
      ...(this.#chance.happens(0.8) ? { nextRunAt: iso(this.#chance.between(0, 6)) } : {}),
    };
  }

  /** Counts are the same on both sides, and what a grouping of the list says. */
  async #compareCauses(failures: readonly Failure[]): Promise<void> {
    const ofEach = [{}, { _flowId: "a" }, { _integrationId: "acme" }, { _importId: "shop" }, { disabled: true }];
    for (const filter of ofEach) {
      const lists = [];
      for (const side of this.#sides) {
        const { items } = await side.listCauses({ ...filter, limit: 100 });
        for (const { cause, sample } of items) {
          const found = await side.findFailure(sample);
          expect([found?.status, found && causeOf(found).cause]).toEqual(["open", cause]);
        }
        const order = (one: CauseCount, other: CauseCount) => (shown(keyOf(one)) < shown(keyOf(other)) ? -1 : 1);
        lists.push([...items].sort(order).map(({ sample: _, ...count }) => count));
      }
      expect(lists[1]).toEqual(lists[0]);
    }
    const grouped = new Map<string, number>();
    for (const failure of failures)
      if (failure.status === "open") {
        const { cause } = causeOf(failure);
        grouped.set(cause, (grouped.get(cause) ?? 0) + 1);
      }
    const { items } = await this.#sides[1].listCauses({ limit: 100 });
    expect(new Map(items.map(({ cause, open }) => [cause, open]))).toEqual(grouped);
    for (const filter of [
      {},
      { cause: items[0]?.cause ?? "none" },
      { _integrationId: "acme" },
      { through: "b/f1" },
      { key: "ledger" },
      { _runId: this.#runIds.at(-1) ?? "none" },
      ...exportIds.map((_exportId) => ({ _exportId })),
    ])
      await this.#both(`flowsOfFailures ${shown(filter)}`, (s) => s.flowsOfFailures({ ...filter, limit: 10 }));
  }

  #failure(_id: string, _flowId: string, _runId: string): Failure {
    // A failure is one record's, and stays with its flow and import.
    const _importId = importIds[failureIds.indexOf(_id as (typeof failureIds)[number]) % importIds.length] ?? "ledger";
    return failureOf(`${_flowId}/${_id}`, {
      ...{ _flowId, _runId, _importId, record: this.#chance.anyOf(records) },
      // Two of them are about the same record.
      key: _importId,
      ...this.#chance.oneOf<object>([{}, { version: 1 }, { version: 2 }, { version: "b" }]),
      ...this.#chance.oneOf<object>([{}, { retryAt: iso(this.#now + 3) }]),
      ...this.#chance.oneOf<object>(messages),
      ...this.#chance.oneOf<object>([{}, {}, { _integrationId: "acme" }]),
      attempts: this.#now,
    });
  }

  #pause(): Pause {
    const reason = { code: "import_unavailable", message: "503" };
    const pause = { since: iso(this.#now), reason, attempts: 1 };
    if (this.#chance.happens(0.2)) return { ...pause, until: "person" };
    return { ...pause, until: "time", resumeAt: iso(this.#now + this.#chance.between(0, 9)) };
  }

  #newId(): string {
    return `${++this.#made}`;
  }

  #newRun(): string {
    const _id = `run ${this.#newId()}`;
    this.#runIds.push(_id);
    return _id;
  }

  #knownRun(): string {
    return this.#chance.anyOf(this.#runIds.slice(-12)) ?? "none";
  }

  async #both(title: string, call: Call): Promise<unknown> {
    this.trace.push(title);
    const [one, other] = await Promise.all(this.#sides.map((storage, side) => call(storage, side as 0 | 1)));
    expect(other, title).toEqual(one);
    return one;
  }

  // Page by page; each storage with its own `next`.
  async #listed<T, Query extends object>(
    title: string,
    query: Query,
    list: (storage: Storage, query: Query & Paging) => Promise<ListResult<T>>,
  ): Promise<readonly T[]> {
    const limit = this.#chance.oneOf([1, 3, 1_000]);
    const pages = await this.#both(`${title} ${shown(query)} ${limit}`, async (storage) => {
      const all: T[][] = [];
      let after: string | undefined;
      do {
        const { items, next } = await list(storage, { ...query, limit, ...(after === undefined ? {} : { after }) });
        all.push([...items]);
        after = next;
      } while (after !== undefined);
      return all;
    });
    return (pages as T[][]).flat();
  }
}

interface Step {
  readonly title: string;
  readonly call: Call;
}

function keyOf({ cause, _importId }: CauseCount): unknown {
  return [cause, _importId];
}

function shown(value: unknown): string {
  return JSON.stringify([value], (_, part: unknown) => (typeof part === "bigint" ? `${part}n` : part)).slice(1, -1);
}

function byId(one: { readonly _id: string }, other: { readonly _id: string }): number {
  return one._id < other._id ? -1 : 1;
}

function byDueTime(one: Flow, other: Flow): number {
  return (one.nextRunAt ?? "").localeCompare(other.nextRunAt ?? "") || byId(one, other);
}

/** Makes the calls of one seed on `storage`, which has to be empty, and on a MemoryStorage. */
export async function compareWithMemory(storage: Storage, seed: number): Promise<void> {
  await goOnAlike(new MemoryStorage(), storage, { seed, steps: stepsEach });
}

/** Compares all that can be read of two storages, after so many calls by chance on both. */
export async function goOnAlike(
  one: Storage,
  other: Storage,
  { seed, steps }: { readonly seed: number; readonly steps: number },
): Promise<void> {
  const model = new Model([one, other], new Chance(seed));
  try {
    if (steps === 0) await model.compareAll();
    for (let step = 1; step <= steps; step++) {
      await model.step();
      if (step % 20 === 0) await model.compareAll();
    }
  } catch (error) {
    console.log(
      model.trace
        .filter((line) => !/^(list|find|read)/.test(line))
        .slice(-25)
        .join("\n"),
    );
    throw error;
  }
}
