import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type RequestListener, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { type Authorize, allowAll, bearerToken, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { type Export, type Flow, FlowRegistry, Scheduler } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { MemoryStorage } from "../../src/storage/memory/memory-storage.ts";
import { withStorage } from "./disk.ts";
import { noOp } from "./hosts.ts";
import { type BenchCase, type Figures, inTurns, timed } from "./measure.ts";

interface Load {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly connections: number;
  readonly amount: number;
  /** The status that counts as good. */
  readonly expected: number;
}

interface LoadResult {
  readonly good: number;
  readonly bad: number;
  readonly p50: number;
  readonly p99: number;
}

/** The process of the clients; `npm run bench` is started at the root. */
function client(job: object): ChildProcess {
  return fork(join(process.cwd(), "test/bench/http-client.mjs"), [JSON.stringify(job)], { execArgv: [] });
}

/** Rejects if it ends without one. */
function answerOf<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once("message", (answer) => resolve(answer as T));
    child.once("exit", (code) => reject(new Error(`the clients ended with ${String(code)}`)));
  });
}

/** Asks as often as `load` says; rejects unless every answer is as expected. */
async function loaded(url: string, load: Load): Promise<LoadResult> {
  const child = client({ kind: "load", url, ...load });
  const answer = await answerOf<LoadResult>(child);
  await once(child, "exit");
  if (answer.bad > 0) throw new Error(`${url}: ${answer.bad} requests were not answered with ${load.expected}`);
  return answer;
}

async function withServer<T>(
  listener: RequestListener,
  work: (origin: string, server: Server) => Promise<T>,
): Promise<T> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, server);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Microseconds of this process's CPU for each request. */
async function cpuOf(url: string, load: Load): Promise<number> {
  const before = process.cpuUsage();
  await loaded(url, load);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / load.amount;
}

const hook: Export<unknown> = { listen: () => () => undefined };
const input = { name: "Orders to ledger", schedule: "*/5 * * * *", _exportId: "from", _importId: "into" };

function host(storage: Storage, from: Export<unknown> = hook) {
  const registry = new FlowRegistry({ exports: { from }, imports: { into: noOp() }, storage });
  return { registry, scheduler: new Scheduler(registry, { concurrency: 10 }) };
}

async function getOne(): Promise<Figures> {
  const { registry, scheduler } = host(new MemoryStorage());
  const flow = await registry.create(input);
  const flows = new Map<string, Flow>([[flow._id, flow]]);
  const bare = new Hono().get("/flows/:_id", (context) => context.json(flows.get(context.req.param("_id"))));
  const bareListener = getRequestListener(bare.fetch, { overrideGlobalObjects: false });
  const listener = (authorize: Authorize) => toNodeListener(createHandler({ scheduler, authorize }));
  const token = "a-token-of-some-length-0123456789";
  const listeners: Readonly<Record<string, RequestListener>> = {
    raw: (request, response) => {
      const body = JSON.stringify(flows.get((request.url ?? "").slice("/flows/".length)));
      response
        .writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) })
        .end(body);
    },
    bare: (request, response) => void bareListener(request, response),
    api: listener(allowAll()),
    bearer: listener(bearerToken(token)),
  };
  const load: Load = {
    method: "GET",
    connections: 20,
    amount: 2_500,
    expected: 200,
    headers: { authorization: `Bearer ${token}` },
  };
  const names = Object.keys(listeners);
  const sums = new Map(names.map((name) => [name, 0]));
  // In turns that are short beside what the machine's speed drifts in; the first two only warm up.
  for (let round = -2; round < 8; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const listener = listeners[name];
      if (listener === undefined) continue;
      const cpu = await withServer(listener, async (origin) => {
        const url = `${origin}/flows/${flow._id}`;
        const body = await (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).text();
        if (body !== JSON.stringify(flow)) throw new Error(`${name} answered ${body}`);
        return cpuOf(url, load);
      });
      if (round >= 0) sums.set(name, (sums.get(name) ?? 0) + cpu / 8);
    }
  }
  const [raw = NaN, bareCpu = NaN, apiCpu = NaN, bearer = NaN] = names.map((name) => sums.get(name) ?? NaN);
  return { ratio: apiCpu / bareCpu, withToken: bearer / bareCpu, api: apiCpu, bare: bareCpu, raw };
}

async function intake(): Promise<Figures> {
  return withStorage("sqlite", async (storage) => {
    const { registry, scheduler } = host(storage);
    const flow = await registry.create({ ...input, schedule: null });
    await scheduler.start();
    let moved = 0;
    scheduler.on("run:completed", ({ run }) => (moved += run.numSuccess));
    const listener = toNodeListener(createHandler({ scheduler, authorize: allowAll() }));
    const figures = await withServer(listener, async (origin) => {
      const body = JSON.stringify({
        id: "o-1",
        total: 199.5,
        lines: [{ sku: "a", count: 2 }],
        email: "someone@example.com",
      });
      const load = {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        connections: 50,
        expected: 202,
      };
      const url = `${origin}/exports/from/records`;
      await loaded(url, { ...load, amount: 2_000 });
      const amount = 20_000;
      let answer: LoadResult | undefined;
      const ms = await timed(async () => (answer = await loaded(url, { ...load, amount })));
      return {
        perSecond: (amount / ms) * 1_000,
        p50: answer?.p50 ?? NaN,
        p99: answer?.p99 ?? NaN,
        sent: amount + 2_000,
      };
    });
    // Every record that was accepted has to be moved.
    while (
      (await storage.readInbox(flow._id, { maxRecords: 1 })).length > 0 ||
      (await scheduler.listRuns({ status: "running" })).items.length > 0
    )
      await new Promise((resolve) => setImmediate(resolve));
    await scheduler.stop();
    const { sent, ...rest } = figures;
    if (moved !== sent) throw new Error(`${sent} records were accepted, ${moved} were moved`);
    return rest;
  });
}

/** Moves `records` in pages of 1,000. */
function inMemory(records: number): Export<unknown> {
  const page = Array.from({ length: 1_000 }, (_, id) => Object.freeze({ id, total: id * 2 }));
  return {
    async *pages() {
      for (let read = 0; read < records; read += page.length) yield page;
    },
  };
}

/** Runs of flows, while nobody and while many watch. */
async function watched(runs: {
  readonly flows: number;
  readonly each: number;
  readonly records: number;
}): Promise<Figures> {
  const listeners = 1_000;
  const { registry, scheduler } = host(new MemoryStorage(), inMemory(runs.records));
  const _ids: string[] = [];
  for (let index = 0; index < runs.flows; index++) _ids.push((await registry.create({ ...input, schedule: null }))._id);
  await scheduler.start();
  const listener = toNodeListener(createHandler({ scheduler, authorize: allowAll(), maxStreamsPerCaller: 10_000 }));
  return withServer(listener, async (origin) => {
    const work = () =>
      timed(async () => {
        for (let round = 0; round < runs.each; round++) {
          const queued = await Promise.all(_ids.map((_id) => scheduler.run(_id)));
          await Promise.all(queued.map(({ _id }) => scheduler.waitFor(_id)));
        }
      });
    let received = { completed: 0, gaps: 0, fewest: 0 };
    const watchedWork = async () => {
      const child = client({ kind: "watch", url: `${origin}/events`, count: listeners });
      await answerOf(child);
      const ms = await work();
      // What is on its way arrives within the longest rest.
      await new Promise((resolve) => setTimeout(resolve, 22_000));
      child.send("enough");
      received = await answerOf<typeof received>(child);
      await once(child, "exit");
      return ms;
    };
    await work();
    const [aloneMs, watchedMs] = await inTurns(work, watchedWork);
    await scheduler.stop();
    const expected = runs.flows * runs.each;
    if (received.fewest < expected && received.gaps === 0)
      throw new Error(`a listener received ${received.fewest} of ${expected} runs, and of no gap`);
    const perSecond = (expected / watchedMs) * 1_000;
    return {
      ratio: watchedMs / aloneMs,
      seconds: watchedMs / 1_000,
      runs: perSecond,
      received: received.completed / listeners / expected,
      gaps: received.gaps,
    };
  });
}

const watchUnits = {
  ratio: "× the time without listeners",
  seconds: "s with them",
  runs: "runs/s",
  received: "of all ends of runs that each listener received",
  gaps: "gaps received",
};

/** The HTTP interface on a server, asked by another process. */
export const httpCases: readonly BenchCase[] = [
  {
    title: "http: GET /flows/{_id}, server CPU against a bare Hono route",
    units: {
      ratio: "× the bare route",
      withToken: "× the bare route, with bearerToken",
      api: "µs CPU a request",
      bare: "µs of the bare route",
      raw: "µs of node:http alone",
    },
    measure: getOne,
  },
  {
    title: "http: POST /exports/{_id}/records, one record, 50 connections, SQLite FULL",
    units: { perSecond: "durable requests/s", p50: "ms, half of them", p99: "ms, 99 of 100" },
    measure: intake,
  },
  {
    title: "http: runs with 1,000 listeners to events, 5,000,000 records each",
    units: watchUnits,
    measure: () => watched({ flows: 10, each: 10, records: 5_000_000 }),
  },
  {
    title: "http: runs with 1,000 listeners to events, 1,000,000 records each",
    units: watchUnits,
    measure: () => watched({ flows: 10, each: 50, records: 1_000_000 }),
  },
  {
    title: "http: runs with 1,000 listeners to events, more than can be sent",
    units: watchUnits,
    measure: () => watched({ flows: 10, each: 700, records: 100_000 }),
  },
];
