import { newRun } from "../../model/run.ts";
import { type StoredValue, readValue, storeValue } from "./record-text.ts";
import {
  type Transaction,
  type TransactionBody,
  type Statement,
  execute,
  rowOf,
  rowsOf,
  statement,
} from "./database.ts";
import { type FlowRow, flowColumns, flowOf } from "./rows.ts";
import { enqueue } from "./runs.ts";
import type { AppendInboxResult, AppendInboxFlowResult, Arrival, InboxPage, InboxRule } from "../storage.ts";

/** @see InboxStorage.appendInbox */
export function appendInbox(
  arrival: Arrival,
  { maxInboxPages, dedupeAfter }: InboxRule,
): Transaction<AppendInboxResult> {
  const { _id, _exportId, at } = arrival;
  const ids = arrival.ids?.map(storedId);
  const records = [...arrival.records];
  // In most arrivals nothing is known before, and all of it is stored for every flow.
  const whole = storeValue(records);
  const starts = arrival.starts.map((start) => ({ ...start }));
  return function* () {
    const takers: { readonly start: (typeof starts)[number]; readonly row: TakerRow }[] = [];
    for (const start of starts) {
      const row = yield* findTaker(start._flowId, { _exportId, arrivalId: _id, runId: start._id });
      if (row === undefined) continue;
      if (row.known === null && row.inbox_pages >= maxInboxPages) return { outcome: "full", _flowId: start._flowId };
      takers.push({ start, row });
    }
    const flows: AppendInboxFlowResult[] = [];
    for (const { start, row } of takers) {
      const { _flowId } = start;
      const fresh = row.known === null ? yield* unseen(_flowId, { ids, size: records.length, at, dedupeAfter }) : [];
      const duplicates = row.known === null ? records.length - fresh.length : 0;
      if (fresh.length > 0) {
        const kept = duplicates === 0 ? whole : storeValue(fresh.map((index) => records[index]));
        yield* addPage(_flowId, {
          arrivalId: _id,
          ids: ids && fresh.map((index) => ids[index] ?? ""),
          size: fresh.length,
          kept,
        });
      }
      const isEmpty = row.inbox_pages === 0 && fresh.length === 0;
      if (row.waits !== null || row.started !== null || isEmpty) flows.push({ _flowId, duplicates });
      else {
        const run = newRun(start, flowOf(row));
        yield* enqueue(run);
        flows.push({ _flowId, duplicates, run });
      }
    }
    return { outcome: "appended", flows };
  };
}

/** Asks for the `seq` and `size` of pages. One holds one record or more, so no more pages are wanted than records. */
export function inboxSizes(_flowId: string, after: number, maxRecords: number): Statement {
  return statement(
    `select seq, size from poundlock_inbox where flow_id = ? and seq > ? order by seq limit ?`,
    ...[_flowId, after, maxRecords],
  );
}

/** The last page that is needed for so many records, by the answer of {@link inboxSizes}; undefined if there is none. */
export function lastPageFor(
  maxRecords: number,
  rows: readonly { readonly seq: number; readonly size: number }[],
): number | undefined {
  let records = 0;
  for (const { seq, size } of rows) {
    records += size;
    if (records >= maxRecords) return seq;
  }
  return rows.at(-1)?.seq;
}

/** Asks for {@link InboxRow}s: of pages after one, up to and including another one. */
export function inboxPages(_flowId: string, after: number, through: number): Statement {
  return statement(
    `select seq, arrival_id, ids, records, records_bytes from poundlock_inbox
      where flow_id = ? and seq > ? and seq <= ? order by seq`,
    ...[_flowId, after, through],
  );
}

/** One page of an inbox, and what it takes to know its keys. */
export interface InboxRow {
  readonly seq: number;
  readonly arrival_id: string;
  /** JSON: for each record its event id; null if they came without. */
  readonly ids: string | null;
  readonly records: string | null;
  readonly records_bytes: Uint8Array | null;
}

/** The page that a row holds. */
export function inboxPageOf({ seq, arrival_id, ids, records: text, records_bytes: bytes }: InboxRow): InboxPage {
  const records = readValue({ text, bytes }) as readonly unknown[];
  const keys = ids === null ? records.map((_, index) => `${arrival_id}/${index}`) : (JSON.parse(ids) as string[]);
  return Object.freeze({ cursor: String(seq), records, keys: Object.freeze(keys) });
}

/** Removes pages up to and including one. */
export function* settleInbox(_flowId: string, through: number): TransactionBody<void> {
  const removed = yield* rowsOf(
    `delete from poundlock_inbox where flow_id = ? and seq <= ? returning seq`,
    ...[_flowId, through],
  );
  if (removed.length > 0)
    yield* execute(`update poundlock_flows set inbox_pages = inbox_pages - ? where id = ?`, removed.length, _flowId);
}

/** Asks for `id`s. */
export function flowsUnread(limit: number, after = ""): Statement {
  return statement(
    `select f.id from poundlock_flows f where f.inbox_pages > 0 and f.disabled = 0 and f.id > ?
      and not exists (select 1 from poundlock_runs w where w.flow_id = f.id and w.stage = 0 and w.cause = 'realtime')
      and not exists (select 1 from poundlock_runs a where a.flow_id = f.id and a.stage = 1 and a.cause = 'realtime')
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
  const fresh: number[] = [];
  for (const [index, id] of ids.entries()) {
    const row = yield* rowOf(
      `insert into poundlock_events (flow_id, id, seen_at) values (?, ?, ?)
        on conflict (flow_id, id) do update set seen_at = excluded.seen_at where poundlock_events.seen_at < ?
        returning seen_at`,
      ...[_flowId, id, at, dedupeAfter],
    );
    // Seen within this very arrival, before the window, it was written a moment ago with the same time.
    if (row !== undefined && !(at < dedupeAfter && ids.indexOf(id) < index)) fresh.push(index);
  }
  // As many as came, and some more: what is outdated never grows, and no arrival pays for all of it.
  yield* execute(
    `delete from poundlock_events where flow_id = ? and id in (
      select id from poundlock_events where flow_id = ? and seen_at < ? order by seen_at limit ?)`,
    ...[_flowId, _flowId, dedupeAfter, ids.length + 10],
  );
  return fresh;
}

function* addPage(
  _flowId: string,
  page: {
    readonly arrivalId: string;
    readonly ids: readonly string[] | undefined;
    readonly size: number;
    readonly kept: StoredValue;
  },
): TransactionBody<void> {
  const { arrivalId, ids, size, kept } = page;
  // Counted first: where other transactions go on at the same time, they wait for this row, and so pages of an inbox
  // are numbered in the order in which they are committed. A run that settles up to a page has seen all before it.
  yield* execute(`update poundlock_flows set inbox_pages = inbox_pages + 1 where id = ?`, _flowId);
  yield* execute(
    `insert into poundlock_inbox (flow_id, arrival_id, size, ids, records, records_bytes) values (?, ?, ?, ?, ?, ?)`,
    ...[_flowId, arrivalId, size, ids === undefined ? null : `[${ids.join(",")}]`, kept.text, kept.bytes],
  );
}

// As JSON, which has a way to write what no text column takes, such as half a surrogate pair.
function storedId(id: string): string {
  return JSON.stringify(id);
}
