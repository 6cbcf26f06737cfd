import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { deserialize, serialize } from "node:v8";
import { MemoryStorage, StorageFailedError } from "poundlock";
import type { Storage } from "poundlock/storage";

type Call = readonly [method: string, args: readonly unknown[]];
type Method = (...args: readonly unknown[]) => Promise<unknown>;

/** The methods that change nothing. Whatever else there is goes into the journal, so that none can be forgotten. */
const reading: ReadonlySet<string> = new Set([
  ...["findFlow", "listFlows", "dueFlows", "nextDueAt", "findRun", "listRuns", "waitingFlows", "listProcesses"],
  ...["findCheckpoint", "findFailure", "listFailures", "readInbox", "unreadInboxes"],
]);

/**
 * A durable storage: a MemoryStorage, and a file with every call that changed it, which are made again when it is
 * opened. That is all it takes, because what a method of a storage does depends on its arguments and the stored state
 * alone: it reads no clock and makes no ids. It keeps the words of structured clone, so dates and maps stay what they are.
 *
 * For one process at a time. The journal only grows: a storage for more than an example writes a snapshot now and then.
 */
export async function openJournalStorage(path: string): Promise<Storage> {
  const memory = new MemoryStorage();
  const file = await open(path, constants.O_RDWR | constants.O_CREAT);
  const bytes = await readFile(path);
  /** Where the last complete line ends: a process that died while writing may have left half a line behind it. */
  let size = bytes.lastIndexOf("\n") + 1;
  for (const line of bytes.subarray(0, size).toString().split("\n").slice(0, -1))
    // A call that was refused then is refused now.
    await call(memory, deserialize(Buffer.from(line, "base64")) as Call).catch(() => undefined);

  /** On the disk first, then in memory, then it resolves: what has resolved is durable. */
  async function write(method: string, bytes: Buffer): Promise<unknown> {
    const line = Buffer.from(`${bytes.toString("base64")}\n`);
    try {
      await file.truncate(size);
      const { bytesWritten } = await file.write(line, 0, line.length, size);
      if (bytesWritten < line.length) throw new Error(`only ${bytesWritten} of ${line.length} bytes were written`);
      await file.datasync();
    } catch (error) {
      throw new StorageFailedError(method, error);
    }
    size += line.length;
    return call(memory, deserialize(bytes) as Call);
  }

  let last: Promise<unknown> = Promise.resolve();
  let closing: Promise<void> | undefined;
  async function inTurn(entry: Call): Promise<unknown> {
    const bytes = serialize(entry); // now: the caller may change what it gave as soon as it has the promise
    const turn = last.then(() => write(entry[0], bytes));
    last = turn.catch(() => undefined);
    return turn;
  }
  const own = {
    capabilities: Object.freeze({ durable: true, shared: false }),
    close: () => (closing ??= last.then(() => file.close())),
    // An optional part, for storages that several processes share.
    changes: undefined,
  };
  return new Proxy<Storage>(memory, {
    get(target, name) {
      if (name in own) return own[name as keyof typeof own];
      if (typeof name !== "string" || !(name in target)) return undefined;
      return (...args: readonly unknown[]) => (reading.has(name) ? call(target, [name, args]) : inTurn([name, args]));
    },
  });
}

function call(storage: Storage, [method, args]: Call): Promise<unknown> {
  return (storage as unknown as Record<string, Method>)[method]?.(...args) ?? Promise.resolve();
}
