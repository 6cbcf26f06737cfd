import type { CancelTimer } from "../../clock.ts";
import type { FlowRegistry } from "../../flow-registry.ts";
import type { Flow } from "../../model/flow.ts";
import type { Scheduler } from "../../scheduler/scheduler.ts";
import { EventRing, type Told } from "./event-ring.ts";

const runEvents = [
  "run:queued",
  "run:started",
  "run:progress",
  "run:retrying",
  "run:completed",
  "run:failed",
  "run:canceled",
  "run:requeued",
] as const;

/** Every event that is told. */
export const feedEvents = [...runEvents, "flow:created", "flow:updated", "flow:deleted"] as const;
type FeedEvent = (typeof feedEvents)[number];

/** What a feed is made of. */
export interface FeedParts {
  readonly registry: Pick<FlowRegistry, "on" | "clock" | "newId">;
  readonly scheduler: Pick<Scheduler, "on" | "state">;
  /** Events kept for who comes back with `Last-Event-ID`; 1 or more. */
  readonly capacity: number;
  /** Silence after which a stream is sent a comment, so that proxies keep the connection; 1 or more. */
  readonly heartbeatMs: number;
}

/** Where a stream begins, and what it is told. */
export interface Listening {
  /** The last event that its reader saw. Absent: only what happens from now on. */
  readonly lastEventId?: string;
  /** Only events of this integration. @default all */
  readonly _integrationId?: string;
}

/** How far one stream has come. */
interface Cursor {
  readonly _integrationId: string | undefined;
  /** The place of the last event that was told, or passed over. */
  place: number;
  /** Told first. */
  greeting: string;
  /** Nothing more is told than what is there already. */
  readonly ends: boolean;
  /** How often the scheduler had stopped when the stream began. */
  readonly stops: number;
  /** When it was sent something last. */
  sentAt: number;
  closed: boolean;
}

/** How long the reader of a stream that ended waits before it comes back, in milliseconds. */
const retryMs = 1_000;

/** Listeners that are woken in one go. */
const portion = 50;

const encoder = new TextEncoder();

/**
 * Events of runs and flows as server-sent events. They are kept in a ring of `capacity`; a stream is no more than a place
 * in it, so a reader who is slow, or none, costs nothing. A reader who was too slow is
 * told of a `gap`, and what happens from then on.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export class EventFeed {
  readonly #parts: FeedParts;
  readonly #ring: EventRing;
  readonly #open = new Set<Cursor>();
  readonly #waiting = new Map<Cursor, (why: "news" | "heartbeat") => void>();
  #stops = 0;
  #wokenAt = -Infinity;
  /** How long it took to wake them last, each for a first chunk, and how many they were. */
  #wakingMs = 0;
  #woken = 0;
  /** Chunks told since they were woken last. */
  #chunks = 0;
  #waking = false;
  #cancelWake: CancelTimer | undefined;
  #cancelBeat: CancelTimer | undefined;
  /** When silence is looked for next. */
  #beatAt = Infinity;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    const { registry, scheduler, capacity } = parts;
    this.#ring = new EventRing(registry.newId(), capacity);
    for (const name of runEvents)
      scheduler.on(name, (data) => this.#tell({ name, _integrationId: data.run._integrationId, data }));
    registry.on("flow:created", ({ flow }) => this.#tell(flowTold("flow:created", flow)));
    registry.on("flow:deleted", ({ flow }) => this.#tell(flowTold("flow:deleted", flow)));
    registry.on("flow:updated", ({ flow, previous }) => {
      const leaves = previous._integrationId !== flow._integrationId && previous._integrationId !== undefined;
      this.#tell(flowTold("flow:updated", flow), leaves ? flowTold("flow:deleted", previous) : undefined);
    });
    scheduler.on("scheduler:stopped", () => {
      this.#stops++;
      this.#wakeAll("news");
    });
  }

  /** Streams that somebody reads. */
  get listening(): number {
    return this.#open.size;
  }

  /** A stream that goes on until the scheduler stops. While it is stopped, a stream ends with what is there already. */
  stream({ lastEventId, _integrationId }: Listening): ReadableStream<Uint8Array> {
    const { registry, scheduler } = this.#parts;
    const { last } = this.#ring;
    const place = lastEventId === undefined ? last : this.#ring.placeOf(lastEventId);
    const cursor: Cursor = {
      _integrationId,
      place: place ?? last,
      greeting: `retry: ${retryMs}\n\n${place === undefined ? this.#ring.gap(last) : this.#ring.marker(place)}`,
      ends: scheduler.state === "stopped",
      stops: this.#stops,
      sentAt: registry.clock.now(),
      closed: false,
    };
    return new ReadableStream<Uint8Array>(
      { pull: (controller) => this.#pull(controller, cursor), cancel: () => this.#close(cursor) },
      // Nothing is done for a stream until somebody reads it.
      { highWaterMark: 0 },
    );
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>, cursor: Cursor): Promise<void> {
    const chunk = await this.#next(cursor);
    if (cursor.closed) return;
    cursor.sentAt = this.#parts.registry.clock.now();
    if (chunk !== undefined) {
      controller.enqueue(chunk);
      return;
    }
    this.#close(cursor);
    controller.close();
  }

  /** What the stream is sent next; undefined at its end. */
  async #next(cursor: Cursor): Promise<Uint8Array | undefined> {
    if (cursor.greeting !== "") {
      const greeting = encoder.encode(cursor.greeting);
      cursor.greeting = "";
      this.#open.add(cursor);
      return greeting;
    }
    for (;;) {
      const chunk = this.#take(cursor);
      if (chunk !== undefined) return chunk;
      if (cursor.ends || cursor.stops !== this.#stops) return undefined;
      const why = await this.#wait(cursor);
      if (cursor.closed) return undefined;
      // The place goes with it: who comes back later does not ask for what it was passed over for.
      if (why === "heartbeat") return encoder.encode(`: \n${this.#ring.marker(cursor.place)}`);
    }
  }

  #wait(cursor: Cursor): Promise<"news" | "heartbeat"> {
    this.#beatBy(cursor.sentAt + this.#parts.heartbeatMs);
    return new Promise((resolve) => this.#waiting.set(cursor, resolve));
  }

  #close(cursor: Cursor): void {
    cursor.closed = true;
    this.#open.delete(cursor);
    this.#waiting.get(cursor)?.("news");
    this.#waiting.delete(cursor);
    // Those who do not wait need no timer: when they read on, they find what is new, or begin to wait.
    if (this.#waiting.size > 0) return;
    this.#cancelWake?.();
    this.#cancelBeat?.();
    this.#cancelWake = this.#cancelBeat = undefined;
    this.#beatAt = Infinity;
  }

  #tell(told: Told, left?: Told): void {
    this.#ring.add(told, left);
    this.#wakeLater();
  }

  /** What is new to the stream; undefined if nothing is. */
  #take(cursor: Cursor): Uint8Array | undefined {
    const { horizon, last } = this.#ring;
    if (cursor.place < horizon) {
      this.#chunks++;
      // Who reads the lists anew finds there what the events that are kept would tell.
      cursor.place = last;
      return encoder.encode(this.#ring.gap(last));
    }
    const portion = this.#ring.after(cursor.place, cursor._integrationId);
    if (portion === undefined) return undefined;
    cursor.place = portion.place;
    this.#chunks++;
    // An empty one goes as far as the newest event.
    return portion.chunk.length > 0 ? portion.chunk : undefined;
  }

  // They rest in proportion to what it took to tell them: that is a part of the time that does not grow with their number.
  #wakeLater(): void {
    if (this.#waking || this.#cancelWake !== undefined || this.#waiting.size === 0) return;
    const { clock } = this.#parts.registry;
    const tookMs = (this.#wakingMs * this.#chunks) / Math.max(1, this.#woken);
    const restMs = restOf(this.#open.size, tookMs);
    const delayMs = this.#wokenAt + restMs - clock.now();
    if (delayMs <= 0 || delayMs > restMs) {
      this.#wakeAll("news");
      return;
    }
    // Some may not have been told all when the rest begins: how long it is to be is seen again at its end.
    this.#cancelWake = clock.setTimer(() => {
      this.#cancelWake = undefined;
      this.#wakeLater();
    }, delayMs);
  }

  /** Wakes those who wait now, in portions, so that the host has its turn between them. */
  #wakeAll(why: "news" | "heartbeat", cursors: Iterable<Cursor> = [...this.#waiting.keys()]): void {
    const { clock } = this.#parts.registry;
    this.#waking = true;
    const startedAt = clock.now();
    if (why === "news") this.#chunks = 0;
    let count = 0;
    const wake = async () => {
      for (const cursor of cursors) {
        // The first waits a turn, too: what happens at once is told at once.
        if (count++ % portion === 0) await clock.yieldToEventLoop();
        const resolve = this.#waiting.get(cursor);
        this.#waiting.delete(cursor);
        resolve?.(why);
      }
    };
    const done = () => {
      this.#waking = false;
      if (why === "news") {
        this.#wokenAt = clock.now();
        this.#wakingMs = this.#wokenAt - startedAt;
        this.#woken = count;
      }
      // What happened while they were woken is news to the first of them.
      if ([...this.#waiting.keys()].some(({ place }) => place < this.#ring.last)) this.#wakeLater();
    };
    wake().then(done, done);
  }

  /** Looks for silence then, unless it is looked for before. */
  #beatBy(at: number): void {
    if (this.#beatAt <= at) return;
    const { clock } = this.#parts.registry;
    const { heartbeatMs } = this.#parts;
    this.#cancelBeat?.();
    this.#beatAt = at;
    // Never longer than a silence: the clock may have been set back.
    const delayMs = Math.min(Math.max(0, at - clock.now()), heartbeatMs);
    this.#cancelBeat = clock.setTimer(() => this.#beat(), delayMs);
  }

  #beat(): void {
    const { heartbeatMs, registry } = this.#parts;
    const now = registry.clock.now();
    this.#cancelBeat = undefined;
    this.#beatAt = Infinity;
    const silent: Cursor[] = [];
    let next = Infinity;
    for (const cursor of this.#waiting.keys()) {
      const dueAt = cursor.sentAt + heartbeatMs;
      if (dueAt <= now || cursor.sentAt > now) silent.push(cursor);
      else next = Math.min(next, dueAt);
    }
    if (silent.length > 0) this.#wakeAll("heartbeat", silent);
    // Streams that began one after the other are sent their comments together.
    if (next < Infinity) this.#beatBy(Math.max(next, now + heartbeatMs / 10));
  }
}

/**
 * Milliseconds from one telling to the next: 30 times what the last took. That includes what the host did between the
 * portions, so a host that stands still must not silence the streams: no more than 20 ms for each listener, for up to
 * 1,000 of them.
 */
function restOf(listeners: number, tookMs: number): number {
  if (listeners <= 10) return 0;
  const leastMs = Math.min(1_000, listeners);
  return Math.min(Math.max(leastMs, 30 * tookMs), 20 * leastMs);
}

function flowTold(name: FeedEvent, flow: Flow): Told {
  return { name, _integrationId: flow._integrationId, data: { flow } };
}
