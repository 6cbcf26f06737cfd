import { itemAt } from "../../model/item-at.ts";
import { type Failure, type FailureStatus, foldedFailure } from "../../model/failure.ts";
import {
  type Condition,
  type Transaction,
  type TransactionBody,
  type SqlValue,
  type Statement,
  along,
  eachTime,
  execute,
  leaderOf,
  rowOf,
  rowsOf,
  statement,
  whereOf,
} from "./database.ts";
import { mostListed } from "../../model/record/size.ts";
import { isoOf, placeOf } from "../documents.ts";
import { lockFlowsOfFailures } from "./locks.ts";
import { storeValue } from "./values/record-text.ts";
import { type FailureRow, failureColumns, failureOf, failureValues, writtenFailureColumns } from "./rows.ts";
import { type ReportUnreadable, UnreadableRowError, allReadable, objectIn, readable } from "./values/unreadable.ts";
import type { FailureQuery, OpenKey, OpenKeyQuery } from "../storage.ts";

/** How many ids one statement names at most. */
export const idsPerStatement = 512;

/** Asks for {@link FailureRow}s. */
export function failureById(_id: string): Statement {
  return statement(`select ${failureColumns} from poundlock_failures where id = ?`, _id);
}

/** Asks for {@link FailureRow}s up to and including `through`: several statements if it names many ids. */
export function failuresMatching(query: FailureQuery, through: number): readonly Statement[] {
  return selectFailures(failureColumns, query, through);
}

/** Asks for {@link SizeRow}s, each statement for at most one more than the query's limit. */
export function failureSizes(query: FailureQuery): readonly Statement[] {
  return selectFailures(`seq, ${weight} as weight`, query, undefined);
}

/** How much of a failure's row is its records. */
export interface SizeRow {
  readonly seq: number;
  readonly weight: number;
}

const weight = ["record", "record_bytes", "original", "original_bytes"]
  .map((name) => `coalesce(octet_length(${name}), 0)`)
  .join(" + ");

/** The last failure of the page that these are candidates for; undefined if there is none. */
export function lastFailureFor(limit: number, rows: readonly SizeRow[]): number | undefined {
  let bytes = 0;
  const end = rows.slice(0, limit).findIndex((row, index) => (bytes += row.weight) > mostListed && index > 0);
  return rows[(end < 0 ? Math.min(limit, rows.length) : end) - 1]?.seq;
}

function selectFailures(selected: string, query: FailureQuery, through: number | undefined): readonly Statement[] {
  const { limit, after, status, _ids, _flowId, _exportId, _importId, _runId, _integrationId, _connectorId } = query;
  const columns = [
    ["run_id", _runId],
    ["flow_id", _flowId],
    ["import_id", _importId],
    ["integration_id", _integrationId],
    ["connector_id", _connectorId],
  ] as const;
  // Of chosen ids, and of one key, there are few.
  const leader = _ids === undefined && query.key === undefined ? leaderOf(columns) : undefined;
  const place = after === undefined ? undefined : placeOf(after, 0);
  const { conditions, order } = along(leader, {
    seq: _ids === undefined ? "seq" : "seq + 0",
    place,
    through,
    descending: false,
  });
  const all: readonly Condition[] = [
    ["record_key = ?", query.key],
    ...conditions,
    // Something added keeps their indexes out of it.
    ...columns
      .filter(([column]) => column !== leader?.[0])
      .map(([column, value]) => [`${column} || '' = ?`, value] as const),
    ["export_id || '' = ?", _exportId],
    ["fault = ?", query.fault],
    ["retry_at + 0 <= ?", query.retryUntil],
  ];
  const fixed = status === undefined ? [] : [ofStatus[status]];
  const select = (ids: readonly string[]) => {
    const { where, values } = whereOf(all, ids.length === 0 ? fixed : [isOneOf(ids.length), ...fixed]);
    const sql = `select ${selected} from poundlock_failures${where} order by ${order} limit ?`;
    return statement(sql, ...ids, ...values, limit + 1);
  };
  return _ids === undefined ? [select([])] : portionsOf([...new Set(_ids)]).map(select);
}

/** Asks for {@link OpenKeyRow}s, at most one more than the query's limit. */
export function openKeysMatching({ _flowId, _importId, _exportId, after, limit }: OpenKeyQuery): Statement {
  return statement(
    `select seq, id, record_key, version from poundlock_failures
      where flow_id = ? and import_id = ? and export_id = ? and status = 'open' and seq > ? order by seq limit ?`,
    ...[_flowId, _importId, _exportId, placeOf(after, 0), limit + 1],
  );
}

/** An open failure without its record. */
export interface OpenKeyRow {
  readonly seq: number;
  readonly id: string;
  readonly record_key: string;
  readonly version: string | null;
}

/** The open key that a row holds. A version that cannot be read is none, so that what settles last counts, and is reported. */
export function openKeyOf({ id, record_key, version }: OpenKeyRow, report: ReportUnreadable): OpenKey {
  const state = version === null ? undefined : readable(() => ({ version: versionIn(id, version) }), report);
  return { _id: id, key: record_key, ...state };
}

function versionIn(_id: string, text: string): string | number {
  try {
    return JSON.parse(text) as string | number;
  } catch {
    throw new UnreadableRowError("failures", _id, "its version is not JSON");
  }
}

/** Asks for `import_id` and `size`. */
export function openSizes(_flowId: string): Statement {
  return statement(
    `select x.import_id, count(*) as size from poundlock_failures x where x.flow_id = ? and x.status = 'open'
      and exists (select 1 from poundlock_places p
        where p.flow_id = x.flow_id and p.import_id = x.import_id ${eachTime})
      group by x.import_id`,
    _flowId,
  );
}

/** Asks for `flow_id` and `import_id`. */
export function retriesDue(until: number, limit: number): Statement {
  return statement(
    `select x.flow_id, x.import_id from poundlock_failures x
      where x.status = 'open' and x.retry_at is not null and x.retry_at <= ?
      and (select f.disabled from poundlock_flows f where f.id = x.flow_id and f.export_id = x.export_id) = 0
      and exists (select 1 from poundlock_places p
        where p.flow_id = x.flow_id and p.import_id = x.import_id and p.pause is null ${eachTime})
      and not exists (select 1 from poundlock_failures e where e.flow_id = x.flow_id and e.import_id = x.import_id
        and e.export_id = x.export_id and e.status = 'open' and e.seq < x.seq and e.retry_at <= ? ${eachTime}) limit ?`,
    ...[until, until, limit],
  );
}

/** Asks for one `retry_at`. */
export function earliestRetry(after: number): Statement {
  return statement(
    `select retry_at from poundlock_failures where status = 'open' and retry_at is not null and retry_at > ?
      order by retry_at limit 1`,
    after,
  );
}

/** @see FailureStorage.resolveFailures */
export function resolveFailures(_ids: readonly string[], at: number): Transaction<readonly Failure[]> {
  const asked = [...new Set(_ids)];
  return function* () {
    const resolved = new Map<string, Failure>();
    for (const ids of portionsOf(asked)) {
      yield* lockFlowsOfFailures(ids);
      const rows = yield* rowsOf<FailureRow>(
        `update poundlock_failures set status = 'resolved', resolved_at = ?, resolved_by = 'person', retry_at = null
          where ${isOpen} and ${isOneOf(ids.length)} returning ${failureColumns}`,
        ...[at, ...ids],
      );
      for (const failure of allReadable(rows, failureOf)) resolved.set(failure._id, failure);
    }
    return asked.flatMap((_id) => resolved.get(_id) ?? []);
  };
}

/** @see FailureStorage.editFailure */
export function editFailure(
  _id: string,
  { record, at }: { readonly record: unknown; readonly at: number },
): Transaction<Failure | undefined> {
  const kept = storeValue(record);
  const editedAt = isoOf(at);
  return function* () {
    yield* lockFlowsOfFailures([_id]);
    const row = yield* rowOf<FailureRow>(
      `select ${failureColumns} from poundlock_failures f where id = ? and ${isOpen}
        and not exists (select 1 from poundlock_runs r where r.flow_id = f.flow_id and r.stage = 1 and r.cause = 'retry' ${eachTime})`,
      _id,
    );
    // What a retry has read before it would replace the edit, or remove it as delivered.
    if (row === undefined) return undefined;
    const before = objectIn("failures", row.id, row.doc) as Failure;
    const first =
      before.editedAt === undefined
        ? { text: row.record, bytes: row.record_bytes }
        : { text: row.original, bytes: row.original_bytes };
    const edited = yield* rowOf<FailureRow>(
      `update poundlock_failures set doc = ?, record = ?, record_bytes = ?, original = ?, original_bytes = ?
        where seq = ? returning ${failureColumns}`,
      ...[JSON.stringify({ ...before, editedAt }), kept.text, kept.bytes, first.text, first.bytes, row.seq],
    );
    return edited === undefined ? undefined : failureOf(edited);
  };
}

/** A failure, and what `failureValues` made of it before the transaction. */
export interface FailureToKeep {
  readonly failure: Failure;
  readonly values: readonly SqlValue[];
}

const insertFailure = `insert into poundlock_failures (${writtenFailureColumns.join(", ")})
  values (${writtenFailureColumns.map(() => "?").join(", ")}) on conflict do nothing returning seq`;

const updateFailure = `update poundlock_failures set ${writtenFailureColumns.map((name) => `${name} = ?`).join(", ")}
  where seq = ?`;

/** Stores the failures of a page, each folded into the open one under its key; returns them as they are stored. */
export function* keepFailures(failures: readonly FailureToKeep[]): TransactionBody<readonly Failure[]> {
  const stored: Failure[] = [];
  for (const { failure, values } of failures) {
    const inserted = yield* rowOf(insertFailure, ...values);
    stored.push(inserted === undefined ? yield* foldFailure(failure) : failure);
  }
  return stored;
}

function* foldFailure(failure: Failure): TransactionBody<Failure> {
  const { _exportId, _flowId, _id, _importId, key } = failure;
  const known =
    (yield* rowOf<FailureRow>(`select ${failureColumns} from poundlock_failures where id = ?`, _id)) ??
    (yield* rowOf<FailureRow>(
      `select ${failureColumns} from poundlock_failures
        where flow_id = ? and import_id = ? and export_id = ? and record_key = ? and status = 'open'`,
      ...[_flowId, _importId, _exportId, key],
    ));
  if (known === undefined) return failure;
  const before = readable(() => failureOf(known));
  // What cannot be read would keep every record with its key from being stored.
  if (before === undefined) {
    const replaced = Object.freeze({ ...failure, _id: known.id });
    yield* execute(updateFailure, ...failureValues(replaced), known.seq);
    return replaced;
  }
  // What somebody has resolved stays resolved.
  if (before.status !== "open") return before;
  const folded = foldedFailure(before, failure);
  yield* execute(updateFailure, ...failureValues(folded), known.seq);
  return folded;
}

/** Resolves the open failures among these, whose records were delivered since. */
export function* supersede(_ids: readonly string[], at: number): TransactionBody<void> {
  for (const ids of portionsOf(_ids))
    yield* execute(
      `update poundlock_failures set status = 'resolved', resolved_at = ?, resolved_by = 'delivery', retry_at = null
        where ${isOpen} and ${isOneOf(ids.length)}`,
      ...[at, ...ids],
    );
}

/** Resolves the flow's open failures at imports that it has no more. */
export function* resolveOfImports(_flowId: string, _importIds: readonly string[], at: number): TransactionBody<void> {
  for (const _importId of _importIds)
    yield* execute(
      `update poundlock_failures set status = 'resolved', resolved_at = ?, resolved_by = 'removed', retry_at = null
        where flow_id = ? and import_id = ? and status = 'open'`,
      ...[at, _flowId, _importId],
    );
}

/** Removes failures; those that are not there are left out. */
export function* deleteFailures(_ids: readonly string[]): TransactionBody<void> {
  for (const ids of portionsOf(_ids))
    yield* execute(`delete from poundlock_failures where ${isOneOf(ids.length)}`, ...ids);
}

// An index of some rows is found by the words that it was made with, so these stand in the text.
const ofStatus: Readonly<Record<FailureStatus, string>> = { open: "status = 'open'", resolved: "status = 'resolved'" };

// Beside ids, where the indexes of open failures are of no use.
const isOpen = "status || '' = 'open'";

function isOneOf(size: number): string {
  return `id in (${Array.from({ length: size }, () => "?").join(", ")})`;
}

// Sizes are powers of two, the last id again and again to fill one up: few statements are kept prepared.
function portionsOf(_ids: readonly string[]): readonly (readonly string[])[] {
  const portions: string[][] = [];
  for (let start = 0; start < _ids.length; start += idsPerStatement) {
    const portion = _ids.slice(start, start + idsPerStatement);
    const size = 2 ** Math.ceil(Math.log2(portion.length));
    const last = itemAt(portion, portion.length - 1);
    portions.push([...portion, ...Array.from({ length: size - portion.length }, () => last)]);
  }
  return portions;
}
