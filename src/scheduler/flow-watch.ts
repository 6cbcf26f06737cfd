import type { RegistryEvents } from "../events.ts";
import type { FlowRegistry } from "../flow-registry.ts";
import type { Run } from "../model/run.ts";
import type { Part } from "./lifecycle.ts";

/** Everything a flow watch needs. */
export interface FlowWatchDeps {
  readonly registry: Pick<FlowRegistry, "on" | "off">;
  /** A flow is due at this instant. */
  readonly onDue: (dueAt: number) => void;
  /** Flows that use this export changed. */
  readonly onUsed: (_exportId: string) => void;
  /** A waiting run was canceled with the change. */
  readonly onCanceled: (run: Run) => void;
  /** The flow of an active run was deleted. */
  readonly onActiveDeleted: (run: Run) => void;
  /** A flow that was disabled is enabled again. */
  readonly onEnabled: () => void;
}

/** Follows, while the scheduler works, what this process does to flows. */
export class FlowWatch implements Part {
  readonly #deps: FlowWatchDeps;

  constructor(deps: FlowWatchDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#listen("on");
  }

  stop(): void {
    this.#listen("off");
  }

  #listen(how: "on" | "off"): void {
    const { registry } = this.#deps;
    registry[how]("flow:created", this.#onCreated);
    registry[how]("flow:updated", this.#onUpdated);
    registry[how]("flow:deleted", this.#onDeleted);
  }

  readonly #onCreated = ({ flow }: RegistryEvents["flow:created"]): void => {
    const { onDue, onUsed } = this.#deps;
    if (flow.nextRunAt !== undefined) onDue(Date.parse(flow.nextRunAt));
    onUsed(flow._exportId);
  };

  readonly #onUpdated = ({ flow, previous, canceledRuns }: RegistryEvents["flow:updated"]): void => {
    const { onCanceled, onDue, onEnabled, onUsed } = this.#deps;
    for (const run of canceledRuns) onCanceled(run);
    if (flow.nextRunAt !== undefined) onDue(Date.parse(flow.nextRunAt));
    for (const _exportId of new Set([flow._exportId, previous._exportId])) onUsed(_exportId);
    // What waits in its inbox since before it was disabled needs no further event to be moved.
    if (previous.disabled && !flow.disabled) onEnabled();
  };

  readonly #onDeleted = ({ flow, canceledRuns, activeRun }: RegistryEvents["flow:deleted"]): void => {
    const { onActiveDeleted, onCanceled, onUsed } = this.#deps;
    for (const run of canceledRuns) onCanceled(run);
    if (activeRun !== undefined) onActiveDeleted(activeRun);
    onUsed(flow._exportId);
  };
}
