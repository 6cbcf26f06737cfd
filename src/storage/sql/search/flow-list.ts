import { mostInState, mostNames, optional } from "../../documents.ts";
import type { FlowQuery } from "../../storage.ts";
import { type Condition, type SqlValue, type Statement, statement, whereOf } from "../database.ts";
import { type FlowRow, flowColumns } from "../rows.ts";
import type { ReadRows } from "./failure-list.ts";

/** A page of flows, as rows. */
export interface FlowRows {
  readonly rows: readonly FlowRow[];
  readonly next?: string;
}

/** @see FlowStorage.listFlows */
export async function listFlowRows(read: ReadRows, query: FlowQuery): Promise<FlowRows> {
  const { limit, q, state } = query;
  if (q === undefined && state === undefined) {
    const rows = await read<FlowRow>(flowsMatching(query));
    return { rows: rows.slice(0, limit), ...optional("next", rows.length > limit ? rows[limit - 1]?.id : undefined) };
  }
  const portion = await portionOf(read, query);
  if (portion.ids === undefined) return { rows: [], ...optional("next", portion.next) };
  const rows = await read<FlowRow>(flowsMatching(query, portion.ids));
  const next = rows.length > limit ? rows[limit - 1]?.id : portion.next;
  return { rows: rows.slice(0, limit), ...optional("next", next) };
}

/** Asks for {@link FlowRow}s, at most one more than the query's limit. */
function flowsMatching(query: FlowQuery, ids?: Statement): Statement {
  const { limit, after, _exportId, _integrationId, _connectorId, _importId, disabled, group, q } = query;
  // Those that were found by their ids are few: something added keeps the indexes of these columns out of it.
  const one = (column: string, value: SqlValue | undefined): Condition =>
    ids === undefined ? [`${column} = ?`, value] : [`${column} || '' = ?`, value];
  const { where, values } = whereOf(
    [
      ...(ids === undefined ? [] : [[`id in (${ids.sql})`, ...ids.values] as const]),
      one("export_id", _exportId),
      one("integration_id", _integrationId),
      one("connector_id", _connectorId),
      one("flow_group", group),
      ["disabled = ?", disabled === undefined ? undefined : Number(disabled)],
      ["id in (select flow_id from poundlock_flow_imports where import_id = ?)", _importId],
      ["replace(search_name, ?, '') <> search_name", q === undefined ? undefined : nameOf(q)],
      ["id > ?", ids === undefined ? after : undefined],
    ],
    ["deleted_at is null"],
  );
  return statement(`select ${flowColumns} from poundlock_flows${where} order by id limit ?`, ...values, limit + 1);
}

/** A name as it is looked for. */
export function nameOf(name: string): string {
  return name.toLowerCase();
}

/** What is looked at for one page, and where the next one goes on. */
interface Portion {
  /** Asks for ids, ascending; undefined: nothing was found. */
  readonly ids: Statement | undefined;
  readonly next: string | undefined;
}

async function portionOf(read: ReadRows, query: FlowQuery): Promise<Portion> {
  const until = query.state === undefined ? await lastNameOf(read, query) : undefined;
  const ids = idsOf(query, until);
  const [row] = await read<{ readonly size: number; readonly last: string | null }>(
    statement(`select count(*) as size, max(id) as last from (${ids.sql}) as portion`, ...ids.values),
  );
  const { last = null, size = 0 } = row ?? {};
  if (last === null) return { ids: undefined, next: until };
  return { ids, next: size < mostInState ? until : last };
}

/** The last id of as many as one search looks at; undefined: there are no more than those. */
async function lastNameOf(read: ReadRows, { after = "" }: FlowQuery): Promise<string | undefined> {
  const [row] = await read<{ readonly id: string }>(
    statement(`select id from poundlock_flows where id > ? order by id limit 1 offset ?`, ...[after, mostNames - 1]),
  );
  return row?.id;
}

/** Asks for `id`s, ascending, of flows in a state, or with a name. */
function idsOf(
  { _integrationId, after = "", now = 0, q = "", state }: FlowQuery,
  until: string | undefined,
): Statement {
  const owner = _integrationId === undefined ? [] : [_integrationId];
  const owned = (column: string) => (_integrationId === undefined ? "" : ` and ${column} || '' = ?`);
  const flows = (where: string, ...values: readonly SqlValue[]) =>
    statement(`select id from poundlock_flows where ${where} order by id limit ?`, ...values, mostInState);
  const others = (from: string, where: string) =>
    statement(
      `select distinct flow_id as id from poundlock_${from} where ${where} order by flow_id limit ?`,
      ...[after, ...owner, mostInState],
    );
  if (state === undefined)
    return flows(
      `id > ?${until === undefined ? "" : " and id <= ?"} and replace(search_name, ?, '') <> search_name`,
      ...[after, ...(until === undefined ? [] : [until]), nameOf(q)],
    );
  switch (state) {
    case "failing":
      return flows(`failing_since is not null and disabled = 0 and id > ?${owned("integration_id")}`, after, ...owner);
    case "overdue":
      return flows(
        `overdue_at is not null and overdue_at <= ? and disabled = 0 and id || '' > ?${owned("integration_id")}`,
        ...[now, after, ...owner],
      );
    case "paused":
      return others(
        "places p",
        `p.pause is not null and flow_id > ?
          and (select f.disabled from poundlock_flows f where f.id = p.flow_id${owned("f.integration_id")}) = 0`,
      );
    case "failures":
      return others("causes", `flow_id > ?${owned("integration_id")}`);
    case "running":
      return others("runs", `stage = 1 and flow_id > ?${owned("integration_id")}`);
    case "queued":
      return others("runs", `stage = 0 and flow_id > ?${owned("integration_id")}`);
  }
}
