// Flows, or jobs, that are due every minute, in real time: their creation, what they cost while nothing is due, and how
// late the first minute's calls are.
import { setTimeout as sleep } from "node:timers/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";

const count = 10_000;

/** Milliseconds until the next minute begins; at least five seconds, so that all have been made by then. */
const nextMinute = () => {
  const at = Math.ceil((Date.now() + 5_000) / 60_000) * 60_000;
  return at;
};

/** Measures from `make`, which starts `count` jobs that call `fire`, until each has fired once; `stop` ends them. */
async function measured({ make, stop }) {
  global.gc();
  const heap = process.memoryUsage().heapUsed;
  const late = [];
  let done;
  const all = new Promise((resolve) => (done = resolve));
  let dueAt = Infinity;
  const fire = () => {
    if (Date.now() < dueAt || late.length >= count) return;
    late.push(Date.now() - dueAt);
    if (late.length === count) done();
  };
  const began = performance.now();
  await make(fire);
  const madeMs = performance.now() - began;
  global.gc();
  const bytes = (process.memoryUsage().heapUsed - heap) / count;
  dueAt = nextMinute();
  const quiet = dueAt - Date.now() - 1_000;
  const before = process.cpuUsage();
  await sleep(quiet);
  const idle = process.cpuUsage(before);
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  await all;
  delays.disable();
  late.sort((one, other) => one - other);
  await stop?.();
  const idleMs = ((idle.user + idle.system) / 1_000) * (60_000 / quiet);
  const at = (share) => late[Math.min(count - 1, Math.floor(count * share))];
  return { madeMs, bytes, idleMs, p50: at(0.5), p99: at(0.99), max: at(1), blockMs: delays.max / 1e6 };
}

async function poundlock() {
  const { FlowRegistry, Scheduler } = await import("poundlock");
  const from = {
    async *pages() {
      yield [];
    },
  };
  const registry = new FlowRegistry({
    exports: { from },
    imports: { sink: { idempotent: true, write: async () => undefined } },
  });
  const scheduler = new Scheduler(registry, { concurrency: 100 });
  return measured({
    async make(fire) {
      scheduler.on("run:started", fire);
      const flow = { name: "due", schedule: "* * * * *", _exportId: "from", _importId: "sink" };
      for (let first = 0; first < count; first += 1_000)
        await Promise.all(Array.from({ length: 1_000 }, () => registry.create(flow)));
      await scheduler.start();
    },
    stop: () => scheduler.stop(),
  });
}

const times = (work) => {
  const jobs = [];
  for (let index = 0; index < count; index++) jobs.push(work(index));
  return jobs;
};

async function croner() {
  const { Cron } = await import("croner");
  let jobs;
  return measured({
    make: (fire) => void (jobs = times(() => new Cron("* * * * *", fire))),
    stop: () => jobs.forEach((job) => job.stop()),
  });
}

async function nodeCron() {
  const { schedule } = await import("node-cron");
  let jobs;
  return measured({
    make: (fire) => void (jobs = times(() => schedule("* * * * *", fire))),
    stop: () => jobs.forEach((job) => job.stop()),
  });
}

async function cron() {
  const { CronJob } = await import("cron");
  let jobs;
  return measured({
    make: (fire) => void (jobs = times(() => new CronJob("* * * * *", fire, null, true))),
    stop: () => jobs.forEach((job) => job.stop()),
  });
}

async function nodeSchedule() {
  const { default: lib } = await import("node-schedule");
  let jobs;
  return measured({
    make: (fire) => void (jobs = times(() => lib.scheduleJob("* * * * *", fire))),
    stop: () => jobs.forEach((job) => job.cancel()),
  });
}

async function toad() {
  const { CronJob, Task, ToadScheduler } = await import("toad-scheduler");
  const scheduler = new ToadScheduler();
  return measured({
    make: (fire) =>
      void times((index) =>
        scheduler.addCronJob(
          new CronJob({ cronExpression: "* * * * *" }, new Task(`due-${index}`, fire), { id: `due-${index}` }),
        ),
      ),
    stop: () => scheduler.stop(),
  });
}

const none = "a call; nothing is kept";
export default {
  title: `Timetable: ${count.toLocaleString("en")} due every minute, in real time`,
  prepare: async () => ({ value: {} }),
  contenders: [
    { name: "**poundlock**, memory", guarantee: "a run of each, one at a time, with its history", run: poundlock },
    { name: "croner", role: "peer", guarantee: none, run: croner },
    { name: "node-cron", role: "peer", guarantee: none, run: nodeCron },
    { name: "cron", role: "peer", guarantee: none, run: cron },
    { name: "node-schedule", role: "peer", guarantee: none, run: nodeSchedule },
    { name: "toad-scheduler (croner)", role: "peer", guarantee: none, run: toad },
  ],
  cost: ({ p99 }) => p99,
  columns: [
    { title: "ms to make all", value: ({ madeMs }) => madeMs },
    { title: "bytes of heap each", value: ({ bytes }) => bytes },
    { title: "CPU ms a minute, idle", value: ({ idleMs }) => idleMs },
    { title: "ms late, p50", value: ({ p50 }) => p50 },
    { title: "p99", value: ({ p99 }) => p99 },
    { title: "max", value: ({ max }) => max },
    { title: "longest block, ms", value: ({ blockMs }) => blockMs },
  ],
};
