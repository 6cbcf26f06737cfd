import { isAborted } from "../../clock.ts";
import type { LeaseEnd, Storage } from "../../storage/storage.ts";
import { type ClockWatch, tickMs } from "./clock-watch.ts";

/** Everything a lease watch needs. */
export interface LeaseWatchDeps {
  readonly storage: Pick<Storage, "listLeases">;
  readonly leaseMs: number;
  readonly clockWatch: Pick<ClockWatch, "elapsedMs">;
}

/** The end that a lease names, and the elapsed time since which it has named it. */
interface SeenLease {
  readonly until: number;
  readonly sinceMs: number;
}

/** Leases read in one call. */
const pageSize = 1_000;

/**
 * Finds leases that have not been renewed for two of their lengths as this process measures it, whatever instant they
 * name: a process whose clock is a day ahead, and that died, must not keep its run for a day.
 */
export class LeaseWatch {
  readonly #deps: LeaseWatchDeps;
  /** Run → the end its lease names, and since when it has named it. */
  #seen: ReadonlyMap<string, SeenLease> = new Map<string, SeenLease>();

  constructor(deps: LeaseWatchDeps) {
    this.#deps = deps;
  }

  /** Reads all leases; returns those that have run out so. */
  async unchanged(signal: AbortSignal): Promise<readonly LeaseEnd[]> {
    const { clockWatch, leaseMs, storage } = this.#deps;
    const seen = new Map<string, SeenLease>();
    const expired: LeaseEnd[] = [];
    let after: string | undefined;
    for (let size = pageSize; size === pageSize && !isAborted(signal);) {
      const leases = await storage.listLeases(pageSize, after);
      for (const lease of leases) {
        const { _runId, until } = lease;
        const before = this.#seen.get(_runId);
        // The step under way may end a moment later: only whole ones from then on have passed for certain.
        const sinceMs = before?.until === until ? before.sinceMs : clockWatch.elapsedMs + tickMs;
        seen.set(_runId, { until, sinceMs });
        if (clockWatch.elapsedMs - sinceMs >= 2 * leaseMs) expired.push(lease);
      }
      size = leases.length;
      after = leases.at(-1)?._runId;
    }
    this.#seen = seen;
    return expired;
  }
}
