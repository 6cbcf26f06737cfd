import type { Cancel } from "../clock.ts";
import type { FlowRegistry } from "../flow-registry.ts";
import type { Flow } from "../model/flow.ts";
import type { Scheduler } from "../scheduler.ts";

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

/** What is told of one event. Its text is made when somebody listens, and once. */
interface Told {
  readonly name: FeedEvent;
  readonly _integrationId: string | undefined;
  readonly data: object;
  text?: string;
}

/** One event, with its place among all. */
interface Entry {
  readonly place: number;
  readonly told: Told;
  /** What is told instead to the integration that a flow leaves: for it the flow is gone. */
  readonly left?: Told;
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

/** Most characters that one pull is given, but for an event that is longer by itself. */
const mostOfPull = 2 ** 16;

/** How long the reader of a stream that ended waits before it comes back, in milliseconds. */
const retryMs = 1_000;

/** Listeners that are woken in one go. */
const portion = 50;

const encoder = new TextEncoder();

/**
 * Events of runs and flows as server-sent events. They are kept in a ring of `capacity`; a stream is no more than a place
 * in it, so a reader who is slow, or none, costs nothing. What a reader was too slow for is told as a `gap`.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export class EventFeed {
  readonly #parts: FeedParts;
  /** Tells the ids of this process from those of others. */
  readonly #epoch: string;
  readonly #ring: Entry[] = [];
  #last = 0;
  readonly #open = new Set<Cursor>();
  readonly #waiting = new Map<Cursor, (why: "news" | "heartbeat") => void>();
  /** Chunks that others who are at the same place are given, too; of the ring as it is. */
  readonly #chunks = new Map<string, { readonly chunk: Uint8Array; readonly place: number }>();
  #stops = 0;
  #wokenAt = -Infinity;
  #waking = false;
  #cancelWake: Cancel | undefined;
  #cancelBeat: Cancel | undefined;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#epoch = parts.registry.newId();
    const { registry, scheduler } = parts;
    for (const name of runEvents)
      scheduler.on(name, (data) => this.#tell({ name, _integrationId: data.run._integrationId, data }));
    registry.on("flow:created", ({ flow }) => this.#tell(flowTold("flow:created", flow)));
    registry.on("flow:deleted", ({ flow }) => this.#tell(flowTold("flow:deleted", flow)));
    registry.on("flow:updated", ({ flow, previous }) => {
      const leaves = previous._integrationId !== flow._integrationId && previous._integrationId !== undefined;
      this.#tell(flowTold("flow:updated", flow), leaves ? flowTold("flow:deleted", previous) : undefined);
    });
    scheduler.on("stopped", () => {
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
    const place = lastEventId === undefined ? this.#last : this.#placeOf(lastEventId);
    const cursor: Cursor = {
      _integrationId,
      place: place ?? this.#last,
      greeting: `retry: ${retryMs}\n\n${place === undefined ? this.#gap(this.#last) : this.#marker(place)}`,
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
      this.#beatLater();
      return greeting;
    }
    for (;;) {
      const chunk = this.#take(cursor);
      if (chunk !== undefined || cursor.closed) return chunk;
      if (cursor.ends || cursor.stops !== this.#stops) return undefined;
      const why = await new Promise<"news" | "heartbeat">((resolve) => this.#waiting.set(cursor, resolve));
      // The place goes with it: who comes back later does not ask for what it was passed over for.
      if (why === "heartbeat") return encoder.encode(`: \n${this.#marker(cursor.place)}`);
    }
  }

  #close(cursor: Cursor): void {
    cursor.closed = true;
    this.#open.delete(cursor);
    this.#waiting.get(cursor)?.("news");
    this.#waiting.delete(cursor);
    if (this.#open.size > 0) return;
    this.#cancelWake?.();
    this.#cancelBeat?.();
    this.#cancelWake = this.#cancelBeat = undefined;
    this.#chunks.clear();
  }

  #tell(told: Told, left?: Told): void {
    this.#last++;
    const entry = { place: this.#last, told, ...(left === undefined ? {} : { left }) };
    this.#ring[this.#last % this.#parts.capacity] = entry;
    if (this.#open.size === 0) return;
    this.#chunks.clear();
    this.#wakeLater();
  }

  /** The place before the oldest event that is kept. */
  get #horizon(): number {
    return Math.max(0, this.#last - this.#parts.capacity);
  }

  /** What is new to the stream; undefined if nothing is. */
  #take(cursor: Cursor): Uint8Array | undefined {
    if (cursor.place < this.#horizon) {
      cursor.place = this.#horizon;
      return encoder.encode(this.#gap(cursor.place));
    }
    if (cursor.place === this.#last) return undefined;
    const key = `${cursor.place} ${cursor._integrationId ?? ""} ${cursor._integrationId === undefined}`;
    const known = this.#chunks.get(key) ?? this.#chunkAfter(cursor);
    this.#chunks.set(key, known);
    cursor.place = known.place;
    return known.chunk.length === 0 ? undefined : known.chunk;
  }

  #chunkAfter({ place: after, _integrationId }: Cursor): { readonly chunk: Uint8Array; readonly place: number } {
    let text = "";
    let place = after;
    while (place < this.#last && text.length < mostOfPull) {
      place++;
      const entry = this.#ring[place % this.#parts.capacity];
      const told = entry === undefined ? undefined : toldTo(entry, _integrationId);
      if (told !== undefined) text += this.#textOf(place, told);
    }
    return { chunk: encoder.encode(text), place };
  }

  #textOf(place: number, told: Told): string {
    // On one line: JSON escapes the ends of lines that are in it.
    told.text ??= `event: ${told.name}\ndata: ${JSON.stringify(told.data)}\n\n`;
    return `id: ${this.#epoch}-${place}\n${told.text}`;
  }

  #marker(place: number): string {
    return `id: ${this.#epoch}-${place}\n\n`;
  }

  #gap(place: number): string {
    return `id: ${this.#epoch}-${place}\nevent: gap\ndata: {}\n\n`;
  }

  /** Where who has seen this event goes on; undefined if that cannot be told from it. */
  #placeOf(lastEventId: string): number | undefined {
    const [, epoch, place] = /^(.+)-(\d{1,15})$/.exec(lastEventId) ?? [];
    const seen = Number(place);
    return epoch === this.#epoch && seen <= this.#last ? seen : undefined;
  }

  // The more listeners there are, the longer they rest: telling them takes a part of the time that does not grow.
  #wakeLater(): void {
    if (this.#waking || this.#cancelWake !== undefined || this.#waiting.size === 0) return;
    const { clock } = this.#parts.registry;
    const restMs = this.#open.size <= 10 ? 0 : Math.min(1_000, this.#open.size);
    const delayMs = this.#wokenAt + restMs - clock.now();
    if (delayMs <= 0 || delayMs > restMs) {
      this.#wakeAll("news");
      return;
    }
    this.#cancelWake = clock.setTimer(() => {
      this.#cancelWake = undefined;
      this.#wakeAll("news");
    }, delayMs);
  }

  /** Wakes those who wait now, in portions, so that the host has its turn between them. */
  #wakeAll(why: "news" | "heartbeat", cursors: Iterable<Cursor> = [...this.#waiting.keys()]): void {
    const { clock } = this.#parts.registry;
    this.#waking = true;
    const wake = async () => {
      let count = 0;
      for (const cursor of cursors) {
        // The first waits a turn, too: what happens at once is told at once.
        if (count++ % portion === 0) await clock.turn();
        const resolve = this.#waiting.get(cursor);
        this.#waiting.delete(cursor);
        resolve?.(why);
      }
    };
    const done = () => {
      this.#waking = false;
      if (why === "news") this.#wokenAt = clock.now();
      // What happened while they were woken is news to the first of them.
      if ([...this.#waiting.keys()].some(({ place }) => place < this.#last)) this.#wakeLater();
    };
    wake().then(done, done);
  }

  #beatLater(): void {
    if (this.#cancelBeat !== undefined || this.#open.size === 0) return;
    const { clock } = this.#parts.registry;
    const { heartbeatMs } = this.#parts;
    let earliest = Infinity;
    for (const { sentAt } of this.#open) earliest = Math.min(earliest, sentAt);
    // Streams that began one after the other are sent their comments together.
    const delayMs = Math.max(earliest + heartbeatMs - clock.now(), heartbeatMs / 10);
    this.#cancelBeat = clock.setTimer(() => {
      this.#cancelBeat = undefined;
      const quietSince = clock.now() - heartbeatMs;
      const silent = [...this.#waiting.keys()].filter(({ sentAt }) => sentAt <= quietSince);
      if (silent.length > 0) this.#wakeAll("heartbeat", silent);
      this.#beatLater();
    }, delayMs);
  }
}

/** What a listener to this integration is told of the event; undefined: nothing. */
function toldTo({ told, left }: Entry, _integrationId: string | undefined): Told | undefined {
  if (_integrationId === undefined || told._integrationId === _integrationId) return told;
  return left?._integrationId === _integrationId ? left : undefined;
}

function flowTold(name: FeedEvent, flow: Flow): Told {
  return { name, _integrationId: flow._integrationId, data: { flow } };
}
