import type { Pause } from "../../model/delivery.ts";
import { type Flow, importIdsOf } from "../../model/flow/flow.ts";
import type { Json } from "../../model/record/json.ts";
import type { ImportPlace, ImportPosition, PlaceChange, Places, StoredCheckpoint } from "../../model/place.ts";
import { freezeRecord } from "../../model/record/copy.ts";
import { optional } from "../documents.ts";
import type { CheckpointChange } from "../storage.ts";
import {
  type SqlValue,
  type Statement,
  type Transaction,
  type TransactionBody,
  eachTime,
  execute,
  rowOf,
  rowsOf,
  statement,
} from "./database.ts";
import { lockFlow } from "./locks.ts";
import { type RunRow, runColumns, runOf } from "./rows.ts";
import { type ReportUnreadable, UnreadableRowError, objectIn, readable } from "./values/unreadable.ts";

/** One import's place. */
export interface PlaceRow {
  readonly flow_id: string;
  readonly import_id: string;
  readonly checkpoint: string | null;
  readonly version: number | null;
  readonly position: string | null;
  readonly behind: number;
  readonly pause: string | null;
  readonly inbox: number;
  readonly moved_at: number | null;
}

const placeColumns = "flow_id, import_id, checkpoint, version, position, behind, pause, inbox, moved_at";

/** Asks for {@link PlaceRow}s. */
export function placesById(_flowId: string): Statement {
  return statement(`select ${placeColumns} from poundlock_places where flow_id = ? order by import_id`, _flowId);
}

/**
 * The places in rows; an import that has not moved yet has none.
 *
 * @throws UnreadableRowError for any of them: without its place an import would begin anew.
 */
export function placesOf(rows: readonly PlaceRow[]): Places {
  const places: Record<string, ImportPlace> = {};
  for (const row of rows) {
    const place = placeOfRow(row);
    if (Object.keys(place).length > 0) places[row.import_id] = place;
  }
  return freezeRecord(places);
}

function placeOfRow(row: PlaceRow): ImportPlace {
  const { behind, checkpoint, inbox, moved_at, pause, position, version } = row;
  const _id = `${row.flow_id}/${row.import_id}`;
  const stored =
    checkpoint === null || version === null ? undefined : { value: checkpointIn(_id, checkpoint), version };
  return {
    ...optional("checkpoint", stored),
    ...optional("position", position === null ? undefined : (objectIn("places", _id, position) as ImportPosition)),
    ...(behind === 1 ? { behind: true } : {}),
    ...optional("pause", pause === null ? undefined : (objectIn("places", _id, pause) as Pause)),
    ...optional("inbox", inbox === 0 ? undefined : String(inbox)),
    ...optional("movedAt", moved_at ?? undefined),
  };
}

function checkpointIn(_id: string, text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new UnreadableRowError("places", _id, "its checkpoint is not JSON");
  }
}

/** A change of places as a statement takes it: its JSON is made before the transaction. */
export interface PlaceMove {
  readonly sql: string;
  /** Those of the columns. */
  readonly values: readonly SqlValue[];
  readonly _importIds: readonly string[];
}

/** What {@link movePlaces} takes of these changes. */
export function placeMoves(changes: readonly PlaceChange[], at: number): readonly PlaceMove[] {
  return changes.filter(({ _importIds }) => _importIds.length > 0).map((change) => moveOf(change, at));
}

// Only the columns that change, as nearly every page has one: an index of a column that is not set is not looked at. What
// pages do to places comes to few different statements; whatever else becomes of them is one.
function moveOf({ _importIds, behind, checkpoint, inbox, pause, position }: PlaceChange, at: number): PlaceMove {
  const columns = ["moved_at = ?"];
  const values: SqlValue[] = [at];
  if (checkpoint !== undefined) {
    columns.push("checkpoint = ?", "version = ?");
    values.push(JSON.stringify(checkpoint.value), checkpoint.version);
  }
  if (position !== undefined) {
    columns.push("position = ?");
    values.push(position === null ? null : JSON.stringify(position));
  }
  if (inbox !== undefined) {
    columns.push("inbox = ?");
    values.push(Number(inbox));
  }
  if (behind !== undefined || pause !== undefined) {
    columns.push("behind = coalesce(?, behind)", "pause = case when ? = 1 then ? else pause end");
    columns.push("resume_at = case when ? = 1 then ? else resume_at end");
    const resumeAt = pause?.resumeAt === undefined ? null : Date.parse(pause.resumeAt);
    const isPaused = Number(pause !== undefined);
    values.push(behind === undefined ? null : Number(behind));
    values.push(isPaused, pause == null ? null : JSON.stringify(pause), isPaused, resumeAt);
  }
  const chosen = _importIds.length === 1 ? "= ?" : `in (${_importIds.map(() => "?").join(", ")})`;
  const sql = `update poundlock_places set ${columns.join(", ")} where flow_id = ? and import_id ${chosen}`;
  return { sql, values, _importIds: [..._importIds] };
}

/** Moves places of the flow's imports. */
export function* movePlaces(_flowId: string, moves: readonly PlaceMove[]): TransactionBody<void> {
  for (const { _importIds, sql, values } of moves) yield* execute(sql, ...values, _flowId, ..._importIds);
}

/** @see PlaceStorage.setCheckpoint */
export function setCheckpoint(
  _flowId: string,
  checkpoint: StoredCheckpoint | undefined,
  { _importIds, at }: CheckpointChange,
): Transaction<boolean> {
  const text = checkpoint === undefined ? null : JSON.stringify(checkpoint.value);
  const version = checkpoint?.version ?? null;
  const chosen = [...new Set(_importIds)];
  return function* () {
    yield* lockFlow(_flowId);
    const flow = yield* rowOf(`select 1 from poundlock_flows where id = ? and deleted_at is null`, _flowId);
    if (flow === undefined || (yield* hasBegunRun(_flowId))) return false;
    for (const _importId of chosen)
      yield* execute(
        `update poundlock_places set checkpoint = ?, version = ?, position = null, behind = 0, moved_at = ?
          where flow_id = ? and import_id = ?`,
        ...[text, version, at, _flowId, _importId],
      );
    return true;
  };
}

/** Whether a run of the flow is active, or waits to go on: places are where it reads. */
export function* hasBegunRun(_flowId: string): TransactionBody<boolean> {
  const active = yield* rowOf(`select 1 from poundlock_runs where flow_id = ? and stage = 1`, _flowId);
  if (active !== undefined) return true;
  const first = yield* rowOf<RunRow>(
    `select ${runColumns} from poundlock_runs where flow_id = ? and stage = 0 order by seq limit 1`,
    _flowId,
  );
  // Only the first of those that wait can have begun. One that cannot be read never goes on.
  return first !== undefined && readable(() => runOf(first))?.startedAt !== undefined;
}

/** @see PlaceStorage.endPauses */
export function endPauses(_flowId: string, _importIds: readonly string[]): Transaction<readonly string[]> {
  const chosen = [...new Set(_importIds)];
  return function* () {
    yield* lockFlow(_flowId);
    const ended: string[] = [];
    for (const _importId of chosen) {
      const row = yield* rowOf(
        `update poundlock_places set pause = null, resume_at = null
          where flow_id = ? and import_id = ? and pause is not null returning import_id`,
        ...[_flowId, _importId],
      );
      if (row !== undefined) ended.push(_importId);
    }
    return ended;
  };
}

/** Asks for `flow_id`s. */
export function flowsResumable(until: number, limit: number, after = ""): Statement {
  return statement(
    `select p.flow_id from poundlock_places p where p.resume_at is not null and p.resume_at <= ? and p.flow_id > ?
      and (select f.disabled from poundlock_flows f where f.id = p.flow_id) = 0
      and not exists (select 1 from poundlock_places e where e.flow_id = p.flow_id and e.import_id < p.import_id
        and e.resume_at is not null and e.resume_at <= ? ${eachTime})
      order by p.flow_id limit ?`,
    ...[until, after, until, limit],
  );
}

/** Asks for one `resume_at`. */
export function earliestResume(after: number): Statement {
  return statement(
    `select p.resume_at from poundlock_places p where p.resume_at is not null and p.resume_at > ?
      and (select f.disabled from poundlock_flows f where f.id = p.flow_id) = 0 order by p.resume_at limit 1`,
    after,
  );
}

/** Gives up the positions of all imports of a flow. */
export function* discardPositions(_flowId: string): TransactionBody<void> {
  yield* execute(`update poundlock_places set position = null, behind = 0 where flow_id = ?`, _flowId);
}

/** Adds the places of a flow's first imports. */
export function* insertPlaces(_flowId: string, _importIds: readonly string[]): TransactionBody<void> {
  for (const _importId of _importIds)
    yield* execute(`insert into poundlock_places (flow_id, import_id) values (?, ?)`, _flowId, _importId);
}

/** Follows a change of the flow's imports, and of its export. Returns the imports that are gone. */
export function* followImports(before: Flow, now: Flow): TransactionBody<readonly string[]> {
  const { _id: _flowId } = now;
  const former = importIdsOf(before);
  const current = importIdsOf(now);
  const removed = former.filter((_importId) => !current.includes(_importId));
  const leader = yield* leaderOf(_flowId);
  for (const _importId of removed) {
    yield* execute(`delete from poundlock_places where flow_id = ? and import_id = ?`, _flowId, _importId);
    yield* execute(`delete from poundlock_drops where flow_id = ? and import_id = ?`, _flowId, _importId);
  }
  const last = yield* rowOf<{ seq: number }>(
    `select seq from poundlock_inbox where flow_id = ? order by seq desc limit 1`,
    _flowId,
  );
  for (const _importId of current.filter((one) => !former.includes(one)))
    yield* execute(
      `insert into poundlock_places (flow_id, import_id, checkpoint, version, inbox) values (?, ?, ?, ?, ?)`,
      ...[_flowId, _importId, leader?.checkpoint ?? null, leader?.version ?? null, last?.seq ?? 0],
    );
  if (before._exportId !== now._exportId)
    yield* execute(
      `update poundlock_places set checkpoint = null, version = null, position = null, behind = 0, pause = null,
        resume_at = null, inbox = 0, moved_at = null where flow_id = ?`,
      _flowId,
    );
  return removed;
}

// The import whose place was moved last.
function* leaderOf(_flowId: string): TransactionBody<PlaceRow | undefined> {
  const { sql, values } = placesById(_flowId);
  let leader: PlaceRow | undefined;
  for (const row of yield* rowsOf<PlaceRow>(sql, ...values))
    if (leader === undefined || (row.moved_at ?? -1) > (leader.moved_at ?? -1)) leader = row;
  return leader;
}

/** All places of a flow, in a transaction; undefined if one of them cannot be read. */
export function* readPlaces(_flowId: string, report: ReportUnreadable): TransactionBody<Places | undefined> {
  const { sql, values } = placesById(_flowId);
  const rows = yield* rowsOf<PlaceRow>(sql, ...values);
  return readable(() => placesOf(rows), report);
}
