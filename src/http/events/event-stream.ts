import type { EventRing } from "./event-ring.ts";
import type { PacedStream, PacedStreams } from "./paced-streams.ts";
import type { StreamSlot } from "./stream-limit.ts";

/** Everything that a stream needs. */
export interface EventStreamDeps {
  readonly ring: EventRing;
  readonly streams: PacedStreams;
  readonly now: () => number;
  /** Resolves when the reader misses nothing that happens from then on. */
  readonly ready: Promise<void>;
  /** True when a stream is to end once its reader has everything. */
  readonly ended: () => boolean;
  readonly slot: StreamSlot;
}

/** Where a stream begins, and for whom it is. */
export interface StreamStart {
  /** The last event that the reader has seen. Absent: only what happens from now on. */
  readonly lastEventId?: string;
  /** Only events of this integration. @default all */
  readonly _integrationId?: string;
  /** Whose streams are limited together. @default the integration, or all callers without one */
  readonly caller?: string | undefined;
}

/** How long a client waits before it reconnects, in milliseconds. */
const reconnectMs = 1_000;

const encoder = new TextEncoder();

/** One reader's stream: a position in the ring, so that a reader who is slow, or gone, costs nothing. */
export class EventStream implements PacedStream {
  readonly #deps: EventStreamDeps;
  readonly #_integrationId: string | undefined;
  #position: number;
  #sentAt: number;
  #greeting: string;
  #isClosed = false;

  constructor(deps: EventStreamDeps, { lastEventId, _integrationId }: StreamStart) {
    const { ring, now } = deps;
    const resumed = lastEventId === undefined ? ring.last : ring.positionOf(lastEventId);
    this.#deps = deps;
    this.#_integrationId = _integrationId;
    this.#position = resumed ?? ring.last;
    this.#sentAt = now();
    const begin = resumed === undefined ? ring.gap(ring.last) : ring.marker(resumed);
    this.#greeting = `retry: ${reconnectMs}\n\n${begin}`;
  }

  get position(): number {
    return this.#position;
  }

  get sentAt(): number {
    return this.#sentAt;
  }

  /** The stream as it is sent. Nothing is done for it before it is read. */
  readable(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      { pull: (controller) => this.#pull(controller), cancel: () => this.#close() },
      { highWaterMark: 0 },
    );
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const chunk = await this.#next();
    if (this.#isClosed) return;
    this.#sentAt = this.#deps.now();
    if (chunk !== undefined) {
      controller.enqueue(chunk);
      return;
    }
    this.#close();
    controller.close();
  }

  /** What is sent next; undefined at the end. */
  async #next(): Promise<Uint8Array | undefined> {
    const { ring, streams, ended, ready, slot } = this.#deps;
    if (this.#greeting !== "") {
      const greeting = encoder.encode(this.#greeting);
      this.#greeting = "";
      streams.opened(this);
      slot.use();
      await ready;
      return this.#isClosed ? undefined : greeting;
    }
    for (;;) {
      const chunk = this.#take();
      if (chunk !== undefined) return chunk;
      if (ended()) return undefined;
      const reason = await streams.wait(this);
      if (this.#isClosed) return undefined;
      // The position goes with it, so that a client that reconnects does not ask for events that were left out.
      if (reason === "heartbeat") return encoder.encode(`: \n${ring.marker(this.#position)}`);
    }
  }

  /** What is new; undefined if nothing is. */
  #take(): Uint8Array | undefined {
    const { ring, streams } = this.#deps;
    if (this.#position < ring.horizon) {
      streams.sending();
      // A reader of a gap reads the lists anew, and finds there what the events that are kept would say.
      this.#position = ring.last;
      return encoder.encode(ring.gap(ring.last));
    }
    const chunk = ring.after(this.#position, this.#_integrationId);
    if (chunk === undefined) return undefined;
    this.#position = chunk.position;
    streams.sending();
    // An empty chunk goes as far as the newest event.
    return chunk.bytes.length > 0 ? chunk.bytes : undefined;
  }

  #close(): void {
    this.#isClosed = true;
    this.#deps.streams.closed(this);
    this.#deps.slot.release();
  }
}
