// What several processes on one PostgreSQL do beside executing runs as fast as they can: each row is a case with a goal.
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { engines } from "../engines.mjs";
import { flow, hostOf, otherHost } from "../shared-host.mjs";
import { cpuMsOf, postgresServer } from "../servers.mjs";
import { median } from "../table.mjs";

const percentile = (values, share) =>
  [...values].sort((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * share))];
const now = () => performance.timeOrigin + performance.now();
const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

/** CPU of the server, in milliseconds, for so many runs of so many pages, with 50 at once. */
async function serverMsOfRuns(value, runs, pages) {
  const engine = await engines["poundlock, PostgreSQL"].open(
    { ...value, place: `pages_${process.pid}_${pages}` },
    { concurrency: 50, isFirst: true, pages },
  );
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  let left = runs;
  await engine.work(() => --left === 0 && finish());
  const before = cpuMsOf(value.server.pid);
  for (let first = 0; first < runs; first += 1_000) await engine.add(first, 1_000);
  await finished;
  const used = cpuMsOf(value.server.pid) - before;
  await engine.close();
  return used;
}

async function onePageMore(value) {
  const runs = 4_000;
  await serverMsOfRuns(value, 1_000, 1);
  const [one, four] = [await serverMsOfRuns(value, runs, 1), await serverMsOfRuns(value, runs, 4)];
  const empty = await serverMsOfRuns(value, runs, 0);
  return { figure: (four - one) / 3 / empty, more: ((four - one) / 3 / runs) * 1_000 };
}

async function queueing(value) {
  const [calls, flows, callers] = [20_000, 5_000, 50];
  const host = await hostOf({ ...value, place: `queue_${process.pid}` }, { roles: [] });
  const _ids = Array.from({ length: flows }, (_, index) => `flow-${index}`);
  await Promise.all(_ids.map((_id) => host.registry.define(_id, flow)));
  await host.scheduler.start();
  const [before, started] = [cpuMsOf(value.server.pid), performance.now()];
  let next = 0;
  const call = async () => {
    while (next < calls) await host.scheduler.run(_ids[next++ % flows]);
  };
  await Promise.all(Array.from({ length: callers }, call));
  const ms = performance.now() - started;
  const serverMs = cpuMsOf(value.server.pid) - before;
  await host.close();
  return { figure: (calls / ms) * 1_000, more: (serverMs / calls) * 1_000 };
}

async function latency(value) {
  const all = { ...value, place: `idle_${process.pid}` };
  const host = await hostOf(all, { roles: [] });
  await host.registry.define("flow", flow);
  await host.scheduler.start();
  let seen;
  const other = await otherHost(all, { concurrency: 10 }, (at) => seen(at));
  const took = [];
  for (let n = 0; n < 310; n++) {
    const began = new Promise((resolve) => (seen = resolve));
    const called = now();
    const { _id } = await host.scheduler.run("flow");
    const at = await began;
    // The first ones find nothing prepared.
    if (n >= 10) took.push(at - called);
    await host.scheduler.waitFor(_id);
    await pause(5 + (n % 17));
  }
  await other.close();
  await host.close();
  return { figure: median(took), more: percentile(took, 0.99) };
}

async function dueAtOnce(value) {
  const flows = 10_000;
  const all = { ...value, place: `due_${process.pid}` };
  const times = [];
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const began = (at) => void (times.push(at) === flows && finish());
  const host = await hostOf(all, { concurrency: 50, began: () => began(now()) });
  // Late enough for all to be made before, and both processes to be there.
  const dueAt = Math.ceil(Date.now() / 60_000 + 2) * 60_000;
  const later = { ...flow, schedule: `${new Date(dueAt).getUTCMinutes()} * * * *`, timezone: "UTC" };
  await Promise.all(Array.from({ length: flows }, (_, n) => host.registry.define(`flow-${n}`, later)));
  await host.scheduler.start();
  const other = await otherHost(all, { concurrency: 50 }, began);
  if (Date.now() > dueAt) throw new Error("both processes have to be there before the flows are due");
  await finished;
  await other.close();
  await host.close();
  const late = times.slice(0, flows).map((at) => (at - dueAt) / 1_000);
  return { figure: Math.max(...late), more: median(late) };
}

/** Makes so many flows of one, with what they consist of. */
async function multiply({ postgres, place }, flows) {
  const client = new pg.Client(postgres);
  await client.connect();
  await client.query(`set synchronous_commit = off; set search_path to ${place}`);
  const copied = {
    flows: `'id', 'flow-' || n, 'doc', replace(t.doc, '"flow-0"', '"flow-' || n || '"')`,
    flow_imports: `'flow_id', 'flow-' || n`,
    places: `'flow_id', 'flow-' || n`,
  };
  for (const [table, changes] of Object.entries(copied))
    await client.query(`insert into ${table} select (jsonb_populate_record(t, jsonb_build_object(${changes}))).*
      from ${table} t cross join generate_series(1, ${flows - 1}) n`);
  await client.query("analyze");
  await client.end();
}

async function manyFlows(value) {
  const all = { ...value, place: `many_${process.pid}` };
  const first = await hostOf(all, {});
  await first.registry.define("flow-0", { ...flow, schedule: "0 0 1 1 *" });
  await first.close();
  await multiply(all, 1_000_000);
  const started = performance.now();
  const host = await hostOf(all, {});
  await host.scheduler.start();
  const startMs = performance.now() - started;
  const mb = process.memoryUsage().rss / 1_048_576;
  const shareOf = async (ms) => {
    const before = cpuMs();
    await pause(ms);
    return (cpuMs() - before) / ms;
  };
  // All due times are looked at after the start.
  const checkedUntil = performance.now() + 180_000;
  while ((await shareOf(2_000)) > 0.05 && performance.now() < checkedUntil);
  const checkS = (performance.now() - started) / 1_000;
  const idle = await shareOf(20_000);
  await host.close();
  return { figure: startMs, more: mb, third: idle * 100, fourth: checkS };
}

const one = (name, run) => ({ name, guarantee: "", run, modules: ["poundlock/storage/postgres", "pg"] });

const cases = {
  page: one("one more page: × the server's CPU of an empty run; µs", onePageMore),
  queue: one("`run()`, 50 callers: calls/s; µs of the server's CPU", queueing),
  idle: one("queued here until `pages()` in another process, idle: ms, median; p99", latency),
  due: one("10,000 due in one minute, two processes: s until the last began; the median", dueAtOnce),
  flows: one(
    "1,000,000 flows: ms to open and start; MB; % of a core, idle; s until all due times were checked",
    manyFlows,
  ),
};

const goal = (text, { name }, figure, limit) => ({ text, ...limit, value: (by) => by(name)[figure] });

const goals = [
  goal("one more page, × an empty run", cases.page, "figure", { atMost: 0.6 }),
  goal("`run()`, calls/s", cases.queue, "figure", { atLeast: 8_000 }),
  goal("`run()`, µs of the server", cases.queue, "more", { atMost: 60 }),
  goal("queued until read elsewhere, ms at the median", cases.idle, "figure", { atMost: 20 }),
  goal("queued until read elsewhere, ms at p99", cases.idle, "more", { atMost: 100 }),
  goal("10,000 due at once, s", cases.due, "figure", { atMost: 10 }),
  goal("1,000,000 flows, ms to start", cases.flows, "figure", { atMost: 1_000 }),
  goal("1,000,000 flows, MB", cases.flows, "more", { atMost: 150 }),
  goal("1,000,000 flows, % of a core, idle", cases.flows, "third", { atMost: 2 }),
];

export default {
  title: "Several processes on one PostgreSQL",
  async prepare(folder) {
    const postgres = await postgresServer();
    const { postgresPid, ...urls } = postgres.value;
    return { value: { folder, ...urls, server: { pid: postgresPid } }, close: () => postgres.close() };
  },
  contenders: Object.values(cases),
  goals,
  cost: ({ figure }) => figure,
  columns: [
    { title: "first figure", value: ({ figure }) => figure },
    { title: "second", value: ({ more }) => more },
    { title: "third", value: ({ third = NaN }) => third },
    { title: "fourth", value: ({ fourth = NaN }) => fourth },
  ],
};
