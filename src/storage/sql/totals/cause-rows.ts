import type { CauseCount, CauseQuery } from "../../storage.ts";
import { type Condition, type Statement, statement, whereOf } from "../database.ts";
import { ofLivingFlow } from "../values/deleted.ts";

/** A row of {@link causesMatching}. */
export interface CauseRow {
  readonly cause: string;
  readonly pattern: string;
  readonly fault: CauseCount["fault"];
  readonly code: string | null;
  readonly import_id: string | null;
  readonly flow_id: string;
  readonly size: number;
  readonly flows: number;
  readonly first_at: number;
  readonly last_at: number;
  readonly sample: string;
}

/** Asks for {@link CauseRow}s, those with most failures first. */
export function causesMatching({ _flowId, _importId, _integrationId, disabled, limit }: CauseQuery): Statement {
  const { where, values } = whereOf(
    [
      ["flow_id = ?", _flowId],
      ["import_id = ?", _importId],
      ["integration_id = ?", _integrationId],
      ofFlowThatIs(disabled),
    ],
    [ofLivingFlow()],
  );
  const by = _flowId === undefined ? "cause" : "cause, import_id";
  const columns = columnsBy(_flowId === undefined ? "null" : "import_id");
  return statement(
    `select ${columns} from poundlock_causes${where} group by ${by} order by size desc, ${by} limit ?`,
    ...[...values, limit],
  );
}

function columnsBy(importId: "import_id" | "null"): string {
  return `cause, ${importId} as import_id, max(pattern) as pattern, max(fault) as fault, max(code) as code,
    cast(sum(size) as bigint) as size, count(distinct flow_id) as flows, max(flow_id) as flow_id,
    min(first_at) as first_at, max(last_at) as last_at, max(sample) as sample`;
}

// One look-up for each count: how many flows are disabled does not matter.
function ofFlowThatIs(disabled: boolean | undefined): Condition {
  const isSo = "(select f.disabled from poundlock_flows f where f.id = flow_id) = ?";
  return [isSo, disabled === undefined ? undefined : Number(disabled)];
}

/** A place in the order of causes: all counts of one cause and flow are before it, or none. */
export interface CausePlace {
  readonly cause: string;
  readonly flow_id: string;
}

/** Asks for the {@link CausePlace} up to which there are `most` counts after another one; no row: there are no more than those. */
export function endOfPortion(after: CausePlace | undefined, most: number): Statement {
  const { where, values } = whereOf([afterPlace(after)]);
  return statement(
    `select cause, flow_id from poundlock_causes${where} order by cause, flow_id limit 1 offset ?`,
    ...[...values, most - 1],
  );
}

/** Asks for {@link CauseRow}s by ascending cause, of the counts after one place and up to another one. */
export function causesBetween(
  after: CausePlace | undefined,
  end: CausePlace | undefined,
  { disabled }: Pick<CauseQuery, "disabled">,
): Statement {
  const { where, values } = whereOf(
    [afterPlace(after), ["(cause, flow_id) <= (?, ?)", end?.cause, end?.flow_id], ofFlowThatIs(disabled)],
    [ofLivingFlow()],
  );
  return statement(
    `select ${columnsBy("null")} from poundlock_causes${where} group by cause order by cause`,
    ...values,
  );
}

function afterPlace(after: CausePlace | undefined): Condition {
  return ["(cause, flow_id) > (?, ?)", after?.cause, after?.flow_id];
}

/** The row of a cause, of its rows in two portions: no flow is in both. */
export function sumOf(one: CauseRow, other: CauseRow): CauseRow {
  return {
    ...other,
    size: one.size + other.size,
    flows: one.flows + other.flows,
    first_at: Math.min(one.first_at, other.first_at),
    last_at: Math.max(one.last_at, other.last_at),
    sample: one.sample > other.sample ? one.sample : other.sample,
  };
}

/** Asks for the `id` of the sample if it is open, or else of an open failure of the flow. */
export function sampleOf(
  { cause, flow_id, import_id, sample }: CauseRow,
  _integrationId: string | undefined,
): readonly [Statement, Statement] {
  const isOpen = statement(
    `select id from poundlock_failures where id = ? and cause || '' = ? and status || '' = 'open'`,
    ...[sample, cause],
  );
  const { where, values } = whereOf(
    [
      ["flow_id = ?", flow_id],
      ["cause || '' = ?", cause],
      ["import_id || '' = ?", import_id ?? undefined],
      ["integration_id || '' = ?", _integrationId],
    ],
    ["status = 'open'"],
  );
  const sql = `select id from poundlock_failures${where} order by flow_id desc, seq desc limit 1`;
  const another = statement(sql, ...values);
  return [isOpen, another];
}
