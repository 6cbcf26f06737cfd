import { type CancelTimer, type Clock, systemClock, within } from "../clock.ts";
import { ErrorReports } from "./error-reports.ts";
import type { Executor, ExecutorCapabilities, WorkerOptions } from "./executor.ts";
import { FlowSlots, type WokenFlow } from "./flow-slots.ts";
import { WakeUpQueue } from "./wake-up-queue.ts";

/** An engine that carries wake-ups between processes: what differs from one engine to another. */
export interface Engine {
  /**
   * Keeps wake-ups where other processes find them, at most one that waits for each flow; rejects if it does not. May be
   * called before `start`, and without one: it opens the connections that it needs.
   */
  send(flows: readonly WokenFlow[]): Promise<void>;
  /** Begins to give wake-ups to `desk`, also if the engine does not respond yet. Throws only for what no retry mends. */
  start(desk: Desk): void;
  /** Begins to look for no more wake-ups; resolves when those on their way have been given to the desk. */
  stop(): Promise<void>;
  /** Ends all connections of its own; `send` and `start` open them again. */
  close(): Promise<void>;
}

/** Where an engine gives wake-ups to. */
export interface Desk {
  /** The exports that this process has now. */
  exportIds(): readonly string[];
  /** How many calls may begin now. An engine looks for wake-ups only while there is one. */
  free(): number;
  /** Resolves when the next slot becomes free, or when the executor stops. */
  freed(): Promise<void>;
  /** Begins the flow's call, before it returns; if no slot is free any more, the wake-up is sent again. */
  take(flow: WokenFlow): void;
  /** Nothing waited in the engine just now: a flow that has more to do may go on where it is. */
  nothingWaits(): void;
  /** Reports what failed in the background, and is tried again. */
  report(error: unknown, during: string): void;
}

/** What an engine's executor is made of. */
export interface EngineExecutorDeps {
  readonly engine: Engine;
  /** Whether the engine gives a wake-up only to processes that have its export. */
  readonly routes: boolean;
  /** Sets its timers. @default the system's */
  readonly clock?: Clock;
}

/** How long an engine may take to keep wake-ups before it counts as away, in milliseconds. */
const respondMs = 5_000;

/** How long an engine may take to end, or to keep what is left at the end, in milliseconds. */
const endMs = 2_000;

/** How long after a failure wake-ups are sent again, in milliseconds. */
const retryMs = 1_000;

/** Wake-ups that are sent at once at most. */
const portion = 1_000;

/** How long it is believed that nothing waits while no slot is free to look with, in milliseconds. */
const believedMs = 250;

/** Portions under way, of a process that executes nothing, from which on it waits for none of them any more. */
const mostUnderWay = 10;

/**
 * Executes runs in all processes that share an engine. What finds a free slot in the process that it is woken in, while
 * nothing else waits, is called there at once; everything else waits in the engine for a process with a free slot.
 *
 * The engine keeps hints, and nothing else. While it is away, what is woken here is called here; what it has lost is
 * replaced by the scheduler's maintenance.
 */
export class EngineExecutor implements Executor {
  readonly capabilities: ExecutorCapabilities;
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #slots: FlowSlots;
  readonly #reports: ErrorReports;
  readonly #desk: Desk;
  /** What is to be sent; while the engine is away, what waits for a slot here. */
  readonly #queue = new WakeUpQueue();
  #work: WorkerOptions | undefined;
  /** Stopped after a start: connections are not to be left open. */
  #isOver = false;
  #isAway = false;
  /** Whether wake-ups may wait in the engine that this process could be given. */
  #mayWait = true;
  #lookedAt = 0;
  #sending: Promise<void> | undefined;
  #sent = Promise.resolve();
  #underWay = 0;
  #stopping: Promise<void> | undefined;
  #cancelRetry: CancelTimer | undefined;
  #onFreed: (() => void)[] = [];

  constructor({ engine, routes, clock = systemClock }: EngineExecutorDeps) {
    this.capabilities = Object.freeze({ durable: true, routes });
    this.#engine = engine;
    this.#clock = clock;
    this.#reports = new ErrorReports(clock);
    this.#desk = {
      exportIds: () => this.#work?.exportIds ?? [],
      free: () => this.#slots.free,
      freed: () => new Promise((resolve) => this.#onFreed.push(resolve)),
      take: (flow) => this.#take(flow),
      nothingWaits: () => this.#nothingWaits(),
      report: (error, during) => this.#report(error, during),
    };
    this.#slots = new FlowSlots({
      clock,
      othersWait: () => this.#othersWait(),
      onMore: (flow) => void this.#wait(flow).catch(() => undefined),
      onFree: () => this.#fill(),
    });
  }

  async start(work: WorkerOptions): Promise<void> {
    await this.#stopping;
    this.#work = work;
    [this.#isOver, this.#isAway, this.#mayWait] = [false, false, true];
    this.#slots.start(work);
    this.#engine.start(this.#desk);
    this.#fill();
  }

  /** Rejects only if the scheduler has not been started and the engine does not keep it: then nobody else knows of it. */
  async wake(_flowId: string, _exportId: string): Promise<void> {
    if (this.#slots.callAgain(_flowId)) return;
    const flow = { _flowId, _exportId };
    const isNext = !this.#mayWait && this.#queue.size === 0 && this.#slots.free > 0;
    if (isNext && this.#isOurs(flow)) this.#slots.begin(flow);
    else await this.#wait(flow);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#end().finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  /** Stops, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #end(): Promise<void> {
    this.#work = undefined;
    this.#isAway = false;
    this.#cancelRetry?.();
    const called = this.#slots.stop();
    this.#fill();
    await this.#inTime(this.#engine.stop());
    // Calls that go on may wake other flows.
    await called;
    // For others, and for the next start. What cannot be kept is found by maintenance.
    await this.#inTime(this.#sendAll());
    this.#queue.drain();
    this.#isOver = true;
    await this.#inTime(this.#engine.close());
  }

  // An engine that is away must not keep a process from ending.
  async #inTime(work: Promise<unknown>): Promise<void> {
    await within(this.#clock, endMs, work).catch(() => undefined);
  }

  #isOurs({ _exportId }: WokenFlow): boolean {
    return !this.capabilities.routes || this.#work?.exportIds.includes(_exportId) === true;
  }

  // While the engine is away, only those that are here: what a slot is free for has one.
  #othersWait(): boolean {
    if (this.#queue.size > 0) return true;
    if (this.#isAway) return false;
    const isOld = this.#slots.free === 0 && Math.abs(this.#clock.now() - this.#lookedAt) > believedMs;
    return this.#mayWait || isOld;
  }

  #nothingWaits(): void {
    this.#mayWait = this.#queue.size > 0 || this.#underWay > 0;
    this.#lookedAt = this.#clock.now();
  }

  #take(flow: WokenFlow): void {
    this.#isBack();
    this.#mayWait = true;
    if (this.#slots.callAgain(flow._flowId)) return;
    if (this.#slots.free > 0) this.#slots.begin(flow);
    else void this.#wait(flow).catch(() => undefined);
  }

  async #wait(flow: WokenFlow): Promise<void> {
    if (this.#isAway) {
      // What this process cannot call is found by maintenance.
      if (this.#isOurs(flow)) this.#queue.add(flow);
      this.#fill();
      return;
    }
    this.#queue.add(flow);
    this.#mayWait = true;
    this.#sending ??= this.#sendSoon();
    await this.#sending;
  }

  async #sendSoon(): Promise<void> {
    // What comes in this turn goes together, and so does what comes while a portion is under way: they arrive in their order.
    await this.#clock.yieldToEventLoop();
    await this.#sent;
    this.#sending = undefined;
    const sent = this.#sendAll();
    this.#sent = sent.catch(() => undefined);
    await sent;
    if (this.#isOver && this.#underWay === 0) await this.#inTime(this.#engine.close());
  }

  async #sendAll(): Promise<void> {
    const flows = this.#queue.drain();
    for (let start = 0; start < flows.length; start += portion) await this.#send(flows.slice(start, start + portion));
  }

  async #send(flows: readonly WokenFlow[]): Promise<void> {
    if (this.#work === undefined && this.#underWay >= mostUnderWay)
      throw new Error(`no response to ${mostUnderWay} portions of wake-ups`);
    this.#underWay++;
    const sent = this.#engine.send(flows).then(
      () => this.#settled(true),
      (error: unknown) => {
        this.#settled(false);
        throw error;
      },
    );
    try {
      if (!(await within(this.#clock, respondMs, sent))) throw new Error(`no response within ${respondMs} ms`);
    } catch (error) {
      if (this.#work === undefined) throw error;
      this.#keep(flows, error);
    }
  }

  #settled(isKept: boolean): void {
    this.#underWay--;
    if (isKept) this.#isBack();
  }

  // It waits here until the engine is back, or until it is called here.
  #keep(flows: readonly WokenFlow[], error: unknown): void {
    this.#isAway = true;
    for (const flow of flows) if (this.#isOurs(flow)) this.#queue.add(flow);
    this.#report(error, "sending wake-ups");
    this.#retry();
    this.#fill();
  }

  #retry(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.#clock.setTimer(() => {
      // What is under way settles when the engine is back: one more would wait beside it.
      if (this.#isAway && this.#underWay > 0) this.#retry();
      else this.#isBack();
    }, retryMs);
  }

  #isBack(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#mayWait = true;
    if (this.#queue.size > 0) this.#sending ??= this.#sendSoon();
  }

  // While the engine is away, its work is done here.
  #fill(): void {
    for (let { free } = this.#slots; this.#isAway && free > 0; { free } = this.#slots) {
      const flow = this.#queue.shift();
      if (flow === undefined) break;
      if (!this.#slots.callAgain(flow._flowId)) this.#slots.begin(flow);
    }
    for (const resolve of this.#onFreed.splice(0)) resolve();
  }

  #report(error: unknown, during: string): void {
    if (this.#reports.isNew(error)) this.#work?.reportError?.(error, during);
  }
}
