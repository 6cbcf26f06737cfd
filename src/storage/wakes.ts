/**
 * Wake-ups that processes share: hints that a flow may have a run to claim. Nothing depends on them, so they may be lost,
 * with a crash of the database, say: maintenance makes up for it. Every method may be called by many processes at once.
 */
export interface WakeStorage {
  /** How often it is worth looking for wake-ups while no bell is heard, in milliseconds. */
  readonly pollMs: number;
  /** The same when nothing was claimed for five minutes, so that a database may go to sleep. @default pollMs */
  readonly idlePollMs?: number;
  /** Adds them behind all others, those of one call in any order. A flow has one at most: if it waits, it keeps its place. None: only rings. */
  addWakes(wakes: readonly Wake[]): Promise<void>;
  /** Removes and returns the oldest ones of these exports, at most `limit`. Each is returned to one caller. */
  claimWakes(limit: number, _exportIds: readonly string[]): Promise<readonly Wake[]>;
  /**
   * Calls `ring` soon after a process, this one included, has added wake-ups, and when some may have been missed. It may
   * ring for nothing, and stay silent: it only saves waiting for the next look. Returns what ends it.
   */
  readonly onBell?: ((ring: () => void) => () => void) | undefined;
}

/** A flow that may have a run to claim, and the export that it takes. */
export interface Wake {
  readonly _flowId: string;
  readonly _exportId: string;
}
