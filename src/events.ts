import { EventEmitter } from "eventemitter3";
import type { Pause } from "./model/delivery.ts";
import type { Failure, ResolvedBy } from "./model/failure.ts";
import type { Flow } from "./model/flow.ts";
import type { Run } from "./model/run.ts";

/** What a registry tells: one name, one payload object. */
export interface RegistryEvents {
  /** A flow was created. */
  "flow:created": { readonly flow: Flow };
  /** A flow was changed. `canceledRuns`: waiting runs that were canceled because it is now disabled. */
  "flow:updated": { readonly flow: Flow; readonly previous: Flow; readonly canceledRuns: readonly Run[] };
  /** A flow was deleted. `canceledRuns`: its waiting runs; `activeRun`: the one being aborted. */
  "flow:deleted": { readonly flow: Flow; readonly canceledRuns: readonly Run[]; readonly activeRun?: Run };
  /** A listener threw, or the promise it returned was rejected. */
  "listener:error": ListenerError;
}

/** What a scheduler tells: one name, one payload object. */
export interface SchedulerEvents {
  /** A run joined its flow's waiting line. */
  "run:queued": { readonly run: Run };
  /** A run began in this process; again after it was taken back. */
  "run:started": { readonly run: Run };
  /** A page was committed; at most once a second for each run. `total` is the export's estimate. */
  "run:progress": { readonly run: Run; readonly total?: number };
  /** One try of a batch asked for another; `delayMs` until it is made. */
  "run:retrying": {
    readonly run: Run;
    /** The import; absent if it was the export. */
    readonly _importId?: string;
    /** The try that has just ended; 1 for the first. */
    readonly attempt: number;
    readonly delayMs: number;
    readonly message: string;
  };
  /** A run read everything and settled every record; some may be stored as failures. */
  "run:completed": { readonly run: Run };
  /** A run broke; `run.error` says why. What it committed stays. */
  "run:failed": { readonly run: Run };
  /** A run was canceled, waiting or running, and has really ended. */
  "run:canceled": { readonly run: Run };
  /**
   * A run is back at the head of its flow's queue: its process died (`crash`), or stops (`stop`), or its export or
   * import asked for a long wait (`wait`, until `run.notBefore`). It resumes where it committed.
   */
  "run:requeued": { readonly run: Run; readonly reason: "crash" | "stop" | "wait" };
  /** Records were stored as failures with the commit of a page. */
  "failures:stored": { readonly run: Run; readonly failures: readonly Failure[] };
  /** Failures are open no more: a later state of their records was delivered, or somebody resolved them. */
  "failures:resolved": { readonly run?: Run; readonly _ids: readonly string[]; readonly resolvedBy: ResolvedBy };
  /** A run completed, and the flow that was to run next is gone, disabled, or has too many runs waiting. */
  "chain:skipped": { readonly run: Run; readonly _flowId: string };
  /** An import gets no records until its pause ends. Emitted once, however often the pause is prolonged. */
  "import:paused": { readonly run: Run; readonly _importId: string; readonly pause: Pause };
  /** An import that was paused has settled a page again, or somebody ended its pause; `run`: the run that got through. */
  "import:resumed": { readonly _flowId: string; readonly _importId: string; readonly run?: Run };
  /** A due time found a scheduled run already waiting, and was folded into it. */
  "schedule:coalesced": { readonly flow: Flow; readonly run: Run; readonly dueAt: string };
  /** A due time found a run waiting or running and added none (`overlap: "skip"`). */
  "schedule:skipped": { readonly flow: Flow; readonly run: Run; readonly dueAt: string };
  /** Due times passed while nothing ran here. `run` catches up for the newest, or has taken it in; absent: too long ago. */
  "schedule:missed": { readonly flow: Flow; readonly dueAt: string; readonly run?: Run };
  /** No run of this flow began for twice its interval, though it is scheduled. Told at each due time until one does. */
  "flow:overdue": { readonly flow: Flow; readonly dueAt: string; readonly lastExecutedAt?: string };
  /** Another process took a run over that this one was running; its work since the last commit does not count. */
  "lease:lost": { readonly run: Run };
  /** An export's `listen` threw; it is called again after `delayMs`. 0: what threw was its stop. */
  "listen:failed": { readonly _exportId: string; readonly error: unknown; readonly delayMs: number };
  /** The scheduler has stopped; nothing more is told until it is started again. */
  "scheduler:stopped": Readonly<Record<string, never>>;
  /** The storage or the executor failed in the background; the work is tried again. */
  "background:error": { readonly error: unknown; readonly during: string };
  /** A listener threw, or the promise it returned was rejected. */
  "listener:error": ListenerError;
}

/** Emits one event: its name decides what its payload is. */
export type Emit<Map> = <Name extends keyof Map & string>(name: Name, payload: Map[Name]) => void;

/** A listener's own error. */
export interface ListenerError {
  /** What the listener was told. */
  readonly event: string;
  readonly error: unknown;
}

/** Calls a listener with an event's payload. */
export type Listener<Payload> = (payload: Payload) => unknown;

/**
 * Tells typed events. A listener that throws, or whose promise is rejected, harms neither what it listens to nor the
 * other listeners: it is reported as `listener:error`.
 */
export class Events<Map extends { "listener:error": ListenerError }> {
  /** Types only: lets the events be inferred from whatever tells them. */
  declare protected readonly told: Map;
  readonly #emitter = new EventEmitter();
  readonly #guards = new WeakMap<object, Record<string, (payload: unknown) => void>>();

  /** Listens until `off`. */
  on<Name extends keyof Map & string>(name: Name, listener: Listener<Map[Name]>): this {
    this.#emitter.on(name, this.#guarded(name, listener));
    return this;
  }

  /** Listens to the next one only. */
  once<Name extends keyof Map & string>(name: Name, listener: Listener<Map[Name]>): this {
    this.#emitter.once(name, this.#guarded(name, listener));
    return this;
  }

  /** Stops listening. */
  off<Name extends keyof Map & string>(name: Name, listener: Listener<Map[Name]>): this {
    this.#emitter.off(name, this.#guarded(name, listener));
    return this;
  }

  /** How many listen to this event. */
  listenerCount(name: keyof Map & string): number {
    return this.#emitter.listenerCount(name);
  }

  /** Tells every listener, in the order they came. */
  protected emit<Name extends keyof Map & string>(name: Name, payload: Map[Name]): void {
    this.#emitter.emit(name, payload);
  }

  // One guard for each (listener, event), so that `off` finds what `on` added.
  #guarded<Payload>(event: string, listener: Listener<Payload>): (payload: Payload) => void {
    const known = this.#guards.get(listener)?.[event];
    if (known !== undefined) return known;
    const guard = (payload: Payload) => this.#call(event, listener, payload);
    this.#guards.set(listener, { ...this.#guards.get(listener), [event]: guard as (payload: unknown) => void });
    return guard;
  }

  #call<Payload>(event: string, listener: Listener<Payload>, payload: Payload): void {
    try {
      const answer = listener(payload);
      if (isThenable(answer)) Promise.resolve(answer).catch((error: unknown) => this.#report(event, error));
    } catch (error) {
      this.#report(event, error);
    }
  }

  #report(event: string, error: unknown): void {
    // A listener of `listener:error` that throws has nobody left to be reported to.
    if (event !== "listener:error") this.#emitter.emit("listener:error", { event, error });
  }
}

function isThenable(answer: unknown): answer is PromiseLike<unknown> {
  return typeof answer === "object" && answer !== null && "then" in answer;
}
