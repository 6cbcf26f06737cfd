import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";

/** Looks at the tables of the library with a connection of its own, whatever the processes believe. */
export class Observer {
  /** Moments at which a flow had two active runs. */
  readonly violations: string[] = [];
  readonly #pool: pg.Pool;
  #isOver = false;
  readonly #watching: Promise<void>;

  constructor(connection: pg.PoolConfig) {
    this.#pool = new pg.Pool({ ...connection, application_name: "observer", max: 2 });
    this.#pool.on("error", () => undefined);
    this.#watching = this.#watch();
  }

  /** Runs that wait or are active. */
  async unended(): Promise<number> {
    const [row] = await this.#rows<{ n: number }>("select count(*)::int as n from poundlock.runs where stage < 2");
    return row?.n ?? -1;
  }

  /** The id of the process of this name. */
  async processId(name: string): Promise<string> {
    const sql = "select id from poundlock.processes where doc::json->>'name' = $1";
    const [row] = await this.#rows<{ id: string }>(sql, [name]);
    if (row === undefined) throw new Error(`there is no process ${name}`);
    return row.id;
  }

  /** How many runs are active under a lease of the process. */
  async leasesOf(processId: string): Promise<number> {
    const sql = "select count(*)::int as n from poundlock.runs where stage = 1 and token like $1 || '/%'";
    const [row] = await this.#rows<{ n: number }>(sql, [processId]);
    return row?.n ?? -1;
  }

  statuses(): Promise<readonly { readonly status: string }[]> {
    return this.#rows("select status from poundlock.runs");
  }

  async execute(sql: string): Promise<void> {
    await this.#rows(sql);
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
    await this.#pool.end();
  }

  async #watch(): Promise<void> {
    const two = "select flow_id from poundlock.runs where stage = 1 group by flow_id having count(*) > 1";
    while (!this.#isOver) {
      const found = await this.#rows<{ flow_id: string }>(two).catch(() => []);
      for (const { flow_id } of found) this.violations.push(flow_id);
      await pause(50);
    }
  }

  async #rows<Row extends object>(sql: string, values: readonly string[] = []): Promise<readonly Row[]> {
    const { rows } = await this.#pool.query<Row>(sql, [...values]);
    return rows;
  }
}
