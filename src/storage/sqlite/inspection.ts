import { statSync } from "node:fs";
import { systemClock } from "../../clock.ts";
import type { Pause } from "../../model/delivery.ts";
import { messageOf } from "../../model/message.ts";
import { schemaVersion } from "../sql/schema.ts";
import { schemaVersionOf } from "./database.ts";
import { type SqliteDatabase, type SqliteDriver, openForReading } from "./drivers.ts";

/** What was found in a file. Times are ISO 8601 UTC; a list has at most 1,000 items, the first ones in its order. */
export interface SqliteInspection {
  /** Version of the schema; 0 if the file has no tables of poundlock. */
  readonly schemaVersion: number;
  /** The version that this code reads and writes. */
  readonly expectedVersion: number;
  /** What SQLite finds wrong with the file, in its own words: at most 100; none if it is whole. */
  readonly problems: readonly string[];
  /** Size of the file. */
  readonly bytes: number;
  /** Size of its journal (`-wal`): what is not in the file itself yet. */
  readonly walBytes: number;
  /** Absent if the schema has another version, or if the file is too damaged to be read. */
  readonly content?: SqliteContent;
}

/** What deserves attention in a file. */
export interface SqliteContent {
  /** Active runs whose lease has expired, the longest expired first: no process works on them. */
  readonly expiredLeases: readonly { readonly _runId: string; readonly _flowId: string; readonly until: string }[];
  /** The run that waits longest, of those that may begin now. */
  readonly oldestQueued?: { readonly _runId: string; readonly _flowId: string; readonly queuedAt: string };
  /** Waiting and active runs whose flow is gone. */
  readonly orphanedRuns: readonly { readonly _runId: string; readonly _flowId: string }[];
  /** Imports that are paused, by flow. */
  readonly pausedImports: readonly { readonly _flowId: string; readonly _importId: string; readonly paused: Pause }[];
  /** Flows whose inbox has pages, the fullest first. */
  readonly inboxes: readonly { readonly _flowId: string; readonly pages: number }[];
}

const most = 1_000;

/** Throws what the driver throws if the file cannot be opened, or is no database. */
export function inspectFile(file: string, driver: SqliteDriver | undefined): SqliteInspection {
  const database = openForReading(file, driver);
  try {
    database.exec("pragma busy_timeout = 5000");
    const found = schemaVersionOf(database);
    const problems = problemsOf(database);
    const sizes = { bytes: sizeOf(file), walBytes: sizeOf(`${file}-wal`) };
    const report = { schemaVersion: found, expectedVersion: schemaVersion, ...sizes };
    if (found !== schemaVersion) return { ...report, problems };
    try {
      return { ...report, problems, content: contentOf(database) };
    } catch (error) {
      return { ...report, problems: [...problems, messageOf(error)] };
    }
  } finally {
    database.close();
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

function problemsOf(database: SqliteDatabase): readonly string[] {
  try {
    const rows = database.prepare("pragma quick_check(100)").all() as readonly { readonly quick_check: string }[];
    return rows.map((row) => row.quick_check).filter((problem) => problem !== "ok");
  } catch (error) {
    return [messageOf(error)];
  }
}

function contentOf(database: SqliteDatabase): SqliteContent {
  const all = (sql: string, ...values: unknown[]): readonly unknown[] => database.prepare(sql).all(...values);
  const now = systemClock.now();
  const [oldest] = all(
    `select id, flow_id, json_extract(doc, '$.queuedAt') as at from poundlock_runs
      where stage = 0 and (not_before is null or not_before <= ?) order by seq limit 1`,
    now,
  ) as readonly RunRow[];
  const expired = all(
    `select id, flow_id, lease_until as at from poundlock_runs
      where stage = 1 and lease_until <= ? order by lease_until limit ${most}`,
    now,
  ) as readonly RunRow<number>[];
  const orphaned = all(
    `select id, flow_id from poundlock_runs r where stage < 2
      and not exists (select 1 from poundlock_flows f where f.id = r.flow_id) order by seq limit ${most}`,
  ) as readonly RunRow[];
  const paused = all(
    `select flow_id, import_id, pause from poundlock_places where pause is not null
      order by flow_id, import_id limit ${most}`,
  ) as readonly PauseRow[];
  return {
    expiredLeases: expired.map(({ at, flow_id, id }) => ({
      _runId: id,
      _flowId: flow_id,
      until: new Date(at).toISOString(),
    })),
    ...(oldest === undefined
      ? {}
      : { oldestQueued: { _runId: oldest.id, _flowId: oldest.flow_id, queuedAt: oldest.at } }),
    orphanedRuns: orphaned.map(({ flow_id, id }) => ({ _runId: id, _flowId: flow_id })),
    pausedImports: paused.map(({ flow_id, import_id, pause }) => ({
      ...{ _flowId: flow_id, _importId: import_id },
      paused: JSON.parse(pause) as Pause,
    })),
    inboxes: inboxesIn(database).map(({ id, pages }) => ({ _flowId: id, pages })),
  };
}

function inboxesIn(database: SqliteDatabase): readonly { readonly id: string; readonly pages: number }[] {
  const sql = `select id, inbox_pages as pages from poundlock_flows where inbox_pages > 0
    order by inbox_pages desc, id limit ${most}`;
  return database.prepare(sql).all() as { readonly id: string; readonly pages: number }[];
}

interface RunRow<At = string> {
  readonly id: string;
  readonly flow_id: string;
  readonly at: At;
}

interface PauseRow {
  readonly flow_id: string;
  readonly import_id: string;
  readonly pause: string;
}
