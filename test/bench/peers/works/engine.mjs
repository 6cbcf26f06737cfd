// The engine alone: records that are in memory already go to an import that does nothing. What is left is the cost of a
// page, and of a record where a filter and a map are called; and runs that move nothing.
import { FlowRegistry, MemoryStorage, Scheduler } from "poundlock";
import { median } from "../table.mjs";

const total = 1_000_000;
const keep = ({ id }) => id % 10 !== 0;
const map = ({ id, name, amount }) => ({ order: id, customer: name, cents: amount * 100 });
const noOp = async () => undefined;

/** Made by the page, as a source does that parses; or the same frozen ones each time. */
function pagesOf(pageSize, isNew) {
  const made = (first) =>
    Array.from({ length: pageSize }, (_, index) => {
      const id = first + index;
      return { id, name: "row", amount: id * 2, at: "2026-11-23" };
    });
  if (isNew) return (first) => made(first);
  const pages = [];
  for (let first = 0; first < total; first += pageSize) pages.push(made(first).map(Object.freeze));
  return (first) => pages[first / pageSize].slice();
}

/** The median by CPU time of three runs, after two in which the compiler gets to know the code. */
async function warm(work) {
  const samples = [];
  for (let round = 0; round < 5; round++) {
    const [started, cpu] = [performance.now(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(cpu);
    samples.push({ wallMs: performance.now() - started, cpuMs: (user + system) / 1_000 });
  }
  const cpuMs = median(samples.slice(2).map((sample) => sample.cpuMs));
  return samples.find((sample) => sample.cpuMs === cpuMs);
}

const loop =
  ({ pageSize, shaped, isNew }) =>
  async () => {
    const pageAt = pagesOf(pageSize, isNew);
    async function* pages() {
      for (let first = 0; first < total; first += pageSize) yield pageAt(first);
    }
    const figures = await warm(async () => {
      for await (const records of pages()) await noOp(shaped ? records.filter(keep).map(map) : records);
    });
    return { ...figures, records: total, pages: total / pageSize };
  };

const poundlock =
  ({ pageSize, shaped, isNew, ...options }) =>
  async () => {
    const pageAt = pagesOf(pageSize, isNew);
    const from = {
      order: "ordered",
      pageSize,
      async *pages() {
        for (let first = 0; first < total; first += pageSize)
          yield { records: pageAt(first), checkpoint: first + pageSize };
      },
    };
    const sink = { idempotent: true, write: noOp, ...(shaped ? { filter: keep, map } : {}) };
    const figures = await withScheduler({ from, sink }, options, async (runOnce) =>
      warm(async () => {
        const { numSuccess, numIgnore } = await runOnce();
        if (numSuccess + numIgnore !== total) throw new Error(`${numSuccess} and ${numIgnore} of ${total}`);
      }),
    );
    return { ...figures, records: total, pages: total / pageSize };
  };

async function emptyRuns() {
  const from = {
    async *pages() {
      yield [];
    },
  };
  // A flow has at most 1,000 runs waiting.
  const [runs, atOnce] = [5_000, 500];
  return withScheduler({ from, sink: { idempotent: true, write: noOp } }, {}, async (_, queue, ended) => {
    const figures = await warm(async () => {
      for (let done = 0; done < runs; done += atOnce) {
        for (let run = 1; run < atOnce; run++) await queue();
        await ended(await queue());
      }
    });
    return { ...figures, runs };
  });
}

// A flow of its own for each run, which would go on where the last one ended.
async function withScheduler({ from, sink }, options, work) {
  const registry = new FlowRegistry({ exports: { from }, imports: { sink }, storage: new MemoryStorage() });
  const scheduler = new Scheduler(registry, options);
  await scheduler.start();
  const flowOf = () => registry.create({ name: "bench", _exportId: "from", _importId: "sink" });
  const one = await flowOf();
  const ended = async ({ _id }) => {
    const run = await scheduler.waitFor(_id);
    if (run.status !== "completed") throw new Error(`the run ${run.status}: ${run.error?.message ?? ""}`);
    return run;
  };
  const runOnce = async () => ended(await scheduler.run((await flowOf())._id));
  const figures = await work(runOnce, () => scheduler.run(one._id), ended);
  await scheduler.stop();
  return figures;
}

async function rxjs() {
  const { concatMap, from, lastValueFrom, map: mapped } = await import("rxjs");
  const pageSize = 100;
  const pageAt = pagesOf(pageSize, false);
  async function* pages() {
    for (let first = 0; first < total; first += pageSize) yield pageAt(first);
  }
  const figures = await warm(() =>
    lastValueFrom(
      from(pages()).pipe(
        mapped((records) => records.filter(keep).map(map)),
        concatMap((records) => noOp(records)),
      ),
    ),
  );
  return { ...figures, records: total, pages: total / pageSize };
}

async function streamingIterables() {
  const { consume, map: mapped, pipeline, transform } = await import("streaming-iterables");
  const pageSize = 100;
  const pageAt = pagesOf(pageSize, false);
  async function* pages() {
    for (let first = 0; first < total; first += pageSize) yield pageAt(first);
  }
  const figures = await warm(() =>
    pipeline(
      pages,
      mapped((records) => records.filter(keep).map(map)),
      transform(1, noOp),
      consume,
    ),
  );
  return { ...figures, records: total, pages: total / pageSize };
}

const recordsOf = ({ records, cpuMs }) => records / cpuMs / 1_000;
const pageUs = ({ pages, cpuMs }) => (cpuMs / pages) * 1_000;
const runUs = ({ runs, cpuMs }) => (cpuMs / runs) * 1_000;

const nothing = "nothing";
const kept = "checkpoints, failures, history; gone with the process";
const sizes = [20, 100, 1_000];
const sized = (pageSize) => `pages of ${pageSize.toLocaleString("en")}`;
const shapes = [
  { title: "", shaped: false, isNew: false },
  { title: ", filter and map", shaped: true, isNew: false },
  { title: ", filter and map, records made anew", shaped: true, isNew: true },
];

export default {
  title: "The engine alone",
  prepare: async () => ({ value: {} }),
  contenders: [
    ...sizes.flatMap((pageSize) =>
      shapes.flatMap(({ title, ...shape }) => [
        { name: `loop by hand, ${sized(pageSize)}${title}`, guarantee: nothing, run: loop({ pageSize, ...shape }) },
        {
          name: `**poundlock**, ${sized(pageSize)}${title}`,
          guarantee: kept,
          run: poundlock({ pageSize, ...shape }),
        },
      ]),
    ),
    {
      name: `**poundlock**, ${sized(100)}, filter and map, \`freezeRecords: false\``,
      guarantee: kept,
      run: poundlock({ pageSize: 100, shaped: true, isNew: false, freezeRecords: false }),
    },
    { name: `rxjs, ${sized(100)}, filter and map`, guarantee: nothing, modules: ["rxjs"], run: rxjs },
    {
      name: `streaming-iterables, ${sized(100)}, filter and map`,
      guarantee: nothing,
      modules: ["streaming-iterables"],
      run: streamingIterables,
    },
    { name: "**poundlock**, runs of one empty page, of one flow", guarantee: kept, run: emptyRuns },
  ],
  cost: ({ cpuMs }) => cpuMs,
  columns: [
    { title: "million records/s", value: ({ records, wallMs }) => records / wallMs / 1_000 },
    { title: "a CPU second", value: recordsOf },
    { title: "µs of CPU a page", value: pageUs, spread: true },
    { title: "µs of CPU a run", value: runUs, spread: true },
    { title: "µs a run", value: ({ runs, wallMs }) => (wallMs / runs) * 1_000 },
  ],
  goals: [
    {
      text: "million records a CPU second at pages of 100 with a filter and a map",
      atLeast: 5,
      value: (of) => recordsOf(of(`**poundlock**, ${sized(100)}, filter and map`)),
    },
    {
      text: "µs of CPU a page of 20 without either",
      atMost: 10,
      value: (of) => pageUs(of(`**poundlock**, ${sized(20)}`)),
    },
    {
      text: "µs of CPU an empty run",
      atMost: 50,
      value: (of) => runUs(of("**poundlock**, runs of one empty page, of one flow")),
    },
  ],
};
