import { causeOf } from "../../../model/cause.ts";
import type { Failure } from "../../../model/failure.ts";
import { optional } from "../../documents.ts";
import type { CauseCount, OpenFailureQuery } from "../../storage.ts";
import {
  type Condition,
  type SqlValue,
  type Statement,
  type TransactionBody,
  eachTime,
  execute,
  statement,
  whereOf,
} from "../database.ts";
import { ofLivingFlow } from "../values/deleted.ts";
import type { CauseRow } from "./cause-rows.ts";

/** Where a failure is counted. */
export interface CountedRow {
  readonly flow_id: string;
  readonly import_id: string;
  readonly integration_id: string | null;
  /** Null: it was stored by an earlier version, and is not counted yet. */
  readonly cause: string | null;
}

/** What {@link CountedRow} asks for. */
export const countedColumns = "flow_id, import_id, integration_id, cause";

interface Change {
  readonly row: CountedRow & { readonly cause: string };
  by: number;
  /** The last failure that came to it. */
  failure: Failure | undefined;
  firstAt: string;
  lastAt: string;
}

/** What a transaction changes about the counts of causes: one statement for each of them, however many failures. */
export class CauseChanges {
  readonly #changes = new Map<string, Change>();
  /** Failures come in bunches of one cause. */
  #last: Change | undefined;

  /** The failure is open now. */
  enter(failure: Failure, cause: string): void {
    const { _flowId, _importId, _integrationId = null } = failure;
    const change = this.#changeOf(_flowId, _importId, _integrationId, cause);
    change.by++;
    change.failure = failure;
    if (change.firstAt === "" || failure.createdAt < change.firstAt) change.firstAt = failure.createdAt;
    if (failure.lastFailedAt > change.lastAt) change.lastAt = failure.lastFailedAt;
  }

  /** The failure of this row is open no more, or not for this cause. */
  leave({ cause, flow_id, import_id, integration_id }: CountedRow): void {
    if (cause !== null) this.#changeOf(flow_id, import_id, integration_id, cause).by--;
  }

  /** Writes them. */
  *apply(): TransactionBody<void> {
    for (const change of this.#changes.values())
      if (change.failure === undefined) yield* decrease(change);
      else yield* upsert(change, change.failure);
  }

  #changeOf(flow_id: string, import_id: string, integration_id: string | null, cause: string): Change {
    const last = this.#last?.row;
    if (
      this.#last === undefined ||
      last?.cause !== cause ||
      last.import_id !== import_id ||
      last.flow_id !== flow_id ||
      last.integration_id !== integration_id
    )
      this.#last = this.#changeIn({ flow_id, import_id, integration_id, cause });
    return this.#last;
  }

  #changeIn(row: Change["row"]): Change {
    const key = JSON.stringify([row.flow_id, row.import_id, row.integration_id, row.cause]);
    let change = this.#changes.get(key);
    if (change === undefined)
      this.#changes.set(key, (change = { row, by: 0, failure: undefined, firstAt: "", lastAt: "" }));
    return change;
  }
}

const ofRow = "flow_id = ? and import_id = ? and integration_id = ? and cause = ?";

// A column of a primary key is never null.
function keyOf({ flow_id, import_id, integration_id, cause }: Change["row"]): readonly SqlValue[] {
  return [flow_id, import_id, integration_id ?? "", cause];
}

function* upsert({ row, by, firstAt, lastAt }: Change, failure: Failure): TransactionBody<void> {
  const { pattern } = causeOf(failure);
  yield* execute(
    `insert into poundlock_causes
        (flow_id, import_id, integration_id, cause, pattern, fault, code, size, first_at, last_at, sample)
      values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      on conflict (flow_id, import_id, integration_id, cause) do update set
        size = poundlock_causes.size + excluded.size, sample = excluded.sample,
        first_at = case when excluded.first_at < poundlock_causes.first_at then excluded.first_at
          else poundlock_causes.first_at end,
        last_at = case when excluded.last_at > poundlock_causes.last_at then excluded.last_at
          else poundlock_causes.last_at end`,
    ...[
      ...keyOf(row),
      pattern,
      failure.fault,
      failure.code ?? null,
      by,
      Date.parse(firstAt),
      Date.parse(lastAt),
      failure._id,
    ],
  );
  if (by <= 0) yield* removeEmpty(row);
}

function* decrease({ row, by }: Change): TransactionBody<void> {
  if (by === 0) return;
  yield* execute(`update poundlock_causes set size = size + ? where ${ofRow}`, by, ...keyOf(row));
  yield* removeEmpty(row);
}

function* removeEmpty(row: Change["row"]): TransactionBody<void> {
  yield* execute(`delete from poundlock_causes where ${ofRow} and size <= 0`, ...keyOf(row));
}

/** All open failures of one import of a flow are open no more. */
export function* forgetCauses(_flowId: string, _importId: string): TransactionBody<void> {
  yield* execute(`delete from poundlock_causes where flow_id = ? and import_id = ?`, _flowId, _importId);
}

/** The count that a row and its sample are. */
export function causeCountOf(row: CauseRow, sample: string): CauseCount {
  const { cause, code, fault, first_at, flows, import_id, last_at, pattern, size } = row;
  return Object.freeze<CauseCount>({
    ...{
      cause,
      pattern,
      fault,
      ...optional("code", code ?? undefined),
      ...optional("_importId", import_id ?? undefined),
    },
    ...{
      open: size,
      flows,
      firstAt: new Date(first_at).toISOString(),
      lastAt: new Date(last_at).toISOString(),
      sample,
    },
  });
}

/** Asks for a row while failures are not counted. */
export function anyUncounted(): Statement {
  return statement(`select 1 as one from poundlock_failures where cause is null limit 1`);
}

/** Asks for `flow_id`s. `last`: the place of `through`. */
export function failedFlows(query: OpenFailureQuery, last: number | undefined): Statement {
  const { _connectorId, _exportId, _flowId, _importId, _integrationId, _runId, after, cause, fault, key, limit } =
    query;
  const inner: readonly Condition[] = [
    ["x.run_id || '' = ?", _runId],
    ["x.export_id || '' = ?", _exportId],
    ["x.import_id || '' = ?", _importId],
    ["x.integration_id || '' = ?", _integrationId],
    ["x.connector_id || '' = ?", _connectorId],
    ["x.cause || '' = ?", cause],
    ["x.fault || '' = ?", fault],
    ["x.record_key || '' = ?", key],
    ["x.seq <= ?", last],
  ];
  const outer: readonly Condition[] = [
    ["c.cause = ?", cause],
    ["c.flow_id = ?", _flowId],
    ["c.import_id = ?", _importId],
    ["c.integration_id = ?", _integrationId],
    ["c.fault = ?", fault],
    // Few have the key, and a run is one flow's: of all others nothing is looked at. With a limit it is found by its index
    // first, whatever is known of the tables.
    [
      `c.flow_id in (select flow_id from poundlock_failures where record_key = ? limit ${Number.MAX_SAFE_INTEGER})`,
      key,
    ],
    [`c.flow_id in (select flow_id from poundlock_failures where run_id = ? limit 1)`, _runId],
    ["c.flow_id > ?", after],
  ];
  const found = whereOf(inner, ["x.flow_id = c.flow_id", "x.status = 'open'"]);
  const { where, values } = whereOf(outer, [ofLivingFlow("c.flow_id")]);
  return statement(
    `select distinct c.flow_id from poundlock_causes c${where}
      and exists (select 1 from poundlock_failures x${found.where} ${eachTime}) order by c.flow_id limit ?`,
    ...[...values, ...found.values, limit],
  );
}

/** What comes after every key that begins so. */
export function afterPrefix(prefix: string): string {
  return `${prefix}\u{10ffff}`;
}
