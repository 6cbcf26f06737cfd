import type { CancelTimer, Clock } from "../../clock.ts";

/** Why a waiting stream is woken. */
export type WakeReason = "events" | "heartbeat";

/** What pacing has to know of a stream. */
export interface PacedStream {
  /** The position of the last event that was sent or left out. */
  readonly position: number;
  /** When it was sent something last. */
  readonly sentAt: number;
}

/** Everything that pacing needs. */
export interface PacedStreamsDeps {
  readonly clock: Clock;
  /** Silence after which a stream is woken for a heartbeat; 1 or more. */
  readonly heartbeatMs: number;
  /** The position of the newest event. */
  readonly newest: () => number;
}

/** Streams that are woken in one turn of the event loop. */
const batchSize = 50;

/**
 * Streams that wait for events. They are woken together, in batches, with an interval in proportion to what the last
 * wake-up cost: so the part of the time that goes into streams does not grow with their number.
 */
export class PacedStreams {
  readonly #deps: PacedStreamsDeps;
  readonly #open = new Set<PacedStream>();
  readonly #waiting = new Map<PacedStream, (reason: WakeReason) => void>();
  #lastWakeUpAt = -Infinity;
  /** What the last wake-up cost, for a first chunk for each stream, and how many streams it woke. */
  #lastWakeUpMs = 0;
  #lastWoken = 0;
  /** Chunks sent since the last wake-up. */
  #chunks = 0;
  #isWaking = false;
  #cancelWakeUp: CancelTimer | undefined;
  #cancelHeartbeat: CancelTimer | undefined;
  /** When the next check for silent streams is due. */
  #heartbeatAt = Infinity;

  constructor(deps: PacedStreamsDeps) {
    this.#deps = deps;
  }

  /** Streams that are being read. */
  get size(): number {
    return this.#open.size;
  }

  /** The stream is being read from now on. */
  opened(stream: PacedStream): void {
    this.#open.add(stream);
  }

  /** The stream has ended. If it waits, it is woken. */
  closed(stream: PacedStream): void {
    this.#open.delete(stream);
    this.#waiting.get(stream)?.("events");
    this.#waiting.delete(stream);
    // Streams that do not wait need no timer: when they read on, they find what is new, or begin to wait.
    if (this.#waiting.size > 0) return;
    this.#cancelWakeUp?.();
    this.#cancelHeartbeat?.();
    this.#cancelWakeUp = this.#cancelHeartbeat = undefined;
    this.#heartbeatAt = Infinity;
  }

  /** A chunk is being sent. */
  sending(): void {
    this.#chunks++;
  }

  /** Resolves when there is something to send. */
  wait(stream: PacedStream): Promise<WakeReason> {
    this.#checkSilenceBy(stream.sentAt + this.#deps.heartbeatMs);
    return new Promise((resolve) => this.#waiting.set(stream, resolve));
  }

  /** There are new events: wakes the waiting streams, now or when the interval is over. */
  notify(): void {
    if (this.#isWaking || this.#cancelWakeUp !== undefined || this.#waiting.size === 0) return;
    const { clock } = this.#deps;
    const costMs = (this.#lastWakeUpMs * this.#chunks) / Math.max(1, this.#lastWoken);
    const pauseMs = intervalMs(this.#open.size, costMs);
    const delayMs = this.#lastWakeUpAt + pauseMs - clock.now();
    if (delayMs <= 0 || delayMs > pauseMs) {
      this.wakeAll();
      return;
    }
    // Streams that lag behind add to the cost meanwhile, so the interval is computed again at its end.
    this.#cancelWakeUp = clock.setTimer(() => {
      this.#cancelWakeUp = undefined;
      this.notify();
    }, delayMs);
  }

  /** Wakes the waiting streams without regard to the interval, in batches, so that the host has its turn in between. */
  wakeAll(): void {
    this.#chunks = 0;
    const startedAt = this.#deps.clock.now();
    this.#wake("events", [...this.#waiting.keys()], (woken) => {
      this.#lastWakeUpAt = this.#deps.clock.now();
      this.#lastWakeUpMs = this.#lastWakeUpAt - startedAt;
      this.#lastWoken = woken;
    });
  }

  #wake(reason: WakeReason, streams: readonly PacedStream[], finished: (woken: number) => void): void {
    this.#isWaking = true;
    const wake = async () => {
      for (const [index, stream] of streams.entries()) {
        // The first batch waits for a turn, too: events of the same turn are sent together.
        if (index % batchSize === 0) await this.#deps.clock.yieldToEventLoop();
        const resolve = this.#waiting.get(stream);
        this.#waiting.delete(stream);
        resolve?.(reason);
      }
    };
    const done = () => {
      this.#isWaking = false;
      finished(streams.length);
      // What happened meanwhile is new to the first of them.
      const newest = this.#deps.newest();
      if ([...this.#waiting.keys()].some(({ position }) => position < newest)) this.notify();
    };
    wake().then(done, done);
  }

  /** Checks for silent streams at that time, unless a check is due before. */
  #checkSilenceBy(at: number): void {
    if (this.#heartbeatAt <= at) return;
    const { clock, heartbeatMs } = this.#deps;
    this.#cancelHeartbeat?.();
    this.#heartbeatAt = at;
    // Never longer than one heartbeat: the clock may have been set back.
    const delayMs = Math.min(Math.max(0, at - clock.now()), heartbeatMs);
    this.#cancelHeartbeat = clock.setTimer(() => this.#wakeSilent(), delayMs);
  }

  #wakeSilent(): void {
    const { heartbeatMs, clock } = this.#deps;
    const now = clock.now();
    this.#cancelHeartbeat = undefined;
    this.#heartbeatAt = Infinity;
    const silent: PacedStream[] = [];
    let next = Infinity;
    for (const stream of this.#waiting.keys()) {
      const dueAt = stream.sentAt + heartbeatMs;
      if (dueAt <= now || stream.sentAt > now) silent.push(stream);
      else next = Math.min(next, dueAt);
    }
    if (silent.length > 0) this.#wake("heartbeat", silent, () => undefined);
    // Streams that were opened shortly after each other get their heartbeats together.
    if (next < Infinity) this.#checkSilenceBy(Math.max(next, now + heartbeatMs / 10));
  }
}

/** Streams that are woken for every event. */
const fewStreams = 2;

/** The least interval where there are more: nobody sees a difference, and short runs do not cost each stream a write per event. */
const leastIntervalMs = 100;

/**
 * Milliseconds from one wake-up to the next: 30 times what the last one cost. That cost includes what the host did
 * between the batches, so it is capped: a busy host must not silence the streams. At most 20 ms for each stream, for up
 * to 1,000 of them.
 */
function intervalMs(streams: number, costMs: number): number {
  if (streams <= fewStreams) return 0;
  const leastMs = Math.max(leastIntervalMs, Math.min(1_000, streams));
  const mostMs = Math.max(leastIntervalMs, 20 * Math.min(1_000, streams));
  return Math.min(Math.max(leastMs, 30 * costMs), mostMs);
}
