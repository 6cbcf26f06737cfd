import type { ChangeList, ChangeStorage } from "../storage.ts";
import { guarded } from "../sql/processes/process-storage.ts";
import type { Signals } from "../sql/processes/signals.ts";
import { type SqlDatabase, statement } from "../sql/database.ts";

/** How often it looks, in milliseconds: whoever is notified of a gap reads anew what it shows. */
const pollMs = 1_000;

/**
 * Changes of a file that is open for reading only. Nobody notes them for a reader that cannot say that it reads, but
 * SQLite says whether another connection has changed anything: then there is a gap, and what was known is read anew.
 */
export class ReaderChanges implements ChangeStorage, Signals {
  readonly pollMs = pollMs;
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  /** Nothing is changed here. */
  ring(): void {
    // Nobody waits for it.
  }

  followChanges(): Promise<string> {
    return guarded("followChanges", () => this.#version());
  }

  async unfollowChanges(): Promise<void> {
    // Nothing is kept for it.
  }

  async changesSince(place: string): Promise<ChangeList> {
    const next = await guarded("changesSince", () => this.#version());
    return { changes: [], next, more: false, gap: next !== place };
  }

  async forgetChanges(): Promise<void> {
    // Nothing is kept.
  }

  /** Another one each time that another connection has committed a change. */
  async #version(): Promise<string> {
    const [row] = (await this.#database.query(statement("pragma data_version"))) as readonly {
      readonly data_version: number;
    }[];
    return String(row?.data_version);
  }
}
