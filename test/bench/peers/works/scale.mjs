// Time and memory against the number of flows, records, imports, failures and runs: a process for each number, in memory and,
// where it is kept for long, in SQLite. A page of a list is read from the middle, by its cursor.
import { FlowRegistry, Scheduler } from "poundlock";
import { openStorage } from "../hosts.mjs";
import { writePlot } from "../plot.mjs";
import { median } from "../table.mjs";

const noLine = () => undefined;
const logger = { debug: noLine, info: noLine, warn: noLine, error: console.error };
const noOp = { idempotent: true, write: async () => undefined };
const flow = { name: "scale", _exportId: "from", _importId: "sink" };
const empty = {
  async *pages() {
    yield [];
  },
};

const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

async function cpuMsOf(work) {
  const before = cpu();
  await work();
  return cpu() - before;
}

/** Megabytes of live heap and of what is outside of it. */
function live() {
  global.gc();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

/** Microseconds of CPU that a page of a list takes, from the cursor on: the least of many tries, most of which may meet the collector. */
async function pageUs(read, after) {
  let least = Infinity;
  for (let round = 0; round < 200; round++)
    least = Math.min(least, await cpuMsOf(async () => (await Promise.all([1, 2, 3, 4, 5].map(() => read(after))))) / 5); // prettier-ignore
  return least * 1_000;
}

/** The cursor about half-way through a list of so many. */
async function middleOf(read, size) {
  let after;
  for (let seen = 0; seen < Math.min(size / 2, 5_000);) {
    const { items, next } = await read(after, 1_000);
    seen += items.length;
    if (next === undefined) break;
    after = next;
  }
  return after;
}

/** What so much of something costs: `ms` of CPU to make it, `mb` more, and `us` a page of its list. */
async function figuresOf({ size, work, read }) {
  const before = live();
  const ms = await cpuMsOf(work);
  const mb = live() - before;
  if (read === undefined) return { ms, mb };
  return { ms, mb, us: await pageUs((after) => read(after, 100), await middleOf(read, size)) };
}

async function withHost(kind, value, { from = empty, imports = { sink: noOp } }, work) {
  const { storage, close } = await openStorage(kind, value);
  const registry = new FlowRegistry({ exports: { from }, imports, storage });
  const limits = { maxFailures: 10_000_000, maxOpenFailures: 10_000_000, autoRetry: false };
  const retention = { runsPerFlow: 10_000_000 };
  const scheduler = new Scheduler(registry, { ...limits, retention, logger, concurrency: 50 });
  const figures = await work({ registry, scheduler });
  await scheduler.stop();
  await close();
  return figures;
}

/** Calls `work` for 0 up to `count`, 100 at once. */
async function each(count, work) {
  for (let first = 0; first < count; first += 100)
    await Promise.all(Array.from({ length: Math.min(100, count - first) }, (_, index) => work(first + index)));
}

const page = ({ after, limit }) => ({ limit, ...(after === undefined ? {} : { after }) });

const flows = (kind, size) => (value) =>
  withHost(kind, value, {}, ({ registry }) =>
    figuresOf({
      size,
      work: () => each(size, (nth) => registry.create({ ...flow, name: `Flow ${nth}`, schedule: "0 3 * * *" })),
      read: (after, limit) => registry.list(page({ after, limit })),
    }),
  );

function rows(count, size = 1_000) {
  return {
    order: "ordered",
    key: ({ id }) => `r-${id}`,
    async *pages() {
      for (let first = 0; first < count; first += size)
        yield {
          records: Array.from({ length: Math.min(size, count - first) }, (_, index) => ({
            id: first + index,
            name: "row",
          })),
          checkpoint: first,
        };
    },
  };
}

async function runOne({ registry, scheduler }, _importIds) {
  const { _id } = await registry.create({ name: "scale", _exportId: "from", _importIds });
  const run = await scheduler.waitFor((await scheduler.run(_id))._id);
  if (!["completed", "failed"].includes(run.status)) throw new Error(`the run ${run.status}`);
  return _id;
}

const records = (kind, size) => (value) =>
  withHost(kind, value, { from: rows(size) }, async (host) => {
    await host.scheduler.start();
    const figures = await figuresOf({ size, work: () => runOne(host, ["sink"]) });
    return { ...figures, mb: process.resourceUsage().maxRSS / 1_024 };
  });

const importsOf = (kind, size) => (value) => {
  const imports = Object.fromEntries(Array.from({ length: size }, (_, nth) => [`sink${nth}`, noOp]));
  return withHost(kind, value, { from: rows(500_000), imports }, async (host) => {
    await host.scheduler.start();
    const figures = await figuresOf({ size, work: () => runOne(host, Object.keys(imports)) });
    return { ...figures, mb: process.resourceUsage().maxRSS / 1_024 };
  });
};

const failures = (kind, size) => (value) => {
  const refused = { ok: false, fault: "reject", error: "there is no such customer" };
  const sink = { idempotent: true, write: async (all) => all.map(() => refused) };
  return withHost(kind, value, { from: rows(size), imports: { sink } }, async (host) => {
    await host.scheduler.start();
    let _flowId;
    const figures = await figuresOf({
      size,
      work: async () => void (_flowId = await runOne(host, ["sink"])),
      read: (after, limit) => host.scheduler.listFailures({ _flowId, ...page({ after, limit }) }),
    });
    const { items } = await host.scheduler.listFailures({ _flowId, limit: 1 });
    if (items.length !== 1) throw new Error("no failure is kept");
    return figures;
  });
};

const history = (kind, size) => (value) =>
  withHost(kind, value, {}, async ({ registry, scheduler }) => {
    const _ids = await Promise.all(Array.from({ length: 10 }, async () => (await registry.create(flow))._id));
    await scheduler.start();
    return figuresOf({
      size,
      work: () => each(size, async (nth) => scheduler.waitFor((await scheduler.run(_ids[nth % _ids.length]))._id)),
      read: (after, limit) => scheduler.listRuns({ _flowId: _ids[0], ...page({ after, limit }) }),
    });
  });

const powers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));

/** What grows; `sizes` by the kind of storage. */
const curves = [
  { name: "flows", of: flows, sizes: { memory: powers(2, 6), sqlite: powers(2, 5) } },
  // With the young generation that V8 had up to Node 22: a larger one is filled, whatever is kept.
  { name: "records", of: records, sizes: { memory: powers(4, 7) }, mb: "peak MB", flags: ["--max-semi-space-size=16"] },
  { name: "imports", of: importsOf, sizes: { memory: [1, 2, 5, 10] }, mb: "peak MB" },
  { name: "failures", of: failures, sizes: { memory: powers(2, 6), sqlite: powers(2, 6) } },
  { name: "runs", of: history, sizes: { memory: powers(2, 5), sqlite: powers(2, 5) } },
];

const titleOf = (name, kind, size) => `${size.toLocaleString("en")} ${name}, ${kind === "memory" ? "memory" : "SQLite (FULL)"}`; // prettier-ignore

/** The power of the size with which a figure grew between the two largest sizes. */
function exponentOf(curve, kind, figure, of) {
  const [size, larger] = curve.sizes[kind].slice(-2);
  const [one, other] = [size, larger].map((each) => of(titleOf(curve.name, kind, each))[figure]);
  return Math.log(other / one) / Math.log(larger / size);
}

const kinds = curves.flatMap((curve) => Object.keys(curve.sizes).map((kind) => ({ curve, kind })));
const label = ({ curve, kind }) => `${curve.name}, ${kind === "memory" ? "memory" : "SQLite"}`;

export default {
  title: "Scale: flows, records, imports, failures and runs",
  prepare: async () => ({ value: {} }),
  contenders: kinds.flatMap(({ curve, kind }) =>
    curve.sizes[kind].map((size) => ({
      name: titleOf(curve.name, kind, size),
      guarantee: curve.mb ?? "MB more",
      run: curve.of(kind, size),
      flags: curve.flags ?? [],
    })),
  ),
  cost: ({ ms }) => ms,
  guarantees: "MB are",
  columns: [
    { title: "CPU ms", value: ({ ms }) => ms },
    { title: "MB", value: ({ mb }) => mb },
    { title: "µs of CPU a page of 100 of the list", value: ({ us }) => us },
  ],
  goals: [
    ...powers(6, 7).map((size) => ({
      text: `peak MB of ${size.toLocaleString("en")} records`,
      atMost: 130,
      value: (of) => of(titleOf("records", "memory", size)).mb,
    })),
    ...kinds.map(({ curve, kind }) => ({
      text: `CPU time grows with the power of ${label({ curve, kind })}`,
      atMost: 1.1,
      value: (of) => exponentOf(curve, kind, "ms", of),
    })),
    ...kinds
      .filter(({ curve }) => !["records", "imports"].includes(curve.name))
      .map(({ curve, kind }) => ({
        text: `a page of the list grows with the power of ${label({ curve, kind })}`,
        atMost: 0.2,
        value: (of) => exponentOf(curve, kind, "us", of),
      })),
  ],
  /** Draws the curves into docs/benchmarks; lines that show them. */
  async plots(measured) {
    const by = new Map(measured.map(({ contender, samples }) => [contender.name, samples]));
    const pointsOf = (curve, kind, figure) =>
      curve.sizes[kind].flatMap((size) => {
        const value = median((by.get(titleOf(curve.name, kind, size)) ?? []).map((sample) => sample[figure]));
        return value > 0 ? [[size, value]] : [];
      });
    const draw = (figure, unit, chosen) =>
      writePlot(`scale-${figure}`, unit, chosen.map((one) => ({ label: label(one), points: pointsOf(one.curve, one.kind, figure) }))); // prettier-ignore
    const lists = kinds.filter(({ curve }) => !["records", "imports"].includes(curve.name));
    await draw("ms", "CPU ms", kinds);
    await draw("mb", "MB", kinds);
    await draw("us", "µs of CPU a page of 100", lists);
    return ["ms", "mb", "us"].map(
      (figure) => `![Against the number, both logarithmic](benchmarks/scale-${figure}.svg)`,
    );
  },
};
