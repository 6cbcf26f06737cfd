import { isPlainObject } from "../../../model/record/json.ts";

/** What a token server gave. */
export interface Tokens {
  readonly accessToken?: string;
  /** Gets other tokens. With many servers it is valid once. */
  readonly refreshToken?: string;
  /** Epoch milliseconds; absent: until the API refuses the access token. */
  readonly expiresAt?: number;
  /** How long the access token was valid when it was given, in milliseconds. */
  readonly lifetimeMs?: number;
}

/** Where tokens outlive a process, for all processes that use them. */
export interface TokenStore {
  /** Undefined if there are none yet. */
  load(): Promise<Tokens | undefined>;
  /**
   * Keeps what `change` makes of the tokens that are there now, and resolves with it once it is durable. No other process
   * begins a change before this one has ended: a refresh token that is used twice makes many servers revoke all of them.
   */
  update(change: (current: Tokens | undefined) => Promise<Tokens>): Promise<Tokens>;
}

/** Tokens of this process only. */
export class MemoryTokens implements TokenStore {
  #tokens: Tokens | undefined;
  #last: Promise<unknown> = Promise.resolve();

  async load(): Promise<Tokens | undefined> {
    return this.#tokens;
  }

  update(change: (current: Tokens | undefined) => Promise<Tokens>): Promise<Tokens> {
    const changed = this.#last.then(async () => (this.#tokens = await change(this.#tokens)));
    this.#last = changed.catch(() => undefined);
    return changed;
  }
}

/** The tokens in a JSON text; undefined if it has none. */
export function tokensIn(text: string): Tokens | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && isPlainObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
