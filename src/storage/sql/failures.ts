import { itemAt } from "../../model/item-at.ts";
import { type Failure, type FailureStatus } from "../../model/failure.ts";
import {
  type Condition,
  type Seek,
  type Transaction,
  type TransactionBody,
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
import { TextSearch } from "../../model/record/search.ts";
import { mostListed } from "../../model/record/size.ts";
import { isoOf, placeOf } from "../documents.ts";
import { lockFlowsOfFailures } from "./locks.ts";
import { storeValue } from "../record-text.ts";
import { type FailureDocument, type FailureRow, failureColumns, failureOf, versionIn } from "./rows.ts";
import { isDeletedFlow, isFailureThere, isLivingFlow, ofLivingFlow } from "./values/deleted.ts";
import { type ReportUnreadable, allReadable, objectIn, readable } from "./values/unreadable.ts";
import type { FailureQuery, OpenKey, OpenKeyQuery } from "../storage.ts";
import { CauseChanges, type CountedRow, afterPrefix, countedColumns, forgetCauses } from "./totals/causes.ts";

/** How many ids one statement names at most. */
export const idsPerStatement = 512;

/** Asks for {@link FailureRow}s. */
export function failureById(_id: string): Statement {
  return statement(`select ${failureColumns} from poundlock_failures where id = ? and ${isFailureThere}`, _id);
}

/** A part of a list: what comes after `place`, up to and including `last`. */
export interface FailureStretch {
  readonly place: number | undefined;
  readonly last: number | undefined;
  readonly seek: Seek;
}

/** A list, and whether its key is only looked at, because many begin so. */
export type Listing = FailureQuery & { readonly searched?: boolean };

/** Asks for {@link FailureRow}s: several statements if the query names many ids. */
export function failuresMatching(query: Listing, stretch: FailureStretch): readonly Statement[] {
  return selectFailures(failureColumns, query, stretch);
}

/** Asks for {@link SizeRow}s, each statement for at most one more than the query's limit. */
export function failureSizes(query: Listing, stretch: FailureStretch): readonly Statement[] {
  return selectFailures(`seq, ${failureWeight} as weight`, query, stretch);
}

/** Asks for `seq` and `id`, at most one more than the query's limit. */
export function failureIds(query: FailureQuery, stretch: FailureStretch): readonly Statement[] {
  return selectFailures("seq, id", query, stretch);
}

/** Asks how many failures a search looks at, and for the last one of them: at most `most` of those that an index finds. */
export function portionOf(query: FailureQuery, { place, last, seek }: FailureStretch, most: number): Statement {
  const { key, newestFirst: descending = false } = query;
  const leader = key === undefined ? leaderOf(leadersOf(query)) : undefined;
  const seq = key === undefined ? "seq" : "seq + 0";
  const { conditions, order } = along(leader, { seq, place, through: last, descending, seek });
  const { where, values } = whereOf([["record_key = ?", key], ...conditions], [isFailureThere]);
  const end = descending ? "min" : "max";
  return statement(
    `select count(*) as examined, ${end}(seq) as last
      from (select seq from poundlock_failures${where} order by ${order} limit ?) as portion`,
    ...[...values, most],
  );
}

/** Asks how many keys begin so, up to `most`. */
export function keysInRange(prefix: string, most: number): Statement {
  return statement(
    `select count(*) as size from (select 1 as one from poundlock_failures
      where record_key >= ? and record_key < ? limit ?) as portion`,
    ...[prefix, afterPrefix(prefix), most],
  );
}

/** Asks for the `seq` of the failure with this id, or of the one whose id comes before it. */
export function placeUpTo(_id: string): Statement {
  return statement(
    `select seq from poundlock_failures where id <= ? and ${isFailureThere} order by id desc limit 1`,
    _id,
  );
}

/** How much of a failure's row is its records. */
export interface SizeRow {
  readonly seq: number;
  readonly weight: number;
}

/** What a failure's row weighs in bytes: its records. */
export const failureWeight = ["record", "record_bytes", "original", "original_bytes"]
  .map((name) => `coalesce(octet_length(${name}), 0)`)
  .join(" + ");

/** The last failure of the page that these are candidates for; undefined if there is none. */
export function lastFailureFor(limit: number, rows: readonly SizeRow[]): number | undefined {
  let bytes = 0;
  const end = rows.slice(0, limit).findIndex((row, index) => (bytes += row.weight) > mostListed && index > 0);
  return rows[(end < 0 ? Math.min(limit, rows.length) : end) - 1]?.seq;
}

function selectFailures(selected: string, query: Listing, { place, last, seek }: FailureStretch): readonly Statement[] {
  const { _exportId, _ids, fault, key, keyPrefix, limit, newestFirst: descending = false, status } = query;
  const leaders = leadersOf(query);
  const byPrefix = isByPrefix(query);
  // Of chosen ids, and of one key, there are few.
  const isFew = _ids !== undefined || byPrefix || key !== undefined;
  const leader = isFew ? undefined : leaderOf(leaders);
  const seq = isFew ? "seq + 0" : "seq";
  const { conditions, order } = along(leader, { seq, place, through: last, descending, seek });
  const all: readonly Condition[] = [
    ["record_key = ?", key],
    ...prefixed(keyPrefix, byPrefix),
    ...conditions,
    // Something added keeps their indexes out of it.
    ...leaders
      .filter(([column]) => column !== leader?.[0])
      .map(([column, value]) => [`${column} || '' = ?`, value] as const),
    ["export_id || '' = ?", _exportId],
    ["fault = ?", fault],
    ["retry_at + 0 <= ?", query.retryUntil],
    ...textual(query.text),
  ];
  const fixed = status === undefined ? [isFailureThere] : [ofStatus[status], isFailureThere];
  const select = (ids: readonly string[]) => {
    const { where, values } = whereOf(all, ids.length === 0 ? fixed : [isOneOf(ids.length), ...fixed]);
    const sql = `select ${selected} from poundlock_failures${where} order by ${order} limit ?`;
    return statement(sql, ...ids, ...values, limit + 1);
  };
  return _ids === undefined ? [select([])] : idPortionsOf([...new Set(_ids)]).map(select);
}

// The narrower ones first: of an integration there are fewer than of a cause that others have, too, and of a cause fewer
// than of an import.
function leadersOf(query: FailureQuery): readonly (readonly [column: string, value: string | undefined])[] {
  const { _connectorId, _flowId, _importId, _integrationId, _runId, cause } = query;
  const integration = ["integration_id", _integrationId] as const;
  const rest = [["import_id", _importId], ...(cause === undefined ? [integration] : [])] as const;
  return [
    ["run_id", _runId],
    ["flow_id", _flowId],
    ...(cause === undefined ? [] : [integration, ["cause", cause] as const]),
    ...rest,
    ["connector_id", _connectorId],
  ];
}

/** Whether few keys begin so that an index of them finds what is wanted. */
export function isByPrefix({ _flowId, _ids, key, keyPrefix, searched = false }: Listing): boolean {
  return keyPrefix !== undefined && !searched && [_flowId, _ids, key].every((one) => one === undefined);
}

function prefixed(prefix: string | undefined, byPrefix: boolean): readonly Condition[] {
  const column = byPrefix ? "record_key" : "record_key || ''";
  return [
    [`${column} >= ?`, prefix],
    [`${column} < ?`, prefix === undefined ? undefined : afterPrefix(prefix)],
  ];
}

function textual(text: string | undefined): readonly Condition[] {
  if (text === undefined) return [];
  const { inJson, inMessage } = new TextSearch(text);
  // What is in the message is in its document, too, escaped as in a record: few documents have to be read as JSON.
  const sql = `(record like ? escape '~'
    or doc like ? escape '~' and json_extract(doc, '$.message') like ? escape '~')`;
  return [[sql, likePattern(inJson), likePattern(inJson), likePattern(inMessage)]];
}

function likePattern(text: string): string {
  return `%${text.replace(/[~%_]/g, "~$&")}%`;
}

/** Asks for {@link OpenKeyRow}s, at most one more than the query's limit. */
export function openKeysMatching({ _flowId, _importId, _exportId, after, limit }: OpenKeyQuery): Statement {
  return statement(
    `select seq, id, record_key, version from poundlock_failures
      where flow_id = ? and import_id = ? and export_id = ? and status = 'open' and seq > ? and ${isLivingFlow}
      order by seq limit ?`,
    ...[_flowId, _importId, _exportId, placeOf(after, 0), _flowId, limit + 1],
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
      and ${ofLivingFlow()} order by retry_at limit 1`,
    after,
  );
}

/** @see FailureStorage.resolveFailures */
export function resolveFailures(_ids: readonly string[], at: number): Transaction<readonly Failure[]> {
  const asked = [...new Set(_ids)];
  return function* () {
    const resolved = new Map<string, Failure>();
    const changes = new CauseChanges();
    for (const ids of idPortionsOf(asked)) {
      yield* lockFlowsOfFailures(ids);
      const rows = yield* rowsOf<FailureRow & CountedRow>(
        `update poundlock_failures set status = 'resolved', resolved_at = ?, resolved_by = 'person', retry_at = null
          where ${isOpen} and ${isOneOf(ids.length)} and ${ofLivingFlow()}
          returning ${failureColumns}, cause`,
        ...[at, ...ids],
      );
      for (const failure of allReadable(rows, failureOf)) resolved.set(failure._id, failure);
      for (const row of rows) changes.leave(row);
    }
    yield* changes.apply();
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
    const before = objectIn("failures", row.id, row.doc) as FailureDocument;
    if ((yield* rowOf(isDeletedFlow, row.flow_id)) !== undefined) return undefined;
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

/** Resolves the open failures among these, whose records were delivered since. */
export function* supersede(_ids: readonly string[], at: number, changes: CauseChanges): TransactionBody<void> {
  for (const ids of idPortionsOf(_ids)) {
    const rows = yield* rowsOf<CountedRow>(
      `update poundlock_failures set status = 'resolved', resolved_at = ?, resolved_by = 'delivery', retry_at = null
        where ${isOpen} and ${isOneOf(ids.length)} returning ${countedColumns}`,
      ...[at, ...ids],
    );
    for (const row of rows) changes.leave(row);
  }
}

/** Resolves the flow's open failures at imports that it has no more. */
export function* resolveOfImports(_flowId: string, _importIds: readonly string[], at: number): TransactionBody<void> {
  for (const _importId of _importIds) {
    yield* execute(
      `update poundlock_failures set status = 'resolved', resolved_at = ?, resolved_by = 'removed', retry_at = null
        where flow_id = ? and import_id = ? and status = 'open'`,
      ...[at, _flowId, _importId],
    );
    yield* forgetCauses(_flowId, _importId);
  }
}

/** Removes failures; those that are not there are left out. */
export function* deleteFailures(_ids: readonly string[], changes: CauseChanges): TransactionBody<void> {
  for (const ids of idPortionsOf(_ids)) {
    const rows = yield* rowsOf<CountedRow & { readonly status: FailureStatus }>(
      `delete from poundlock_failures where ${isOneOf(ids.length)} returning status, ${countedColumns}`,
      ...ids,
    );
    for (const row of rows) if (row.status === "open") changes.leave(row);
  }
}

// An index of some rows is found by the words that it was made with, so these stand in the text.
const ofStatus: Readonly<Record<FailureStatus, string>> = { open: "status = 'open'", resolved: "status = 'resolved'" };

// Beside ids, where the indexes of open failures are of no use.
const isOpen = "status || '' = 'open'";

function isOneOf(size: number): string {
  return `id in (${Array.from({ length: size }, () => "?").join(", ")})`;
}

// Sizes are powers of two, the last id again and again to fill one up: few statements are kept prepared.
function idPortionsOf(_ids: readonly string[]): readonly (readonly string[])[] {
  const portions: string[][] = [];
  for (let start = 0; start < _ids.length; start += idsPerStatement) {
    const portion = _ids.slice(start, start + idsPerStatement);
    const size = 2 ** Math.ceil(Math.log2(portion.length));
    const last = itemAt(portion, portion.length - 1);
    portions.push([...portion, ...Array.from({ length: size - portion.length }, () => last)]);
  }
  return portions;
}
