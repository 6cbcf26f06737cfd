import type { Clock } from "../clock.ts";
import type { Storage } from "../storage/storage.ts";

/** Everything that the duties of a process need. */
export interface DutiesDeps {
  readonly storage: Pick<Storage, "claimDuty" | "releaseDuty">;
  readonly clock: Clock;
  /** This process's own id. */
  readonly processId: string;
}

/** What this process does for all that share the storage. Two that do it at once do no harm: a duty only saves work. */
export class Duties {
  readonly #deps: DutiesDeps;
  /** Duty → until when it is ours. */
  readonly #held = new Map<string, number>();

  constructor(deps: DutiesDeps) {
    this.#deps = deps;
  }

  /**
   * Whether it is ours, for `lengthMs` from now if nobody else has it. The storage is asked only when less than half of
   * that is left of it.
   */
  async claim(name: string, lengthMs: number): Promise<boolean> {
    const { clock, processId, storage } = this.#deps;
    const at = clock.now();
    const leftMs = (this.#held.get(name) ?? at) - at;
    if (leftMs * 2 > lengthMs && leftMs <= lengthMs) return true;
    const until = at + lengthMs;
    const isOurs = await storage.claimDuty({ name, holder: processId, at, until });
    if (isOurs) this.#held.set(name, until);
    else this.#held.delete(name);
    return isOurs;
  }

  /** Gives it up, if it is ours, so that another process has it at once. */
  async release(name: string): Promise<void> {
    if (!this.#held.delete(name)) return;
    // What fails leaves it to expire.
    await this.#deps.storage.releaseDuty({ name, holder: this.#deps.processId }).catch(() => undefined);
  }
}
