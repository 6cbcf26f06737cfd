import { EventEmitter } from "eventemitter3";
import { type ConflictError, InvalidOptionError } from "./errors.ts";
import type { Pause } from "./model/delivery.ts";
import type { Failure, ResolvedBy } from "./model/failure.ts";
import type { Flow } from "./model/flow/flow.ts";
import type { Run } from "./model/run.ts";
import { isAwaitable } from "./model/host/awaitable.ts";
import { didYouMean } from "./model/suggest.ts";

/** What a registry emits: one name, one payload object. */
export interface RegistryEvents {
  /** A flow was created. */
  "flow:created": { readonly flow: Flow };
  /** A flow was changed. `canceledRuns`: waiting runs that were canceled because it is now disabled. */
  "flow:updated": { readonly flow: Flow; readonly previous: Flow; readonly canceledRuns: readonly Run[] };
  /** A flow was deleted. `canceledRuns`: its waiting runs; `activeRun`: the one being aborted. */
  "flow:deleted": { readonly flow: Flow; readonly canceledRuns: readonly Run[]; readonly activeRun?: Run };
  /**
   * `define` or `defineAll` left a flow as it is, because its export is to be another one while its inbox still holds
   * pages of the former; `error` says how many. Without a listener that is written to the console.
   */
  "flow:kept": { readonly flow: Flow; readonly error: ConflictError };
  /** A listener threw, or the promise it returned was rejected. */
  "listener:error": ListenerError;
}

/** What a scheduler emits: one name, one payload object. */
export interface SchedulerEvents {
  /** A run joined its flow's queue. */
  "run:queued": { readonly run: Run };
  /** A run began in this process; again each time it is resumed. */
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
  /** A run failed; `run.error` says why. What it committed stays. */
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
  /** A due time found a scheduled run already waiting, and was coalesced into it. */
  "schedule:coalesced": { readonly flow: Flow; readonly run: Run; readonly dueAt: string };
  /** A due time found a run waiting or running, and queued none (`overlap: "skip"`). */
  "schedule:skipped": { readonly flow: Flow; readonly run: Run; readonly dueAt: string };
  /** Due times passed and nothing queued their runs. `run` catches up for the newest of them; absent: it is too old. */
  "schedule:missed": { readonly flow: Flow; readonly dueAt: string; readonly run?: Run };
  /**
   * No run of this flow began for twice its interval, though it is scheduled. Emitted once for each due time until one
   * does; also if no due time is stored for it.
   */
  "flow:overdue": { readonly flow: Flow; readonly dueAt: string; readonly lastExecutedAt?: string };
  /** Another process reclaimed a run that this one was running; its work since the last commit does not count. */
  "lease:lost": { readonly run: Run };
  /**
   * A run waits, perhaps with others of its flow, and this process leaves them to others: it has not registered what
   * `missing` names. At most once a minute for each flow.
   */
  "run:unclaimed": { readonly run: Run; readonly missing: readonly MissingPart[] };
  /** The flow's inbox holds four fifths of the `maxInboxPages` it may. Once each time that it fills so far. */
  "inbox:filling": { readonly _flowId: string; readonly pages: number; readonly maxInboxPages: number };
  /**
   * The clock jumped by more than an hour: `byMs` milliseconds ahead, or behind if it is negative. For an hour from then
   * on nothing is removed that is old enough by the changed clock only.
   */
  "clock:changed": { readonly byMs: number };
  /** An export's `listen` failed; it is called again after `delayMs`. 0: what failed was its unsubscribing. */
  "listen:failed": { readonly _exportId: string; readonly error: unknown; readonly delayMs: number };
  /** The scheduler has stopped; nothing more is emitted until it is started again. */
  "scheduler:stopped": Readonly<Record<string, never>>;
  /** The storage or the executor failed in the background; the work is tried again. Or a row cannot be read: once for each. */
  "background:error": { readonly error: unknown; readonly during: string };
  /** A listener threw, or the promise it returned was rejected. */
  "listener:error": ListenerError;
}

/** An export or an import that a flow uses and that is not registered here. */
export interface MissingPart {
  readonly kind: "export" | "import";
  readonly _id: string;
}

/** Emits one event: its name decides what its payload is. */
export type Emit<Map> = <Name extends keyof Map & string>(name: Name, payload: Map[Name]) => void;

/** A listener's own error. */
export interface ListenerError {
  /** The event that the listener was called for. */
  readonly event: string;
  readonly error: unknown;
}

/** Calls a listener with an event's payload. */
export type Listener<Payload> = (payload: Payload) => unknown;

/** Every event of a registry. */
export const registryEventNames = namesOf<RegistryEvents>({
  "flow:created": true,
  "flow:updated": true,
  "flow:deleted": true,
  "flow:kept": true,
  "listener:error": true,
});

/** Every event of a scheduler. */
export const schedulerEventNames = namesOf<SchedulerEvents>({
  "run:queued": true,
  "run:started": true,
  "run:progress": true,
  "run:retrying": true,
  "run:completed": true,
  "run:failed": true,
  "run:canceled": true,
  "run:requeued": true,
  "failures:stored": true,
  "failures:resolved": true,
  "chain:skipped": true,
  "import:paused": true,
  "import:resumed": true,
  "schedule:coalesced": true,
  "schedule:skipped": true,
  "schedule:missed": true,
  "flow:overdue": true,
  "lease:lost": true,
  "run:unclaimed": true,
  "inbox:filling": true,
  "clock:changed": true,
  "listen:failed": true,
  "scheduler:stopped": true,
  "background:error": true,
  "listener:error": true,
});

/**
 * Emits typed events. A listener that throws, or whose promise is rejected, harms neither the emitter nor the other
 * listeners: it is reported as `listener:error`.
 */
export class Events<Map extends { "listener:error": ListenerError }> {
  /** Types only: lets the events be inferred from whatever emits them. */
  declare protected readonly events: Map;
  readonly #names: readonly string[];
  readonly #emitter = new EventEmitter();
  readonly #guards = new WeakMap<object, Record<string, (payload: unknown) => void>>();

  /** `names`: every event there is. */
  constructor(names: readonly (keyof Map & string)[]) {
    this.#names = names;
  }

  /**
   * Calls `listener` for each such event until `off`.
   *
   * @throws `invalid_option` if there is no event of that name.
   */
  on<Name extends keyof Map & string>(name: Name, listener: Listener<Map[Name]>): this {
    this.#emitter.on(this.#known(name), this.#guarded(name, listener));
    return this;
  }

  /**
   * Calls `listener` for the next such event only.
   *
   * @throws `invalid_option` if there is no event of that name.
   */
  once<Name extends keyof Map & string>(name: Name, listener: Listener<Map[Name]>): this {
    this.#emitter.once(this.#known(name), this.#guarded(name, listener));
    return this;
  }

  /**
   * Calls `listener` no more.
   *
   * @throws `invalid_option` if there is no event of that name.
   */
  off<Name extends keyof Map & string>(name: Name, listener: Listener<Map[Name]>): this {
    this.#emitter.off(this.#known(name), this.#guarded(name, listener));
    return this;
  }

  /** How many listeners this event has. */
  listenerCount(name: keyof Map & string): number {
    return this.#emitter.listenerCount(name);
  }

  /** Calls every listener, in the order they were added. */
  protected emit<Name extends keyof Map & string>(name: Name, payload: Map[Name]): void {
    this.#emitter.emit(name, payload);
  }

  #known(name: unknown): string {
    const known = this.#names.find((existing) => existing === name);
    if (known !== undefined) return known;
    const expected = `one of ${this.#names.join(", ")}`;
    const hint = typeof name === "string" ? didYouMean(name, this.#names) : "";
    throw new InvalidOptionError("event", expected, name, { hint });
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
      const returned = listener(payload);
      if (isAwaitable(returned)) Promise.resolve(returned).catch((error: unknown) => this.#report(event, error));
    } catch (error) {
      this.#report(event, error);
    }
  }

  #report(event: string, error: unknown): void {
    // If a listener of `listener:error` throws, there is nowhere left to report it.
    if (event !== "listener:error") this.#emitter.emit("listener:error", { event, error });
  }
}

// A record of all names, so that the compiler finds one that is missing.
function namesOf<Map>(names: Readonly<Record<keyof Map & string, true>>): readonly (keyof Map & string)[] {
  return Object.freeze(Object.keys(names) as (keyof Map & string)[]);
}
