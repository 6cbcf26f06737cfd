import { statSync } from "node:fs";
import type { Clock } from "../../clock.ts";

/** How long the last look counts, in milliseconds. */
const lookMs = 100;

/**
 * The file that a connection has open. A process goes on writing to a file that was renamed or deleted under it, without
 * any error, and all of that is gone when it ends; meanwhile another process may begin a new file in its place.
 */
export class OpenFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #identity: string | undefined;
  #lookedAt: number;

  /** `path`: absolute; the file is there, and has just been opened. */
  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    this.#identity = identityOf(path);
    this.#lookedAt = clock.now();
  }

  /**
   * Looks again whether the path leads to the file, unless it did less than 100 ms ago.
   *
   * @throws Error if it leads to another file, or to none; not any more once the file is back.
   */
  expectInPlace(): void {
    const passedMs = this.#clock.now() - this.#lookedAt;
    if (passedMs >= 0 && passedMs < lookMs) return;
    const identity = identityOf(this.#path);
    if (identity !== this.#identity) {
      const what = identity === undefined ? "is there no more" : "is another one now";
      throw new Error(
        `the file ${this.#path} ${what}: it was renamed, replaced or deleted while it was open, and what is written to ` +
          `it would be lost. Put it back, or restart on the file that is there`,
      );
    }
    this.#lookedAt = this.#clock.now();
  }
}

// Undefined: there is none.
function identityOf(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}/${stat.ino}`;
}
