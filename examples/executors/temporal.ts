// A recipe for hosts that operate Temporal: a workflow for each flow that is woken, whose activity executes its runs. Runs,
// their order, their leases and their history stay in poundlock's storage; Temporal carries wake-ups, and is no queue of runs.

import { Context } from "@temporalio/activity";
import { Client, Connection } from "@temporalio/client";
import { NativeConnection, Worker } from "@temporalio/worker";
import type { Executor, RunNextResult, WorkerOptions } from "poundlock";
import type { FlowActivities } from "./temporal-workflow.ts";
import { work } from "./work.ts";

interface TemporalExecutorOptions {
  readonly address: string;
  readonly taskQueue: string;
}

/** Below `heartbeatTimeout` of the activity: a worker that dies is noticed by that. */
const heartbeatMs = 5_000;

class TemporalExecutor implements Executor {
  /** Wake-ups outlive the process; all processes of one task queue have the same exports. */
  readonly capabilities = { durable: true, routes: false };
  readonly #options: TemporalExecutorOptions;
  #client: Promise<Client> | undefined;
  #worker: Worker | undefined;
  #running: Promise<void> | undefined;

  constructor(options: TemporalExecutorOptions) {
    this.#options = options;
  }

  /** A workflow that runs gets the signal; if there is none it is started. So each flow has at most one. */
  async wake(_flowId: string): Promise<void> {
    this.#client ??= Connection.connect({ address: this.#options.address }).then(
      (connection) => new Client({ connection }),
    );
    const { workflow } = await this.#client;
    const { taskQueue } = this.#options;
    await workflow.signalWithStart("flow", {
      workflowId: `flow/${_flowId}`,
      taskQueue,
      args: [_flowId],
      signal: "wake",
    });
  }

  async start(options: WorkerOptions): Promise<void> {
    const connection = await NativeConnection.connect({ address: this.#options.address });
    const activities: FlowActivities = { runNext: (_flowId) => withHeartbeats(() => options.runNext(_flowId)) };
    this.#worker = await Worker.create({
      ...{ connection, activities, taskQueue: this.#options.taskQueue },
      workflowsPath: new URL("./temporal-workflow.ts", import.meta.url).pathname,
      // Its slots are the scheduler's.
      maxConcurrentActivityTaskExecutions: options.concurrency,
    });
    this.#running = this.#worker
      .run()
      .catch((error: unknown) => options.reportError?.(error, "waiting for wake-ups"))
      .finally(() => void connection.close());
  }

  /** Activities that go on are waited for; workflows go on in another process. */
  async stop(): Promise<void> {
    this.#worker?.shutdown();
    await this.#running;
    await (await this.#client)?.connection.close();
    this.#worker = undefined;
    this.#client = undefined;
  }
}

async function withHeartbeats(runNext: () => Promise<RunNextResult>): Promise<boolean> {
  const { heartbeat } = Context.current();
  const timer = setInterval(heartbeat, heartbeatMs);
  try {
    // `notBefore`: the scheduler wakes the flow when the time has come.
    return (await runNext()) === true;
  } finally {
    clearInterval(timer);
  }
}

const address = process.env.TEMPORAL_ADDRESS ?? "127.0.0.1:7233";

await work(new TemporalExecutor({ address, taskQueue: "poundlock" }));
