import { type CancelTimer, type Clock, systemClock } from "../clock.ts";
import type { Wake, WakeStorage } from "../storage/storage.ts";
import type { Executor, WorkerOptions } from "./executor.ts";
import { FlowSlots } from "./flow-slots.ts";
import { WakeUpQueue } from "./wake-up-queue.ts";

/** How an executor shares wake-ups. */
export interface SharedExecutorOptions {
  /** Sets its timers. @default the system's */
  readonly clock?: Clock;
  /**
   * Whether this is the only process, as far as anybody knows. Then wake-ups wait here, and cost nothing, until it is not
   * alone any more or the bell rings, which others do. It is asked with each look at the wake-ups.
   *
   * @default there are always others
   */
  readonly isAlone?: () => Promise<boolean>;
}

/** The longest time between two looks, in milliseconds: while a bell is heard or nobody else is there. */
const longestPollMs = 5_000;

/** The same after {@link idleMs} without a wake-up, so that a database may go to sleep; the bell is heard all the same. */
const idlePollMs = 30_000;

/** After how long nothing is going on, in milliseconds. */
const idleMs = 300_000;

/** For how long after it has sent something a process takes a ring to be its own, in milliseconds. */
const echoMs = 1_000;

/** Wake-ups that are sent at once at most. */
const portion = 1_000;

/** Under what a wake-up waits for one process, in the place of an export. */
function addressOf(processId: string): string {
  return `process:${processId}`;
}

/**
 * Executes runs in all processes that share a storage's wake-ups. What finds a free slot in the process that it is woken
 * in is called there at once. Everything else waits in the storage, for whoever has a slot and the flow's export.
 */
export class SharedExecutor implements Executor {
  readonly capabilities = Object.freeze({ durable: true, routes: true });
  readonly #wakes: WakeStorage;
  readonly #clock: Clock;
  readonly #askIfAlone: (() => Promise<boolean>) | undefined;
  readonly #slots: FlowSlots;
  /** What waits here: to be sent, or for a slot while nobody else is there. */
  readonly #queue = new WakeUpQueue();
  #work: WorkerOptions | undefined;
  /** What this process claims beside its exports. */
  #address: string | undefined;
  #isAlone = false;
  /** Whether wake-ups may wait in the storage that this process could claim. */
  #mayWait = true;
  #lookedAt = 0;
  #sentAt = -Infinity;
  #foundAt = 0;
  #pollMs = 0;
  #sending: Promise<void> | undefined;
  #claiming: Promise<void> | undefined;
  #cancelTimer: CancelTimer | undefined;
  #endBell: (() => void) | undefined;

  constructor(wakes: WakeStorage, { clock = systemClock, isAlone }: SharedExecutorOptions = {}) {
    this.#wakes = wakes;
    this.#clock = clock;
    this.#askIfAlone = isAlone;
    this.#slots = new FlowSlots({
      clock,
      othersWait: () => this.#othersWait(),
      onMore: (flow) => void this.#wait(flow).catch(() => undefined),
      onFree: () => this.#fill(),
    });
  }

  async start(work: WorkerOptions): Promise<void> {
    this.#work = work;
    this.#mayWait = true;
    this.#foundAt = this.#clock.now();
    this.#pollMs = this.#wakes.pollMs;
    // Who else is there is asked again with each look; until it is known, there may be others. With a bell that is soon
    // enough, and what rings before says that there are some.
    const isToAsk = this.#askIfAlone !== undefined && this.#wakes.onBell === undefined;
    this.#isAlone = isToAsk && (await this.#askIfAlone().catch(() => false));
    this.#slots.start(work);
    this.#endBell = this.#wakes.onBell?.(() => this.#rung());
    // Whoever is alone so far shares from now on.
    if (this.#endBell !== undefined) void this.#add([]).catch(() => undefined);
    this.#fill();
    this.#plan();
  }

  async wake(_flowId: string, _exportId: string): Promise<void> {
    if (this.#slots.callAgain(_flowId)) return;
    const flow = { _flowId, _exportId };
    if (this.#slots.free > 0 && this.#queue.size === 0 && this.#isOurs(flow)) this.#slots.begin(flow);
    else await this.#wait(flow);
  }

  /** From now on this process claims what others leave to it by {@link leave}, too. */
  receiveAt(processId: string): void {
    this.#address = addressOf(processId);
  }

  /**
   * Leaves wake-ups of flows that this process cannot execute, though it has their exports, to others that can: flow by
   * process. Whoever has the export could claim them else, and that may be this process, again and again.
   */
  async leave(flows: ReadonlyMap<string, string>): Promise<void> {
    const wakes = [...flows].map(([_flowId, processId]) => ({ _flowId, _exportId: addressOf(processId) }));
    await this.#add(wakes);
  }

  async stop(): Promise<void> {
    this.#work = undefined;
    this.#cancelTimer?.();
    this.#endBell?.();
    this.#endBell = undefined;
    const stopped = this.#slots.stop();
    await this.#claiming;
    // For others, and for the next start. What cannot be kept is found by maintenance.
    await this.#send().catch(() => undefined);
    await stopped;
  }

  /** Stops, at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #isOurs({ _exportId }: Wake): boolean {
    return this.#claimable().includes(_exportId);
  }

  #claimable(): readonly string[] {
    const exportIds = this.#work?.exportIds ?? [];
    return this.#address === undefined ? exportIds : [...exportIds, this.#address];
  }

  // What nobody else could take waits here, unless it is none of this process's work.
  #wait(flow: Wake): Promise<void> {
    this.#queue.add(flow);
    if (this.#isAlone && this.#isOurs(flow)) return Promise.resolve();
    this.#mayWait = true;
    this.#sending ??= this.#sendSoon();
    return this.#sending;
  }

  async #sendSoon(): Promise<void> {
    // What comes in this turn goes together.
    await this.#clock.yieldToEventLoop();
    this.#sending = undefined;
    await this.#send();
    this.#fill();
  }

  async #send(): Promise<void> {
    const flows = this.#queue.drain();
    for (let start = 0; start < flows.length; start += portion) await this.#add(flows.slice(start, start + portion));
  }

  async #add(wakes: readonly Wake[]): Promise<void> {
    this.#sentAt = this.#clock.now();
    await this.#wakes.addWakes(wakes);
    this.#sentAt = this.#clock.now();
  }

  #othersWait(): boolean {
    if (this.#queue.size > 0 || this.#mayWait) return true;
    // Nothing was added here, and no bell was heard: without one, that is known for as long as a look is good for.
    const isKnown = this.#isAlone || this.#endBell !== undefined || this.#sinceLookMs() < this.#wakes.pollMs;
    return !isKnown;
  }

  #sinceLookMs(): number {
    return Math.abs(this.#clock.now() - this.#lookedAt);
  }

  #rung(): void {
    this.#mayWait = true;
    if (this.#isAlone && Math.abs(this.#clock.now() - this.#sentAt) >= echoMs) this.#share();
    this.#fill();
  }

  // Somebody else has rung: what waited here waits for whoever has a slot. Whether it is alone is asked again before long.
  #share(): void {
    this.#isAlone = false;
    this.#pollMs = this.#wakes.pollMs;
    this.#plan();
    if (this.#queue.size === 0) return;
    this.#sending ??= this.#sendSoon();
    this.#sending.catch(() => undefined);
  }

  // Gives free slots to what waits in the storage, if it may be older, and then to what waits here.
  #fill(): void {
    // What is about to be sent may be none of this process's work.
    if (this.#sending !== undefined) return;
    const isToLook = this.#mayWait || (!this.#isAlone && this.#endBell === undefined);
    if (isToLook && this.#slots.free > 0) this.#claim();
    if (!this.#isAlone || this.#claiming !== undefined) return;
    for (let { free } = this.#slots; free > 0; free--) {
      const flow = this.#queue.shift();
      if (flow === undefined) break;
      this.#begin(flow);
    }
  }

  #begin(flow: Wake): void {
    if (this.#slots.callAgain(flow._flowId)) return;
    if (this.#slots.free > 0) this.#slots.begin(flow);
    else void this.#wait(flow).catch(() => undefined);
  }

  #claim(): void {
    this.#claiming ??= this.#claimAll()
      // It is tried again with the next look.
      .catch(() => undefined)
      .finally(() => {
        this.#claiming = undefined;
        if (this.#isAlone) this.#fill();
      });
  }

  async #claimAll(): Promise<void> {
    for (let { free } = this.#slots; free > 0; { free } = this.#slots) {
      this.#mayWait = false;
      this.#lookedAt = this.#clock.now();
      const flows = await this.#wakes.claimWakes(free, this.#claimable());
      if (flows.length > 0) this.#found();
      for (const flow of flows) this.#begin(flow);
      if (flows.length === free) this.#mayWait = true;
      if (!this.#mayWait) return;
    }
  }

  #found(): void {
    this.#foundAt = this.#clock.now();
    this.#pollMs = this.#wakes.pollMs;
    this.#plan();
  }

  #plan(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#work === undefined) return;
    this.#cancelTimer = this.#clock.setTimer(() => {
      void this.#look()
        .catch(() => undefined)
        .finally(() => this.#plan());
    }, this.#pollMs);
  }

  async #look(): Promise<void> {
    const hears = this.#endBell !== undefined;
    if (this.#askIfAlone !== undefined) await this.#askWhetherAlone(this.#askIfAlone);
    this.#pollMs = Math.min(this.#pollMs * 2, this.#longestPollMs(hears));
    this.#mayWait = true;
    this.#fill();
  }

  #longestPollMs(hears: boolean): number {
    const { idlePollMs: deafMs, pollMs } = this.#wakes;
    const isIdle = this.#clock.now() - this.#foundAt > idleMs;
    if (hears) return isIdle ? idlePollMs : longestPollMs;
    // What others add is found by looking alone.
    if (isIdle && deafMs !== undefined) return deafMs;
    return this.#isAlone ? longestPollMs : pollMs;
  }

  async #askWhetherAlone(ask: () => Promise<boolean>): Promise<void> {
    const wasAlone = this.#isAlone;
    this.#isAlone = await ask();
    // What waited here waits for whoever has a slot now.
    if (wasAlone && !this.#isAlone && this.#queue.size > 0) await this.#send();
  }
}
