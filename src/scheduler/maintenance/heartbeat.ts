import { type CancelTimer, type Clock, isAborted } from "../../clock.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { WorkerProcess } from "../../model/worker-process.ts";
import type { Storage } from "../../storage/storage.ts";

/** Everything a heartbeat needs. */
export interface HeartbeatDeps {
  readonly storage: Pick<Storage, "keepProcess" | "listProcesses" | "removeProcess" | "wakes">;
  readonly clock: Clock;
  readonly processId: string;
  /** What this process says of itself. */
  readonly describe: () => Omit<WorkerProcess, "_id" | "startedAt" | "seenAt">;
  readonly emit: Emit<SchedulerEvents>;
}

/** How often a process says that it is there, in milliseconds. */
const beatMs = 10_000;

/** How long a process is taken to live after it was seen, in milliseconds. */
const aliveMs = 30_000;

/** After how long a process that died is forgotten, in milliseconds. */
const forgottenMs = 3_600_000;

/** Says that this process is there, from its start to its stop, and knows which others are. */
export class Heartbeat {
  readonly #deps: HeartbeatDeps;
  #startedAt = 0;
  #hasOthers = false;
  #cancelTimer: CancelTimer | undefined;
  #beating: Promise<void> = Promise.resolve();

  constructor(deps: HeartbeatDeps) {
    this.#deps = deps;
  }

  /**
   * Whether there may be another process: one was there when this one looked last, or the storage has a bell, as one has
   * that processes of several computers share, also those whose schedulers are not started.
   */
  get hasOthers(): boolean {
    return this.#hasOthers || this.#deps.storage.wakes?.onBell !== undefined;
  }

  /** The processes that live, this one included if it is started. */
  async living(): Promise<readonly WorkerProcess[]> {
    return livingProcesses(this.#deps.storage, this.#deps.clock.now());
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#startedAt = this.#deps.clock.now();
    await this.#beat();
    this.#plan(signal);
  }

  async stop(): Promise<void> {
    this.#cancelTimer?.();
    await this.#beating;
    // What fails leaves it to be forgotten.
    await this.#deps.storage.removeProcess(this.#deps.processId).catch(() => undefined);
  }

  #plan(signal: AbortSignal): void {
    if (isAborted(signal)) return;
    this.#cancelTimer = this.#deps.clock.setTimer(() => {
      this.#beating = this.#beat();
      void this.#beating.then(() => this.#plan(signal));
    }, beatMs);
  }

  async #beat(): Promise<void> {
    const { clock, describe, emit, processId, storage } = this.#deps;
    const now = clock.now();
    const startedAt = new Date(this.#startedAt).toISOString();
    const seenAt = new Date(now).toISOString();
    try {
      const process = { _id: processId, ...describe(), startedAt, seenAt };
      await storage.keepProcess(process, now - forgottenMs);
      this.#hasOthers = (await this.living()).some(({ _id }) => _id !== processId);
    } catch (error) {
      emit("background:error", { error, during: "saying that this process is there" });
    }
  }
}

/** The processes that live now. One that died while its clock was ahead is none of them for as long as that was. */
export async function livingProcesses(
  storage: Pick<Storage, "listProcesses">,
  now: number,
): Promise<readonly WorkerProcess[]> {
  const seen = await storage.listProcesses(now - aliveMs);
  return seen.filter(({ seenAt }) => Date.parse(seenAt) - now <= aliveMs);
}
