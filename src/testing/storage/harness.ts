import assert from "node:assert/strict";
import type { Pause } from "../../model/delivery.ts";
import type { Failure } from "../../model/failure.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Run, RunStart } from "../../model/run.ts";
import type {
  AppendInboxResult,
  Arrival,
  RunLease,
  InboxRule,
  OverlapRule,
  PageCommit,
  Storage,
  StorageCapabilities,
  ClaimRunResult,
  ClaimedRun,
  PlaceChange,
  RunEnding,
  StoredCheckpoint,
  Tick,
} from "../../storage/storage.ts";

/** What one case of {@link storageCases} runs on. */
export interface StorageHarness {
  /** New and empty. */
  readonly storage: Storage;
  /** The same data as another process would see it; `storage` itself if the storage is not shared. */
  readonly other: Storage;
  /** Closes the storage, and opens the same data again. */
  readonly reopen: () => Promise<Storage>;
}

/** One case of {@link storageCases}. */
export interface StorageCase {
  readonly title: string;
  readonly run: (harness: StorageHarness) => Promise<void>;
  /** The ability it takes; absent: every storage keeps this promise. */
  readonly needs?: keyof StorageCapabilities | "wakes" | "changes";
}

/** A case that one open storage is enough for. */
export function on(title: string, run: (storage: Storage) => Promise<void>): StorageCase {
  return { title, run: ({ storage }) => run(storage) };
}

/** Epoch milliseconds of an instant, `seconds` after the cases begin. */
export function at(seconds: number): number {
  return Date.UTC(2030, 0, 1) + seconds * 1_000;
}

/** The same as it stands on documents. */
export function iso(seconds: number): string {
  return new Date(at(seconds)).toISOString();
}

/** An enabled flow without a schedule. */
export function flowOf(_id: string, changes: Partial<Flow> = {}): Flow {
  return {
    _id,
    name: `Flow ${_id}`,
    _exportId: "orders",
    _importId: "ledger",
    disabled: false,
    createdAt: iso(0),
    lastModified: iso(0),
    ...changes,
  };
}

/** What a run on demand begins with. */
export function startOf(_id: string, _flowId = "flow", changes: Partial<RunStart> = {}): RunStart {
  return { _id, _flowId, trigger: "manual", queuedAt: iso(1), ...changes };
}

/** A flow that is due at `dueAt` seconds, and then `nextDueAt`, or never again. */
export function tickOf(
  _flowId: string,
  runId: string,
  due: { readonly dueAt: number; readonly nextDueAt?: number },
): Tick {
  const { dueAt, nextDueAt } = due;
  return {
    _flowId,
    dueAt: at(dueAt),
    nextDueAt: nextDueAt === undefined ? undefined : at(nextDueAt),
    start: { _id: runId, _flowId, trigger: "schedule", queuedAt: iso(dueAt), dueAt: iso(dueAt) },
  };
}

/** An open failure of `flow`'s first run. */
export function failureOf(_id: string, changes: Partial<Failure> = {}): Failure {
  return {
    _id,
    _flowId: "flow",
    _exportId: "orders",
    _importId: "ledger",
    _runId: "run",
    key: `key of ${_id}`,
    record: { failed: _id },
    fault: "retry",
    message: "the ledger was closed",
    attempts: 5,
    occurrences: 1,
    status: "open",
    createdAt: iso(3),
    lastFailedAt: iso(3),
    ...changes,
  };
}

/** A page of three records that went well. */
export function pageOf(ordinal: number, changes: Partial<PageCommit> = {}): PageCommit {
  return {
    ordinal,
    at: at(ordinal),
    generated: ordinal,
    processed: 1,
    places: [],
    superseded: [],
    counts: { ledger: { numSuccess: 3, numError: 0, numIgnore: 0 } },
    failures: [],
    delivered: [],
    ...changes,
  };
}

/** What a commit or an end says of the place of the import `ledger`. */
export function moving(change: Omit<PlaceChange, "_importIds">): { readonly places: readonly PlaceChange[] } {
  return { places: [{ _importIds: ["ledger"], ...change }] };
}

/** A pause that ends by itself at second `resumeAt`, or when somebody says so. */
export function pauseOf(resumeAt?: number): Pause {
  const reason = { code: "import_unavailable", message: "the ledger was closed" };
  const pause = { since: iso(3), reason, attempts: 1 };
  return resumeAt === undefined ? { ...pause, until: "person" } : { ...pause, until: "time", resumeAt: iso(resumeAt) };
}

/** Adds a flow to the imports `ledger` and `mailer`, and claims its one run, `run of <_id>`. */
export async function runningForTwo(storage: Storage, _id = "flow"): Promise<Claim> {
  await addFlow(storage, _id, { _importIds: ["ledger", "mailer"] });
  await queue(storage, `run of ${_id}`, _id);
  return take(storage, _id, `token of ${_id}`);
}

/** How a run ends at second `endedAt`. */
export function endingOf(status: RunEnding["status"], endedAt: number, changes: Partial<RunEnding> = {}): RunEnding {
  return { status, at: at(endedAt), imports: {}, places: [], ...changes };
}

/** Where the import `ledger` of a flow resumes. */
export async function checkpointOf(storage: Storage, _flowId = "flow"): Promise<StoredCheckpoint | undefined> {
  return (await storage.findPlaces(_flowId)).ledger?.checkpoint;
}

/** An arrival of two records for the flow `flow`, whose run would be `start of <_id>`. */
export function arrivalOf(_id: string, changes: Partial<Arrival> = {}): Arrival {
  return {
    _id,
    _exportId: "orders",
    records: [{ event: `${_id} one` }, { event: `${_id} two` }],
    at: at(1),
    starts: [realtimeStart(`start of ${_id}`)],
    ...changes,
  };
}

/** The start that an arrival brings for a flow. */
export function realtimeStart(_id: string, _flowId = "flow"): RunStart {
  return startOf(_id, _flowId, { trigger: "realtime" });
}

/** Limits that nothing here reaches. */
export const roomy: InboxRule & { readonly maxQueued: number } = {
  maxQueued: 1_000,
  maxInboxPages: 1_000,
  dedupeAfter: 0,
};

/** What a due time does by default. */
export const bufferOne: OverlapRule = { overlap: "bufferOne", maxQueued: 1_000 };

/** Adds a flow; returns it as it is stored. */
export async function addFlow(storage: Storage, _id = "flow", changes: Partial<Flow> = {}): Promise<Flow> {
  assert.equal(await storage.insertFlow(flowOf(_id, changes)), true, `flow ${_id} was not inserted`);
  return defined(await storage.findFlow(_id));
}

/** Queues a run on demand. */
export async function queue(
  storage: Storage,
  _id: string,
  _flowId = "flow",
  changes: Partial<RunStart> = {},
): Promise<Run> {
  const queued = await storage.queueRun(startOf(_id, _flowId, changes), roomy);
  assert.ok(queued.outcome === "queued", `run ${_id} was not queued: ${queued.outcome}`);
  return queued.run;
}

/** A run that was claimed, and its lease. */
export interface Claim extends ClaimedRun {
  readonly runLease: RunLease;
  /** Where the import `ledger` resumes. */
  readonly checkpoint: StoredCheckpoint | undefined;
}

/** Takes the flow's next run at second 2, until second 32 unless it says otherwise. */
export async function take(storage: Storage, _flowId = "flow", token = "token", until = 32): Promise<Claim> {
  const taken = await storage.claimRun(_flowId, { token, at: at(2), until: at(until) });
  assert.ok(taken !== undefined && "run" in taken, `no run of ${_flowId} could be claimed`);
  const { checkpoint } = taken.places.ledger ?? {};
  return { ...taken, checkpoint, runLease: { _runId: taken.run._id, token, _flowId } };
}

/** The id of the run that was claimed, if one was. */
export function claimedRunId(claimed: ClaimRunResult): string | undefined {
  return claimed !== undefined && "run" in claimed ? claimed.run._id : undefined;
}

/** Adds the flow `flow`, and takes its one run, `run`. */
export async function running(storage: Storage): Promise<Claim> {
  await addFlow(storage);
  await queue(storage, "run");
  return take(storage);
}

/** Queues a run, takes it and ends it as completed at second `endedAt`. */
export async function runThrough(storage: Storage, _id: string, _flowId = "flow", endedAt = 4): Promise<Run> {
  await queue(storage, _id, _flowId);
  const { runLease } = await take(storage, _flowId, `token of ${_id}`);
  const ended = await storage.endRun(runLease, endingOf("completed", endedAt));
  return defined(ended).run;
}

/** Stores failures with the commit of a page of the run `run`, which it leaves running. */
export async function keepFailures(storage: Storage, failures: readonly Failure[]): Promise<Claim> {
  const claim = await running(storage);
  assert.ok(await storage.commitPage(claim.runLease, pageOf(1, { failures })), "the page was not committed");
  return claim;
}

/** Adds an arrival; returns what each flow made of it. */
export async function append(
  storage: Storage,
  arrival: Arrival,
  rule = roomy,
): Promise<(AppendInboxResult & { outcome: "appended" })["flows"]> {
  const appended = await storage.appendInbox(arrival, rule);
  assert.ok(appended.outcome === "appended", `an inbox is full: ${JSON.stringify(appended)}`);
  return appended.flows;
}

/** All records that wait in an inbox. */
export async function inboxRecords(storage: Storage, _flowId = "flow"): Promise<readonly unknown[]> {
  return (await storage.readInbox(_flowId, { maxRecords: 1_000 })).flatMap(({ records }) => records);
}

/** Every item of a list, page by page, as a caller reads it. `between` happens after each page but the last. */
export async function readAll<T>(
  read: (after: { readonly after?: string }) => Promise<{ readonly items: readonly T[]; readonly next?: string }>,
  between: () => Promise<void> = async () => undefined,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (let after: { readonly after?: string } = {}; ;) {
    const { items, next } = await read(after);
    all.push(...items);
    if (next === undefined) return all;
    assert.ok(all.length < 10_000, "the list does not end");
    after = { after: next };
    await between();
  }
}

/** Everything the storage tells of the flow `flow` and the run `run`: for promises that nothing changes. */
export async function everything(storage: Storage): Promise<unknown> {
  const limit = 1_000;
  // A copy: a storage that shares what it keeps must not change what was seen before.
  return structuredClone({
    flows: await storage.listFlows({ limit }),
    due: await storage.nextDueAt(),
    runs: await storage.listRuns({ limit }),
    waiting: await storage.waitingFlows(limit),
    places: await storage.findPlaces("flow"),
    failures: await storage.listFailures({ limit }),
    inbox: await storage.readInbox("flow", { maxRecords: limit }),
    unread: await storage.unreadInboxes(limit),
  });
}

/** The ids, in order. */
export function idsOf(documents: readonly { readonly _id: string }[]): readonly string[] {
  return documents.map(({ _id }) => _id);
}

/** The value, which has to be there. */
export function defined<T>(value: T | undefined): T {
  assert.ok(value !== undefined, "expected an answer, found undefined");
  return value;
}

/** A record with everything that has to read back as it was. */
export function richRecord(): unknown {
  return {
    text: "Ærøskøbing \u{1F6A2} \u0000",
    big: 2n ** 70n,
    date: new Date(at(0)),
    map: new Map<unknown, unknown>([["size", new Set([1, "two"])]]),
    bytes: new Uint8Array([0, 127, 255]),
    nothing: null,
    notANumber: NaN,
    lists: [[], [{ deep: -0.5 }]],
  };
}
