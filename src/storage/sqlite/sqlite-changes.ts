import type { ChangeList, ChangeQuery, ChangeReader, ChangeStorage } from "../storage.ts";
import { placeOf } from "../documents.ts";
import { type SqlDatabase, type Transaction, execute, rowOf, rowsOf, statement } from "../sql/database.ts";
import { type ChangeRow, changeColumns, changeJoins, changeOf } from "../sql/processes/changes.ts";
import { guarded } from "../sql/processes/process-storage.ts";
import type { Signals, Topic } from "../sql/processes/signals.ts";

// Noted by triggers, so that no statement can forget it; and only while somebody reads, so that it costs nothing else.
const isRead = "exists (select 1 from poundlock_readers)";
const isCrash = `json_valid(old.doc) and json_valid(new.doc)
  and json_extract(new.doc, '$.crashes') > json_extract(old.doc, '$.crashes')`;

/** The tables of changes and of their readers, and what notes them. */
export const changeTables: readonly string[] = [
  `create table poundlock_changes (
    seq integer primary key autoincrement,
    change text not null,
    run_id text,
    flow_id text not null,
    doc text,
    due_at bigint,
    executed_at text)`,
  `create table poundlock_readers (
    id text primary key,
    until bigint not null) without rowid`,

  `create trigger poundlock_note_queued after insert on poundlock_runs when new.status = 'queued' and ${isRead}
    begin insert into poundlock_changes (change, run_id, flow_id) values ('queued', new.id, new.flow_id); end`,
  `create trigger poundlock_note_run after update of status on poundlock_runs
    when old.status <> new.status and new.status <> 'canceling' and ${isRead}
    begin insert into poundlock_changes (change, run_id, flow_id) values (
      case when new.status = 'running' then 'started' when new.status <> 'queued' then new.status
        when new.not_before is not null then 'wait' when ${isCrash} then 'crash' else 'stop' end,
      new.id, new.flow_id); end`,
  `create trigger poundlock_note_created after insert on poundlock_flows when ${isRead}
    begin insert into poundlock_changes (change, flow_id) values ('flow:created', new.id); end`,
  `create trigger poundlock_note_updated after update of last_modified on poundlock_flows when ${isRead}
    begin insert into poundlock_changes (change, flow_id, doc, due_at, executed_at)
      values ('flow:updated', new.id, old.doc, old.due_at, old.executed_at); end`,
  `create trigger poundlock_note_deleted after delete on poundlock_flows when ${isRead}
    begin insert into poundlock_changes (change, flow_id, doc, due_at, executed_at)
      values ('flow:deleted', old.id, old.doc, old.due_at, old.executed_at); end`,
];

/** A deletion is noted as soon as the flow's row says so. */
export const deletionNote: readonly string[] = [
  `drop trigger poundlock_note_deleted`,
  `create trigger poundlock_note_deleted after update of deleted_at on poundlock_flows
    when old.deleted_at is null and new.deleted_at is not null and ${isRead}
    begin insert into poundlock_changes (change, flow_id, doc, due_at, executed_at)
      values ('flow:deleted', old.id, old.doc, old.due_at, old.executed_at); end`,
];

/** How often processes look whether another one has changed something, in milliseconds. */
const pollMs = 250;

/** How many changes are kept while somebody reads. */
const kept = 100_000;

/** Changes removed in one transaction. */
const portion = 1_000;

/** Changes of what a file holds: those of this process ring here, others are found by looking. */
export class SqliteChanges implements ChangeStorage, Signals {
  readonly pollMs = pollMs;
  readonly #database: SqlDatabase;
  readonly #rings = new Set<() => void>();

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  onBell(ring: () => void): () => void {
    this.#rings.add(ring);
    return () => this.#rings.delete(ring);
  }

  ring(topic: Topic): void {
    if (topic === "changes") for (const ring of this.#rings) ring();
  }

  followChanges({ _id, at, until }: ChangeReader): Promise<string> {
    return guarded("followChanges", () => this.#database.runTransaction(follow(_id, at, until)));
  }

  async unfollowChanges(_id: string): Promise<void> {
    const transaction: Transaction<void> = () => execute(`delete from poundlock_readers where id = ?`, _id);
    await guarded("unfollowChanges", () => this.#database.runTransaction(transaction));
  }

  async changesSince(place: string, { limit }: ChangeQuery): Promise<ChangeList> {
    const after = placeOf(place, 0);
    const rows = (await guarded("changesSince", () => this.#database.query(since(after, limit)))) as readonly Row[];
    const wanted = rows.slice(0, limit);
    const gap = (rows[0]?.first ?? after) > after + 1 || wanted.some(({ change }) => change === "gap");
    const noted = wanted.filter(({ change }) => change !== "gap");
    const changes = noted.flatMap((row) => changeOf(row) ?? []);
    return { changes, next: String(wanted.at(-1)?.seq ?? after), more: rows.length > limit, gap };
  }

  async forgetChanges(at: number): Promise<void> {
    await guarded("forgetChanges", async () => {
      // Mostly there is nothing: looking for it takes no lock.
      const some = await this.#database.query(statement(somethingKept));
      if (some.length === 0) return;
      while ((await this.#database.runTransaction(forget(at))) === portion);
    });
  }
}

interface Row extends ChangeRow {
  readonly seq: number;
  /** The number of the oldest change that is kept. */
  readonly first: number;
}

const somethingKept = `select 1 as one from poundlock_readers union all
  select * from (select 1 from poundlock_changes limit 1 offset 1) limit 1`;

function since(after: number, limit: number) {
  return statement(
    `select c.seq, (select min(seq) from poundlock_changes) as first, ${changeColumns}
      from poundlock_changes c ${changeJoins} where c.seq > ? order by c.seq limit ?`,
    ...[after, limit + 1],
  );
}

function follow(_id: string, at: number, until: number): Transaction<string> {
  return function* () {
    yield* execute(`delete from poundlock_readers where until <= ?`, at);
    // What happened while nobody read is not known.
    yield* execute(`insert into poundlock_changes (change, flow_id) select 'gap', '' where not ${isRead}`);
    yield* execute(
      `insert into poundlock_readers (id, until) values (?, ?) on conflict (id) do update set until = excluded.until`,
      ...[_id, until],
    );
    const newest = yield* rowOf<{ seq: number }>(`select seq from poundlock_changes order by seq desc limit 1`);
    return String(newest?.seq ?? 0);
  };
}

// The newest one stays: its number says whether a place is too old.
function forget(at: number): Transaction<number> {
  return function* () {
    yield* execute(`delete from poundlock_readers where until <= ?`, at);
    const removed = yield* rowsOf(
      `delete from poundlock_changes where seq in (select seq from poundlock_changes
        where seq < (select max(seq) from poundlock_changes) - case when ${isRead} then ? else 0 end
        order by seq limit ?) returning seq`,
      ...[kept, portion],
    );
    return removed.length;
  };
}
