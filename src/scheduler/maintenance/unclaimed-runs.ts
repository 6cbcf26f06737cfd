import type { Clock } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import { type Catalog, missingParts } from "../../run/runner.ts";
import type { Storage, WaitingFlow } from "../../storage/storage.ts";
import type { Heartbeat } from "./heartbeat.ts";

/** Everything that reporting unclaimed runs needs. */
export interface UnclaimedRunsDeps {
  readonly storage: Pick<Storage, "findFlow" | "listRuns">;
  readonly catalog: Catalog;
  readonly heartbeat: Pick<Heartbeat, "living">;
  readonly clock: Clock;
  readonly emit: Emit<SchedulerEvents>;
}

/** How often it is emitted for a flow at most, in milliseconds. */
const intervalMs = 60_000;

/** Reports flows whose runs wait for an export that no living process has: no wake-up of theirs leads to anything. */
export class UnclaimedRuns {
  readonly #deps: UnclaimedRunsDeps;
  /** Flow → when it was emitted last. */
  #emittedAt = new Map<string, number>();

  constructor(deps: UnclaimedRunsDeps) {
    this.#deps = deps;
  }

  /** `flows`: all that wait. */
  async report(flows: readonly WaitingFlow[]): Promise<void> {
    const { catalog, clock, heartbeat } = this.#deps;
    const odd = flows.filter(({ _exportId }) => catalog.findExport(_exportId) === undefined);
    const living = odd.length === 0 ? [] : await heartbeat.living();
    const known = new Set(living.flatMap(({ exportIds }) => exportIds));
    const now = clock.now();
    const emittedAt = new Map<string, number>();
    for (const { _exportId, _flowId } of odd) {
      if (known.has(_exportId)) continue;
      const lastAt = this.#emittedAt.get(_flowId);
      const isDue = lastAt === undefined || Math.abs(now - lastAt) >= intervalMs;
      if (isDue) await this.#report(_flowId);
      emittedAt.set(_flowId, isDue ? now : lastAt);
    }
    this.#emittedAt = emittedAt;
  }

  async #report(_flowId: string): Promise<void> {
    const { catalog, emit, storage } = this.#deps;
    const flow = await storage.findFlow(_flowId);
    const [run] = (await storage.listRuns({ _flowId, status: "queued", limit: 1 })).items;
    if (flow !== undefined && run !== undefined) emit("run:unclaimed", { run, missing: missingParts(flow, catalog) });
  }
}
