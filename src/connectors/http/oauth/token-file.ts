import { randomUUID } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type Clock, systemClock } from "../../../clock.ts";
import { InvalidOptionError } from "../../../errors.ts";
import { underLock } from "./file-lock.ts";
import { type TokenStore, type Tokens, tokensIn } from "./token-store.ts";

/**
 * Tokens in a file that only its owner can read (0600), for all processes of this computer that use them. Beside it is a
 * lock while a process gets new ones. To begin with, the file may be `{"refreshToken": "…"}`.
 *
 * @throws `invalid_option` for a path that is none.
 */
export function tokenFile(path: string, clock: Clock = systemClock): TokenStore {
  if (typeof path !== "string" || path === "") throw new InvalidOptionError("tokenFile.path", "a path", path);
  const file = resolve(path);
  return {
    load: () => read(file),
    update: (change) =>
      underLock(`${file}.lock`, clock, async (assertOwned) => {
        const current = await read(file);
        const tokens = await change(current);
        if (tokens === current) return tokens;
        await assertOwned();
        await write(file, tokens);
        return tokens;
      }),
  };
}

async function read(file: string): Promise<Tokens | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const tokens = tokensIn(text);
  // Neither what it has nor what is wrong with it: both may quote a token.
  if (tokens === undefined) throw new Error(`${file} has no tokens: expected JSON such as {"refreshToken": "…"}`);
  return tokens;
}

/** Resolves when they are durable: after a loss of power there are either the old tokens or the new ones. */
async function write(file: string, tokens: Tokens): Promise<void> {
  const temporary = `${file}.${randomUUID()}`;
  try {
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(tokens, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(file));
}

// Windows does not open folders, and does not need it.
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
