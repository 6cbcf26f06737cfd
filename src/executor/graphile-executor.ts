import { createHash } from "node:crypto";
import { EventEmitter } from "node:events";
import {
  Logger,
  type Runner,
  type RunnerOptions,
  type WorkerEvents,
  type WorkerUtils,
  makeWorkerUtils,
  run,
} from "graphile-worker";
import { type Clock, delay, isAborted, systemClock, within } from "../clock.ts";
import { InvalidOptionError } from "../errors.ts";
import { type Shape, objectWith, v, validate } from "../model/validate.ts";
import { type Desk, type Engine, EngineExecutor } from "./engine-executor.ts";
import type { WokenFlow } from "./flow-slots.ts";

/** Where graphile-worker keeps wake-ups. */
export interface GraphileExecutorOptions {
  /** A `pg.Pool` of at least two connections, one of which is listened on, or a connection string. The pool stays yours to end. */
  readonly connection: object | string;
  /**
   * graphile-worker's schema: up to 63 letters, digits and underscores. It makes its tables when it starts.
   *
   * @default "graphile_worker"
   */
  readonly schema?: string;
  /**
   * What the names of its tasks begin with, one for each export: 1 to 40 letters, digits, dashes and underscores. The
   * application's own tasks in the same schema have other names.
   *
   * @default "poundlock"
   */
  readonly name?: string;
  /** Sets its timers. @default the system's */
  readonly clock?: Clock;
}

/** Jobs that are begun at once; the calls that they begin are as many as the scheduler's `concurrency`. */
const workers = 10;

/** How often it is looked for what no notification came for, and for exports that were added, in milliseconds. */
const pollMs = 1_000;

/** How long jobs that were fetched together may wait for a free slot before others get them, in milliseconds. */
const keepMs = 500;

/** Jobs that are fetched at once at most. */
const mostAtOnce = 100;

/** How long a runner may take to stop, in milliseconds. */
const stopMs = 5_000;

/**
 * Lets graphile-worker carry wake-ups between processes, for hosts that run it anyway. Only wake-ups are there: what is
 * lost is replaced by the scheduler's maintenance, and no run is. Each export has a task of its own, so a wake-up goes to
 * a process that has the export.
 *
 * @example new Scheduler(registry, { executor: new GraphileExecutor({ connection: pool }) });
 */
export class GraphileExecutor extends EngineExecutor {
  /** @throws `invalid_option`. */
  constructor(options: GraphileExecutorOptions) {
    super({ engine: new GraphileEngine(checked(options)), routes: true, clock: options.clock ?? systemClock });
  }
}

class GraphileEngine implements Engine {
  readonly #options: GraphileExecutorOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #desk: Desk | undefined;
  #utils: Promise<WorkerUtils> | undefined;
  #serving = new AbortController();
  #served: Promise<void> | undefined;
  #endErrors: (() => void) | undefined;

  constructor(options: GraphileExecutorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = new Logger(() => (level, message) => {
      if (isError(level)) this.#desk?.report(new Error(message), "carrying wake-ups");
    });
  }

  async send(flows: readonly WokenFlow[]): Promise<void> {
    this.#utils ??= this.#openUtils();
    const { addJobs } = await this.#utils;
    // One that waits keeps its place.
    await addJobs(
      flows.map((flow) => this.#jobOf(flow)),
      true,
    );
  }

  start(desk: Desk): void {
    this.#desk = desk;
    this.#serving = new AbortController();
    this.#served = this.#serve(desk, this.#serving.signal);
  }

  async stop(): Promise<void> {
    this.#serving.abort();
    await this.#served;
  }

  async close(): Promise<void> {
    const utils = this.#utils;
    this.#utils = undefined;
    await (await utils?.catch(() => undefined))?.release();
    this.#endErrors?.();
    this.#endErrors = undefined;
  }

  async #openUtils(): Promise<WorkerUtils> {
    try {
      return await makeWorkerUtils(this.#settings());
    } catch (error) {
      this.#utils = undefined;
      throw error;
    }
  }

  #settings(): Pick<RunnerOptions, "connectionString" | "logger" | "pgPool" | "schema"> {
    const { connection, schema } = this.#options;
    const common = { logger: this.#logger, ...(schema === undefined ? {} : { schema }) };
    if (typeof connection === "string") return { connectionString: connection, ...common };
    const pool = connection as NonNullable<RunnerOptions["pgPool"]>;
    this.#endErrors ??= listenToErrors(pool, (error) => this.#desk?.report(error, "carrying wake-ups"));
    return { pgPool: pool, ...common };
  }

  #jobOf({ _flowId, _exportId }: WokenFlow) {
    return { identifier: this.#taskOf(_exportId), payload: { _flowId, _exportId }, jobKey: `${this.#name}:${_flowId}` };
  }

  get #name(): string {
    return this.#options.name ?? "poundlock";
  }

  /** At most 128 characters are allowed. */
  #taskOf(_exportId: string): string {
    const id = _exportId.length <= 80 ? _exportId : createHash("sha256").update(_exportId).digest("hex");
    return `${this.#name}:${id}`;
  }

  // Runs until the exports change, or it ends because of an error; then again.
  async #serve(desk: Desk, signal: AbortSignal): Promise<void> {
    while (!isAborted(signal)) {
      const exportIds = [...desk.exportIds()];
      try {
        if (exportIds.length > 0) await this.#runWith(exportIds, desk, signal);
        else await delay(this.#clock, pollMs, signal);
      } catch (error) {
        desk.report(error, "looking for wake-ups");
        await delay(this.#clock, pollMs, signal);
      }
    }
  }

  async #runWith(exportIds: readonly string[], desk: Desk, signal: AbortSignal): Promise<void> {
    const intake = new Intake(desk);
    const runner = await run({
      ...this.#settings(),
      ...{ concurrency: workers, noHandleSignals: true, pollInterval: pollMs, parsedCronItems: [] },
      preset: {
        worker: {
          localQueue: { size: mostAtOnce, ttl: keepMs },
          // Jobs that are ended one by one reject where nobody listens if their connection breaks, and Node ends the process.
          ...{ completeJobBatchDelay: 0, failJobBatchDelay: 0 },
        },
      },
      events: intake.events,
      forbiddenFlags: () => intake.admit(),
      taskList: Object.fromEntries(exportIds.map((_exportId) => [this.#taskOf(_exportId), intake.take])),
    });
    try {
      await this.#untilChanged(endOf(runner, intake.events, signal), exportIds, desk);
      if (!isAborted(signal) && !hasChanged(exportIds, desk)) throw new Error("graphile-worker has ended");
    } finally {
      intake.end();
      await within(this.#clock, stopMs, stopped(runner));
    }
  }

  async #untilChanged(end: AbortSignal, exportIds: readonly string[], desk: Desk): Promise<void> {
    while (!isAborted(end) && !hasChanged(exportIds, desk)) await delay(this.#clock, pollMs, end);
  }
}

/** Exports are only ever added. */
function hasChanged(exportIds: readonly string[], desk: Desk): boolean {
  return desk.exportIds().length !== exportIds.length;
}

/**
 * Aborts when the runner is to end, has ended, or begins to: one whose connections fail while it shuts down may never
 * get to its end, and fetches no more jobs meanwhile.
 */
function endOf(runner: Runner, events: WorkerEvents, signal: AbortSignal): AbortSignal {
  const end = new AbortController();
  const abort = () => {
    signal.removeEventListener("abort", abort);
    end.abort();
  };
  if (isAborted(signal)) abort();
  else signal.addEventListener("abort", abort);
  runner.promise.then(abort, abort);
  for (const name of ["stop", "pool:gracefulShutdown", "pool:forcefulShutdown"] as const) events.on(name, abort);
  return end.signal;
}

/** What comes in from a runner, and how much of it may. */
class Intake {
  readonly events: WorkerEvents = new EventEmitter();
  readonly #desk: Desk;
  #isOver = false;
  /** Workers that wait for a job, or have one that has not been given to the desk. */
  #admitted = 0;
  /** Jobs of the last fetch that have not been given to the desk, and whether they were all that waited. */
  #left = 0;
  #isAll = false;
  #waiters: (() => void)[] = [];

  constructor(desk: Desk) {
    this.#desk = desk;
    this.events.on("localQueue:getJobs:complete", ({ jobs }) => {
      // They come as the database found them, and are given to workers in this order.
      jobs.sort((one, other) => Number(one.run_at) - Number(other.run_at) || Number(one.id) - Number(other.id));
      this.#fetched(jobs.length);
    });
    for (const name of ["worker:getJob:empty", "worker:getJob:error"] as const)
      this.events.on(name, () => this.#given());
    letReturnJobs(this.events);
    void this.#watch();
  }

  /** Lets a worker look for a job when a slot is free that no other one looks for a job for; all of them at the end. */
  async admit(): Promise<null> {
    while (!this.#isOver && this.#desk.free() <= this.#admitted)
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    this.#admitted++;
    return null;
  }

  /** The task of every export: it ends when the flow's call has begun. */
  readonly take = (payload: unknown): void => {
    this.#left--;
    const { _flowId, _exportId } = (payload ?? {}) as Partial<WokenFlow>;
    if (typeof _flowId === "string" && typeof _exportId === "string") this.#desk.take({ _flowId, _exportId });
    if (this.#left <= 0 && this.#isAll) this.#desk.nothingWaits();
    this.#given();
  };

  end(): void {
    this.#isOver = true;
    this.#notify();
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      await this.#desk.freed();
      this.#notify();
    }
  }

  #fetched(count: number): void {
    this.#left = count;
    this.#isAll = count < mostAtOnce;
    if (count === 0) this.#desk.nothingWaits();
  }

  #given(): void {
    this.#admitted--;
    this.#notify();
  }

  #notify(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

/**
 * A local queue that is released with jobs in it, and nothing else under way, gives them back in a promise that nobody
 * listens to: `background` throws before it does (0.17.3, 0.18.0). If a connection breaks then, Node ends the process.
 * So something is under way until it is released. A version without that method gets nothing to do.
 */
function letReturnJobs(events: WorkerEvents): void {
  const released = new Promise<void>((resolve) => {
    events.on("localQueue:setMode", ({ newMode }) => {
      if (newMode === "RELEASED") resolve();
    });
  });
  events.on("localQueue:init", ({ localQueue }) => {
    (localQueue as unknown as { background?(task: Promise<void>): void }).background?.(released);
  });
}

/** By its name, which is the same in each of its versions. */
function isError(level: string): boolean {
  return level === "error";
}

/** Stops a runner that may have ended by itself. */
async function stopped(runner: Runner): Promise<void> {
  try {
    await runner.stop();
  } catch {
    // Its error was reported when it ended.
  }
}

const listening = new WeakSet<EventEmitter>();

/** Without listeners, Node ends the process when a connection breaks. Returns what removes those of the pool. */
function listenToErrors(pool: EventEmitter, report: (error: Error) => void): () => void {
  const listen = (client: EventEmitter) => {
    if (listening.has(client)) return;
    listening.add(client);
    client.on("error", () => undefined);
  };
  pool.on("error", report);
  for (const event of ["connect", "acquire"]) pool.on(event, listen);
  return () => {
    pool.removeListener("error", report);
    for (const event of ["connect", "acquire"]) pool.removeListener(event, listen);
  };
}

const connectionWords = "a pg.Pool, or a connection string";
const schemaWords = "a name of 1 to 63 letters, digits and underscores that begins with none of the digits";
const nameWords = "1 to 40 letters, digits, dashes and underscores";

const rules: Shape<GraphileExecutorOptions> = {
  connection: v.custom((value) => (typeof value === "string" && value !== "") || isPool(value), connectionWords),
  schema: v.optional(v.pipe(v.string(schemaWords), v.regex(/^[a-z_]\w{0,62}$/i, schemaWords))),
  name: v.optional(v.pipe(v.string(nameWords), v.regex(/^[\w-]{1,40}$/, nameWords))),
  clock: v.optional(objectWith(["now", "setTimer", "yieldToEventLoop"])),
};

function checked(options: GraphileExecutorOptions): GraphileExecutorOptions {
  if (typeof options !== "object" || (options as unknown) === null)
    throw new InvalidOptionError("GraphileExecutor", "options with a connection", options);
  validate(options, rules, InvalidOptionError);
  const { max } = (options.connection as { readonly options?: { readonly max?: number } }).options ?? {};
  if (max !== undefined && max < 2)
    throw new InvalidOptionError(
      "connection",
      "a pool of at least two connections, of which one is listened on",
      `one of ${max}`,
    );
  return options;
}

function isPool(value: unknown): boolean {
  const pool = value as Partial<Record<"query" | "connect" | "on", unknown>> | null | undefined;
  return [pool?.query, pool?.connect, pool?.on].every((method) => typeof method === "function");
}
