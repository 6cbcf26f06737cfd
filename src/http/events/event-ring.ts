import { EventIds } from "./event-ids.ts";

/** One event as its readers receive it. */
export interface StreamEvent {
  readonly name: string;
  /** The integration it belongs to; callers without a scope receive every event. */
  readonly _integrationId: string | undefined;
  /** Sent as JSON. Must not change any more. */
  readonly data: object;
}

/** The events after a position, as far as one chunk goes. */
export interface Chunk {
  /** Empty if none of its events is for this reader. */
  readonly bytes: Uint8Array;
  /** The position of its last event, sent or left out. */
  readonly position: number;
}

/** One event as it is kept. */
interface Entry {
  readonly event: StreamEvent;
  /** What the readers of another integration receive instead. */
  readonly departure: StreamEvent | undefined;
}

/** Most characters of a chunk; a single longer event is a chunk of its own. */
const maxChunkLength = 2 ** 16;

/** Most bytes of the chunks that are kept to be shared. */
const maxSharedBytes = 2 ** 20;

/** What a shared chunk counts at least, so that empty ones are bounded, too. */
const minSharedBytes = 2 ** 10;

const encoder = new TextEncoder();

/**
 * The newest events in a ring buffer, each with its position: 1 for the first, and so on. An event is serialized when
 * it is first read, and once; readers at the same position receive the same bytes.
 */
export class EventRing {
  readonly #ids = new EventIds();
  readonly #capacity: number;
  /** The index of an event is its position modulo the capacity. */
  readonly #entries: Entry[] = [];
  readonly #serialized = new WeakMap<StreamEvent, string>();
  /** Chunks of the current content. */
  readonly #shared = new Map<string, Chunk>();
  #sharedBytes = 0;
  #last = 0;
  /** Up to this position, events may be missing. */
  #cutAt = 0;

  /** `capacity`: events that are kept; 1 or more. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The position of the newest event; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** The position before the oldest event that is kept. */
  get horizon(): number {
    return Math.max(this.#cutAt, this.#last - this.#capacity);
  }

  /** Events may be missing here: a reader that has not come as far receives a gap. */
  cut(): void {
    this.#cutAt = ++this.#last;
    this.#forgetShared();
  }

  /** `departure`: what the readers of its integration receive instead. */
  add(event: StreamEvent, departure?: StreamEvent): void {
    this.#last++;
    this.#entries[this.#last % this.#capacity] = { event, departure };
    this.#forgetShared();
  }

  /** The events after `position`, which is not before the horizon; undefined if there are none. */
  after(position: number, _integrationId: string | undefined): Chunk | undefined {
    if (position >= this.#last) return undefined;
    const key = `${position} ${_integrationId === undefined ? "" : `of ${_integrationId}`}`;
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const chunk = this.#chunkAfter(position, _integrationId);
    this.#sharedBytes += Math.max(chunk.bytes.length, minSharedBytes);
    // Readers may resume at any position: the shared chunks must not add up to many times the ring.
    if (this.#sharedBytes > maxSharedBytes) this.#forgetShared();
    this.#shared.set(key, chunk);
    return chunk;
  }

  /** The position of the event with this id; undefined if the id was not made by this ring. */
  positionOf(id: string): number | undefined {
    return this.#ids.positionOf(id);
  }

  /** Gives a reader its position and nothing else: without data it is not dispatched. */
  marker(position: number): string {
    return `${this.#idLine(position)}\n`;
  }

  /** Says that events may be missing, and that the stream continues after `position`. */
  gap(position: number): string {
    return `${this.#idLine(position)}event: gap\ndata: {}\n\n`;
  }

  #chunkAfter(after: number, _integrationId: string | undefined): Chunk {
    let text = "";
    let position = after;
    while (position < this.#last && text.length < maxChunkLength) {
      position++;
      const entry = this.#entries[position % this.#capacity];
      const event = entry === undefined ? undefined : eventFor(entry, _integrationId);
      if (event !== undefined) text += this.#idLine(position) + this.#serialize(event);
    }
    return { bytes: encoder.encode(text), position };
  }

  #serialize(event: StreamEvent): string {
    const known = this.#serialized.get(event);
    if (known !== undefined) return known;
    // One line: JSON escapes line ends.
    const text = `event: ${event.name}\ndata: ${JSON.stringify(event.data)}\n\n`;
    this.#serialized.set(event, text);
    return text;
  }

  #idLine(position: number): string {
    return `id: ${this.#ids.make(position)}\n`;
  }

  #forgetShared(): void {
    this.#shared.clear();
    this.#sharedBytes = 0;
  }
}

/** What readers of this integration receive; undefined: nothing. */
function eventFor({ event, departure }: Entry, _integrationId: string | undefined): StreamEvent | undefined {
  if (_integrationId === undefined || event._integrationId === _integrationId) return event;
  return departure?._integrationId === _integrationId ? departure : undefined;
}
