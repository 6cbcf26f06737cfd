import {
  type BackendFactory,
  type ConnectionOptions,
  type IQueueBackend,
  type Job,
  Queue,
  type QueueOptions,
  Worker,
  type WorkerOptions,
  createPostgresBackend,
} from "bullmq";
import { type Clock, delay, isAborted, systemClock } from "../clock.ts";
import { InvalidOptionError } from "../errors.ts";
import { type Shape, objectWith, oneOf, v, validate } from "../model/validate.ts";
import { type Desk, type Engine, EngineExecutor } from "./engine-executor.ts";
import type { WokenFlow } from "./flow-slots.ts";

/** Where BullMQ keeps wake-ups. */
export interface BullExecutorOptions {
  /**
   * With Redis, what BullMQ takes as its `connection`: options such as `{ host, port }`, or a client of ioredis's made with
   * `maxRetriesPerRequest: null`, which stays yours to end. With PostgreSQL a connection string, options of a pool (also
   * `schema`, and `migrate: true` to make BullMQ's tables), or a `pg.Pool`, which stays yours to end.
   */
  readonly connection: object | string;
  /**
   * The name of the queue, without colons. Processes of one queue take each other's wake-ups, so they have the same
   * exports; nothing else may use the queue.
   *
   * @default "poundlock"
   */
  readonly queue?: string;
  /**
   * What BullMQ keeps its queues in.
   *
   * @default "redis"
   */
  readonly backend?: "redis" | "postgres";
  /**
   * What the names of all keys in Redis begin with; in a cluster it needs braces, such as `{poundlock}`, so that they are
   * kept together.
   *
   * @default BullMQ's, "bull"
   */
  readonly prefix?: string;
  /** Sets its timers. @default the system's */
  readonly clock?: Clock;
}

/** What a job of a wake-up carries. */
type Wake = Readonly<Record<"_flowId" | "_exportId", unknown>>;
type WakeQueue = Queue<Wake, unknown, string, Wake, unknown, string, IQueueBackend>;
type WakeWorker = Worker<Wake, unknown, string, IQueueBackend>;

/** How long a job that was fetched may take to end before another process gets it, in milliseconds. */
const lockMs = 5_000;

/** How often it is looked for jobs that nobody ended, in milliseconds. */
const stalledMs = 2_500;

/** How often a job may be found that nobody ended: as often as an integer of PostgreSQL's can count. */
const mostStalled = 2_147_483_647;

/** How long after an error it is looked for wake-ups again, in milliseconds. */
const retryMs = 1_000;

/** Jobs that are fetched at once at most. */
const mostAtOnce = 10;

/**
 * Lets BullMQ carry wake-ups between processes, for hosts that run Redis, or BullMQ on PostgreSQL, anyway. Only wake-ups
 * are there: what is lost with Redis is replaced by the scheduler's maintenance, and no run is. Redis needs
 * `maxmemory-policy noeviction`, as BullMQ says.
 *
 * It cannot route by export: all processes of a queue have the same exports.
 *
 * @example new Scheduler(registry, { executor: new BullExecutor({ connection: { host: "127.0.0.1", port: 6379 } }) });
 */
export class BullExecutor extends EngineExecutor {
  /** @throws `invalid_option` for options that are none, or that BullMQ does not work with. */
  constructor(options: BullExecutorOptions) {
    super({ engine: new BullEngine(checked(options)), routes: false, clock: options.clock ?? systemClock });
  }
}

class BullEngine implements Engine {
  readonly #options: BullExecutorOptions;
  readonly #clock: Clock;
  #desk: Desk | undefined;
  #queue: WakeQueue | undefined;
  #worker: WakeWorker | undefined;
  #serving = new AbortController();
  #served: Promise<void> | undefined;
  readonly #ending = new Set<Promise<unknown>>();

  constructor(options: BullExecutorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async send(flows: readonly WokenFlow[]): Promise<void> {
    this.#queue ??= this.#openQueue();
    await this.#queue.addBulk(flows.map(jobOf));
  }

  start(desk: Desk): void {
    const { backend, connection, prefix } = this.#options;
    const settings: WorkerOptions = {
      ...{
        connection: connection as ConnectionOptions,
        autorun: false,
        lockDuration: lockMs,
        stalledInterval: stalledMs,
      },
      // However often a process dies with it, a wake-up is still one.
      maxStalledCount: mostStalled,
      ...(prefix === undefined ? {} : { prefix }),
    };
    const worker: WakeWorker = new Worker(this.#name, null, settings, backendOf(backend));
    worker.on("error", (error) => desk.report(error, "looking for wake-ups"));
    this.#desk = desk;
    this.#worker = worker;
    this.#serving = new AbortController();
    void worker.startStalledCheckTimer().catch((error: unknown) => desk.report(error, "looking for wake-ups"));
    this.#served = this.#serve(desk, worker, this.#serving.signal);
  }

  async stop(): Promise<void> {
    this.#serving.abort();
    // A look that waits for a wake-up ends at once; one that has found some goes on.
    this.#worker
      ?.getBackend()
      .disconnectBlocking(false)
      .catch(() => undefined);
    await this.#served;
    await Promise.all(this.#ending);
  }

  async close(): Promise<void> {
    const [queue, worker] = [this.#queue, this.#worker];
    [this.#queue, this.#worker] = [undefined, undefined];
    // Whatever was awaited has been; what was not is a hint. Without force they would wait for an engine that is away.
    await Promise.all([queue?.getBackend().close(true), worker?.close(true)]);
  }

  get #name(): string {
    return this.#options.queue ?? "poundlock";
  }

  #openQueue(): WakeQueue {
    const { backend, connection, prefix } = this.#options;
    // A connection that is lost rejects at once what is sent, which waits here then, and not in the client.
    const own =
      backend === "postgres" || isClient(connection)
        ? connection
        : { ...(connection as object), enableOfflineQueue: false };
    const settings: QueueOptions = {
      connection: own as ConnectionOptions,
      // Nobody reads them.
      streams: { events: { maxLen: 100 } },
      ...(prefix === undefined ? {} : { prefix }),
    };
    const queue: WakeQueue = new Queue(this.#name, settings, backendOf(backend));
    // Without a listener, it is printed.
    queue.on("error", (error) => this.#desk?.report(error, "sending wake-ups"));
    return queue;
  }

  async #serve(desk: Desk, worker: WakeWorker, signal: AbortSignal): Promise<void> {
    const token = crypto.randomUUID();
    for (let most = 1; !isAborted(signal);) {
      const asked = Math.min(most, desk.free());
      if (asked === 0) await desk.freed();
      else {
        try {
          const jobs = await fetchJobs(worker, token, asked);
          if (jobs.length < asked) desk.nothingWaits();
          // The more wait, the more are asked for: then as many travel together.
          most = jobs.length < asked ? 1 : Math.min(asked * 2, mostAtOnce);
          for (const job of jobs) this.#give(job, token, desk);
          // A wake-up that comes before its flow's job has ended waits for that: looking earlier would find flows behind it.
          await Promise.all(this.#ending);
        } catch (error) {
          if (isAborted(signal)) return;
          desk.report(error, "looking for wake-ups");
          await delay(this.#clock, retryMs, signal);
        }
      }
    }
  }

  // The job ends when the call has begun: what the call does is no business of BullMQ's.
  #give(job: Job<Wake>, token: string, desk: Desk): void {
    const flow = wokenFlowOf(job);
    if (flow !== undefined) desk.take(flow);
    const ended =
      flow === undefined
        ? job.moveToFailed(new Error("not a wake-up of a flow"), token)
        : job.moveToCompleted(null, token, false);
    const ending = ended
      .catch((error: unknown) => desk.report(error, "ending a wake-up's job"))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}

/** A job of a wake-up: at most one of a flow waits, and at most one follows the one that is being handed over. */
function jobOf({ _flowId, _exportId }: WokenFlow) {
  const deduplication = { id: _flowId, keepLastIfActive: true };
  return {
    name: "wake",
    data: { _flowId, _exportId },
    opts: { deduplication, removeOnComplete: true, removeOnFail: true },
  };
}

function wokenFlowOf({ data }: Job<Wake>): WokenFlow | undefined {
  const { _flowId, _exportId } = data;
  return typeof _flowId === "string" && typeof _exportId === "string" ? { _flowId, _exportId } : undefined;
}

/** Up to so many jobs. One that is asked for alone is waited for, for some seconds, if none was there before. */
async function fetchJobs(worker: WakeWorker, token: string, count: number): Promise<readonly Job<Wake>[]> {
  const fetches = Array.from({ length: count }, () => worker.getNextJob(token, { block: count === 1 }));
  // Its type leaves out that there may be none.
  const jobs: readonly (Job<Wake> | undefined)[] = await Promise.all(fetches);
  return jobs.filter((job) => job !== undefined);
}

function backendOf(backend: BullExecutorOptions["backend"]): BackendFactory {
  // BullMQ's own default, which is Redis unless the host has set another one, is that there is none.
  return (backend === "postgres" ? postgresBackend : undefined) as BackendFactory;
}

/**
 * BullMQ has no listener on a connection while it looks at its tables, or makes them: if that breaks meanwhile, Node would
 * end the process. Whatever needed it is rejected anyway.
 */
function postgresBackend(...parts: Parameters<typeof createPostgresBackend>): ReturnType<typeof createPostgresBackend> {
  const backend = createPostgresBackend(...parts);
  // Its type leaves out what BullMQ does not listen to.
  const pool = backend.connection.pool as unknown as Emitter<"acquire", Emitter<"error", Error>>;
  pool.on("acquire", (client) => {
    if (listening.has(client)) return;
    listening.add(client);
    client.on("error", () => undefined);
  });
  return backend;
}

interface Emitter<Event extends string, Value> {
  on(event: Event, listener: (value: Value) => void): unknown;
}

const listening = new WeakSet();

const connectionWords = {
  redis: "options such as { host, port } or { url }, or a client of ioredis's",
  postgres: "a connection string, options of a pool such as { connectionString }, or a pg.Pool",
};
const queueWords = "a name of 1 to 255 characters without colons";
const prefixWords = "a string of 1 to 255 characters";

const rules: Shape<BullExecutorOptions> = {
  connection: v.any(),
  queue: v.optional(v.pipe(v.string(queueWords), v.regex(/^[^:]{1,255}$/, queueWords))),
  backend: v.optional(oneOf("redis", "postgres")),
  prefix: v.optional(v.pipe(v.string(prefixWords), v.regex(/^.{1,255}$/s, prefixWords))),
  clock: v.optional(objectWith(["now", "setTimer", "yieldToEventLoop"])),
};

function checked(options: BullExecutorOptions): BullExecutorOptions {
  if (typeof options !== "object" || (options as unknown) === null)
    throw new InvalidOptionError("BullExecutor", "options with a connection", options);
  validate(options, rules, InvalidOptionError);
  const { backend = "redis", connection, prefix } = options;
  const isObject = typeof connection === "object" && (connection as unknown) !== null;
  if (!isObject && !(backend === "postgres" && typeof connection === "string"))
    throw new InvalidOptionError("connection", connectionWords[backend], connection);
  if (backend === "redis") checkRedis(connection as object);
  else if (prefix !== undefined)
    throw new InvalidOptionError("prefix", "none with PostgreSQL, where the connection has a schema", prefix);
  return options;
}

/** What BullMQ throws for, or prints, once it connects. */
function checkRedis(connection: object): void {
  const { keyPrefix, maxRetriesPerRequest } = optionsOf(connection);
  if (typeof keyPrefix === "string" && keyPrefix !== "")
    throw new InvalidOptionError("connection.keyPrefix", "none: the executor's own option is prefix", keyPrefix);
  const isSet = maxRetriesPerRequest !== null && maxRetriesPerRequest !== undefined;
  if (isSet) throw new InvalidOptionError("connection.maxRetriesPerRequest", "null", maxRetriesPerRequest);
}

function optionsOf(connection: object): Readonly<Record<string, unknown>> {
  const own = isClient(connection) ? (connection as { readonly options?: unknown }).options : connection;
  return (own ?? {}) as Readonly<Record<string, unknown>>;
}

/** Whether it is a client, and no options for one. */
function isClient(connection: unknown): boolean {
  return typeof (connection as { readonly duplicate?: unknown }).duplicate === "function";
}
