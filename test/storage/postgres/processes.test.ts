import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, expect, inject, test } from "vitest";
import type { Run } from "../../../src/index.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const port = inject("postgresPort");
const pool = new pg.Pool({ ...connectionTo(port), max: 4 });
const flows = 8;
const runsEach = 3;
/** Numbers that each flow is to deliver. */
const most = 2 * runsEach * 3;

/** What a worker sends. */
type Report = { readonly what: "ready" | "queued" } | { readonly what: "ended"; readonly run: Run };

class Worker {
  readonly #child: ChildProcess;
  readonly #reports: Report[] = [];
  #waiting: (() => void)[] = [];

  constructor(schema: string) {
    const file = fileURLToPath(new URL("./worker-child.ts", import.meta.url));
    this.#child = fork(file, [String(port), schema, String(flows), String(most)], { execArgv: ["--import", "tsx"] });
    this.#child.on("message", (report) => {
      this.#reports.push(report as Report);
      this.#notify();
    });
    this.#child.on("exit", () => this.#notify());
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Runs that ended here. */
  get ended(): readonly Run[] {
    return this.#reports.flatMap((report) => (report.what === "ended" ? [report.run] : []));
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      if (this.#child.exitCode !== null) throw new Error(`a worker ended early: ${JSON.stringify(this.#reports)}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #notify(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async ready(): Promise<this> {
    await this.until(() => this.#reports.some(({ what }) => what === "ready"));
    return this;
  }

  queue(): void {
    this.#child.send(runsEach);
  }

  queued(): Promise<void> {
    return this.until(() => this.#reports.some(({ what }) => what === "queued"));
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.send("stop");
    await exit;
  }

  async kill(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }
}

afterAll(() => pool.end());

async function begin(schema: string): Promise<readonly [Worker, Worker]> {
  await pool.query(`create table ${schema}_ledger (place bigint generated always as identity, flow_id text, run_id text,
    n bigint, pid int)`);
  const [one, other] = [new Worker(schema), new Worker(schema)];
  await Promise.all([one.ready(), other.ready()]);
  return [one, other];
}

/** What the flows delivered: each number in the order in which it arrived, and by how many processes. */
async function delivered(schema: string) {
  const { rows } = await pool.query<{ flow_id: string; n: string; pid: number }>(
    `select flow_id, n, pid from ${schema}_ledger order by place`,
  );
  const byFlow = new Map<string, number[]>();
  for (const { flow_id, n } of rows) byFlow.set(flow_id, [...(byFlow.get(flow_id) ?? []), Number(n)]);
  return { byFlow, pids: new Set(rows.map(({ pid }) => pid)) };
}

async function allRuns(schema: string): Promise<readonly Run[]> {
  const storage = await PostgresStorage.open(pool, { schema });
  const { items } = await storage.listRuns({ limit: 1_000 });
  await storage.close();
  return items;
}

const inOrder = (pages: number) => Array.from({ length: pages }, (_, index) => index + 1);

test("two processes share the runs of all flows, and never run two of one flow at once", async () => {
  const [one, other] = await begin("shared_runs");
  one.queue();
  other.queue();
  await Promise.all([one.queued(), other.queued()]);
  const all = 2 * flows * runsEach;
  await Promise.race([one, other].map((worker) => worker.until(() => one.ended.length + other.ended.length === all)));
  await Promise.all([one.stop(), other.stop()]);

  const { byFlow, pids } = await delivered("shared_runs");
  expect([...byFlow.keys()]).toHaveLength(flows);
  for (const numbers of byFlow.values()) expect(numbers).toEqual(inOrder(most));
  expect(pids).toEqual(new Set([one.pid, other.pid]));
  const runs = await allRuns("shared_runs");
  expect(runs.filter(({ status }) => status === "completed")).toHaveLength(all);
});

test("the runs of a process that is killed go on in the other one, and nothing is lost", async () => {
  const [one, other] = await begin("killed_runs");
  one.queue();
  other.queue();
  await Promise.all([one.queued(), other.queued(), one.until(() => one.ended.length > 0)]);
  await one.kill();
  const left = async () => (await allRuns("killed_runs")).filter(({ status }) => status !== "completed").length;
  for (let { length } = other.ended; (await left()) > 0; length = other.ended.length) {
    await other.until(() => other.ended.length > length || other.ended.some(({ status }) => status === "failed"));
    expect(other.ended.filter(({ status }) => status === "failed")).toEqual([]);
  }
  await other.stop();

  const { byFlow } = await delivered("killed_runs");
  for (const numbers of byFlow.values()) {
    expect([...new Set(numbers)].sort((a, b) => a - b)).toEqual(inOrder(most));
    // A page that was written and not committed is written again, at once and by the run that it belongs to.
    const fresh = numbers.filter((n, index) => n > Math.max(0, ...numbers.slice(0, index)));
    expect(fresh).toEqual(inOrder(most));
  }
});
