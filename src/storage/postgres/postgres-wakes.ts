import { type WakeRow, wakesOf } from "../sql/processes/wakes.ts";
import { guarded } from "../sql/processes/process-storage.ts";
import type { Wake, WakeStorage } from "../storage.ts";
import type { Bell } from "./bell.ts";
import { type PostgresPool, types } from "./pool.ts";
import { quoted } from "./spelling.ts";

/** What wake-ups need. */
export interface PostgresWakesParts {
  readonly pool: Pick<PostgresPool, "query">;
  readonly schema: string;
  readonly bell: Bell;
}

/** Shares wake-ups through a table that is not logged, each call one statement, and a bell. */
export class PostgresWakes implements WakeStorage {
  readonly pollMs = 1_000;
  readonly idlePollMs = 30_000;
  readonly onBell: WakeStorage["onBell"];
  readonly #parts: PostgresWakesParts;
  readonly #add: string;
  readonly #claim: string;

  constructor(parts: PostgresWakesParts) {
    const { bell, schema } = parts;
    this.#parts = parts;
    if (bell.canHear) this.onBell = (ring) => bell.on("wakes", ring);
    const table = `${quoted(schema)}."wakes"`;
    // In an order that all keep to, so that no two wait for each other.
    this.#add = `insert into ${table} (flow_id, export_id)
      select w.flow_id, w.export_id from json_to_recordset($1::json) as w (flow_id text, export_id text)
      order by w.flow_id collate "C"
      on conflict (flow_id) do update set export_id = excluded.export_id where wakes.export_id <> excluded.export_id`;
    this.#claim = `delete from ${table} where ctid = any (array(
      select ctid from ${table} where export_id in (select json_array_elements_text($1::json) collate "C")
      order by seq limit $2 for update skip locked)) returning seq, flow_id, export_id`;
  }

  async addWakes(wakes: readonly Wake[]): Promise<void> {
    // One of each flow: a statement changes a row once.
    const rows = new Map(wakes.map(({ _flowId, _exportId }) => [_flowId, { flow_id: _flowId, export_id: _exportId }]));
    const { bell, pool } = this.#parts;
    const values = [JSON.stringify([...rows.values()])];
    if (rows.size > 0) await guarded("addWakes", () => pool.query({ text: this.#add, values, types }));
    bell.ring("wakes");
  }

  async claimWakes(limit: number, _exportIds: readonly string[]): Promise<readonly Wake[]> {
    const { pool } = this.#parts;
    const values = [JSON.stringify(_exportIds), limit];
    const { rows } = await guarded("claimWakes", () => pool.query({ text: this.#claim, values, types }));
    return wakesOf(rows as readonly WakeRow[]);
  }
}
