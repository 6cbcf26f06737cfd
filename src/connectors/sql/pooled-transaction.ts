import { CommitUnknownError, type SqlQueries } from "./database.ts";

/** A connection that one transaction has to itself. */
export interface PooledConnection extends SqlQueries {
  /** Gives it back to its pool, to be used again or not. */
  release(isUsable: boolean): void;
  /** Whether this error of a commit says for certain that nothing was committed. */
  isRolledBack(error: unknown): boolean;
}

/** Runs `work` in one transaction of a connection of a pool: what {@link SqlDatabase.transaction} promises. */
export async function pooledTransaction<T>(
  connect: () => Promise<PooledConnection>,
  work: (tx: SqlQueries) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  const transaction = new PooledTransaction(await connect(), signal);
  try {
    return await Promise.race([transaction.run(work), transaction.aborted]);
  } finally {
    transaction.end();
  }
}

class PooledTransaction {
  /** Rejects once the signal aborts: clients let their callers wait for ever on a connection that they ended themselves. */
  readonly aborted: Promise<never>;
  readonly #connection: PooledConnection;
  readonly #signal: AbortSignal | undefined;
  #abort: () => void = () => undefined;
  #isCommitting = false;
  #isReleased = false;

  constructor(connection: PooledConnection, signal: AbortSignal | undefined) {
    this.#connection = connection;
    this.#signal = signal;
    this.aborted = new Promise((_, reject) => {
      this.#abort = () => {
        this.#release(false);
        const reason = signal?.reason as Error;
        reject(this.#isCommitting ? new CommitUnknownError(reason) : reason);
      };
    });
    this.aborted.catch(() => undefined);
    signal?.addEventListener("abort", this.#abort);
    if (signal?.aborted === true) this.#abort();
  }

  async run<T>(work: (tx: SqlQueries) => Promise<T>): Promise<T> {
    try {
      this.#signal?.throwIfAborted();
      await this.#connection.query("begin");
      const result = await work(this.#connection);
      await this.#commit();
      this.#release(true);
      return result;
    } catch (error) {
      await this.#rollBack(error);
      throw error;
    }
  }

  end(): void {
    this.#signal?.removeEventListener("abort", this.#abort);
  }

  async #commit(): Promise<void> {
    this.#signal?.throwIfAborted();
    this.#isCommitting = true;
    try {
      await this.#connection.query("commit");
    } catch (error) {
      throw this.#connection.isRolledBack(error) ? error : new CommitUnknownError(error);
    }
  }

  async #rollBack(error: unknown): Promise<void> {
    if (this.#isReleased) return;
    if (error instanceof CommitUnknownError) {
      this.#release(false);
      return;
    }
    try {
      await this.#connection.query("rollback");
      this.#release(true);
    } catch {
      this.#release(false);
    }
  }

  #release(isUsable: boolean): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#connection.release(isUsable);
  }
}
