import { createHash, randomUUID } from "node:crypto";
import { readlinkSync } from "node:fs";
import { type FileHandle, open, readFile, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { type Clock, delay } from "../../../clock.ts";

/** How often a process looks whether the lock is free, in milliseconds. */
const pollMs = 50;
/** A lock that is older belongs to a process that died, or froze, on another computer. */
const staleMs = 120_000;

/**
 * Does `work` while no other process does its own under the same lock, a file. The lock of a process that died is taken
 * over: at once on the same computer, else when it is two minutes old.
 *
 * @param work is given a function that throws if the lock was taken over meanwhile, to be called before it writes.
 */
export async function underLock<T>(
  path: string,
  clock: Clock,
  work: (assertOwned: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const lock = new FileLock(path, clock);
  await lock.acquire();
  try {
    return await work(() => lock.assertOwned());
  } finally {
    await lock.release();
  }
}

interface LockOwner {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  /** Containers of one host count their processes apart. */
  readonly pidSpace: string;
}

class FileLock {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #content: string;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    const owner: LockOwner = { id: randomUUID(), host: hostname(), pid: process.pid, pidSpace: pidSpace() };
    this.#content = JSON.stringify(owner);
  }

  async acquire(): Promise<void> {
    while (!(await create(this.#path, this.#content))) {
      const content = await this.#read();
      if (content !== undefined && (await this.#isAbandoned(content)) && (await this.#takeOver(content))) return;
      await delay(this.#clock, pollMs);
    }
  }

  async assertOwned(): Promise<void> {
    if ((await this.#read()) !== this.#content)
      throw new Error(`the lock ${this.#path} was taken over by another process, since this one stood still`);
  }

  async release(): Promise<void> {
    if ((await this.#read()) === this.#content) await rm(this.#path, { force: true });
  }

  async #read(): Promise<string | undefined> {
    return orNothing(readFile(this.#path, "utf8"));
  }

  async #isAbandoned(content: string): Promise<boolean> {
    const owner = ownerIn(content);
    if (owner?.host === hostname() && owner.pidSpace === pidSpace() && !isAlive(owner.pid)) return true;
    const found = await orNothing(stat(this.#path));
    return found !== undefined && this.#clock.now() - found.mtimeMs > staleMs;
  }

  // Only the one process that has the marker of this very lock may replace it, and only while it is still that lock.
  async #takeOver(content: string): Promise<boolean> {
    const marker = `${this.#path}.${createHash("sha256").update(content).digest("hex").slice(0, 16)}`;
    if (!(await create(marker, this.#content))) {
      const found = await orNothing(stat(marker));
      if (found !== undefined && this.#clock.now() - found.mtimeMs > staleMs) await rm(marker, { force: true });
      return false;
    }
    try {
      if ((await this.#read()) !== content) return false;
      const mine = `${marker}.${randomUUID()}`;
      await create(mine, this.#content);
      await rename(mine, this.#path);
      return true;
    } finally {
      await rm(marker, { force: true });
    }
  }
}

/** False if the file is there already. */
async function create(path: string, content: string): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(path, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  try {
    await file.writeFile(content);
  } finally {
    await file.close();
  }
  return true;
}

async function orNothing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

// A lock whose content is not there yet belongs to a process that is about to write it.
function ownerIn(content: string): LockOwner | undefined {
  try {
    return JSON.parse(content) as LockOwner;
  } catch {
    return undefined;
  }
}

/** @see https://man7.org/linux/man-pages/man7/namespaces.7.html */
function pidSpace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // There, but somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
