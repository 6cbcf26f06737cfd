import type { Change } from "../model/change.ts";

/**
 * What becomes of runs and flows, for every process that wants to know. Each change is noted with what makes it, or not at
 * all, and returned once to each reader; those of one run, and those of one flow, in their order. Changes are
 * kept for readers that are there: for some time, and not beyond a crash of the database. A reader that comes too late is
 * notified of a gap.
 */
export interface ChangeStorage {
  /** How often it is worth looking for changes while no bell is heard, in milliseconds. */
  readonly pollMs: number;
  /**
   * Has changes kept for a reader until `until`; again before that, to have them kept for longer. The place of what
   * happens from now on: everything that begins after this has resolved is found there.
   */
  followChanges(reader: ChangeReader): Promise<string>;
  /** The reader wants no more of them. */
  unfollowChanges(_id: string): Promise<void>;
  /**
   * The changes from a place on, oldest first. A run or a flow that is gone is left out, a flow that was deleted is not.
   *
   * @throws `invalid_request` if the place is none.
   */
  changesSince(place: string, query: ChangeQuery): Promise<ChangeList>;
  /** Removes changes that are old, and readers whose time is over. One call now and then is enough for all processes. */
  forgetChanges(at: number): Promise<void>;
  /**
   * Calls `ring` soon after a process, this one included, has changed something. It may ring for nothing, and stay silent:
   * it only saves waiting for the next look. Returns what ends it.
   */
  readonly onBell?: ((ring: () => void) => () => void) | undefined;
}

/** Somebody who wants to know what becomes of runs and flows. */
export interface ChangeReader {
  /** Its own. */
  readonly _id: string;
  readonly at: number;
  /** Later than `at`. */
  readonly until: number;
}

/** Which changes are wanted. */
export interface ChangeQuery {
  /** 1 or more. */
  readonly limit: number;
  readonly at: number;
}

/** Changes in their order. */
export interface ChangeList {
  readonly changes: readonly Change[];
  /** The place of what follows. */
  readonly next: string;
  /** More is there already. */
  readonly more: boolean;
  /** Some may be missing, before these or among them: what was known of runs and flows has to be read anew. */
  readonly gap: boolean;
}
