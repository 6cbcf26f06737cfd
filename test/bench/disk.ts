import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryStorage } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";

/** Where a case keeps things: in memory, or in a file that is synced to disk with every transaction. */
export type StorageKind = "memory" | "sqlite";

/** What Linux calls a file system that is in memory only. */
const tmpfsType = 0x01021994;

/** Calls `work` with a new folder under the system's temporary one, and removes it afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-bench-"));
  try {
    if ((await statfs(folder)).type === tmpfsType)
      console.warn(`${tmpdir()} is in memory: these figures are of no disk. Let TMPDIR name a folder on one.`);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Calls `work` with a new storage, and closes it afterwards. */
export async function withStorage<T>(kept: StorageKind, work: (storage: Storage) => Promise<T>): Promise<T> {
  return inFolder(async (folder) => {
    const storage = kept === "memory" ? new MemoryStorage() : await SqliteStorage.open(join(folder, "flows.db"));
    try {
      return await work(storage);
    } finally {
      await storage.close();
    }
  });
}
