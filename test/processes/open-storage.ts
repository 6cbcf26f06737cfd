import type { Storage } from "../../src/storage/storage.ts";
import { openDatabase } from "../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { haltingDatabase } from "./halting-database.ts";

/** How the file is opened. */
export interface OpenOptions {
  /** Called between two statements of each transaction that changes something. */
  readonly between?: () => void;
  /** Milliseconds for which a call waits for another process's transaction. @default the storage's own */
  readonly busyMs?: number;
}

/** Opens the file as a host does; with `between` on a connection of its own, for nothing else lets it come in between. */
export async function openStorage(file: string, { between, busyMs }: OpenOptions = {}): Promise<Storage> {
  const options = busyMs === undefined ? {} : { busyTimeoutMs: busyMs };
  const storage = await SqliteStorage.open(file, options);
  if (between === undefined) return storage;
  await storage.close();
  const database = openDatabase(file);
  // What `open` sets for itself; the journal mode stays with the file.
  for (const setting of ["busy_timeout = 10", "synchronous = full", "foreign_keys = on"])
    database.exec(`pragma ${setting}`);
  return new SqliteStorage(haltingDatabase(database, between), options);
}
