import { elapsedMs } from "../../clock.ts";
import { InvalidRequestError } from "../../errors.ts";
import { type ChangeRow, changeColumns, changeJoins, changeOf } from "../sql/processes/changes.ts";
import { guarded } from "../sql/processes/process-storage.ts";
import type { Signals, Topic } from "../sql/processes/signals.ts";
import type { ChangeList, ChangeQuery, ChangeStorage } from "../storage.ts";
import type { Bell } from "./bell.ts";
import { isLateAt, turnAt } from "./change-tables.ts";
import { type PostgresPool, types } from "./pool.ts";
import { inTransaction } from "./postgres-database.ts";
import type { Spelling } from "./spelling.ts";

/** What changes need. */
export interface PostgresChangesParts {
  readonly pool: PostgresPool;
  readonly spelling: Spelling;
  readonly bell: Bell;
  /** The time by which tables take turns. @default now() */
  readonly now?: string;
}

/** How long a transaction that goes on is waited for, in milliseconds: it may have noted a change before those that ended. */
const patienceMs = 2_000;

/** How long processes ring for changes after somebody has said that they are read, in milliseconds. */
const watchedMs = 30_000;

/**
 * Changes in an order in which none is overlooked: by the ids of their transactions, and only up to the oldest one that
 * goes on. Numbers alone are given before a transaction ends, and the one with the larger number may end first.
 */
export class PostgresChanges implements ChangeStorage, Signals {
  readonly pollMs = 1_000;
  readonly onBell: ChangeStorage["onBell"];
  readonly #parts: PostgresChangesParts;
  readonly #since: string;
  /** By elapsed time: until when others are rung for. */
  #watchedUntil = 0;

  constructor(parts: PostgresChangesParts) {
    const { bell, spelling } = parts;
    this.#parts = parts;
    this.#since = spelling.of(sinceSql).text;
    if (bell.canHear) this.onBell = (ring) => bell.on("changes", ring);
    bell.whileHearing("watching", () => this.#watched());
  }

  ring(topic: Topic): void {
    const { bell } = this.#parts;
    if (topic !== "changes") bell.ring(topic);
    // What nobody reads need not be rung for: each ring wakes every process that listens.
    else if (elapsedMs() < this.#watchedUntil) bell.ring(topic);
  }

  async followChanges(): Promise<string> {
    this.#parts.bell.ring("watching");
    this.#watched();
    await this.#query("followChanges", markSql);
    const [row] = await this.#query("followChanges", `select pg_snapshot_xmin(pg_current_snapshot())::text as xid`);
    return textOf({ ...start, xid: (row as { readonly xid: string }).xid });
  }

  async unfollowChanges(): Promise<void> {
    // They are kept for whoever comes.
  }

  async changesSince(place: string, { limit, at }: ChangeQuery): Promise<ChangeList> {
    const from = placeIn(place);
    const { xid, seq, ignored } = from;
    const values = [xid, seq, ignored, limit];
    const rows = (await guarded("changesSince", async () => {
      const found = await this.#parts.pool.query({ text: this.#since, values, types });
      return found.rows;
    })) as readonly (SeenRow & Partial<NotedRow>)[];
    const noted = rows.filter((row): row is SeenRow & NotedRow => row.xid != null);
    const [seen] = rows;
    if (seen === undefined) throw new Error("no snapshot");
    // Emptied by a crash.
    if (seen.lost === null) await this.#query("changesSince", markSql);
    const last = noted.at(-1);
    const more = noted.length === limit;
    const read =
      more && last !== undefined ? { xid: last.xid, seq: String(last.seq) } : { xid: seen.horizon, seq: "0" };
    const { gap, next } = nextOf({ ...from, ...read }, { seen, at, isCaughtUp: !more });
    const changes = noted.flatMap((row) => changeOf(row) ?? []);
    return { changes, next: textOf(next), more, gap: gap || seen.is_lost === 1 };
  }

  async forgetChanges(): Promise<void> {
    const { now = "now()" } = this.#parts;
    const [row] = await this.#query(
      "forgetChanges",
      `select ${turnAt(now)} as turn, (${isLateAt(now)})::integer as is_late`,
    );
    const { is_late, turn: current } = row as { readonly is_late: number; readonly turn: number };
    if (is_late === 0) return;
    const table = `poundlock_changes_${1 - current}`;
    const some = await this.#query("forgetChanges", `select 1 as one from ${table} limit 1`);
    if (some.length > 0) await guarded("forgetChanges", () => this.#empty(table));
  }

  #watched(): void {
    this.#watchedUntil = elapsedMs() + watchedMs;
  }

  async #empty(table: string): Promise<void> {
    const { pool, spelling } = this.#parts;
    // Whoever writes into it still is not made to wait: it is emptied another time.
    await inTransaction(pool, "begin; set local lock_timeout = '100ms'", async (client) => {
      for (const sql of emptying(table)) await client.query({ text: spelling.of(sql).text });
    }).catch((error: unknown) => {
      if ((error as { readonly code?: unknown }).code !== lockNotAvailable) throw error;
    });
  }

  async #query(operation: string, sql: string): Promise<readonly unknown[]> {
    const { pool, spelling } = this.#parts;
    return guarded(operation, async () => (await pool.query({ text: spelling.of(sql).text, types })).rows);
  }
}

const lockNotAvailable = "55P03";

/** Where a reader is: after the change `seq` of transaction `xid`. */
interface Place {
  readonly xid: string;
  readonly seq: string;
  /** Transactions before this one that go on are not waited for; 0: all are. */
  readonly ignored: string;
  /** The oldest one that is waited for, and since when; 0: none. */
  readonly held: string;
  readonly heldAt: number;
}

const start: Place = { xid: "0", seq: "0", ignored: "0", held: "0", heldAt: 0 };

function textOf({ xid, seq, ignored, held, heldAt }: Place): string {
  return [xid, seq, ignored, held, heldAt].join(".");
}

function placeIn(text: string): Place {
  const [, xid, seq, ignored, held, heldAt] =
    /^(\d{1,19})\.(\d{1,18})\.(\d{1,19})\.(\d{1,19})\.(\d{1,15})$/.exec(text) ?? [];
  if (xid === undefined || seq === undefined || ignored === undefined || held === undefined)
    throw new InvalidRequestError("place", "a place of changes", text);
  return { xid, seq, ignored, held, heldAt: Number(heldAt) };
}

/** What is seen of transactions. */
interface SeenRow {
  /** The oldest one that goes on and is waited for, or the next one that begins. */
  readonly horizon: string;
  /** The next one that begins. */
  readonly xmax: string;
  /** Null: the marker is gone, and so is everything from before a crash. */
  readonly lost: string | null;
  /** 0 or 1, as are all such. */
  readonly is_lost: number;
  /** Whether one goes on that is not waited for. */
  readonly ignores: number;
}

interface NotedRow extends ChangeRow {
  readonly xid: string;
  readonly seq: number;
}

/** Where to read on, and whether something may have been left out. */
function nextOf(
  read: Place,
  { seen, at, isCaughtUp }: { readonly seen: SeenRow; readonly at: number; readonly isCaughtUp: boolean },
): { readonly next: Place; readonly gap: boolean } {
  // What was not waited for has ended, and noted what it noted in a place that was passed.
  if (read.ignored !== "0" && seen.ignores === 0) return { next: { ...read, ignored: "0" }, gap: true };
  if (!isCaughtUp || seen.horizon === seen.xmax) return { next: { ...read, held: "0", heldAt: 0 }, gap: false };
  if (read.held !== seen.horizon || at < read.heldAt)
    return { next: { ...read, held: seen.horizon, heldAt: at }, gap: false };
  if (at - read.heldAt < patienceMs) return { next: read, gap: false };
  const ignored = String(BigInt(seen.horizon) + 1n);
  return { next: { ...read, ignored, held: "0", heldAt: 0 }, gap: true };
}

/** Those of one table, in their order. */
const noted = (nth: number) => `(select xid, seq, change, run_id, flow_id, doc, due_at, executed_at
  from poundlock_changes_${nth} where (xid, seq) > ($1::text::xid8, $2::text::bigint)
  and xid < coalesce(seen.oldest, seen.xmax) order by xid, seq limit $4::integer)`;

// One statement, so that the transactions that go on are those whose changes it does not see.
const sinceSql = `with seen as (
    select pg_snapshot_xmax(s) as xmax, (select lost from poundlock_feed where id = 1) as lost,
      (select x from pg_snapshot_xip(s) x where x >= $3::text::xid8 order by x limit 1) as oldest,
      exists (select 1 from pg_snapshot_xip(s) x where x < $3::text::xid8) as ignores
    from pg_current_snapshot() s)
  select coalesce(seen.oldest, seen.xmax)::text as horizon, seen.xmax::text as xmax, seen.lost::text as lost,
    (seen.lost is null or $1::text::xid8 <= seen.lost or $1::text::xid8 > seen.xmax)::integer as is_lost,
    seen.ignores::integer as ignores, c.xid::text as xid, c.seq, ${changeColumns}
  from seen left join lateral (${noted(0)} union all ${noted(1)} order by xid, seq limit $4::integer) c on true
  ${changeJoins} order by c.xid, c.seq`;

// Every change of later transactions is there.
const markSql = `insert into poundlock_feed (id, lost)
  values (1, (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text::xid8) on conflict (id) do nothing`;

const emptying = (table: string): readonly string[] => [
  `lock table ${table} in access exclusive mode`,
  `update poundlock_feed set lost = greatest(lost, (select xid from ${table} order by xid desc limit 1))`,
  `truncate ${table}`,
];
