import { type Statistics, statisticsFields } from "../../../model/statistics.ts";
import type { CompactRule, HourStatistics, ProcessHour, StatisticsQuery } from "../../storage.ts";
import {
  type SqlValue,
  type Statement,
  type Transaction,
  type TransactionBody,
  execute,
  rowsOf,
  statement,
  whereOf,
} from "../database.ts";

/** The column of each field. */
const columnOf: Readonly<Record<keyof Statistics, string>> = {
  completed: "completed",
  failed: "failed",
  canceled: "canceled",
  numSuccess: "num_success",
  numError: "num_error",
  numIgnore: "num_ignore",
  durationMs: "duration_ms",
};
const columns = statisticsFields.map((field) => columnOf[field]);

/** The process under which hours stand that no process changes any more. */
const folded = "";

/** @see StatisticsStorage.saveStatistics */
export function saveStatistics(hours: readonly ProcessHour[]): Transaction<void> {
  const rows = hours.map((hour) => [hour.hour, hour._integrationId ?? "", hour.process, ...valuesOf(hour)] as const);
  const changes = columns.map((column) => `${column} = excluded.${column}`);
  return function* () {
    for (const row of rows) yield* keepHour(row, changes);
  };
}

function* keepHour(row: readonly SqlValue[], changes: readonly string[]): TransactionBody<void> {
  yield* execute(
    `insert into poundlock_statistics (hour, integration_id, process, ${columns.join(", ")})
      values (${row.map(() => "?").join(", ")})
      on conflict (hour, integration_id, process) do update set ${changes.join(", ")}`,
    ...row,
  );
}

function valuesOf(statistics: Statistics): readonly number[] {
  return statisticsFields.map((field) => statistics[field]);
}

/** A row of {@link hoursMatching}. */
export type HourRow = Readonly<Record<string, number>>;

/** Asks for {@link HourRow}s. */
export function hoursMatching({ _integrationId, from, until }: StatisticsQuery): Statement {
  const { where, values } = whereOf([
    ["integration_id = ?", _integrationId],
    ["hour >= ?", from],
    ["hour < ?", until],
  ]);
  const sums = columns.map((column) => `cast(sum(${column}) as bigint) as ${column}`);
  return statement(
    `select hour, ${sums.join(", ")} from poundlock_statistics${where} group by hour order by hour`,
    ...values,
  );
}

/** The hour that a row is. */
export function hourOf(row: HourRow): HourStatistics {
  const fields = statisticsFields.map((field) => [field, row[columnOf[field]] ?? 0]);
  return { ...(Object.fromEntries(fields) as Record<keyof Statistics, number>), hour: row.hour ?? 0 };
}

/** @see StatisticsStorage.compactStatistics */
export function compactStatistics({ foldBefore, forgetBefore, limit }: CompactRule): Transaction<number> {
  return function* () {
    const forgotten = yield* rowsOf(
      `delete from poundlock_statistics where (hour, integration_id, process) in (
        select hour, integration_id, process from poundlock_statistics where hour < ? limit ?) returning hour`,
      ...[forgetBefore, limit],
    );
    const rest = limit - forgotten.length;
    if (rest === 0) return limit;
    const passed = yield* rowsOf<HourRow & { readonly integration_id: string }>(
      `delete from poundlock_statistics where (hour, integration_id, process) in (
        select hour, integration_id, process from poundlock_statistics where process > '' and hour < ? limit ?)
        returning *`,
      ...[foldBefore, rest],
    );
    const sums = columns.map((column) => `${column} = poundlock_statistics.${column} + excluded.${column}`);
    for (const row of passed)
      yield* keepHour([row.hour ?? 0, row.integration_id, folded, ...columns.map((column) => row[column] ?? 0)], sums);
    return forgotten.length + passed.length;
  };
}
