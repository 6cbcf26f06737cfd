import { isPoundlockError } from "../../errors.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { Storage, UnreadableRow } from "../../storage/storage.ts";

/** Everything that unreadable rows need. */
export interface UnreadableRowsDeps {
  readonly storage: Pick<Storage, "unreadable">;
  readonly emit: Emit<SchedulerEvents>;
}

/** Rows that are remembered as reported; beyond them the first ones are forgotten. */
const mostKnown = 10_000;

/** Reports each row that cannot be read once, and not again whenever a sweep or a list comes upon it. */
export class UnreadableRows {
  readonly #deps: UnreadableRowsDeps;
  readonly #known = new Set<string>();
  #end: (() => void) | undefined;

  constructor(deps: UnreadableRowsDeps) {
    this.#deps = deps;
  }

  /** Reports what the storage leaves out, from now on. */
  start(): void {
    const { emit, storage } = this.#deps;
    // The storage may be in the middle of a transaction, in which no listener has anything to do.
    this.#end = storage.unreadable?.listen(({ error }) =>
      queueMicrotask(() => emit("background:error", { error, during: "reading what is stored" })),
    );
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
  }

  /** Whether the error is about a row that this was asked about before. */
  isKnown(error: unknown): boolean {
    const row = unreadableRowIn(error);
    if (row === undefined) return false;
    const key = `${row.table} ${row._id}`;
    if (this.#known.has(key)) return true;
    this.#known.add(key);
    if (this.#known.size > mostKnown) for (const first of this.#known) return !this.#known.delete(first);
    return false;
  }
}

/** What `work` resolves with; undefined, and reported, if it comes upon a row that cannot be read: the others are not kept waiting. */
export async function unlessUnreadable<T>(
  emit: Emit<SchedulerEvents>,
  during: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (unreadableRowIn(error) === undefined) throw error;
    emit("background:error", { error, during });
    return undefined;
  }
}

// A storage says it alone, or as the cause of `storage_failed`.
function unreadableRowIn(error: unknown): Pick<UnreadableRow, "table" | "_id"> | undefined {
  const cause = isPoundlockError(error) ? error.cause : error;
  if (!(cause instanceof Error)) return undefined;
  const { table, _id } = cause as Partial<UnreadableRow> & Error;
  return typeof table === "string" && typeof _id === "string" ? { table, _id } : undefined;
}
