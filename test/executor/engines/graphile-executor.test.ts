import pg from "pg";
import { afterAll, afterEach, describe, expect, inject, test } from "vitest";
import { type Clock, systemClock } from "../../../src/clock.ts";
import type { Executor, RunNextResult } from "../../../src/executor/executor.ts";
import { GraphileExecutor } from "../../../src/executor/graphile-executor.ts";
import { ManualClock, executorCases } from "../../../src/testing/index.ts";
import { Gate } from "../../support/harness.ts";
import { connectionTo } from "../../support/postgres-server.ts";

const server = connectionTo(inject("postgresPort"));
const pool = new pg.Pool({ ...server, max: 20 });
const executors: Executor[] = [];
const gates: Gate[] = [];

afterEach(async () => {
  for (const gate of gates.splice(0)) gate.open();
  await Promise.all(executors.splice(0).map((executor) => executor.stop()));
});
afterAll(() => pool.end());

describe("GraphileExecutor", () => {
  const open = (name: string) => new GraphileExecutor({ connection: pool, name });
  const cases = executorCases(open, { durable: true, routes: true, quietMs: 50, patienceMs: 30_000 });

  // A look for wake-ups and one that is being sent may cross: then a flow is called again until the next look, for a
  // quarter of a second at most. That it happens thrice in a row would be a defect.
  const mayCross = new Set(["flows that have much to do take turns"]);

  for (const { title, run } of cases) test(title, { retry: mayCross.has(title) ? 2 : 0 }, run);

  test("is tested for all that a durable executor promises", () => {
    expect(cases.skipped.map(({ reason }) => reason)).toEqual(["the executor is durable"]);
  });
});

interface Begun {
  readonly concurrency: number;
  readonly connection: object | string;
  readonly clock: Clock;
}

/** An executor, and the calls it makes. */
async function begin(name: string, { concurrency = 10, connection = pool, clock = systemClock }: Partial<Begun> = {}) {
  const executor = new GraphileExecutor({ connection, name, clock });
  executors.push(executor);
  const calls: string[] = [];
  const errors: string[] = [];
  const gate = new Gate();
  gates.push(gate);
  await executor.start({
    ...{ concurrency, exportIds: ["orders", "x".repeat(255)] },
    runNext(flowId): Promise<RunNextResult> {
      calls.push(flowId);
      return gate.opened.then(() => false);
    },
    reportError: (error, during) => void errors.push(`${during}: ${String(error)}`),
  });
  return { calls, errors, executor, gate };
}

/** Lets the pool hand out connections this way; returns what lets it do so by itself again. */
function connectBy(own: pg.Pool, connect: () => Promise<pg.PoolClient>): () => void {
  const original = own.connect.bind(own);
  Object.assign(own, { connect });
  return () => Object.assign(own, { connect: original });
}

async function wakeElsewhere(name: string, flowIds: readonly string[], _exportId = "orders"): Promise<void> {
  const executor = new GraphileExecutor({ connection: pool, name });
  await Promise.all(flowIds.map((flowId) => executor.wake(flowId, _exportId)));
  await executor.stop();
}

async function jobs(name: string) {
  const { rows } = await pool.query<{ key: string; locked: boolean }>(
    "select key, locked_at is not null as locked from graphile_worker.jobs where key like $1 order by key",
    [`${name}:%`],
  );
  return rows;
}

describe("GraphileExecutor", () => {
  test("ends a job when the flow's call has begun, however long the call takes", async () => {
    const { calls, gate } = await begin("ends");
    await wakeElsewhere("ends", ["flow"]);
    await expect.poll(() => calls, { timeout: 10_000 }).toEqual(["flow"]);

    await expect.poll(() => jobs("ends")).toEqual([]);

    gate.open();
  });

  test("looks for no job while no slot is free", async () => {
    const { calls, gate } = await begin("full", { concurrency: 1 });
    await wakeElsewhere("full", ["runs"]);
    await expect.poll(() => calls, { timeout: 10_000 }).toEqual(["runs"]);
    const flowIds = ["a", "b", "c"];
    await wakeElsewhere("full", flowIds);

    // What was fetched together with another one is given back.
    await expect.poll(() => jobs("full")).toEqual(flowIds.map((id) => ({ key: `full:${id}`, locked: false })));

    expect(calls).toEqual(["runs"]);
    gate.open();
    await expect.poll(() => calls.length, { timeout: 10_000 }).toBe(4);
  });

  test("keeps one wake-up of a flow that waits, in its place", async () => {
    await wakeElsewhere("once", ["first", "second"]);
    await wakeElsewhere("once", ["first"]);

    expect((await jobs("once")).map(({ key }) => key).sort()).toEqual(["once:first", "once:second"]);
  });

  test("carries wake-ups of exports with long ids, and with its own pool", async () => {
    const connection = `postgres://postgres:postgres@127.0.0.1:${server.port}/postgres`;
    const { calls, gate } = await begin("long", { connection });
    await wakeElsewhere("long", ["flow"], "x".repeat(255));

    await expect.poll(() => calls, { timeout: 10_000 }).toEqual(["flow"]);
    gate.open();
  });

  test("leaves the host's pool open, without listeners of its own", async () => {
    const own = new pg.Pool({ ...server, max: 5 });
    const { executor, gate } = await begin("own", { connection: own });
    await executor.wake("flow", "orders");
    gate.open();
    await executor.stop();

    expect(["error", "connect", "acquire"].map((event) => own.listenerCount(event))).toEqual([0, 0, 0]);
    expect((await own.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await own.end();
  });

  test("goes on after all its connections were ended", async () => {
    const own = new pg.Pool({ ...server, max: 5, application_name: "ended" });
    const { calls, errors, gate } = await begin("ended", { connection: own });
    gate.open();
    await wakeElsewhere("ended", ["before"]);
    await expect.poll(() => calls, { timeout: 10_000 }).toContain("before");

    await pool.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ended'");
    await wakeElsewhere("ended", ["after"]);

    await expect.poll(() => calls, { timeout: 20_000 }).toContain("after");
    expect(errors.length).toBeGreaterThan(0);
    await executors.pop()?.stop();
    await own.end();
  });

  test("goes on when graphile-worker begins to shut down, and does not get to its end", async () => {
    const own = new pg.Pool({ ...server, max: 5 });
    const connect = own.connect.bind(own);
    const clock = new ManualClock(0);
    const { calls, errors, gate } = await begin("hangs", { connection: own, clock });
    gate.open();
    // The job of the call cannot be ended, for which it shuts down; what it needs a connection for then never comes back.
    const restore = connectBy(own, () => {
      if (calls.length === 0) return connect();
      if (errors.length === 0) return Promise.reject(new Error("connections fail"));
      return new Promise<never>(() => undefined);
    });
    await wakeElsewhere("hangs", ["before"]);
    await expect.poll(() => errors.join(), { timeout: 10_000 }).toMatch(/connections fail/);

    restore();
    await wakeElsewhere("hangs", ["after"]);
    await expect.poll(() => clock.advance(1_000).then(() => calls), { timeout: 20_000 }).toEqual(["before", "after"]);
  });

  describe("is stopped with jobs in its local queue", () => {
    /** Has a call under way, and three jobs behind it that are fetched already. */
    async function beginWithJobs(name: string) {
      const own = new pg.Pool({ ...server, max: 5 });
      const begun = await begin(name, { concurrency: 1, connection: own });
      await wakeElsewhere(name, ["a", "b", "c", "d"]);
      await expect.poll(() => begun.calls, { timeout: 10_000 }).toHaveLength(1);
      return { ...begun, own };
    }

    test("and gives them back without an error", async () => {
      const { errors, executor, gate, own } = await beginWithJobs("returns");
      gate.open();
      await executor.stop();

      expect((await jobs("returns")).filter(({ locked }) => locked)).toEqual([]);
      expect(errors).toEqual([]);
      await own.end();
    });

    test("and its connections fail: nothing rejects where nobody listens", async () => {
      const unhandled: unknown[] = [];
      const listen = (error: unknown) => void unhandled.push(error);
      process.on("unhandledRejection", listen);
      const { executor, gate, own } = await beginWithJobs("cut");
      connectBy(own, () => Promise.reject(new Error("connections fail")));
      gate.open();
      await executor.stop();

      await new Promise((resolve) => setImmediate(resolve));
      process.off("unhandledRejection", listen);
      expect(unhandled).toEqual([]);
      await own.end();
    });
  });
});
