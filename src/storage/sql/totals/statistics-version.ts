import { type Dialect, type TransactionBody, execute, rowsOf } from "../database.ts";
import { nameOf } from "../search/flow-list.ts";
import { objectIn, readable } from "../values/unreadable.ts";

/** What was moved by hour, and names of flows as they are looked for. */
export function statisticsAndNames({ inKeyOrder, text }: Dialect): readonly string[] {
  return [
    `create table poundlock_statistics (
      hour bigint not null,
      integration_id ${text} not null,
      process ${text} not null,
      completed bigint not null,
      failed bigint not null,
      canceled bigint not null,
      num_success bigint not null,
      num_error bigint not null,
      num_ignore bigint not null,
      duration_ms bigint not null,
      primary key (hour, integration_id, process))${inKeyOrder}`,
    `create index poundlock_statistics_of_integration on poundlock_statistics (integration_id, hour)`,
    // What is still to be added up.
    `create index poundlock_statistics_to_fold on poundlock_statistics (hour) where process > ''`,

    `alter table poundlock_flows add column search_name ${text} not null default ''`,
    `create index poundlock_flows_names on poundlock_flows (id, search_name)`,
  ];
}

/** Flows read at once. */
const portion = 500;

/** Notes the names of flows. */
export function* noteNames(): TransactionBody<void> {
  let after = "";
  for (let size = portion; size === portion;) {
    const rows = yield* rowsOf<{ readonly id: string; readonly doc: string }>(
      `select id, doc from poundlock_flows where id > ? order by id limit ?`,
      ...[after, portion],
    );
    for (const { doc, id } of rows) {
      const flow = readable(() => objectIn("flows", id, doc) as { readonly name?: unknown });
      if (typeof flow?.name !== "string") continue;
      yield* execute(`update poundlock_flows set search_name = ? where id = ?`, nameOf(flow.name), id);
    }
    size = rows.length;
    after = rows.at(-1)?.id ?? after;
  }
}
