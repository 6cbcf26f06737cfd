import type { Failure } from "../../model/failure.ts";
import { type Flow, importIdsOf } from "../../model/flow.ts";
import { type Run, type RunStart, hasEnded, transitionRun, newRun, withPage } from "../../model/run.ts";
import { isoOf, optional, own, placeOf } from "../documents.ts";
import { DueTimes } from "./due-times.ts";
import { MemoryInbox } from "./memory-inbox.ts";
import { Sequence } from "./sequence.ts";
import { indexAfter, insertSorted } from "./sorted.ts";
import type {
  AppendInboxResult,
  AppendInboxFlowResult,
  Arrival,
  DeleteFlowResult,
  QueueDueResult,
  EndRunResult,
  FailureQuery,
  FlowChange,
  FlowQuery,
  RunLease,
  InboxPage,
  InboxQuery,
  InboxRule,
  Lease,
  ListResult,
  OverlapRule,
  PageCommit,
  PruneRule,
  QueueRunResult,
  ReplaceFlowResult,
  RunEnding,
  RunPosition,
  RunQuery,
  Storage,
  StoredCheckpoint,
  ReclaimRule,
  ClaimedRun,
  Tick,
} from "../storage.ts";

/** Keeps everything in this process; gone when it exits. The default. */
export class MemoryStorage implements Storage {
  readonly capabilities = Object.freeze({ durable: false, shared: false });
  readonly #flows = new Map<string, Flow>();
  readonly #flowIds: string[] = [];
  readonly #byExport = new Map<string, Set<string>>();
  readonly #due = new DueTimes();
  readonly #queues = new Map<string, FlowQueue>();
  readonly #runs = new Map<string, RunEntry>();
  readonly #runLog = new Sequence<RunEntry>();
  readonly #active = new Set<RunEntry>();
  /** Active runs whose flow was deleted, so that they touch no new flow with its id. */
  readonly #orphans = new WeakSet<RunEntry>();
  readonly #checkpoints = new Map<string, StoredCheckpoint>();
  readonly #failures = new Map<string, FailureEntry>();
  readonly #failuresByFlow = new Map<string, Sequence<FailureEntry>>();
  readonly #inboxes = new Map<string, MemoryInbox>();
  #seq = 0;

  async close(): Promise<void> {
    // There is nothing to release.
  }

  async insertFlow(flow: Flow): Promise<boolean> {
    if (this.#flows.has(flow._id)) return false;
    insertSorted(this.#flowIds, flow._id);
    this.#keepFlow(undefined, own(flow));
    return true;
  }

  async findFlow(_id: string): Promise<Flow | undefined> {
    return this.#flows.get(_id);
  }

  async listFlows(query: FlowQuery): Promise<ListResult<Flow>> {
    const ids = this.#idsFor(query._exportId);
    const start = query.after === undefined ? 0 : indexAfter(ids, query.after);
    return listed(this.#matchingFlows(ids, start, query), query.limit, (flow) => flow._id);
  }

  async replaceFlow(flow: Flow, change: FlowChange): Promise<ReplaceFlowResult> {
    const stored = this.#flows.get(flow._id);
    if (stored === undefined) return { outcome: "missing" };
    if (stored.lastModified !== change.expected) return { outcome: "stale" };
    const { nextRunAt, lastExecutedAt: _, ...written } = flow;
    const next = own<Flow>({
      ...written,
      ...optional("lastExecutedAt", stored.lastExecutedAt),
      ...optional("nextRunAt", change.reschedule ? nextRunAt : stored.nextRunAt),
    });
    this.#keepFlow(stored, next);
    return { outcome: "replaced", flow: next, canceled: next.disabled ? this.#cancelWaiting(flow._id, change.at) : [] };
  }

  async deleteFlow(
    _id: string,
    change: { readonly expected?: string; readonly at: number },
  ): Promise<DeleteFlowResult> {
    const flow = this.#flows.get(_id);
    if (flow === undefined) return { outcome: "missing" };
    if (change.expected !== undefined && flow.lastModified !== change.expected) return { outcome: "stale" };
    this.#dropFlow(flow);
    const canceled = this.#cancelWaiting(_id, change.at);
    const queue = this.#queues.get(_id);
    if (queue !== undefined) queue.bornAfter = this.#seq;
    const active = queue?.active;
    if (active !== undefined) this.#orphans.add(active);
    if (active?.run.status === "running") active.run = transitionRun(active.run, "canceling");
    return { outcome: "deleted", flow, canceled, ...optional("active", active?.run) };
  }

  async dueFlows(until: number, limit: number): Promise<readonly Flow[]> {
    return this.#due.upTo(until, limit).flatMap((_id) => this.#flows.get(_id) ?? []);
  }

  async nextDueAt(): Promise<number | undefined> {
    return this.#due.first();
  }

  async queueRun(start: RunStart, limits: { readonly maxQueued: number }): Promise<QueueRunResult> {
    const known = this.#runs.get(start._id);
    if (known !== undefined) return { outcome: "queued", run: known.run };
    const flow = this.#flows.get(start._flowId);
    if (flow === undefined) return { outcome: "missing" };
    if (flow.disabled) return { outcome: "disabled" };
    if ((this.#queues.get(flow._id)?.waiting.length ?? 0) >= limits.maxQueued) return { outcome: "full" };
    return { outcome: "queued", run: this.#enqueue(start, flow) };
  }

  async queueDue(ticks: readonly Tick[], rule: OverlapRule): Promise<readonly QueueDueResult[]> {
    return ticks.map((tick) => this.#queueTick(tick, rule));
  }

  async findRun(_id: string): Promise<Run | undefined> {
    return this.#runs.get(_id)?.run;
  }

  async listRuns(query: RunQuery): Promise<ListResult<Run>> {
    const log = query._flowId === undefined ? this.#runLog : (this.#queues.get(query._flowId)?.runs ?? noRuns);
    const matching = filtered(log.before(placeOf(query.after, Infinity)), ({ run }) => isWanted(run, query));
    const { items, next } = listed(matching, query.limit, (entry) => String(entry.seq));
    return { items: items.map(({ run }) => run), ...optional("next", next) };
  }

  async cancelRun(_id: string, at: number): Promise<Run | undefined> {
    const entry = this.#runs.get(_id);
    if (entry?.run.status === "queued") this.#cancelQueued(this.#queueOf(entry.run._flowId), entry, at);
    else if (entry?.run.status === "running") entry.run = transitionRun(entry.run, "canceling");
    return entry?.run;
  }

  async prune(rule: PruneRule): Promise<number> {
    const runs = this.#outdatedRuns(rule);
    const endedBefore = isoOf(rule.endedBefore);
    const failures = [...this.#failures.values()].filter(
      ({ failure }) => failure.resolvedAt !== undefined && failure.resolvedAt < endedBefore,
    );
    const outdated = failures.slice(0, rule.limit - runs.length);
    for (const entry of runs) this.#forgetRun(entry);
    for (const entry of outdated) this.#forgetFailure(entry);
    return runs.length + outdated.length;
  }

  async claimRun(_flowId: string, lease: Lease): Promise<ClaimedRun | undefined> {
    const queue = this.#queues.get(_flowId);
    const flow = this.#flows.get(_flowId);
    if (queue === undefined || flow === undefined) return undefined;
    if (queue.active !== undefined)
      return queue.active.token === lease.token ? this.#claimed(queue.active, flow) : undefined;
    const entry = flow.disabled ? undefined : queue.waiting.shift();
    if (entry === undefined) return undefined;
    const at = isoOf(lease.at);
    entry.run = transitionRun(entry.run, "running", { startedAt: at });
    entry.token = lease.token;
    entry.until = lease.until;
    queue.active = entry;
    this.#active.add(entry);
    const started = Object.freeze({ ...flow, lastExecutedAt: at });
    this.#flows.set(_flowId, started);
    return this.#claimed(entry, started);
  }

  async renewLeases(leases: readonly RunLease[], until: number): Promise<readonly ("held" | "canceling" | "lost")[]> {
    return leases.map((lease) => {
      const entry = this.#leased(lease);
      if (entry === undefined) return "lost";
      entry.until = until;
      return entry.run.status === "canceling" ? "canceling" : "held";
    });
  }

  async commitPage(lease: RunLease, page: PageCommit): Promise<Run | undefined> {
    const entry = this.#leased(lease);
    if (entry === undefined) return undefined;
    if (page.ordinal === entry.run.numPagesProcessed) return entry.run;
    if (page.ordinal !== entry.run.numPagesProcessed + 1) return undefined;
    // What cannot be copied throws here, before anything has changed.
    const position = own(page.position);
    if (!this.#orphans.has(entry)) this.#settle(entry.run._flowId, page);
    entry.run = withPage(entry.run, page.counts, page.generated);
    if (position !== undefined) entry.position = position;
    return entry.run;
  }

  async endRun(lease: RunLease, ending: RunEnding): Promise<EndRunResult | undefined> {
    const entry = this.#runs.get(lease._runId);
    if (entry?.token !== lease.token) return undefined;
    const queue = this.#queueOf(entry.run._flowId);
    if (queue.active === entry) {
      const { status, at, error, checkpoint } = ending;
      // A run that is to be canceled ends as canceled, however its last page went.
      const end = entry.run.status === "canceling" ? "canceled" : status;
      const ready =
        end === "canceled" && entry.run.status === "running" ? transitionRun(entry.run, "canceling") : entry.run;
      const reason = end === "failed" ? optional("error", own(error)) : {};
      const reached = end === "completed" ? own(checkpoint) : undefined;
      this.#retire(queue, entry, transitionRun(ready, end, { endedAt: isoOf(at), ...reason }));
      if (reached !== undefined) this.#checkpoints.set(entry.run._flowId, reached);
    }
    return { run: entry.run, more: queue.waiting.length > 0 };
  }

  async releaseRun(lease: RunLease): Promise<Run | undefined> {
    const entry = this.#leased(lease);
    if (entry?.run.status !== "running") return undefined;
    this.#requeue(entry, transitionRun(entry.run, "queued"));
    return entry.run;
  }

  async reclaimExpiredRuns(rule: ReclaimRule): Promise<readonly Run[]> {
    const expired = [...this.#active].filter(({ until }) => until <= rule.now).slice(0, rule.limit);
    return expired.map((entry) => this.#reclaim(entry, rule));
  }

  async waitingFlows(limit: number, after?: string): Promise<readonly string[]> {
    return this.#idsWhere(
      limit,
      after,
      this.#queues,
      (queue) => queue.waiting.length > 0 && queue.active === undefined,
    );
  }

  async findCheckpoint(_flowId: string): Promise<StoredCheckpoint | undefined> {
    return this.#checkpoints.get(_flowId);
  }

  async setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined): Promise<boolean> {
    if (!this.#flows.has(_flowId) || this.#queues.get(_flowId)?.active !== undefined) return false;
    if (checkpoint === undefined) this.#checkpoints.delete(_flowId);
    else this.#checkpoints.set(_flowId, own(checkpoint));
    return true;
  }

  async findFailure(_id: string): Promise<Failure | undefined> {
    return this.#failures.get(_id)?.failure;
  }

  async listFailures(query: FailureQuery): Promise<ListResult<Failure>> {
    const matching = filtered(this.#failuresFor(query), ({ failure }) => matches(failure, query, failureFilters));
    const { items, next } = listed(matching, query.limit, (entry) => String(entry.seq));
    return { items: items.map(({ failure }) => failure), ...optional("next", next) };
  }

  async resolveFailures(_ids: readonly string[], at: number): Promise<readonly Failure[]> {
    const open = [...new Set(_ids)]
      .flatMap((_id) => this.#failures.get(_id) ?? [])
      .filter(({ failure }) => failure.status === "open");
    for (const entry of open)
      entry.failure = Object.freeze({ ...entry.failure, status: "resolved", resolvedAt: isoOf(at) });
    return open.map(({ failure }) => failure);
  }

  async appendInbox(arrival: Arrival, rule: InboxRule): Promise<AppendInboxResult> {
    const starts = arrival.starts.filter(({ _flowId }) => {
      const flow = this.#flows.get(_flowId);
      return flow !== undefined && !flow.disabled && flow._exportId === arrival._exportId;
    });
    const full = starts.find(({ _flowId }) => this.#inboxes.get(_flowId)?.isFullFor(arrival, rule.maxInboxPages));
    if (full !== undefined) return { outcome: "full", _flowId: full._flowId };
    // What cannot be copied throws here, before any inbox has taken or seen anything.
    const kept = { ...arrival, records: arrival.records.map(own) };
    return { outcome: "appended", flows: starts.map((start) => this.#append(kept, start, rule.dedupeAfter)) };
  }

  async readInbox(_flowId: string, query: InboxQuery): Promise<readonly InboxPage[]> {
    const pages: InboxPage[] = [];
    let records = 0;
    for (const { page } of this.#inboxes.get(_flowId)?.pages.after(placeOf(query.after, 0)) ?? []) {
      pages.push(page);
      records += page.records.length;
      if (records >= query.maxRecords) break;
    }
    return pages;
  }

  async unreadInboxes(limit: number, after?: string): Promise<readonly string[]> {
    return this.#idsWhere(limit, after, this.#inboxes, ({ pages }, _flowId) => {
      if (pages.size === 0) return false;
      const queue = this.#queues.get(_flowId);
      return queue?.active?.run.trigger !== "realtime" && !queue?.waiting.some(isRealtime);
    });
  }

  #keepFlow(previous: Flow | undefined, flow: Flow): void {
    if (previous !== undefined) this.#unlink(previous);
    this.#flows.set(flow._id, flow);
    const users = this.#byExport.get(flow._exportId) ?? new Set();
    this.#byExport.set(flow._exportId, users.add(flow._id));
    if (!flow.disabled && flow.nextRunAt !== undefined) this.#due.add(Date.parse(flow.nextRunAt), flow._id);
  }

  #unlink(flow: Flow): void {
    this.#byExport.get(flow._exportId)?.delete(flow._id);
    if (flow.nextRunAt !== undefined) this.#due.remove(Date.parse(flow.nextRunAt), flow._id);
  }

  #dropFlow(flow: Flow): void {
    this.#unlink(flow);
    this.#flows.delete(flow._id);
    this.#flowIds.splice(indexAfter(this.#flowIds, flow._id) - 1, 1);
    this.#checkpoints.delete(flow._id);
    this.#inboxes.delete(flow._id);
    for (const entry of [...(this.#failuresByFlow.get(flow._id)?.after(0) ?? [])])
      if (entry.failure.status === "open") this.#forgetFailure(entry);
  }

  #idsFor(_exportId: string | undefined): readonly string[] {
    const users = _exportId === undefined ? undefined : (this.#byExport.get(_exportId) ?? new Set<string>());
    // Sorting a few ids beats walking all flows; for many it is the other way round.
    return users === undefined || users.size * 16 > this.#flowIds.length ? this.#flowIds : [...users].sort();
  }

  *#matchingFlows(ids: readonly string[], start: number, query: FlowQuery): Iterable<Flow> {
    for (let index = start; index < ids.length; index++) {
      const flow = this.#flows.get(ids[index] ?? "");
      if (flow !== undefined && matches(flow, query, flowFilters) && importsInclude(flow, query._importId)) yield flow;
    }
  }

  #idsWhere<T>(limit: number, after: string | undefined, map: Map<string, T>, wanted: (t: T, _id: string) => boolean) {
    const ids: string[] = [];
    for (const [_flowId, value] of map)
      if (
        (after === undefined || _flowId > after) &&
        wanted(value, _flowId) &&
        this.#flows.get(_flowId)?.disabled === false
      )
        ids.push(_flowId);
    return ids.sort().slice(0, limit);
  }

  #queueOf(_flowId: string): FlowQueue {
    let queue = this.#queues.get(_flowId);
    if (queue === undefined)
      this.#queues.set(_flowId, (queue = { waiting: [], runs: new Sequence(), active: undefined, bornAfter: 0 }));
    return queue;
  }

  #enqueue(start: RunStart, flow: Flow): Run {
    const entry: RunEntry = {
      seq: ++this.#seq,
      run: newRun(start.retry === undefined ? start : { ...start, retry: own(start.retry) }, flow),
      token: undefined,
      until: 0,
      position: undefined,
    };
    const queue = this.#queueOf(flow._id);
    queue.waiting.push(entry);
    queue.runs.add(entry);
    this.#runLog.add(entry);
    this.#runs.set(start._id, entry);
    return entry.run;
  }

  #queueTick(tick: Tick, rule: OverlapRule): QueueDueResult {
    const flow = this.#flows.get(tick._flowId);
    if (flow === undefined || flow.disabled || flow.nextRunAt !== isoOf(tick.dueAt)) return { outcome: "taken" };
    this.#due.remove(tick.dueAt, flow._id);
    if (tick.nextDueAt !== undefined) this.#due.add(tick.nextDueAt, flow._id);
    this.#flows.set(flow._id, withNextRunAt(flow, tick.nextDueAt));
    if (tick.start === undefined) return { outcome: "passed" };
    const inTheWay = this.#overlap(tick.start, rule);
    if (inTheWay !== undefined) return inTheWay;
    if (this.#hadItsRun(tick.start)) return { outcome: "passed" };
    return { outcome: "queued", run: this.#enqueue(tick.start, flow) };
  }

  #hadItsRun({ _flowId, dueAt }: RunStart): boolean {
    const queue = this.#queues.get(_flowId);
    if (queue === undefined || dueAt === undefined) return false;
    for (const { run } of queue.runs.after(queue.bornAfter)) if (run.dueAt === dueAt) return true;
    return false;
  }

  // What stands in the way of a scheduled run of its own; undefined if nothing does.
  #overlap(start: RunStart, rule: OverlapRule): QueueDueResult | undefined {
    const queue = this.#queues.get(start._flowId);
    if (queue === undefined) return undefined;
    if (rule.overlap === "skip") {
      const obstacle = queue.active ?? queue.waiting[0];
      if (obstacle === undefined) return undefined;
      obstacle.run = Object.freeze({ ...obstacle.run, skipped: obstacle.run.skipped + 1 });
      return { outcome: "skipped", run: obstacle.run };
    }
    if (rule.overlap === "bufferAll" && queue.waiting.length < rule.maxQueued) return undefined;
    const waiting = queue.waiting.findLast(({ run }) => run.trigger === "schedule" || run.trigger === "catch-up");
    if (waiting === undefined) return undefined;
    waiting.run = Object.freeze({ ...waiting.run, coalesced: waiting.run.coalesced + 1 });
    return { outcome: "coalesced", run: waiting.run };
  }

  #cancelWaiting(_flowId: string, at: number): readonly Run[] {
    const queue = this.#queues.get(_flowId);
    return queue === undefined ? [] : [...queue.waiting].map((entry) => this.#cancelQueued(queue, entry, at));
  }

  #cancelQueued(queue: FlowQueue, entry: RunEntry, at: number): Run {
    queue.waiting.splice(queue.waiting.indexOf(entry), 1);
    entry.run = transitionRun(transitionRun(entry.run, "canceling"), "canceled", { endedAt: isoOf(at) });
    return entry.run;
  }

  #claimed(entry: RunEntry, flow: Flow): ClaimedRun {
    return {
      run: entry.run,
      flow,
      ...optional("position", entry.position),
      ...optional("checkpoint", this.#checkpoints.get(flow._id)),
    };
  }

  #leased(lease: RunLease): RunEntry | undefined {
    const entry = this.#runs.get(lease._runId);
    return entry?.token === lease.token && this.#active.has(entry) ? entry : undefined;
  }

  #settle(_flowId: string, page: PageCommit): void {
    const checkpoint = own(page.checkpoint);
    const failures = page.failures.map((failure) => Object.freeze({ ...failure, record: own(failure.record) }));
    if (checkpoint !== undefined) this.#checkpoints.set(_flowId, checkpoint);
    for (const failure of failures) this.#keepFailure(failure);
    for (const _id of page.delivered) {
      const entry = this.#failures.get(_id);
      if (entry !== undefined) this.#forgetFailure(entry);
    }
    if (page.inboxThrough !== undefined) this.#inboxes.get(_flowId)?.removeThrough(Number(page.inboxThrough));
  }

  #retire(queue: FlowQueue, entry: RunEntry, run: Run): void {
    entry.run = run;
    entry.position = undefined;
    queue.active = undefined;
    this.#active.delete(entry);
  }

  #requeue(entry: RunEntry, run: Run): void {
    const queue = this.#queueOf(run._flowId);
    const { position } = entry;
    this.#retire(queue, entry, run);
    entry.position = position;
    entry.token = undefined;
    queue.waiting.unshift(entry);
  }

  #reclaim(entry: RunEntry, rule: ReclaimRule): Run {
    const at = isoOf(rule.now);
    const crashed = Object.freeze({ ...entry.run, crashes: entry.run.crashes + 1 });
    if (crashed.status === "running" && crashed.crashes <= rule.maxCrashes && this.#flows.has(crashed._flowId))
      this.#requeue(entry, transitionRun(crashed, "queued"));
    else {
      const end = crashed.status === "canceling" ? "canceled" : "failed";
      const error = end === "failed" ? { error: own(rule.error) } : {};
      this.#retire(this.#queueOf(crashed._flowId), entry, transitionRun(crashed, end, { endedAt: at, ...error }));
      entry.token = undefined;
    }
    return entry.run;
  }

  #outdatedRuns(rule: PruneRule): RunEntry[] {
    const endedBefore = isoOf(rule.endedBefore);
    const outdated: RunEntry[] = [];
    for (const { runs } of this.#queues.values()) {
      let surplus = runs.size - rule.runsPerFlow;
      for (const entry of runs.after(0)) {
        const { run } = entry;
        if (outdated.length >= rule.limit) return outdated;
        // No run that was queued since has ended before.
        if (surplus <= 0 && run.queuedAt >= endedBefore) break;
        if (hasEnded(run) && (surplus > 0 || (run.endedAt ?? "") < endedBefore)) outdated.push(entry);
        surplus--;
      }
    }
    return outdated;
  }

  #forgetRun(entry: RunEntry): void {
    const queue = this.#queueOf(entry.run._flowId);
    queue.runs.remove(entry);
    this.#runLog.remove(entry);
    this.#runs.delete(entry.run._id);
    if (queue.runs.size === 0) this.#queues.delete(entry.run._flowId);
  }

  #keepFailure(failure: Failure): void {
    const known = this.#failures.get(failure._id);
    if (known !== undefined) {
      known.failure = failure;
      return;
    }
    const entry = { seq: ++this.#seq, failure };
    const siblings = this.#failuresByFlow.get(failure._flowId) ?? new Sequence();
    siblings.add(entry);
    this.#failuresByFlow.set(failure._flowId, siblings);
    this.#failures.set(failure._id, entry);
  }

  #forgetFailure(entry: FailureEntry): void {
    this.#failures.delete(entry.failure._id);
    this.#failuresByFlow.get(entry.failure._flowId)?.remove(entry);
  }

  #failuresFor(query: FailureQuery): Iterable<FailureEntry> {
    const place = placeOf(query.after, 0);
    if (query._ids !== undefined) {
      const chosen = [...new Set(query._ids)].flatMap((_id) => this.#failures.get(_id) ?? []);
      return chosen.filter(({ seq }) => seq > place).sort((one, other) => one.seq - other.seq);
    }
    if (query._flowId !== undefined) return this.#failuresByFlow.get(query._flowId)?.after(place) ?? [];
    return filtered(this.#failures.values(), ({ seq }) => seq > place);
  }

  #append(arrival: Arrival, start: RunStart, dedupeAfter: number): AppendInboxFlowResult {
    let inbox = this.#inboxes.get(start._flowId);
    if (inbox === undefined) this.#inboxes.set(start._flowId, (inbox = new MemoryInbox()));
    const duplicates = inbox.add(arrival, ++this.#seq, dedupeAfter);
    const flow = this.#flows.get(start._flowId);
    const waits = this.#queues.get(start._flowId)?.waiting.some(isRealtime) ?? false;
    if (flow === undefined || waits || inbox.pages.size === 0 || this.#runs.has(start._id))
      return { _flowId: start._flowId, duplicates };
    return { _flowId: start._flowId, duplicates, run: this.#enqueue(start, flow) };
  }
}

/** A flow's waiting line (oldest first), its active run and all its runs that are remembered. */
interface FlowQueue {
  readonly waiting: RunEntry[];
  readonly runs: Sequence<RunEntry>;
  active: RunEntry | undefined;
  /** Runs up to this place are those of a flow with the same id that was deleted. */
  bornAfter: number;
}

interface RunEntry {
  readonly seq: number;
  run: Run;
  /** Who leases it, or held it when it ended. */
  token: string | undefined;
  until: number;
  position: RunPosition | undefined;
}

interface FailureEntry {
  readonly seq: number;
  failure: Failure;
}

const noRuns = new Sequence<RunEntry>();
const flowFilters = ["_integrationId", "_connectorId", "_exportId", "disabled"] as const;
const runFilters = ["_flowId", "_exportId", "_integrationId", "_connectorId", "status", "trigger"] as const;
const failureFilters = ["_flowId", "_importId", "_runId", "_integrationId", "_connectorId", "status"] as const;

function matches<Key extends string>(
  document: Partial<Record<Key, unknown>>,
  query: Partial<Record<Key, unknown>>,
  filters: readonly Key[],
): boolean {
  return filters.every((filter) => query[filter] === undefined || document[filter] === query[filter]);
}

function isWanted(run: Run, query: RunQuery): boolean {
  return (
    matches(run, query, runFilters) && (query._importId === undefined || Object.hasOwn(run.imports, query._importId))
  );
}

function importsInclude(flow: Flow, _importId: string | undefined): boolean {
  return _importId === undefined || importIdsOf(flow).includes(_importId);
}

function isRealtime({ run }: RunEntry): boolean {
  return run.trigger === "realtime";
}

function* filtered<T>(entries: Iterable<T>, wanted: (entry: T) => boolean): Iterable<T> {
  for (const entry of entries) if (wanted(entry)) yield entry;
}

function listed<T>(entries: Iterable<T>, limit: number, cursor: (entry: T) => string): ListResult<T> {
  const items: T[] = [];
  for (const entry of entries) {
    const last = items.at(-1);
    if (items.length === limit && last !== undefined) return { items, next: cursor(last) };
    items.push(entry);
  }
  return { items };
}

function withNextRunAt(flow: Flow, dueAt: number | undefined): Flow {
  const { nextRunAt, ...rest } = flow;
  return Object.freeze(dueAt === undefined ? rest : { ...rest, nextRunAt: isoOf(dueAt) });
}
