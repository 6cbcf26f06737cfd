import type { FileEntry, FileSystem } from "../../../src/connectors/files/index.ts";

interface StoredFile {
  readonly bytes: Buffer;
  readonly modified: number;
}

/** Files in memory, whose changes a test makes, and which fail as it says. */
export class FilesInMemory implements FileSystem {
  readonly #files = new Map<string, StoredFile>();
  readonly #chunkBytes: number;
  #now = 1_000_000;
  /** Called before a file is read. */
  onRead: (path: string) => void = () => undefined;
  /** Called before and after a file is changed: what it throws is what the change throws. */
  onChange: (path: string, when: "before" | "after") => void = () => undefined;

  constructor(chunkBytes = 65_536) {
    this.#chunkBytes = chunkBytes;
  }

  get paths(): string[] {
    return [...this.#files.keys()].sort();
  }

  set(path: string, content: string | Buffer, modified = ++this.#now): void {
    this.#files.set(path, { bytes: Buffer.from(content), modified });
  }

  delete(path: string): void {
    this.#files.delete(path);
  }

  text(path: string): string {
    return this.#files.get(path)?.bytes.toString() ?? "";
  }

  async list(folder: string): Promise<readonly FileEntry[]> {
    return [...this.#files]
      .filter(([path]) => folder === "" || path.startsWith(`${folder}/`))
      .map(([path, { bytes, modified }]) => ({ path, size: bytes.length, modified }));
  }

  async *read(path: string, start: number): AsyncGenerator<Uint8Array> {
    this.onRead(path);
    const { bytes } = this.#file(path);
    for (let at = start; at < bytes.length; at += this.#chunkBytes) yield bytes.subarray(at, at + this.#chunkBytes);
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    this.#change(path, () => this.set(path, Buffer.from(bytes)));
  }

  async append(path: string, at: number, bytes: Uint8Array): Promise<void> {
    const before = this.#files.get(path)?.bytes ?? Buffer.alloc(0);
    this.#change(path, () => this.set(path, Buffer.concat([before.subarray(0, at), bytes])));
  }

  async sizeOf(path: string): Promise<number | undefined> {
    return this.#files.get(path)?.bytes.length;
  }

  async move(from: string, to: string): Promise<void> {
    if (this.#files.has(to)) throw Object.assign(new Error("it exists"), { code: "EEXIST" });
    this.#files.set(to, this.#file(from));
    this.#files.delete(from);
  }

  async remove(path: string): Promise<void> {
    this.#file(path);
    this.#files.delete(path);
  }

  #change(path: string, work: () => void): void {
    this.onChange(path, "before");
    work();
    this.onChange(path, "after");
  }

  #file(path: string): StoredFile {
    const file = this.#files.get(path);
    if (file === undefined) throw Object.assign(new Error(`there is no ${path}`), { code: "ENOENT" });
    return file;
  }
}
