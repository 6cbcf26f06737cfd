import { messageOf } from "../../model/message.ts";
import type { UnreadableRecord } from "../../model/host/page.ts";
import { type FormatReader, FoundRecords } from "../files/format.ts";
import type { Answer } from "./answer.ts";
import type { Next } from "./paging.ts";

/** Records of a body, and where reading has got to after them; no state: they are the last. */
export interface StreamPage<T> {
  readonly records: readonly T[];
  readonly unreadable: readonly UnreadableRecord[];
  readonly state: { readonly next: Next; readonly page: number; readonly read: number } | undefined;
}

/** Makes pages of a body that comes piece by piece. */
export class StreamParts<T> {
  readonly #reader: FormatReader<T>;
  readonly #pageSize: number;
  /** Records that were read before, and are left out. */
  #skip: number;
  #page: number;
  #read: number;
  #records: T[] = [];
  #unreadable: UnreadableRecord[] = [];

  constructor(
    reader: FormatReader<T>,
    pageSize: number,
    { page, read }: { readonly page: number; readonly read: number } = { page: 0, read: 0 },
  ) {
    this.#reader = reader;
    this.#pageSize = pageSize;
    this.#skip = read;
    this.#page = page;
    this.#read = read;
  }

  /** The pages that are whole with this piece; undefined: the body is at its end, and the last page comes. */
  *take(answer: Answer, chunk: Uint8Array | undefined): Generator<StreamPage<T>> {
    const found = new FoundRecords<T>();
    try {
      if (chunk === undefined) this.#reader.end(found);
      else this.#reader.push(chunk, found);
    } catch (error) {
      throw answer.unexpected(`a body that cannot be read: ${messageOf(error)}`);
    }
    for (const [index, record] of found.records.entries()) {
      this.#add(record, found.unreadable.get(index));
      if (this.#count() >= this.#pageSize) yield this.#whole(true);
    }
    if (chunk === undefined) yield this.#whole(false);
  }

  #add(record: T, error: Error | undefined): void {
    if (this.#skip > 0) this.#skip--;
    else if (error === undefined) this.#records.push(record);
    else this.#unreadable.push({ raw: record, error });
  }

  #count(): number {
    return this.#records.length + this.#unreadable.length;
  }

  #whole(hasMore: boolean): StreamPage<T> {
    this.#read += this.#count();
    this.#page++;
    const state = hasMore ? { next: {}, page: this.#page, read: this.#read } : undefined;
    const page = { records: this.#records, unreadable: this.#unreadable, state };
    this.#records = [];
    this.#unreadable = [];
    return page;
  }
}
