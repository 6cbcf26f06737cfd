import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";

/** Looks at the tables of the library with a connection of its own, whatever the workers believe. */
export class Observer {
  /** What no moment may show: two active runs of a flow, or a due time with two runs. */
  readonly violations: string[] = [];
  readonly #pool: pg.Pool;
  #isOver = false;
  #watching: Promise<void>;

  constructor(connection: pg.PoolConfig) {
    this.#pool = new pg.Pool({ ...connection, application_name: "observer", max: 2 });
    // A database that restarts ends its connections; the next look makes a new one.
    this.#pool.on("error", () => undefined);
    this.#watching = this.#watch();
  }

  /** Begins to count the runs that are taken for those of a dead process. To be called when there are tables. */
  async countReclaimed(): Promise<void> {
    await this.#pool.query(`create schema observed; create table observed.reclaimed (run_id text);
      create function observed.note() returns trigger language plpgsql as
        $$ begin insert into observed.reclaimed values (new.id); return null; end $$;
      create trigger noted after update on poundlock.runs for each row
        when (old.status = 'running' and (new.doc::json->>'crashes')::int > (old.doc::json->>'crashes')::int)
        execute function observed.note()`);
  }

  async reclaimed(): Promise<number> {
    return (await this.#count("select count(*) as n from observed.reclaimed")) ?? -1;
  }

  /** Runs that wait or are active, or undefined while the database does not answer. */
  async unended(): Promise<number | undefined> {
    return this.#count("select count(*) as n from poundlock.runs where ended_at is null");
  }

  async completed(): Promise<number | undefined> {
    return this.#count("select count(*) as n from poundlock.runs where status = 'completed'");
  }

  /** Active runs whose lease has run out. */
  async expired(): Promise<readonly { readonly id: string; readonly token: string }[]> {
    const { rows } = await this.#pool.query<{ id: string; token: string }>(
      `select id, token from poundlock.runs where status = 'running'
       and lease_until < extract(epoch from clock_timestamp()) * 1000`,
    );
    return rows;
  }

  /** How many of these leases are still those of the run. */
  async stillHeld(leases: readonly { readonly id: string; readonly token: string }[]): Promise<number> {
    const { rows } = await this.#pool.query(
      `select id from poundlock.runs where status = 'running' and (id, token) in
       (select * from unnest($1::text[], $2::text[]))`,
      [leases.map(({ id }) => id), leases.map(({ token }) => token)],
    );
    return rows.length;
  }

  /** The id of the process whose scheduler has this name. */
  async processId(name: string): Promise<string> {
    const sql = "select id from poundlock.processes where doc::json->>'name' = $1";
    const { rows } = await this.#pool.query<{ id: string }>(sql, [name]);
    if (rows[0] === undefined) throw new Error(`there is no process ${name}`);
    return rows[0].id;
  }

  /** How many runs are active under a lease of this process. */
  async leasesOf(processId: string): Promise<number | undefined> {
    return this.#count("select count(*) as n from poundlock.runs where status = 'running' and token like $1 || '/%'", [
      processId,
    ]);
  }

  /** Ends the connections of a worker one by one. */
  async terminate(worker: string): Promise<number> {
    const { rows } = await this.#pool.query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name = $1",
      [worker],
    );
    for (const { pid } of rows) {
      await this.#pool.query("select pg_terminate_backend($1)", [pid]);
      await pause(5);
    }
    return rows.length;
  }

  async execute(sql: string): Promise<void> {
    await this.#pool.query(sql);
  }

  /** What every run came to. */
  async statuses(): Promise<readonly string[]> {
    const { rows } = await this.#pool.query<{ status: string }>("select status from poundlock.runs");
    return rows.map(({ status }) => status);
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
    await this.#pool.end();
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      const found = await this.#pool
        .query<{ flow_id: string; n: string }>(
          "select flow_id, count(*) as n from poundlock.runs where status = 'running' group by flow_id having count(*) > 1",
        )
        .catch(() => undefined);
      for (const { flow_id, n } of found?.rows ?? []) this.violations.push(`${flow_id}: ${n} active runs`);
      await pause(50);
    }
  }

  async #count(sql: string, values: readonly string[] = []): Promise<number | undefined> {
    const found = await this.#pool.query<{ n: string }>(sql, [...values]).catch(() => undefined);
    const n = found?.rows[0]?.n;
    return n === undefined ? undefined : Number(n);
  }
}
