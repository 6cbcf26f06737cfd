import { type CancelTimer, type Clock, FlowRegistry, Scheduler } from "../../src/index.ts";
import type { Storage, Wake } from "../../src/storage/storage.ts";
import { StorageFailedError } from "../../src/errors.ts";
import { silentLogger } from "../../src/model/logger.ts";
import type { Chance } from "../support/chance.ts";
import { oddTracer } from "../support/tracers.ts";
import type { Plan } from "./plan.ts";

/** What everything that happens in one process has to pass: it can be frozen (SIGSTOP) and shut for good (kill -9). */
export class Gate {
  #state: "open" | "frozen" | "shut" = "open";
  #waiting: (() => void)[] = [];
  readonly #timers = new Set<CancelTimer>();

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isShut(): boolean {
    return this.#state === "shut";
  }

  /** Nothing passes until it thaws. */
  freeze(): void {
    if (this.#state === "open") this.#state = "frozen";
  }

  /** What has waited passes now, in order. */
  thaw(): void {
    if (this.#state !== "frozen") return;
    this.#state = "open";
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const pass of waiting) pass();
  }

  /** Nothing passes any more, ever. */
  shut(): void {
    this.#state = "shut";
    this.#waiting = [];
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  /** Resolves when it may go on, which is never once the gate is shut. */
  async passed(): Promise<void> {
    while (this.#state !== "open")
      await new Promise<void>((resolve) => {
        if (this.#state === "frozen") this.#waiting.push(resolve);
      });
  }

  /** Keeps what ends with the process. */
  keep(timer: CancelTimer): CancelTimer {
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
      timer();
    };
  }

  /** Calls it now, or when the gate is open again. */
  call(callback: () => void): void {
    if (this.#state === "open") callback();
    else if (this.#state === "frozen") this.#waiting.push(callback);
  }
}

/** How far a clock is off. */
export interface Skew {
  ms: number;
}

/** A process's own clock: it stands still with the process, and may be wrong. */
export function gatedClock(clock: Clock, gate: Gate, skew: Skew): Clock {
  return {
    now: () => clock.now() + skew.ms,
    setTimer(callback, delayMs) {
      if (gate.isShut) return () => undefined;
      let isCanceled = false;
      const fire = () => {
        if (!isCanceled) callback();
      };
      const forget = gate.keep(
        clock.setTimer(() => {
          forget();
          gate.call(fire);
        }, delayMs),
      );
      return () => {
        isCanceled = true;
        forget();
      };
    },
    async yieldToEventLoop() {
      await clock.yieldToEventLoop();
      await gate.passed();
    },
  };
}

type Methods = Omit<
  Storage,
  "capabilities" | "location" | "clock" | "unreadable" | "wakes" | "changes" | "bell" | "close"
>;

/** One call of a storage, and its result. */
export type StorageCall = {
  [Name in keyof Methods]: {
    readonly name: Name;
    readonly args: Parameters<Methods[Name]>;
    readonly answer: Awaited<ReturnType<Methods[Name]>>;
  };
}[keyof Methods];

/** The calls of one method. */
export type CallOf<Name extends StorageCall["name"]> = Extract<StorageCall, { readonly name: Name }>;

/** How one process sees the storage. */
export interface StorageView {
  readonly gate: Gate;
  readonly clock: Clock;
  readonly chance: Chance;
  /** Read at each call, since chaos ends. */
  readonly conditions: () => { readonly slowMs: number; readonly faults: number };
  /** Whether other processes are said to share it. */
  readonly shared: boolean;
  /** What all processes go by; absent: each goes by its own. */
  readonly storageClock?: Clock | undefined;
  /** What a storage has beside its methods is seen as they are. @default false */
  readonly viewsParts?: boolean;
  /** Called for what was done with wake-ups. */
  readonly onWakes?: (name: string, wakes: readonly Wake[]) => void;
  /** Waits for what a storage does, which time does not pass without. @default time does */
  readonly settled?: <T>(answer: Promise<T>) => Promise<T>;
  /** Called for every call that was carried out, in the order in which they were. */
  readonly onCall: (call: StorageCall) => void;
}

/** A storage that can be slow, fail before or after it did what was asked, and end with its process. */
export function viewedStorage(storage: Storage, view: StorageView): Storage {
  const capabilities = { durable: false, shared: view.shared };
  const { wakes, changes } = storage;
  const parts: Partial<Storage> = {
    ...(wakes !== undefined && view.viewsParts === true ? { wakes: viewedPart(wakes, view) } : {}),
    ...(changes !== undefined && view.viewsParts === true ? { changes: viewedPart(changes, view) } : {}),
    ...(view.storageClock === undefined ? {} : { clock: view.storageClock }),
  };
  return new Proxy(storage, {
    get(target, name) {
      if (name === "capabilities") return capabilities;
      if (name in parts) return Reflect.get(parts, name) as unknown;
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function" || typeof name !== "string") return method;
      return (...args: unknown[]) =>
        called(view, name, async () => {
          const answer: unknown = await Reflect.apply(method, target, inPortions(name, args));
          // The proxy stands for exactly the methods of `Storage`, so name, arguments and answer belong together.
          if (name !== "close") view.onCall({ name, args, answer } as unknown as StorageCall);
          return answer;
        });
    },
  });
}

/** What a storage has beside its methods: as slow, and as likely to fail. A bell is heard by processes that live. */
function viewedPart<Part extends object>(part: Part, view: StorageView): Part {
  return new Proxy(part, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function" || typeof name !== "string") return method;
      if (name === "onBell")
        return (ring: () => void): unknown => Reflect.apply(method, target, [() => view.gate.call(ring)]);
      return (...args: unknown[]) =>
        called(view, name, async () => {
          const answer: unknown = await Reflect.apply(method, target, args);
          if (name === "addWakes") view.onWakes?.(name, args[0] as readonly Wake[]);
          if (name === "claimWakes") view.onWakes?.(name, answer as readonly Wake[]);
          return answer;
        });
    },
  });
}

// What is deleted is removed so slowly that much goes on meanwhile.
function inPortions(name: string, args: readonly unknown[]): readonly unknown[] {
  const [first, second] = args as readonly [unknown, object];
  if (name === "deleteFlow") return [first, { ...second, limit: 1 }];
  return name === "purgeFlows" ? [{ ...(first as object), limit: 2 }] : args;
}

async function called(view: StorageView, name: string, call: () => Promise<unknown>): Promise<unknown> {
  const { gate, clock, chance } = view;
  const { slowMs, faults } = view.conditions();
  if (!gate.isOpen) await gate.passed();
  if (slowMs > 0) await responseTime(clock, chance.between(0, slowMs));
  const failing = faults > 0 && chance.happens(faults) ? chance.oneOf(["before", "after"]) : undefined;
  if (failing === "before") throw new StorageFailedError(name, new Error("the storage is not there"));
  const answer = await (view.settled?.(call()) ?? call());
  if (slowMs > 0) await responseTime(clock, chance.between(0, slowMs));
  if (!gate.isOpen) await gate.passed();
  if (failing === "after") throw new StorageFailedError(name, new Error("the answer got lost"));
  return answer;
}

function responseTime(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.setTimer(resolve, delayMs));
}

/** What a process is made of. */
export interface ProcessParts {
  readonly name: string;
  readonly plan: Plan;
  readonly clock: Clock;
  readonly skewMs: number;
  /** By how much it errs about the time of the storage, in milliseconds; undefined: it goes by its own. */
  readonly errorMs: number | undefined;
  readonly storage: Storage;
  readonly view: Pick<StorageView, "chance" | "conditions" | "settled" | "shared" | "viewsParts"> & {
    readonly onCall: (process: Process, call: StorageCall) => void;
    readonly onWakes: (process: Process, name: string, wakes: readonly Wake[]) => void;
  };
  readonly chance: Chance;
  readonly newId: () => string;
  /** The exports and imports that it has. */
  readonly has: Parts;
}

/** Exports and imports by their ids. */
export interface Parts {
  readonly exportIds: readonly string[];
  readonly importIds: readonly string[];
}

/** One process of the host: a registry and a scheduler that know nothing of the other processes. */
export class Process {
  readonly name: string;
  readonly gate = new Gate();
  readonly has: Parts;
  /** Of its own clock. */
  readonly skew: Skew;
  readonly clock: Clock;
  readonly registry: FlowRegistry;
  readonly scheduler: Scheduler;
  state: "stopped" | "starting" | "started" | "stopping" | "crashed" = "stopped";
  /** Run → how many times it had been claimed when this process claimed it; and so which execution of it this one is. */
  readonly claims = new Map<string, number>();
  /** When it was last known, by elapsed time, to have no slot for another run. */
  fullAt = -Infinity;

  constructor(parts: ProcessParts) {
    const { name, plan, newId, chance } = parts;
    this.name = name;
    this.has = parts.has;
    this.skew = { ms: parts.skewMs };
    this.clock = gatedClock(parts.clock, this.gate, this.skew);
    const { clock, gate } = this;
    const { errorMs } = parts;
    const storageClock = errorMs === undefined ? undefined : gatedClock(parts.clock, gate, { ms: errorMs });
    const onCall = (call: StorageCall) => parts.view.onCall(this, call);
    const onWakes = (...call: [string, readonly Wake[]]) => parts.view.onWakes(this, ...call);
    const storage = viewedStorage(parts.storage, { ...parts.view, gate, clock, storageClock, onCall, onWakes });
    this.registry = new FlowRegistry({ storage, newId, ...(storageClock === undefined ? { clock } : {}) });
    // Whatever a tracer does, every promise is kept.
    const tracing = oddTracer(plan.seed);
    this.scheduler = new Scheduler(this.registry, {
      ...plan.options,
      ...(tracing === undefined ? {} : { tracing }),
      logger: silentLogger,
      random: () => chance.next(),
    });
  }

  get isFrozen(): boolean {
    return !this.gate.isOpen && !this.gate.isShut;
  }

  get isCrashed(): boolean {
    return this.state === "crashed";
  }

  /** True if it could execute the flow's runs. */
  canRun(_exportId: string, importIds: Iterable<string>): boolean {
    const imports = new Set(this.has.importIds);
    return this.has.exportIds.includes(_exportId) && [...importIds].every((_id) => imports.has(_id));
  }

  /** Ends at once, in the middle of whatever it does. */
  crash(): void {
    this.state = "crashed";
    this.gate.shut();
  }
}
