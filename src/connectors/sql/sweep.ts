import { itemAt } from "../../model/item-at.ts";
import { type SqlDatabase, type SqlQueries, tableName } from "./database.ts";

/** Which rows are deleted when a run has read the whole source. */
export interface SweepRule {
  /** A column of text for the flow and run that wrote the row last. */
  readonly column: string;
  /** The share of this flow's rows that may be deleted at once, from 0 to 1; with more the run fails. @default 0.2 */
  readonly atMost?: number;
}

const defaultAtMost = 0.2;

/** What a sweep is of. */
export interface Sweep {
  readonly table: readonly string[];
  readonly sweep: SweepRule;
  readonly stamp: { readonly flow: string; readonly run: string };
}

/**
 * Deletes the rows that other runs of this flow wrote, and this one has not.
 *
 * @throws an Error if they are more than may be deleted.
 */
export async function sweepTable(
  { dialect }: SqlDatabase,
  tx: SqlQueries,
  { table, sweep, stamp }: Sweep,
): Promise<void> {
  const { column, atMost = defaultAtMost } = sweep;
  const [name, by] = [tableName(dialect, table), dialect.quote(column)];
  const prefix = `${stamp.flow}/`;
  const count = async (condition: string, values: readonly string[]) =>
    Number(itemAt(await tx.query(`select count(*) as n from ${name} where ${condition}`, values), 0).n);
  const ofFlow = `substr(${by}, 1, ${Array.from(prefix).length}) = ${dialect.place(1)}`;
  const ofOthers = `${ofFlow} and ${by} <> ${dialect.place(2)}`;
  const values = [prefix, prefix + stamp.run];
  const [all, old] = [await count(ofFlow, values.slice(0, 1)), await count(ofOthers, values)];
  if (old > atMost * all)
    throw new Error(
      `sweep would delete ${old} of the ${all} rows of this flow, more than ${Math.round(atMost * 100)} %`,
    );
  if (old > 0) await tx.query(`delete from ${name} where ${ofOthers}`, values);
}
