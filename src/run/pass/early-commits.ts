import type { Part } from "./recipient.ts";

/**
 * Commits for those that have settled a page while another import waits for another attempt, so that a crash during
 * that wait repeats nothing to them.
 */
export class EarlyCommits {
  readonly #count: number;
  readonly #commit: (parts: readonly Part[]) => Promise<void>;
  readonly #committed = new Set<Part>();
  #settled: Part[] = [];
  #isWaiting = false;
  #last: Promise<void> = Promise.resolve();

  /** `count`: how many imports the page is offered to. */
  constructor(count: number, commit: (parts: readonly Part[]) => Promise<void>) {
    this.#count = count;
    this.#commit = commit;
  }

  /** An import waits for another attempt. */
  waits(): void {
    this.#isWaiting = true;
    this.#commitSettled();
  }

  /** An import has settled its part. */
  settles(part: Part): void {
    this.#settled.push(part);
    if (this.#isWaiting) this.#commitSettled();
  }

  /** The parts that no early commit has taken along, once those under way have ended. */
  async end(parts: readonly Part[]): Promise<readonly Part[]> {
    this.#isWaiting = false;
    await this.#last;
    return this.#committed.size === 0 ? parts : parts.filter((part) => !this.#committed.has(part));
  }

  #commitSettled(): void {
    if (this.#settled.length === 0 || this.#committed.size + this.#settled.length === this.#count) return;
    const parts = this.#settled;
    this.#settled = [];
    for (const part of parts) this.#committed.add(part);
    this.#last = this.#last.then(() => this.#commit(parts));
    // Its error is thrown by `end`, when no import's code is under way any more.
    this.#last.catch(() => undefined);
  }
}
