import { itemAt } from "../../model/item-at.ts";
import { isPlainObject } from "../../model/record/json.ts";
import type { ImportContext } from "../../model/host/import.ts";
import { type FileSystem, type WriteFileOptions, codeOfFileError } from "./file-system.ts";

/** Which page was written last, and where it begins. */
interface PageNote {
  readonly run: string;
  readonly page: number;
  readonly from: number;
}

/**
 * A file that pages are added to. Beside it lies a note of the last page, made durable before the page itself: a page that
 * comes again is cut off and written anew. The note is written in place: one that broke off is of a page of which nothing has
 * been added yet, and the page before it is committed, so that it counts as none.
 */
export class AppendedFile {
  readonly #files: FileSystem;
  readonly path: string;
  readonly #options: WriteFileOptions;
  /** The note, once it is read or written; null: there is none. */
  #note: PageNote | null | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(files: FileSystem, path: string, options: WriteFileOptions) {
    this.#files = files;
    this.path = path;
    this.#options = options;
  }

  /** Adds what `make` returns for the page; `first`: the file is empty. Writes of one file follow each other. */
  write(context: ImportContext, make: (first: boolean) => Promise<Uint8Array>): Promise<void> {
    const written = this.#last.then(() => this.#write(context, make));
    this.#last = written.catch(() => undefined);
    return written;
  }

  async #write({ run, page }: ImportContext, make: (first: boolean) => Promise<Uint8Array>): Promise<void> {
    const size = (await this.#files.sizeOf?.(this.path)) ?? 0;
    this.#note ??= await this.#readNote();
    const again = this.#note?.run === run._id && this.#note.page === page ? this.#note : undefined;
    // What was cut off, or lost with the power, is written anew.
    const from = again === undefined ? size : Math.min(again.from, size);
    const bytes = await make(from === 0);
    if (from !== again?.from) await this.#writeNote({ run: run._id, page, from });
    try {
      await this.#files.append?.(this.path, from, bytes, this.#options);
    } catch (error) {
      // Another run may write this page, and would not know of what is left of it.
      await this.#files.append?.(this.path, from, new Uint8Array(), this.#options).catch(() => undefined);
      throw error;
    }
  }

  get #notePath(): string {
    const parts = this.path.split("/");
    return [...parts.slice(0, -1), `.${itemAt(parts, parts.length - 1)}.page`].join("/");
  }

  async #writeNote(note: PageNote): Promise<void> {
    this.#note = undefined;
    await this.#files.append?.(this.#notePath, 0, Buffer.from(JSON.stringify(note)), this.#options);
    this.#note = note;
  }

  async #readNote(): Promise<PageNote | null> {
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of this.#files.read(this.#notePath, 0)) chunks.push(chunk);
    } catch (error) {
      if (codeOfFileError(error) === "ENOENT") return null;
      throw error;
    }
    return noteIn(Buffer.concat(chunks).toString());
  }
}

function noteIn(text: string): PageNote | null {
  try {
    const note: unknown = JSON.parse(text);
    return typeof note === "object" && note !== null && isPlainObject(note) ? (note as PageNote) : null;
  } catch {
    return null;
  }
}
