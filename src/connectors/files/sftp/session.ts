import { messageOf } from "../../../model/message.ts";
import { outcomeOf } from "../../../model/host/outcome.ts";
import { UnusableError, outOfReach, unusable } from "../file-error.ts";

type Done = (error?: Error | null) => void;
type DoneWith<T> = (error: Error | undefined, value: T) => void;

/** What is used of an `SFTPWrapper` of `ssh2`. */
export interface SftpSession {
  readdir(path: string, done: DoneWith<readonly SftpEntry[]>): void;
  stat(path: string, done: DoneWith<SftpAttributes>): void;
  open(path: string, flags: "r" | "r+" | "wx" | "a", done: DoneWith<Buffer>): void;
  read(
    handle: Buffer,
    into: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | undefined, bytesRead: number, buffer: Buffer, position: number) => void,
  ): void;
  write(handle: Buffer, bytes: Buffer, offset: number, length: number, position: number, done: Done): void;
  fsetstat(handle: Buffer, attributes: { size: number }, done: Done): void;
  close(handle: Buffer, done: Done): void;
  mkdir(path: string, done: Done): void;
  rename(from: string, to: string, done: Done): void;
  unlink(path: string, done: Done): void;
  /** Replaces what is there: an extension, which throws where the server does not have it. */
  ext_openssh_rename(from: string, to: string, done: Done): void;
  /** Makes durable: an extension, which throws where the server does not have it. */
  ext_openssh_fsync(handle: Buffer, done: Done): void;
  once(event: "close", listener: () => void): unknown;
}

/** A file in a folder. */
export interface SftpEntry {
  readonly filename: string;
  readonly attrs: SftpAttributes;
}

/** What a server says of a file. */
export interface SftpAttributes {
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  isDirectory(): boolean;
  isFile(): boolean;
  isSymbolicLink(): boolean;
}

/** One session at a time, made when it is needed. */
export class Sessions {
  readonly #connect: () => Promise<SftpSession>;
  #current: Promise<Session> | undefined;

  constructor(connect: () => Promise<SftpSession>) {
    this.#connect = connect;
  }

  async use<T>(path: string, work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#session();
    try {
      return await work(session);
    } catch (error) {
      throw this.#classified(path, error, session);
    }
  }

  async *iterate(path: string, work: (session: Session) => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const session = await this.#session();
    try {
      yield* work(session);
    } catch (error) {
      throw this.#classified(path, error, session);
    }
  }

  async #session(): Promise<Session> {
    this.#current ??= this.#open();
    return this.#current;
  }

  async #open(): Promise<Session> {
    try {
      const session = new Session(await this.#connect());
      void session.ended.then(() => (this.#current = undefined));
      return session;
    } catch (error) {
      this.#current = undefined;
      throw connectError(error);
    }
  }

  // A session whose requests fail without an answer of the server's is not used again.
  #classified(path: string, error: unknown, session: Session): unknown {
    if (error instanceof StatusError) return unusable(path, error.code, error.message);
    if (outcomeOf(error) !== undefined || error instanceof UnusableError) return error;
    if ((error as { readonly code?: unknown } | undefined)?.code !== failure) session.leave();
    return outOfReach(path, error);
  }
}

/** @see https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02#section-7 */
const statuses: Readonly<Record<number, string>> = { 2: "ENOENT", 3: "EACCES", 8: "EINVAL" };
/** Whatever has no status of its own: no space, say. */
const failure = 4;

/** What a server has answered, with the code that Node's `fs` has for it. */
class StatusError extends Error {
  readonly code: string;

  constructor(code: string, cause: Error) {
    super(cause.message);
    this.code = code;
  }
}

function named(error: Error): Error {
  const { code } = error as { readonly code?: unknown };
  const name = typeof code === "number" ? statuses[code] : undefined;
  return name === undefined ? error : new StatusError(name, error);
}

// Credentials and host keys that do not fit, or cannot be read, will not do so in a minute; a server that is not there may be back.
function connectError(error: unknown): unknown {
  const { level } = error as { readonly level?: unknown };
  const isRefused =
    level === "client-authentication" ||
    /host denied|verification failed|privateKey|passphrase/i.test(messageOf(error));
  return isRefused ? unusable("sftp", "EACCES", messageOf(error)) : outOfReach("sftp", error);
}

/** Bytes of one request to write, which every server takes, and how many such requests are under way at once. */
const requestBytes = 32 * 1024;
const requestsAtOnce = 16;

/** A session, with promises. Every call ends when the session does. */
export class Session {
  /** Resolves when the session has ended. */
  readonly ended: Promise<void>;
  readonly #sftp: SftpSession;
  readonly #pending = new Set<(error: Error) => void>();
  #hasEnded = false;
  #resolveEnded: () => void = () => undefined;

  constructor(sftp: SftpSession) {
    this.#sftp = sftp;
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    sftp.once("close", () => this.leave());
  }

  /** It is not used again, and whatever waits for it fails. */
  leave(): void {
    this.#hasEnded = true;
    this.#resolveEnded();
    for (const fail of this.#pending) fail(new Error("the session has ended"));
    this.#pending.clear();
  }

  readdir(path: string): Promise<readonly SftpEntry[]> {
    return this.#call((done) => this.#sftp.readdir(path, done));
  }

  /** Of what a link leads to. */
  stat(path: string): Promise<SftpAttributes> {
    return this.#call((done) => this.#sftp.stat(path, done));
  }

  open(path: string, flags: "r" | "r+" | "wx" | "a"): Promise<Buffer> {
    return this.#call((done) => this.#sftp.open(path, flags, done));
  }

  /** Up to `length` bytes; none at the end of the file. */
  async read(handle: Buffer, from: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    const count = await this.#call<number>((done) =>
      this.#sftp.read(handle, buffer, 0, length, from, (error, bytesRead) => done(error, bytesRead)),
    );
    return buffer.subarray(0, count);
  }

  async write(handle: Buffer, bytes: Uint8Array, at: number): Promise<void> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const stride = requestBytes * requestsAtOnce;
    for (let from = 0; from < buffer.length; from += stride) {
      const requests: Promise<void>[] = [];
      for (let start = from; start < Math.min(from + stride, buffer.length); start += requestBytes) {
        const length = Math.min(requestBytes, buffer.length - start);
        requests.push(this.#do((done) => this.#sftp.write(handle, buffer, start, length, at + start, done)));
      }
      // All of them are over before anything else is done with the file.
      for (const outcome of await Promise.allSettled(requests))
        if (outcome.status === "rejected") throw outcome.reason as Error;
    }
  }

  truncate(handle: Buffer, size: number): Promise<void> {
    return this.#do((done) => this.#sftp.fsetstat(handle, { size }, done));
  }

  close(handle: Buffer): Promise<void> {
    return this.#do((done) => this.#sftp.close(handle, done));
  }

  mkdir(path: string): Promise<void> {
    return this.#do((done) => this.#sftp.mkdir(path, done));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#do((done) => this.#sftp.rename(from, to, done));
  }

  unlink(path: string): Promise<void> {
    return this.#do((done) => this.#sftp.unlink(path, done));
  }

  /** Durable, where the server can do that. */
  async sync(handle: Buffer): Promise<void> {
    await this.#extension((done) => this.#sftp.ext_openssh_fsync(handle, done));
  }

  /** Renames onto what is there: at once where the server can do that. Elsewhere there is a moment without a file. */
  async replace(from: string, to: string): Promise<void> {
    if (await this.#extension((done) => this.#sftp.ext_openssh_rename(from, to, done))) return;
    try {
      await this.rename(from, to);
    } catch {
      await this.unlink(to);
      await this.rename(from, to);
    }
  }

  // Whether the server has the extension; ssh2 throws at once if not.
  async #extension(request: (done: Done) => void): Promise<boolean> {
    let isThere = true;
    await this.#do((done) => {
      try {
        request(done);
      } catch {
        isThere = false;
        done();
      }
    });
    return isThere;
  }

  #do(request: (done: Done) => void): Promise<void> {
    return this.#call<void>((done) => request((error) => done(error ?? undefined, undefined)));
  }

  #call<T>(request: (done: DoneWith<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#hasEnded) {
        reject(new Error("the session has ended"));
        return;
      }
      this.#pending.add(reject);
      request((error, value) => {
        this.#pending.delete(reject);
        if (error) reject(named(error));
        else resolve(value);
      });
    });
  }
}
