import type { Wake, WakeStorage } from "../../storage.ts";
import { type SqlDatabase, type Transaction, execute, rowsOf, statement } from "../database.ts";
import { guarded } from "./process-storage.ts";

/** A row of `wakes`. */
export interface WakeRow {
  readonly seq: number;
  readonly flow_id: string;
  readonly export_id: string;
}

/** Shares wake-ups through a table of a database that has no bell. */
export class PolledWakes implements WakeStorage {
  readonly pollMs: number;
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase, pollMs: number) {
    this.#database = database;
    this.pollMs = pollMs;
  }

  addWakes(wakes: readonly Wake[]): Promise<void> {
    const all = wakes.map(({ _flowId, _exportId }) => [_flowId, _exportId] as const);
    return guarded("addWakes", () => this.#database.runTransaction(addWakes(all)));
  }

  async claimWakes(limit: number, _exportIds: readonly string[]): Promise<readonly Wake[]> {
    const exportIds = JSON.stringify(_exportIds);
    return guarded("claimWakes", async () => {
      // Mostly there is nothing: looking for it takes no lock.
      const some = await this.#database.query(statement(`select 1 as one from poundlock_wakes limit 1`));
      if (some.length === 0) return [];
      return wakesOf(await this.#database.runTransaction(claimWakes(limit, exportIds)));
    });
  }
}

/** The wake-ups of rows, oldest first. */
export function wakesOf(rows: readonly WakeRow[]): readonly Wake[] {
  return [...rows]
    .sort((one, other) => one.seq - other.seq)
    .map(({ flow_id, export_id }) => ({ _flowId: flow_id, _exportId: export_id }));
}

function addWakes(wakes: readonly (readonly [_flowId: string, _exportId: string])[]): Transaction<void> {
  return function* () {
    for (const wake of wakes)
      yield* execute(
        `insert into poundlock_wakes (flow_id, export_id) values (?, ?)
          on conflict (flow_id) do update set export_id = excluded.export_id`,
        ...wake,
      );
  };
}

function claimWakes(limit: number, exportIds: string): Transaction<readonly WakeRow[]> {
  return function* () {
    return yield* rowsOf<WakeRow>(
      `delete from poundlock_wakes where seq in (
        select seq from poundlock_wakes where export_id in (select value from json_each(?)) order by seq limit ?)
        returning seq, flow_id, export_id`,
      ...[exportIds, limit],
    );
  };
}
