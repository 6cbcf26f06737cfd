import { itemAt } from "../../model/item-at.ts";
import { createHash } from "node:crypto";
import { importIdsOf } from "../../model/flow/flow.ts";
import { type RunStart, newRun } from "../../model/run.ts";
import { type StoredValue, storeValue } from "../record-text.ts";
import {
  type Stretch,
  type Transaction,
  type TransactionBody,
  type Statement,
  along,
  eachTime,
  execute,
  rowOf,
  rowsOf,
  statement,
  whereOf,
} from "./database.ts";
import { failurePortions, failureToKeep } from "./failures/failure-portions.ts";
import { keepFailures } from "./failures/keep-failures.ts";
import { lockFlow, lockFlows } from "./locks.ts";
import { CauseChanges } from "./totals/causes.ts";
import { type FlowRow, flowColumns, flowOf, storedIn } from "./rows.ts";
import { isLivingFlow } from "./values/deleted.ts";
import { UnreadableRowError, readable } from "./values/unreadable.ts";
import { enqueue } from "./runs.ts";
import type { AppendInboxFlowResult, AppendInboxResult, Arrival, InboxDrop, InboxPage, InboxRule } from "../storage.ts";

/** @see InboxStorage.appendInbox */
export function appendInbox(arrival: Arrival, rule: InboxRule): Transaction<AppendInboxResult> {
  const { _id, _exportId, at, origin } = arrival;
  const ids = arrival.ids?.map(storedId);
  const records = [...arrival.records];
  // In most arrivals nothing is known before, and all of it is stored for every flow.
  const page = { _id, at, ids, origin, records, whole: storeValue(records) };
  const starts = arrival.starts.map((start) => ({ ...start }));
  const failures = (arrival.failures ?? []).map(failureToKeep);
  return function* () {
    yield* lockFlows(starts.map(({ _flowId }) => _flowId));
    const takers: Taker[] = [];
    for (const start of starts) {
      const row = yield* findTaker(start._flowId, { _exportId, arrivalId: _id, runId: start._id });
      if (row === undefined) continue;
      if (row.known === null && row.inbox_pages >= rule.maxInboxPages && records.length > 0)
        return { outcome: "full", _flowId: start._flowId, _importId: yield* slowestImport(start._flowId) };
      takers.push({ start, row });
    }
    const flowIds = new Set(takers.map(({ start }) => start._flowId));
    const changes = new CauseChanges();
    const wanted = failures.filter(({ failure }) => flowIds.has(failure._flowId));
    yield* keepFailures(failurePortions(wanted), changes);
    yield* changes.apply();
    const flows: AppendInboxFlowResult[] = [];
    for (const taker of takers) flows.push(yield* appendFor(taker, page, rule));
    return { outcome: "appended", flows };
  };
}

interface Taker {
  readonly start: RunStart;
  readonly row: TakerRow;
}

interface ArrivedPage {
  readonly _id: string;
  readonly at: number;
  readonly ids: readonly string[] | undefined;
  readonly origin: string | undefined;
  readonly records: readonly unknown[];
  readonly whole: StoredValue;
}

function* appendFor(
  { start, row }: Taker,
  { _id, at, ids, origin, records, whole }: ArrivedPage,
  { dedupeAfter }: InboxRule,
): TransactionBody<AppendInboxFlowResult> {
  const { _flowId } = start;
  const fresh = row.known === null ? yield* unseen(_flowId, { ids, size: records.length, at, dedupeAfter }) : [];
  const duplicates = row.known === null ? records.length - fresh.length : 0;
  if (fresh.length > 0) {
    const kept = duplicates === 0 ? whole : storeValue(fresh.map((index) => records[index]));
    const freshIds = ids && fresh.map((index) => itemAt(ids, index));
    yield* addPage(_flowId, { arrivalId: _id, at, ids: freshIds, origin, size: fresh.length, kept });
  }
  const appended = { _flowId, duplicates, pages: row.inbox_pages + (fresh.length > 0 ? 1 : 0) };
  if (row.waits !== null || row.started !== null || !(yield* isWanted(_flowId, at))) return appended;
  const flow = readable(() => flowOf(row));
  if (flow === undefined) return appended;
  const run = newRun(start, flow);
  yield* enqueue(run);
  return { ...appended, run };
}

/** An import, named `m` with its place `p`, has pages of flow `f` to settle. */
const hasUnread = `exists (select 1 from poundlock_inbox x where x.flow_id = m.flow_id and x.seq > coalesce(p.inbox, 0)
  and x.size > 0
  and not exists (select 1 from poundlock_drops d
    where d.flow_id = x.flow_id and d.page_seq = x.seq and d.import_id = m.import_id ${eachTime}) ${eachTime})`;

// An import that is not paused has pages to settle.
function* isWanted(_flowId: string, now: number): TransactionBody<boolean> {
  const wanted = yield* rowOf(
    `select 1 from poundlock_flow_imports m
      left join poundlock_places p on p.flow_id = m.flow_id and p.import_id = m.import_id
      where m.flow_id = ? and (p.pause is null or p.resume_at <= ?) and ${hasUnread} limit 1`,
    ...[_flowId, now],
  );
  return wanted !== undefined;
}

function* slowestImport(_flowId: string): TransactionBody<string> {
  const row = yield* rowOf<FlowRow>(`select ${flowColumns} from poundlock_flows where id = ?`, _flowId);
  const flow = row && readable(() => flowOf(row));
  const rows = yield* rowsOf<{ import_id: string; inbox: number }>(
    `select import_id, inbox from poundlock_places where flow_id = ? order by import_id`,
    _flowId,
  );
  const places = new Map(rows.map(({ import_id, inbox }) => [import_id, inbox]));
  const order = flow === undefined ? [...places.keys()] : importIdsOf(flow);
  let slowest = { _importId: order[0] ?? "", inbox: Infinity };
  for (const _importId of order) {
    const inbox = places.get(_importId) ?? 0;
    if (inbox < slowest.inbox) slowest = { _importId, inbox };
  }
  return slowest._importId;
}

/** @see InboxStorage.dropInbox */
export function dropInbox(_flowId: string, { _ids, _importId }: InboxDrop): Transaction<readonly string[]> {
  const asked = [...new Set(_ids)];
  return function* () {
    yield* lockFlow(_flowId);
    const dropped: string[] = [];
    for (const _id of asked) {
      const page = yield* rowOf<{ seq: number }>(
        `select seq from poundlock_inbox where flow_id = ? and arrival_id = ? and ${isLivingFlow}`,
        ...[_flowId, _id, _flowId],
      );
      if (page === undefined) continue;
      dropped.push(_id);
      if (_importId !== undefined)
        yield* execute(
          `insert into poundlock_drops (flow_id, page_seq, import_id) values (?, ?, ?) on conflict do nothing`,
          ...[_flowId, page.seq, _importId],
        );
      if (_importId === undefined || !(yield* isAwaited(_flowId, page.seq))) yield* removePage(_flowId, page.seq);
    }
    return dropped;
  };
}

function* isAwaited(_flowId: string, seq: number): TransactionBody<boolean> {
  const awaited = yield* rowOf(
    `select 1 from poundlock_flow_imports m
      left join poundlock_places p on p.flow_id = m.flow_id and p.import_id = m.import_id
      where m.flow_id = ? and coalesce(p.inbox, 0) < ? and not exists (select 1 from poundlock_drops d
        where d.flow_id = m.flow_id and d.page_seq = ? and d.import_id = m.import_id ${eachTime}) limit 1`,
    ...[_flowId, seq, seq],
  );
  return awaited !== undefined;
}

function* removePage(_flowId: string, seq: number): TransactionBody<void> {
  yield* execute(`delete from poundlock_inbox where flow_id = ? and seq = ?`, _flowId, seq);
  yield* execute(`delete from poundlock_drops where flow_id = ? and page_seq = ?`, _flowId, seq);
  yield* execute(`update poundlock_flows set inbox_pages = inbox_pages - 1 where id = ?`, _flowId);
}

/** Bytes that the pages of one read may have, roughly, beyond the first page. */
const mostBytes = 16 * 2 ** 20;

/** Asks for the `seq`, `size` and `weight` of pages. One holds one record or more, so no more pages are wanted than records. */
export function inboxSizes(_flowId: string, after: number, maxRecords: number): Statement {
  return statement(
    `select seq, size, weight from poundlock_inbox where flow_id = ? and seq > ? and size > 0 and ${isLivingFlow}
      order by seq limit ?`,
    ...[_flowId, after, _flowId, maxRecords],
  );
}

/** The last page that is needed for so many records, by what {@link inboxSizes} asks for; undefined if there is none. */
export function lastPageFor(
  maxRecords: number,
  rows: readonly { readonly seq: number; readonly size: number; readonly weight: number }[],
): number | undefined {
  let records = 0;
  let bytes = 0;
  let last: number | undefined;
  for (const { seq, size, weight } of rows) {
    bytes += weight;
    if (last !== undefined && bytes > mostBytes) return last;
    last = seq;
    records += size;
    if (records >= maxRecords) return last;
  }
  return last;
}

/** Asks for {@link InboxRow}s: of pages after one, up to and including another one. */
export function inboxPages(_flowId: string, stretch: Omit<Stretch, "descending">): Statement {
  const { conditions, order } = along(["flow_id", _flowId], { ...stretch, descending: false });
  const { where, values } = whereOf(conditions, ["size > 0"]);
  return statement(
    `select seq, arrival_id, arrived_at, ids, origin, records, records_bytes from poundlock_inbox${where} order by ${order}`,
    ...values,
  );
}

/**
 * Takes a page that cannot be read out of what is read and settled: a size below zero. It stays until it is dropped, for
 * somebody who can repair it.
 */
export function setAside(_flowId: string, seq: number): Transaction<void> {
  return function* () {
    yield* lockFlow(_flowId);
    yield* execute(
      `update poundlock_inbox set size = -size where flow_id = ? and seq = ? and size > 0`,
      ...[_flowId, seq],
    );
  };
}

/** One page of an inbox, and what it takes to know its keys. */
export interface InboxRow {
  readonly seq: number;
  readonly arrival_id: string;
  readonly arrived_at: number;
  /** JSON: for each record its event id; null if they came without. */
  readonly ids: string | null;
  readonly origin: string | null;
  readonly records: string | null;
  readonly records_bytes: Uint8Array | null;
}

/** Asks for `page_seq` and `import_id`: pages that were dropped for an import, from the same range. */
export function inboxDrops(_flowId: string, after: number, through: number): Statement {
  return statement(
    `select page_seq, import_id from poundlock_drops where flow_id = ? and page_seq > ? and page_seq <= ?
      order by page_seq, import_id`,
    ...[_flowId, after, through],
  );
}

/** A page that was dropped for an import. */
export interface DropRow {
  readonly page_seq: number;
  readonly import_id: string;
}

/**
 * The page that a row holds.
 *
 * @throws UnreadableRowError
 */
export function inboxPageOf(row: InboxRow, drops: readonly DropRow[]): InboxPage {
  const { seq, arrival_id, arrived_at, origin, records: text, records_bytes: bytes } = row;
  const records = storedIn("inbox", arrival_id, { text, bytes });
  const keys = Array.isArray(records) ? keysIn(row, records) : undefined;
  if (!Array.isArray(records) || keys?.length !== records.length)
    throw new UnreadableRowError("inbox", arrival_id, "its records or their keys are damaged");
  const droppedFor = drops.filter(({ page_seq }) => page_seq === seq).map(({ import_id }) => import_id);
  return Object.freeze({
    ...{ _id: arrival_id, cursor: String(seq), at: arrived_at, records, keys: Object.freeze(keys) },
    ...(origin === null ? {} : { origin }),
    ...(droppedFor.length === 0 ? {} : { droppedFor: Object.freeze(droppedFor) }),
  });
}

function keysIn({ arrival_id, ids }: InboxRow, records: readonly unknown[]): readonly string[] {
  if (ids === null) return records.map((_, index) => `${arrival_id}/${index}`);
  return storedIn("inbox", arrival_id, { text: ids, bytes: null }) as readonly string[];
}

/** Removes the pages that each import of the flow has settled or is not to get. */
export function* removeSettled(_flowId: string): TransactionBody<void> {
  const slowest = yield* rowOf<{ through: number | null }>(
    `select min(coalesce(p.inbox, 0)) as through from poundlock_flow_imports m
      left join poundlock_places p on p.flow_id = m.flow_id and p.import_id = m.import_id where m.flow_id = ?`,
    _flowId,
  );
  const through = slowest?.through ?? 0;
  if (through > 0) yield* removeThrough(_flowId, through);
  const dropped = yield* rowsOf<{ page_seq: number }>(
    `select page_seq from poundlock_drops where flow_id = ? and page_seq > ? group by page_seq`,
    ...[_flowId, through],
  );
  for (const { page_seq } of dropped) if (!(yield* isAwaited(_flowId, page_seq))) yield* removePage(_flowId, page_seq);
}

function* removeThrough(_flowId: string, through: number): TransactionBody<void> {
  const removed = yield* rowsOf(
    `delete from poundlock_inbox where flow_id = ? and seq <= ? and size > 0 returning seq`,
    ...[_flowId, through],
  );
  if (removed.length === 0) return;
  yield* execute(`delete from poundlock_drops where flow_id = ? and page_seq <= ?`, _flowId, through);
  yield* execute(`update poundlock_flows set inbox_pages = inbox_pages - ? where id = ?`, removed.length, _flowId);
}

/** Asks for `id`s. */
export function flowsUnread(limit: number, after = ""): Statement {
  return statement(
    `select f.id from poundlock_flows f where f.inbox_pages > 0 and f.disabled = 0 and f.id > ?
      and not exists (select 1 from poundlock_runs w
        where w.flow_id = f.id and w.stage = 0 and w.cause = 'realtime' ${eachTime})
      and not exists (select 1 from poundlock_runs a
        where a.flow_id = f.id and a.stage = 1 and a.cause = 'realtime' ${eachTime})
      and exists (select 1 from poundlock_flow_imports m
        left join poundlock_places p on p.flow_id = m.flow_id and p.import_id = m.import_id
        where m.flow_id = f.id and p.pause is null and ${hasUnread} ${eachTime})
      order by f.id limit ?`,
    ...[after, limit],
  );
}

interface TakerRow extends FlowRow {
  readonly inbox_pages: number;
  /** The arrival waits in the inbox already. */
  readonly known: number | null;
  /** A realtime run waits already. */
  readonly waits: number | null;
  /** There is a run with the start's id. */
  readonly started: number | null;
}

function* findTaker(
  _flowId: string,
  { _exportId, arrivalId, runId }: { readonly _exportId: string; readonly arrivalId: string; readonly runId: string },
): TransactionBody<TakerRow | undefined> {
  return yield* rowOf<TakerRow>(
    `select ${flowColumns}, inbox_pages,
        (select i.seq from poundlock_inbox i where i.flow_id = f.id and i.arrival_id = ?) as known,
        (select w.seq from poundlock_runs w
          where w.flow_id = f.id and w.stage = 0 and w.cause = 'realtime' limit 1) as waits,
        (select r.seq from poundlock_runs r where r.id = ?) as started
      from poundlock_flows f where f.id = ? and f.disabled = 0 and f.export_id = ?`,
    ...[arrivalId, runId, _flowId, _exportId],
  );
}

// The places of the records whose event id was not seen at or after `dedupeAfter`, in this arrival or an earlier one.
function* unseen(
  _flowId: string,
  { ids, size, at, dedupeAfter }: { ids: readonly string[] | undefined; size: number; at: number; dedupeAfter: number },
): TransactionBody<readonly number[]> {
  if (ids === undefined) return Array.from({ length: size }, (_, index) => index);
  // The first record of each id in this arrival: a second one is known, however short the window is.
  const places = new Map<string, number>();
  for (const [index, id] of ids.entries()) {
    const stored = eventIdOf(id);
    if (!places.has(stored)) places.set(stored, index);
  }
  const fresh: number[] = [];
  for (const some of portionsOf([...places.keys()])) {
    const rows = yield* rowsOf<{ id: string }>(
      rememberEvents(some.length),
      ...some.flatMap((id) => [_flowId, id, at]),
      dedupeAfter,
    );
    for (const { id } of rows) fresh.push(Number(places.get(id)));
  }
  // Rows are returned in an order of the database's.
  fresh.sort((one, other) => one - other);
  // As many as came, and some more: what is outdated never grows, and no arrival pays for all of it.
  yield* execute(
    `delete from poundlock_events where flow_id = ? and id in (
      select id from poundlock_events where flow_id = ? and seen_at < ? order by seen_at limit ?)`,
    ...[_flowId, _flowId, dedupeAfter, ids.length + 10],
  );
  return fresh;
}

function rememberEvents(size: number): string {
  const rows = Array.from({ length: size }, () => "(?, ?, ?)").join(", ");
  return `insert into poundlock_events (flow_id, id, seen_at) values ${rows}
    on conflict (flow_id, id) do update set seen_at = excluded.seen_at where poundlock_events.seen_at < ? returning id`;
}

/** Event ids of one statement. Few sizes, as statements are kept prepared. */
const eventPortions = [256, 16, 1];

function* portionsOf(ids: readonly string[]): Generator<readonly string[], void> {
  let start = 0;
  for (const size of eventPortions)
    for (; start + size <= ids.length; start += size) yield ids.slice(start, start + size);
}

function* addPage(
  _flowId: string,
  page: {
    readonly arrivalId: string;
    readonly at: number;
    readonly ids: readonly string[] | undefined;
    readonly origin: string | undefined;
    readonly size: number;
    readonly kept: StoredValue;
  },
): TransactionBody<void> {
  const { arrivalId, at, ids, origin = null, size, kept } = page;
  const weight = (kept.text?.length ?? 0) + (kept.bytes?.byteLength ?? 0);
  // The flow is locked, so pages of an inbox are numbered in the order in which they are committed: a run that settles
  // up to a page has seen all before it.
  yield* execute(`update poundlock_flows set inbox_pages = inbox_pages + 1 where id = ?`, _flowId);
  yield* execute(
    `insert into poundlock_inbox (flow_id, arrival_id, arrived_at, size, weight, ids, origin, records, records_bytes)
      values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[_flowId, arrivalId, at, size, weight, ids === undefined ? null : `[${ids.join(",")}]`, origin],
    ...[kept.text, kept.bytes],
  );
}

// As JSON, which has a way to write what no text column takes, such as half a surrogate pair.
function storedId(id: string): string {
  return JSON.stringify(id);
}

/** Bytes of an event id that are looked up as they are: an index of PostgreSQL has room for no more beside a flow's id. */
const longestEventId = 1_500;

function eventIdOf(stored: string): string {
  if (stored.length * 3 <= longestEventId || Buffer.byteLength(stored) <= longestEventId) return stored;
  return createHash("sha256").update(stored).digest("base64");
}
