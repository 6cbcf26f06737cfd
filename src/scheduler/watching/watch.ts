import type { Change } from "../../model/change.ts";
import type { ChangeFeed, Heard } from "./change-feed.ts";
import { allowManyListeners } from "./many-listeners.ts";

/** Changes may be missing here: what was known of runs and flows has to be read anew. */
export interface ChangeGap {
  readonly change: "gap";
  readonly run?: never;
  readonly flow?: never;
}

/** What becomes of runs and flows, for `for await`. */
export interface Watch extends AsyncIterable<Change | ChangeGap> {
  /** Resolves when nothing that happens from then on is missed: what is read after it and what is watched fit together. */
  readonly ready: Promise<void>;
}

/** How a watch is ended. */
export interface WatchOptions {
  /** Ends it, as `break` in its loop does. */
  readonly signal?: AbortSignal;
}

/** Changes that wait for a watcher at most: one that is slower gets a gap instead. */
const mostWaiting = 10_000;

/** Watches the feed from now on. */
export function watchChanges(feed: Pick<ChangeFeed, "listen">, { signal }: WatchOptions = {}): Watch {
  if (signal?.aborted === true) return { ready: Promise.resolve(), [Symbol.asyncIterator]: () => ended };
  const waiting = new WaitingChanges();
  const { end, ready } = feed.listen((heard) => waiting.add(heard));
  const stop = () => {
    signal?.removeEventListener("abort", stop);
    end();
    waiting.end();
  };
  allowManyListeners(signal);
  signal?.addEventListener("abort", stop);
  const iterator: AsyncIterator<Change | ChangeGap> = {
    next: () => waiting.next(),
    async return() {
      stop();
      return { done: true, value: undefined };
    },
  };
  return { ready, [Symbol.asyncIterator]: () => iterator };
}

const ended: AsyncIterator<Change | ChangeGap> = {
  next: async () => ({ done: true, value: undefined }),
};

const gap: ChangeGap = Object.freeze({ change: "gap" });

/** First in, first out, taken one by one. */
class WaitingChanges {
  #changes: (Change | ChangeGap)[] = [];
  /** How many of them were taken. */
  #taken = 0;
  #takers: ((result: IteratorResult<Change | ChangeGap>) => void)[] = [];
  #isEnded = false;

  add({ changes, gap: hasGap }: Heard): void {
    if (this.#changes.length - this.#taken + changes.length > mostWaiting) this.#keep([gap]);
    else if (hasGap) this.#keep([...this.#rest(), gap, ...changes]);
    else this.#changes.push(...changes);
    while (this.#takers.length > 0 && this.#taken < this.#changes.length) this.#takers.shift()?.(this.#take());
  }

  next(): Promise<IteratorResult<Change | ChangeGap>> {
    if (this.#taken < this.#changes.length) return Promise.resolve(this.#take());
    if (this.#isEnded) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** What waits is not taken any more. */
  end(): void {
    this.#isEnded = true;
    this.#keep([]);
    for (const resolve of this.#takers.splice(0)) resolve({ done: true, value: undefined });
  }

  #rest(): readonly (Change | ChangeGap)[] {
    return this.#changes.slice(this.#taken);
  }

  #keep(changes: (Change | ChangeGap)[]): void {
    this.#changes = changes;
    this.#taken = 0;
  }

  #take(): IteratorResult<Change | ChangeGap> {
    const value = this.#changes[this.#taken++] ?? gap;
    if (this.#taken === this.#changes.length) this.#keep([]);
    return { done: false, value };
  }
}
