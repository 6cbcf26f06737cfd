import type { Failure, FailureStatus } from "../../model/failure.ts";
import {
  type Condition,
  type Transaction,
  type TransactionBody,
  type SqlValue,
  type Statement,
  execute,
  rowsOf,
  statement,
  whereOf,
} from "./database.ts";
import { placeOf } from "../documents.ts";
import { type FailureRow, failureColumns, failureOf, insertedFailureColumns } from "./rows.ts";
import type { FailureQuery } from "../storage.ts";

/** How many ids one statement names at most. */
export const idsPerStatement = 512;

/** Asks for {@link FailureRow}s. */
export function failureById(_id: string): Statement {
  return statement(`select ${failureColumns} from poundlock_failures where id = ?`, _id);
}

/** Asks for {@link FailureRow}s, each statement for at most one more than the query's limit: several if it names many ids. */
export function failuresMatching(query: FailureQuery): readonly Statement[] {
  const { limit, after, status, _ids, _flowId, _importId, _runId, _integrationId, _connectorId } = query;
  const conditions: readonly Condition[] = [
    ["flow_id = ?", _flowId],
    ["run_id = ?", _runId],
    ["import_id = ?", _importId],
    ["integration_id = ?", _integrationId],
    ["connector_id = ?", _connectorId],
    ["seq > ?", after === undefined ? undefined : placeOf(after, 0)],
  ];
  const fixed = status === undefined ? [] : [ofStatus[status]];
  const select = (ids: readonly string[]) => {
    const { where, values } = whereOf(conditions, ids.length === 0 ? fixed : [isOneOf(ids.length), ...fixed]);
    const sql = `select ${failureColumns} from poundlock_failures${where} order by seq limit ?`;
    return statement(sql, ...ids, ...values, limit + 1);
  };
  return _ids === undefined ? [select([])] : portionsOf([...new Set(_ids)]).map(select);
}

/** @see FailureStorage.resolveFailures */
export function resolveFailures(_ids: readonly string[], at: number): Transaction<readonly Failure[]> {
  const asked = [...new Set(_ids)];
  return function* () {
    const resolved = new Map<string, Failure>();
    for (const ids of portionsOf(asked)) {
      const rows = yield* rowsOf<FailureRow>(
        `update poundlock_failures set status = 'resolved', resolved_at = ?
          where status = 'open' and ${isOneOf(ids.length)} returning ${failureColumns}`,
        ...[at, ...ids],
      );
      for (const failure of rows.map(failureOf)) resolved.set(failure._id, failure);
    }
    return asked.flatMap((_id) => resolved.get(_id) ?? []);
  };
}

/** Stores new failures, and the new state of known ones in their places. Each is what `failureValues` made of it. */
export function* keepFailures(failures: readonly (readonly SqlValue[])[]): TransactionBody<void> {
  for (const values of failures)
    yield* execute(
      `insert into poundlock_failures (${insertedFailureColumns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict (id) do update set run_id = excluded.run_id, integration_id = excluded.integration_id,
          connector_id = excluded.connector_id, status = excluded.status, resolved_at = excluded.resolved_at,
          doc = excluded.doc, record = excluded.record, record_bytes = excluded.record_bytes`,
      ...values,
    );
}

/** Removes failures; those that are not there are no trouble. */
export function* deleteFailures(_ids: readonly string[]): TransactionBody<void> {
  for (const ids of portionsOf(_ids))
    yield* execute(`delete from poundlock_failures where ${isOneOf(ids.length)}`, ...ids);
}

// An index of some rows is found by the words that it was made with, so these stand in the text.
const ofStatus: Readonly<Record<FailureStatus, string>> = { open: "status = 'open'", resolved: "status = 'resolved'" };

function isOneOf(size: number): string {
  return `id in (${Array.from({ length: size }, () => "?").join(", ")})`;
}

// Sizes are powers of two, the last id again and again to fill one up: few texts of statements are kept prepared.
function portionsOf(_ids: readonly string[]): readonly (readonly string[])[] {
  const portions: string[][] = [];
  for (let start = 0; start < _ids.length; start += idsPerStatement) {
    const portion = _ids.slice(start, start + idsPerStatement);
    const size = 2 ** Math.ceil(Math.log2(portion.length));
    const last = portion.at(-1) ?? "";
    portions.push([...portion, ...Array.from({ length: size - portion.length }, () => last)]);
  }
  return portions;
}
