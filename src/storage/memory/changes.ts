import type { Change, FlowChanged, RequeueReason, RunChangeKind } from "../../model/change.ts";
import { optional, placeOf } from "../documents.ts";
import type { ChangeList, ChangeQuery, ChangeReader, ChangeStorage } from "../storage.ts";
import type { MemoryState, RunEntry } from "./state.ts";

/** How many changes are kept at least, and half as many as at most. */
const kept = 10_000;

/** Changes of what a MemoryStorage holds; none is noted while nobody reads them. */
export class MemoryChanges implements ChangeStorage {
  /** The bell rings for all of them. */
  readonly pollMs = 60_000;
  readonly #state: Pick<MemoryState, "flows" | "runs">;
  readonly #readers = new Map<string, number>();
  readonly #rings = new Set<() => void>();
  #notes: Note[] = [];
  /** The number of the newest one. */
  #last = 0;
  /** Up to this one, some were not noted. */
  #gapUntil = 0;

  constructor(state: Pick<MemoryState, "flows" | "runs">) {
    this.#state = state;
  }

  /** Something became of a run. */
  noteRun(change: RunChangeKind, entry: RunEntry, reason?: RequeueReason): void {
    if (this.#readers.size > 0) this.#note({ change, entry, reason });
  }

  /** Something became of a flow. */
  noteFlow(change: FlowChanged): void {
    if (this.#readers.size > 0) this.#note(change);
  }

  async followChanges({ _id, at, until }: ChangeReader): Promise<string> {
    await this.forgetChanges(at);
    // What happened while nobody read is not known.
    if (this.#readers.size === 0) this.#gapUntil = ++this.#last;
    this.#readers.set(_id, until);
    return String(this.#last);
  }

  async unfollowChanges(_id: string): Promise<void> {
    this.#readers.delete(_id);
    if (this.#readers.size === 0) this.#notes = [];
  }

  async changesSince(place: string, { limit }: ChangeQuery): Promise<ChangeList> {
    const after = placeOf(place, 0);
    const first = this.#last - this.#notes.length;
    const gap = after < this.#gapUntil || after < first || after > this.#last;
    const begin = gap ? Math.max(first, this.#gapUntil) : after;
    const notes = this.#notes.slice(begin - first, begin - first + limit);
    const next = begin + notes.length;
    const changes = notes.flatMap((note) => this.#read(note) ?? []);
    return { changes, next: String(next), more: next < this.#last, gap };
  }

  async forgetChanges(at: number): Promise<void> {
    for (const [_id, until] of this.#readers) if (until <= at) this.#readers.delete(_id);
    if (this.#readers.size === 0) this.#notes = [];
  }

  onBell(ring: () => void): () => void {
    this.#rings.add(ring);
    return () => this.#rings.delete(ring);
  }

  #note(note: Note): void {
    this.#last++;
    this.#notes.push(note);
    if (this.#notes.length >= kept * 1.5) this.#notes = this.#notes.slice(-kept);
    for (const ring of this.#rings) ring();
  }

  #read(note: Note): Change | undefined {
    if ("entry" in note) {
      const { change, entry, reason } = note;
      const { run } = entry;
      return this.#state.runs.get(run._id) === entry ? { change, run, ...optional("reason", reason) } : undefined;
    }
    if (note.change === "flow:deleted") return note;
    const flow = this.#state.flows.get(note.flow._id);
    return flow === undefined ? undefined : { ...note, flow };
  }
}

/** A change as it is kept: of a run, its entry has what it is now. */
type Note =
  | FlowChanged
  | { readonly change: RunChangeKind; readonly entry: RunEntry; readonly reason: RequeueReason | undefined };
