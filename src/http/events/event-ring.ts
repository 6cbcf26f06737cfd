/** What is told of one event. */
export interface Told {
  readonly name: string;
  /** Whose it is, beside those who are told everything. */
  readonly _integrationId: string | undefined;
  /** Is told as JSON. Nothing changes it any more. */
  readonly data: object;
}

/** What comes after a place, as far as one chunk goes. */
export interface Portion {
  /** Empty if nothing in it is for who asked. */
  readonly chunk: Uint8Array;
  /** The place of the last event that is in it, or was passed over. */
  readonly place: number;
}

/** One event, as it is kept. */
interface Entry {
  readonly told: Told;
  /** What another integration is told of it. */
  readonly left: Told | undefined;
}

/** Most characters of a chunk, but for an event that is longer by itself. */
const mostOfChunk = 2 ** 16;

/** Most bytes of the chunks that are kept to be shared. */
const mostShared = 2 ** 20;

/** What a shared chunk counts at least, so that empty ones are not too many. */
const leastShared = 2 ** 10;

const encoder = new TextEncoder();

/**
 * The newest events, each with its place: 1 for the first, and so on. Text is made of an event only when somebody reads
 * it, and once; who reads from the same place is given the same bytes.
 */
export class EventRing {
  readonly #epoch: string;
  readonly #capacity: number;
  /** The event of a place stands at the rest of its division by the capacity. */
  readonly #entries: Entry[] = [];
  readonly #texts = new WeakMap<Told, string>();
  /** Chunks of the ring as it is now. */
  readonly #shared = new Map<string, Portion>();
  #sharedBytes = 0;
  #last = 0;

  /** `epoch` tells the ids of this ring from those of others. `capacity`: events that are kept; 1 or more. */
  constructor(epoch: string, capacity: number) {
    this.#epoch = epoch;
    this.#capacity = capacity;
  }

  /** The place of the newest event; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** The place before the oldest event that is kept. */
  get horizon(): number {
    return Math.max(0, this.#last - this.#capacity);
  }

  /** `left`: what its integration is told instead. */
  add(told: Told, left?: Told): void {
    this.#last++;
    this.#entries[this.#last % this.#capacity] = { told, left };
    this.#forgetShared();
  }

  /** What is told after `place`, which is not before the horizon; undefined if nothing has happened since. */
  after(place: number, _integrationId: string | undefined): Portion | undefined {
    if (place >= this.#last) return undefined;
    const key = `${place} ${_integrationId === undefined ? "" : `of ${_integrationId}`}`;
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const portion = this.#portionAfter(place, _integrationId);
    this.#sharedBytes += Math.max(portion.chunk.length, leastShared);
    // Readers may come back at any place: what they share must not add up to the ring many times over.
    if (this.#sharedBytes > mostShared) this.#forgetShared();
    this.#shared.set(key, portion);
    return portion;
  }

  /** The place of the event with this id; undefined if it was never given here. */
  placeOf(id: string): number | undefined {
    const [, epoch, place] = /^(.+)-(\d{1,15})$/.exec(id) ?? [];
    const seen = Number(place);
    return epoch === this.#epoch && seen <= this.#last ? seen : undefined;
  }

  /** Tells a reader where it is, and nothing else: without data it is not dispatched. */
  marker(place: number): string {
    return `${this.#idLine(place)}\n`;
  }

  /** Tells a reader that it may have missed something, and that it goes on after `place`. */
  gap(place: number): string {
    return `${this.#idLine(place)}event: gap\ndata: {}\n\n`;
  }

  #portionAfter(after: number, _integrationId: string | undefined): Portion {
    let text = "";
    let place = after;
    while (place < this.#last && text.length < mostOfChunk) {
      place++;
      const entry = this.#entries[place % this.#capacity];
      const told = entry === undefined ? undefined : toldTo(entry, _integrationId);
      if (told !== undefined) text += this.#idLine(place) + this.#textOf(told);
    }
    return { chunk: encoder.encode(text), place };
  }

  #textOf(told: Told): string {
    const known = this.#texts.get(told);
    if (known !== undefined) return known;
    // On one line: JSON escapes the ends of lines that are in it.
    const text = `event: ${told.name}\ndata: ${JSON.stringify(told.data)}\n\n`;
    this.#texts.set(told, text);
    return text;
  }

  #idLine(place: number): string {
    return `id: ${this.#epoch}-${place}\n`;
  }

  #forgetShared(): void {
    this.#shared.clear();
    this.#sharedBytes = 0;
  }
}

/** What a listener to this integration is told of the event; undefined: nothing. */
function toldTo({ told, left }: Entry, _integrationId: string | undefined): Told | undefined {
  if (_integrationId === undefined || told._integrationId === _integrationId) return told;
  return left?._integrationId === _integrationId ? left : undefined;
}
