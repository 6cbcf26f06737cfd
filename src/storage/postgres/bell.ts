import { createHash } from "node:crypto";
import { type CancelTimer, type Clock, delay } from "../../clock.ts";
import type { Topic } from "../sql/processes/signals.ts";
import { type PostgresClient, type PostgresPool, ignoreErrors, ignoreErrorsIn, types } from "./pool.ts";

/** What a bell needs. */
export interface BellParts {
  /** Rings. */
  readonly pool: Pick<PostgresPool, "query">;
  /** Lends the one connection that hears; absent: nothing is heard. */
  readonly listen: PostgresPool | undefined;
  readonly schema: string;
  readonly clock: Clock;
}

/** What it can ring for; `watching`: somebody reads changes. */
export type BellTopic = Topic | "wakes" | "watching";

/** How long one ring of a process stands for those that follow it, in milliseconds. */
const pauseMs = 20;

/** The delays between two tries to connect, in milliseconds: doubled from the first to the last. */
const reconnectMs = { first: 100, last: 5_000 };

/**
 * Notifies the other processes, through PostgreSQL, that there is something to look at. It rings outside of transactions:
 * in one, `notify` locks the whole cluster until the disk has answered. It hears on one connection for all topics, from
 * the first listener to the last one.
 */
export class Bell {
  readonly #parts: BellParts;
  readonly #channel: string;
  readonly #listeners = new Map<BellTopic, Set<() => void>>();
  readonly #alongside = new Map<BellTopic, () => void>();
  /** Topics that rang within the last pause; true: to be rung again after it. */
  readonly #rung = new Map<BellTopic, boolean>();
  readonly #pauses = new Set<CancelTimer>();
  #hearing: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(parts: BellParts) {
    this.#parts = parts;
    this.#channel = `poundlock_${createHash("sha256").update(parts.schema).digest("hex").slice(0, 16)}`;
  }

  /** Whether anything can be heard. */
  get canHear(): boolean {
    return this.#parts.listen !== undefined;
  }

  /** Rings in every process, at most once in {@link pauseMs}. What it rings for has to be committed. */
  ring(topic: BellTopic): void {
    if (this.#rung.has(topic)) {
      this.#rung.set(topic, true);
      return;
    }
    this.#rung.set(topic, false);
    const text = `select pg_notify($1, '')`;
    // One that is lost costs the wait for the next look.
    this.#parts.pool.query({ text, values: [`${this.#channel}_${topic}`], types }).catch(() => undefined);
    const cancel = this.#parts.clock.setTimer(() => {
      this.#pauses.delete(cancel);
      const isToRing = this.#rung.get(topic) === true;
      this.#rung.delete(topic);
      if (isToRing) this.ring(topic);
    }, pauseMs);
    this.#pauses.add(cancel);
  }

  /** Calls `listener` for each ring, and when some may have been missed; returns what ends it. */
  on(topic: BellTopic, listener: () => void): () => void {
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners.add(listener));
    if (this.#hearing === undefined && this.#parts.listen !== undefined) this.#hear(this.#parts.listen);
    return () => {
      listeners.delete(listener);
      if ([...this.#listeners.values()].every(({ size }) => size === 0)) this.#stopHearing();
    };
  }

  /** Calls `listener` in the same way, but only while there are others: it takes no connection by itself. */
  whileHearing(topic: BellTopic, listener: () => void): void {
    this.#alongside.set(topic, listener);
  }

  /** Hears and rings no more; resolves when its connection has been given back. */
  async close(): Promise<void> {
    for (const cancel of this.#pauses) cancel();
    this.#stopHearing();
    await this.#ended;
  }

  #stopHearing(): void {
    this.#hearing?.abort();
    this.#hearing = undefined;
  }

  #hear(listen: PostgresPool): void {
    const hearing = new AbortController();
    this.#hearing = hearing;
    const before = this.#ended;
    this.#ended = before.then(() => this.#hearUntil(listen, hearing.signal));
  }

  async #hearUntil(listen: PostgresPool, signal: AbortSignal): Promise<void> {
    for (let waitMs = reconnectMs.first; !signal.aborted; waitMs = Math.min(waitMs * 2, reconnectMs.last)) {
      const heardSince = this.#parts.clock.now();
      await this.#hearOnce(listen, signal).catch(() => undefined);
      if (this.#parts.clock.now() - heardSince > reconnectMs.last) waitMs = reconnectMs.first;
      await delay(this.#parts.clock, waitMs, signal);
    }
  }

  // Resolves when the connection is lost, or is needed no more.
  async #hearOnce(listen: PostgresPool, signal: AbortSignal): Promise<void> {
    ignoreErrorsIn(listen);
    const client = await listen.connect();
    ignoreErrors(client);
    try {
      const lost = lossOf(client, signal);
      client.on?.("notification", ({ channel }) => this.#heard(channel));
      const channels = topics.map((topic) => `listen "${this.#channel}_${topic}"`);
      if (!signal.aborted) await client.query({ text: channels.join("; ") });
      // What was rung before is not heard.
      if (!signal.aborted) for (const topic of topics) this.#call(topic);
      await lost;
    } finally {
      // It goes on listening, so nobody else may have it.
      client.release(new Error("it has listened"));
    }
  }

  #heard(channel: string): void {
    for (const topic of topics) if (channel === `${this.#channel}_${topic}`) this.#call(topic);
  }

  #call(topic: BellTopic): void {
    this.#alongside.get(topic)?.();
    for (const listener of this.#listeners.get(topic) ?? []) listener();
  }
}

const topics: readonly BellTopic[] = ["wakes", "flows", "cancel", "changes", "watching"];

function lossOf(client: PostgresClient, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const lost = () => {
      // The signal outlives any number of connections.
      signal.removeEventListener("abort", lost);
      resolve();
    };
    client.on?.("error", lost);
    client.on?.("end", lost);
    if (signal.aborted) lost();
    else signal.addEventListener("abort", lost);
  });
}
