import type { Source, SourcePage } from "./source.ts";

/**
 * Reads at most `ahead` pages beyond the one being written, so that reading and writing overlap and memory stays
 * bounded. An error is passed on in its turn, after the pages read before it.
 */
export class ReadAhead {
  readonly #source: Source;
  readonly #ahead: number;
  readonly #signal: AbortSignal;
  readonly #ready: Promise<SourcePage | undefined>[] = [];
  #last: Promise<unknown> = Promise.resolve();
  #ended = false;
  #isOver = false;
  #read = 0;

  /** `signal`: once it aborts, no page is asked for any more. */
  constructor(source: Source, ahead: number, signal: AbortSignal) {
    this.#source = source;
    this.#ahead = ahead;
    this.#signal = signal;
  }

  /** Pages read so far, written or not. */
  get read(): number {
    return this.#read;
  }

  /** Whether the source has said that there is nothing more to read. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The next page; undefined at the end. */
  next(): Promise<SourcePage | undefined> {
    // One that is alone is popped, as shifting is a call of V8's runtime.
    const page = (this.#ready.length === 1 ? this.#ready.pop() : this.#ready.shift()) ?? this.#pull();
    while (this.#ready.length < this.#ahead && !this.#ended) this.#ready.push(this.#pull());
    return page;
  }

  /** Stops reading; resolves when the source has really ended. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#last;
    await this.#source.close();
  }

  // One after the other: an async iterable made by hand may not bear two calls at once.
  #pull(): Promise<SourcePage | undefined> {
    const page = this.#readAfter(this.#last);
    // An error ends the reading; the caller that asks for this page gets it, perhaps much later.
    this.#last = page.catch(() => {
      this.#ended = true;
    });
    return page;
  }

  async #readAfter(previous: Promise<unknown>): Promise<SourcePage | undefined> {
    await previous;
    if (this.#ended || this.#signal.aborted) return undefined;
    const page = await this.#source.next();
    if (page === undefined) this.#ended = this.#isOver = true;
    else this.#read++;
    return page;
  }
}
