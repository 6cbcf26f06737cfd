import { type CancelTimer, type Clock, FlowRegistry, Scheduler } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
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

/** A process's own clock: it stands still with the process, and may be wrong by `skewMs`. */
export function gatedClock(clock: Clock, gate: Gate, skewMs: number): Clock {
  return {
    now: () => clock.now() + skewMs,
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
  /** Called for every call that was carried out, in the order in which they were. */
  readonly onCall: (call: StorageCall) => void;
}

/** A storage that can be slow, fail before or after it did what was asked, and end with its process. */
export function viewedStorage(storage: Storage, view: StorageView): Storage {
  const capabilities = { durable: false, shared: view.shared };
  return new Proxy(storage, {
    get(target, name) {
      if (name === "capabilities") return capabilities;
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
  const answer = await call();
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
  readonly storage: Storage;
  readonly view: Pick<StorageView, "chance" | "conditions" | "shared"> & {
    readonly onCall: (process: Process, call: StorageCall) => void;
  };
  readonly chance: Chance;
  readonly newId: () => string;
}

/** One process of the host: a registry and a scheduler that know nothing of the other processes. */
export class Process {
  readonly name: string;
  readonly gate = new Gate();
  readonly clock: Clock;
  readonly registry: FlowRegistry;
  readonly scheduler: Scheduler;
  state: "stopped" | "starting" | "started" | "stopping" | "crashed" = "stopped";
  /** Run → how many times it had been claimed when this process claimed it; and so which execution of it this one is. */
  readonly claims = new Map<string, number>();

  constructor(parts: ProcessParts) {
    const { name, plan, newId, chance } = parts;
    this.name = name;
    this.clock = gatedClock(parts.clock, this.gate, parts.skewMs);
    const { clock, gate } = this;
    const view = { ...parts.view, gate, clock, onCall: (call: StorageCall) => parts.view.onCall(this, call) };
    this.registry = new FlowRegistry({ storage: viewedStorage(parts.storage, view), clock, newId });
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

  /** Ends at once, in the middle of whatever it does. */
  crash(): void {
    this.state = "crashed";
    this.gate.shut();
  }
}
