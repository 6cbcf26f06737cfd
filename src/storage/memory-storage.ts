import type { Failure } from "../model/failure.ts";
import { type Flow, importIdsOf } from "../model/flow.ts";
import { type Run, type RunStart, hasEnded, moveRun, newRun, withPage } from "../model/run.ts";
import { isoOf, optional, own, placeOf } from "./documents.ts";
import { DueTimes } from "./due-times.ts";
import { MemoryInbox } from "./memory-inbox.ts";
import { Sequence } from "./sequence.ts";
import { indexAfter, insertSorted } from "./sorted.ts";
import type {
  Appended,
  AppendedFlow,
  Arrival,
  Deleted,
  DueOutcome,
  Ended,
  FailureQuery,
  FlowChange,
  FlowQuery,
  Hold,
  InboxPage,
  InboxQuery,
  InboxRule,
  Lease,
  Listed,
  OverlapRule,
  PageCommit,
  PruneRule,
  Queued,
  Replaced,
  RunEnding,
  RunPosition,
  RunQuery,
  Storage,
  StoredCheckpoint,
  TakeBackRule,
  Taken,
  Tick,
} from "./storage.ts";

/** Keeps everything in this process; gone when it exits. The default. */
export class MemoryStorage implements Storage {
  readonly abilities = Object.freeze({ durable: false, shared: false });
  readonly #flows = new Map<string, Flow>();
  readonly #flowIds: string[] = [];
  readonly #byExport = new Map<string, Set<string>>();
  readonly #due = new DueTimes();
  readonly #lanes = new Map<string, Lane>();
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

  async listFlows(query: FlowQuery): Promise<Listed<Flow>> {
    const ids = this.#idsFor(query._exportId);
    const start = query.after === undefined ? 0 : indexAfter(ids, query.after);
    return listed(this.#matchingFlows(ids, start, query), query.limit, (flow) => flow._id);
  }

  async replaceFlow(flow: Flow, change: FlowChange): Promise<Replaced> {
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

  async deleteFlow(_id: string, change: { readonly expected?: string; readonly at: number }): Promise<Deleted> {
    const flow = this.#flows.get(_id);
    if (flow === undefined) return { outcome: "missing" };
    if (change.expected !== undefined && flow.lastModified !== change.expected) return { outcome: "stale" };
    this.#dropFlow(flow);
    const canceled = this.#cancelWaiting(_id, change.at);
    const lane = this.#lanes.get(_id);
    if (lane !== undefined) lane.bornAfter = this.#seq;
    const active = lane?.active;
    if (active !== undefined) this.#orphans.add(active);
    if (active?.run.status === "running") active.run = moveRun(active.run, "canceling");
    return { outcome: "deleted", flow, canceled, ...optional("active", active?.run) };
  }

  async dueFlows(until: number, limit: number): Promise<readonly Flow[]> {
    return this.#due.upTo(until, limit).flatMap((_id) => this.#flows.get(_id) ?? []);
  }

  async nextDueAt(): Promise<number | undefined> {
    return this.#due.first();
  }

  async queueRun(start: RunStart, limits: { readonly maxQueued: number }): Promise<Queued> {
    const known = this.#runs.get(start._id);
    if (known !== undefined) return { outcome: "queued", run: known.run };
    const flow = this.#flows.get(start._flowId);
    if (flow === undefined) return { outcome: "missing" };
    if (flow.disabled) return { outcome: "disabled" };
    if ((this.#lanes.get(flow._id)?.waiting.length ?? 0) >= limits.maxQueued) return { outcome: "full" };
    return { outcome: "queued", run: this.#queue(start, flow) };
  }

  async queueDue(ticks: readonly Tick[], rule: OverlapRule): Promise<readonly DueOutcome[]> {
    return ticks.map((tick) => this.#queueTick(tick, rule));
  }

  async findRun(_id: string): Promise<Run | undefined> {
    return this.#runs.get(_id)?.run;
  }

  async listRuns(query: RunQuery): Promise<Listed<Run>> {
    const log = query._flowId === undefined ? this.#runLog : (this.#lanes.get(query._flowId)?.runs ?? noRuns);
    const matching = filtered(log.before(placeOf(query.after, Infinity)), ({ run }) => isWanted(run, query));
    const { items, next } = listed(matching, query.limit, (entry) => String(entry.seq));
    return { items: items.map(({ run }) => run), ...optional("next", next) };
  }

  async cancelRun(_id: string, at: number): Promise<Run | undefined> {
    const entry = this.#runs.get(_id);
    if (entry?.run.status === "queued") this.#cancelQueued(this.#lane(entry.run._flowId), entry, at);
    else if (entry?.run.status === "running") entry.run = moveRun(entry.run, "canceling");
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

  async takeRun(_flowId: string, lease: Lease): Promise<Taken | undefined> {
    const lane = this.#lanes.get(_flowId);
    const flow = this.#flows.get(_flowId);
    if (lane === undefined || flow === undefined) return undefined;
    if (lane.active !== undefined)
      return lane.active.token === lease.token ? this.#taken(lane.active, flow) : undefined;
    const entry = flow.disabled ? undefined : lane.waiting.shift();
    if (entry === undefined) return undefined;
    const at = isoOf(lease.at);
    entry.run = moveRun(entry.run, "running", { startedAt: at });
    entry.token = lease.token;
    entry.until = lease.until;
    lane.active = entry;
    this.#active.add(entry);
    const started = Object.freeze({ ...flow, lastExecutedAt: at });
    this.#flows.set(_flowId, started);
    return this.#taken(entry, started);
  }

  async renewLeases(holds: readonly Hold[], until: number): Promise<readonly ("held" | "canceling" | "lost")[]> {
    return holds.map((hold) => {
      const entry = this.#held(hold);
      if (entry === undefined) return "lost";
      entry.until = until;
      return entry.run.status === "canceling" ? "canceling" : "held";
    });
  }

  async commitPage(hold: Hold, page: PageCommit): Promise<Run | undefined> {
    const entry = this.#held(hold);
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

  async endRun(hold: Hold, ending: RunEnding): Promise<Ended | undefined> {
    const entry = this.#runs.get(hold._runId);
    if (entry?.token !== hold.token) return undefined;
    const lane = this.#lane(entry.run._flowId);
    if (lane.active === entry) {
      const { status, at, error, checkpoint } = ending;
      // A run that is to be canceled ends as canceled, however its last page went.
      const end = entry.run.status === "canceling" ? "canceled" : status;
      const ready = end === "canceled" && entry.run.status === "running" ? moveRun(entry.run, "canceling") : entry.run;
      const reason = end === "failed" ? optional("error", own(error)) : {};
      const reached = end === "completed" ? own(checkpoint) : undefined;
      this.#retire(lane, entry, moveRun(ready, end, { endedAt: isoOf(at), ...reason }));
      if (reached !== undefined) this.#checkpoints.set(entry.run._flowId, reached);
    }
    return { run: entry.run, more: lane.waiting.length > 0 };
  }

  async releaseRun(hold: Hold): Promise<Run | undefined> {
    const entry = this.#held(hold);
    if (entry?.run.status !== "running") return undefined;
    this.#requeue(entry, moveRun(entry.run, "queued"));
    return entry.run;
  }

  async takeBackRuns(rule: TakeBackRule): Promise<readonly Run[]> {
    const expired = [...this.#active].filter(({ until }) => until <= rule.now).slice(0, rule.limit);
    return expired.map((entry) => this.#takeBack(entry, rule));
  }

  async waitingFlows(limit: number, after?: string): Promise<readonly string[]> {
    return this.#idsWhere(limit, after, this.#lanes, (lane) => lane.waiting.length > 0 && lane.active === undefined);
  }

  async findCheckpoint(_flowId: string): Promise<StoredCheckpoint | undefined> {
    return this.#checkpoints.get(_flowId);
  }

  async setCheckpoint(_flowId: string, checkpoint: StoredCheckpoint | undefined): Promise<boolean> {
    if (!this.#flows.has(_flowId) || this.#lanes.get(_flowId)?.active !== undefined) return false;
    if (checkpoint === undefined) this.#checkpoints.delete(_flowId);
    else this.#checkpoints.set(_flowId, own(checkpoint));
    return true;
  }

  async findFailure(_id: string): Promise<Failure | undefined> {
    return this.#failures.get(_id)?.failure;
  }

  async listFailures(query: FailureQuery): Promise<Listed<Failure>> {
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

  async appendInbox(arrival: Arrival, rule: InboxRule): Promise<Appended> {
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
      const lane = this.#lanes.get(_flowId);
      return lane?.active?.run.trigger !== "realtime" && !lane?.waiting.some(isRealtime);
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

  #lane(_flowId: string): Lane {
    let lane = this.#lanes.get(_flowId);
    if (lane === undefined)
      this.#lanes.set(_flowId, (lane = { waiting: [], runs: new Sequence(), active: undefined, bornAfter: 0 }));
    return lane;
  }

  #queue(start: RunStart, flow: Flow): Run {
    const entry: RunEntry = {
      seq: ++this.#seq,
      run: newRun(start.retry === undefined ? start : { ...start, retry: own(start.retry) }, flow),
      token: undefined,
      until: 0,
      position: undefined,
    };
    const lane = this.#lane(flow._id);
    lane.waiting.push(entry);
    lane.runs.add(entry);
    this.#runLog.add(entry);
    this.#runs.set(start._id, entry);
    return entry.run;
  }

  #queueTick(tick: Tick, rule: OverlapRule): DueOutcome {
    const flow = this.#flows.get(tick._flowId);
    if (flow === undefined || flow.disabled || flow.nextRunAt !== isoOf(tick.dueAt)) return { outcome: "taken" };
    this.#due.remove(tick.dueAt, flow._id);
    if (tick.nextDueAt !== undefined) this.#due.add(tick.nextDueAt, flow._id);
    this.#flows.set(flow._id, withNextRunAt(flow, tick.nextDueAt));
    if (tick.start === undefined) return { outcome: "passed" };
    const inTheWay = this.#overlap(tick.start, rule);
    if (inTheWay !== undefined) return inTheWay;
    if (this.#hadItsRun(tick.start)) return { outcome: "passed" };
    return { outcome: "queued", run: this.#queue(tick.start, flow) };
  }

  #hadItsRun({ _flowId, dueAt }: RunStart): boolean {
    const lane = this.#lanes.get(_flowId);
    if (lane === undefined || dueAt === undefined) return false;
    for (const { run } of lane.runs.after(lane.bornAfter)) if (run.dueAt === dueAt) return true;
    return false;
  }

  // What stands in the way of a scheduled run of its own; undefined if nothing does.
  #overlap(start: RunStart, rule: OverlapRule): DueOutcome | undefined {
    const lane = this.#lanes.get(start._flowId);
    if (lane === undefined) return undefined;
    if (rule.overlap === "skip") {
      const obstacle = lane.active ?? lane.waiting[0];
      if (obstacle === undefined) return undefined;
      obstacle.run = Object.freeze({ ...obstacle.run, skipped: obstacle.run.skipped + 1 });
      return { outcome: "skipped", run: obstacle.run };
    }
    if (rule.overlap === "bufferAll" && lane.waiting.length < rule.maxQueued) return undefined;
    const waiting = lane.waiting.findLast(({ run }) => run.trigger === "schedule" || run.trigger === "catch-up");
    if (waiting === undefined) return undefined;
    waiting.run = Object.freeze({ ...waiting.run, coalesced: waiting.run.coalesced + 1 });
    return { outcome: "coalesced", run: waiting.run };
  }

  #cancelWaiting(_flowId: string, at: number): readonly Run[] {
    const lane = this.#lanes.get(_flowId);
    return lane === undefined ? [] : [...lane.waiting].map((entry) => this.#cancelQueued(lane, entry, at));
  }

  #cancelQueued(lane: Lane, entry: RunEntry, at: number): Run {
    lane.waiting.splice(lane.waiting.indexOf(entry), 1);
    entry.run = moveRun(moveRun(entry.run, "canceling"), "canceled", { endedAt: isoOf(at) });
    return entry.run;
  }

  #taken(entry: RunEntry, flow: Flow): Taken {
    return {
      run: entry.run,
      flow,
      ...optional("position", entry.position),
      ...optional("checkpoint", this.#checkpoints.get(flow._id)),
    };
  }

  #held(hold: Hold): RunEntry | undefined {
    const entry = this.#runs.get(hold._runId);
    return entry?.token === hold.token && this.#active.has(entry) ? entry : undefined;
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

  #retire(lane: Lane, entry: RunEntry, run: Run): void {
    entry.run = run;
    entry.position = undefined;
    lane.active = undefined;
    this.#active.delete(entry);
  }

  #requeue(entry: RunEntry, run: Run): void {
    const lane = this.#lane(run._flowId);
    const { position } = entry;
    this.#retire(lane, entry, run);
    entry.position = position;
    entry.token = undefined;
    lane.waiting.unshift(entry);
  }

  #takeBack(entry: RunEntry, rule: TakeBackRule): Run {
    const at = isoOf(rule.now);
    const crashed = Object.freeze({ ...entry.run, crashes: entry.run.crashes + 1 });
    if (crashed.status === "running" && crashed.crashes <= rule.maxCrashes && this.#flows.has(crashed._flowId))
      this.#requeue(entry, moveRun(crashed, "queued"));
    else {
      const end = crashed.status === "canceling" ? "canceled" : "failed";
      const error = end === "failed" ? { error: own(rule.error) } : {};
      this.#retire(this.#lane(crashed._flowId), entry, moveRun(crashed, end, { endedAt: at, ...error }));
      entry.token = undefined;
    }
    return entry.run;
  }

  #outdatedRuns(rule: PruneRule): RunEntry[] {
    const endedBefore = isoOf(rule.endedBefore);
    const outdated: RunEntry[] = [];
    for (const { runs } of this.#lanes.values()) {
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
    const lane = this.#lane(entry.run._flowId);
    lane.runs.remove(entry);
    this.#runLog.remove(entry);
    this.#runs.delete(entry.run._id);
    if (lane.runs.size === 0) this.#lanes.delete(entry.run._flowId);
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

  #append(arrival: Arrival, start: RunStart, dedupeAfter: number): AppendedFlow {
    let inbox = this.#inboxes.get(start._flowId);
    if (inbox === undefined) this.#inboxes.set(start._flowId, (inbox = new MemoryInbox()));
    const duplicates = inbox.add(arrival, ++this.#seq, dedupeAfter);
    const flow = this.#flows.get(start._flowId);
    const waits = this.#lanes.get(start._flowId)?.waiting.some(isRealtime) ?? false;
    if (flow === undefined || waits || inbox.pages.size === 0 || this.#runs.has(start._id))
      return { _flowId: start._flowId, duplicates };
    return { _flowId: start._flowId, duplicates, run: this.#queue(start, flow) };
  }
}

/** A flow's waiting line (oldest first), its active run and all its runs that are remembered. */
interface Lane {
  readonly waiting: RunEntry[];
  readonly runs: Sequence<RunEntry>;
  active: RunEntry | undefined;
  /** Runs up to this place are those of a flow with the same id that was deleted. */
  bornAfter: number;
}

interface RunEntry {
  readonly seq: number;
  run: Run;
  /** Who holds it, or held it when it ended. */
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

function listed<T>(entries: Iterable<T>, limit: number, cursor: (entry: T) => string): Listed<T> {
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
