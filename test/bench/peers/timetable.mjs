// Flows, or jobs, that are due every minute, in real time: their creation, what they cost while nothing is due, and how
// late the calls of one minute are. As most of that is waiting, contenders live side by side, each due at another second
// of the minute. A work for each number of them has a file in `works/`.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";

const minuteMs = 60_000;

/** How long nothing is due, at least, in milliseconds: some wake their jobs every half minute. */
const leastIdleMs = 35_000;

/** How long the calls of a minute that is not measured may take, in milliseconds. */
const settledMs = 20_000;

/** The second of the minute at which a contender's jobs are due: another one for each, far enough from the last. */
const secondOf = (turn) => turn * 10;

/** What has not been called by then, in milliseconds, was missed. */
const lateMs = 58_000;

/** When calls come in: how late, and once all have. */
class Lateness {
  #dueAt = Infinity;
  #done;
  all = new Promise((resolve) => (this.#done = resolve));
  late = [];

  constructor(count) {
    this.count = count;
  }

  expect(dueAt) {
    this.#dueAt = dueAt;
  }

  call = () => {
    if (Date.now() < this.#dueAt || this.late.length >= this.count) return;
    this.late.push(Date.now() - this.#dueAt);
    if (this.late.length === this.count) this.#done();
  };

  at(share) {
    this.late.sort((one, other) => one - other);
    return this.late[Math.min(this.late.length - 1, Math.floor(this.late.length * share))];
  }
}

/** When jobs are due that are due at that second of each minute. */
function nextDueAt(second) {
  const offset = second * 1_000;
  return Math.ceil((Date.now() - offset) / minuteMs) * minuteMs + offset;
}

/** Resolves at a time from which on nothing is due for long enough. */
async function idleAhead(second) {
  const restMs = nextDueAt(second) - Date.now();
  if (restMs < leastIdleMs) await sleep(restMs + settledMs);
}

/** Lets the next contender make its jobs, and resolves once all have. */
async function readyForAll() {
  process.send("ready");
  await once(process, "message");
}

/**
 * Measures from `make`, which starts `count` jobs that call `fire`, until each has fired in the minute that follows, or the
 * minute is over; `until` is what else has to happen in it, and `stop` ends them.
 */
async function measured(count, second, { make, expect, until, stop, figures }) {
  global.gc();
  const heap = process.memoryUsage().heapUsed;
  const fired = new Lateness(count);
  const began = performance.now();
  await make(fired.call);
  const madeMs = performance.now() - began;
  global.gc();
  const bytes = (process.memoryUsage().heapUsed - heap) / count;
  await readyForAll();
  await idleAhead(second);
  const dueAt = nextDueAt(second);
  const quietMs = dueAt - Date.now() - 1_000;
  const before = process.cpuUsage();
  await sleep(quietMs);
  const idle = process.cpuUsage(before);
  fired.expect(dueAt);
  expect?.(dueAt);
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const timeout = new AbortController();
  await Promise.race([
    Promise.all([fired.all, until]),
    sleep(dueAt + lateMs - Date.now(), undefined, { signal: timeout.signal }).catch(() => undefined),
  ]);
  timeout.abort();
  delays.disable();
  await stop?.();
  const idleMs = ((idle.user + idle.system) / 1_000) * (minuteMs / quietMs);
  const late = { p50: fired.at(0.5), p99: fired.at(0.99), max: fired.at(1), share: (100 * fired.late.length) / count };
  return { madeMs, bytes, idleMs, ...late, blockMs: delays.max / 1e6, ...figures?.() };
}

async function poundlock(count, second) {
  if (second !== 0) throw new RangeError("its flows are due when a minute begins: it has the first turn");
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
  const scheduler = new Scheduler(registry);
  const queued = new Lateness(count);
  const completed = new Lateness(count);
  return measured(count, second, {
    async make(fire) {
      scheduler.on("run:queued", queued.call);
      scheduler.on("run:started", fire);
      scheduler.on("run:completed", completed.call);
      const flow = { name: "due", schedule: "* * * * *", _exportId: "from", _importId: "sink" };
      for (let first = 0; first < count; first += 1_000)
        await Promise.all(Array.from({ length: 1_000 }, () => registry.create(flow)));
      await scheduler.start();
    },
    expect(dueAt) {
      queued.expect(dueAt);
      completed.expect(dueAt);
    },
    until: completed.all,
    stop: () => scheduler.stop(),
    figures: () => ({ queuedP99: queued.at(0.99), completedMs: completed.at(1) }),
  });
}

const times = (count, work) => {
  const jobs = [];
  for (let index = 0; index < count; index++) jobs.push(work(index));
  return jobs;
};

const everyMinute = (second) => `${second} * * * * *`;

async function croner(count, second) {
  const { Cron } = await import("croner");
  let jobs;
  return measured(count, second, {
    make: (fire) => void (jobs = times(count, () => new Cron(everyMinute(second), fire))),
    stop: () => jobs.forEach((job) => job.stop()),
  });
}

async function nodeCron(count, second) {
  const { schedule } = await import("node-cron");
  // A line for each call that it leaves out would cost it more than its calls; what was left out is counted.
  const quiet = { suppressMissedWarning: true };
  let jobs;
  return measured(count, second, {
    make: (fire) => void (jobs = times(count, () => schedule(everyMinute(second), fire, quiet))),
    stop: () => jobs.forEach((job) => job.stop()),
  });
}

async function cron(count, second) {
  const { CronJob } = await import("cron");
  let jobs;
  return measured(count, second, {
    make: (fire) => void (jobs = times(count, () => new CronJob(everyMinute(second), fire, null, true))),
    stop: () => jobs.forEach((job) => job.stop()),
  });
}

async function nodeSchedule(count, second) {
  const { default: lib } = await import("node-schedule");
  let jobs;
  return measured(count, second, {
    make: (fire) => void (jobs = times(count, () => lib.scheduleJob(everyMinute(second), fire))),
    stop: () => jobs.forEach((job) => job.cancel()),
  });
}

async function toad(count, second) {
  const { CronJob, Task, ToadScheduler } = await import("toad-scheduler");
  const scheduler = new ToadScheduler();
  return measured(count, second, {
    make: (fire) =>
      void times(count, (index) =>
        scheduler.addCronJob(
          new CronJob({ cronExpression: everyMinute(second) }, new Task(`due-${index}`, fire), { id: `due-${index}` }),
        ),
      ),
    stop: () => scheduler.stop(),
  });
}

const none = "a call; nothing is kept";
const each = "the heap of each job would need more than this machine has, or its calls more than the minute";
const threads = "it runs each job in a thread of its own: as many threads at once as there are jobs";

/** The work for so many flows, or jobs. */
export function timetable(count) {
  const large = count >= 100_000;
  return {
    title: `Timetable: ${count.toLocaleString("en")} due every minute, in real time`,
    // Of the largest ones two would need more memory, and more of the minute, than there is.
    inTurns: !large,
    prepare: async () => ({ value: {} }),
    contenders: [
      {
        name: "**poundlock**, memory",
        modules: ["poundlock"],
        guarantee: "a run of each, one at a time, with its history",
        run: ({ turn }) => poundlock(count, secondOf(turn)),
      },
      {
        name: "croner",
        modules: ["croner"],
        role: "peer",
        guarantee: none,
        run: ({ turn }) => croner(count, secondOf(turn)),
        flags: large ? ["--max-old-space-size=12000"] : [],
      },
      {
        name: "node-cron",
        modules: ["node-cron"],
        role: "peer",
        guarantee: none,
        run: ({ turn }) => nodeCron(count, secondOf(turn)),
      },
      {
        name: "cron",
        modules: ["cron"],
        role: "peer",
        guarantee: none,
        run: ({ turn }) => cron(count, secondOf(turn)),
      },
      {
        name: "node-schedule",
        modules: ["node-schedule"],
        role: "peer",
        guarantee: none,
        run: ({ turn }) => nodeSchedule(count, secondOf(turn)),
        missing: () => (large ? each : undefined),
      },
      {
        name: "toad-scheduler (croner)",
        modules: ["toad-scheduler"],
        role: "peer",
        guarantee: none,
        run: ({ turn }) => toad(count, secondOf(turn)),
        missing: () => (large ? each : undefined),
      },
      { name: "bree", role: "peer", guarantee: none, missing: () => threads },
    ],
    cost: ({ p99 }) => p99,
    columns: [
      { title: "ms to make all", value: ({ madeMs }) => madeMs },
      { title: "bytes of heap each", value: ({ bytes }) => bytes },
      { title: "CPU ms a minute, idle", value: ({ idleMs }) => idleMs },
      { title: "% called in their minute", value: ({ share }) => share },
      { title: "ms late, p50", value: ({ p50 }) => p50 },
      { title: "p99", value: ({ p99 }) => p99 },
      { title: "max", value: ({ max }) => max },
      { title: "queued, p99", value: ({ queuedP99 }) => queuedP99 },
      { title: "all completed, ms", value: ({ completedMs }) => completedMs },
      { title: "longest block, ms", value: ({ blockMs }) => blockMs },
    ],
    goals: goals(count),
  };
}

function goals(count) {
  const own = (figure) => (of) => of("**poundlock**, memory")[figure];
  if (count === 10_000) return [{ text: "ms until 99 % are queued", atMost: 100, value: own("queuedP99") }];
  if (!(count >= 100_000)) return [];
  return [
    { text: "ms until 99 % are queued", atMost: 1_000, value: own("queuedP99") },
    { text: "ms until all empty runs are completed", atMost: 4_000, value: own("completedMs") },
    { text: "bytes of heap a flow", atMost: 1_024, value: own("bytes") },
    { text: "ms the event loop was blocked at most", atMost: 50, value: own("blockMs") },
  ];
}
