import { type Clock, isAborted } from "../../clock.ts";
import type { Emit, MissingPart, SchedulerEvents } from "../../events.ts";
import type { Logger } from "../../model/logger.ts";
import { type Catalog, missingParts } from "../../run/runner.ts";
import type { Storage } from "../../storage/storage.ts";

/** Everything a catalog check needs. */
export interface CatalogCheckDeps {
  readonly storage: Pick<Storage, "listFlows">;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly emit: Emit<SchedulerEvents>;
}

/** Flows read in one call. */
const pageSize = 1_000;

/** Flows named in one warning at most. */
const maxNamed = 10;

/** Flows that use a part that is missing: how many, and the first of them. */
interface Users {
  readonly part: MissingPart;
  readonly flowIds: string[];
  flows: number;
}

/** Warns of exports and imports that enabled flows use and that are not registered here. */
export class CatalogCheck {
  readonly #deps: CatalogCheckDeps;

  constructor(deps: CatalogCheckDeps) {
    this.#deps = deps;
  }

  /** Looks at all flows, in the background. */
  start(signal: AbortSignal): void {
    this.#check(signal).catch((error: unknown) =>
      this.#deps.emit("background:error", { error, during: "looking for exports and imports" }),
    );
  }

  stop(): void {
    // Its signal has ended it.
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { catalog, clock, log, storage } = this.#deps;
    const users = new Map<string, Users>();
    let after: string | undefined;
    do {
      const page = { disabled: false, limit: pageSize, ...(after === undefined ? {} : { after }) };
      const { items, next } = await storage.listFlows(page);
      for (const flow of items) for (const part of missingParts(flow, catalog)) addUser(users, part, flow._id);
      after = next;
      if (after !== undefined) await clock.yieldToEventLoop();
    } while (after !== undefined && !isAborted(signal));
    if (isAborted(signal)) return;
    for (const { flowIds, flows, part } of users.values())
      log.warn(
        { [`${part.kind}Id`]: part._id, flows, flowIds },
        `${part.kind} is not registered here, but flows use it`,
      );
  }
}

function addUser(users: Map<string, Users>, part: MissingPart, _flowId: string): void {
  const key = `${part.kind} ${part._id}`;
  const known = users.get(key) ?? { part, flowIds: [], flows: 0 };
  users.set(key, known);
  known.flows++;
  if (known.flowIds.length < maxNamed) known.flowIds.push(_flowId);
}
