import { allowAll, createHandler } from "../../src/http/index.ts";
import { type Clock, FlowRegistry, Scheduler, systemClock } from "../../src/index.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { emptyPages, noOp } from "./hosts.ts";
import { type BenchCase, type Figures, summary, timed } from "./measure.ts";
import { pageFile, pageFileTime } from "./page-file.ts";

const now = pageFileTime + 1_000;
const clock: Clock = { ...systemClock, now: () => now + Math.floor(performance.now()) };
const nothing = () => undefined;
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };

const iso = (time: number) => new Date(time).toISOString();
const since = (days: number) => `from=${iso(now - days * 86_400_000)}&until=${iso(now)}`;
const listed = "_id,name,schedule,timezone,disabled,nextRunAt,_exportId,_importId,_importIds,activity";
const flow = "flow-00000050";

/** What the page asks for. */
const requests: Readonly<Record<string, string>> = {
  "the overview": "/overview",
  "the overview of an integration": "/overview?_integrationId=tenant-7",
  "records of 48 hours, by the hour": `/statistics?${since(2)}&step=hour`,
  "records of 30 days, by the day": `/statistics?${since(30)}&step=day`,
  "records of 30 days, of an integration": `/statistics?${since(30)}&step=day&_integrationId=tenant-7`,
  "open failures by cause": "/causes?limit=10",
  "the newest 100 runs": "/runs?limit=100",
  "flows that fail": `/flows?state=failing&include=${listed}&limit=5`,
  "flows with a paused import": `/flows?state=paused&include=${listed}&limit=5`,
  "flows that are overdue": `/flows?state=overdue&include=${listed}&limit=5`,
  "the first 100 flows": `/flows?include=${listed}`,
  "the first 100 flows with failures": `/flows?state=failures&include=${listed}`,
  "flows by a part of the name that one has": `/flows?q=shop%2099999&include=${listed}`,
  "flows by a part of the name that none has": `/flows?q=nothing&include=${listed}`,
  "flows by a part of the name that all have": `/flows?q=orders&include=${listed}`,
  "the newest 100 failures": "/failures?status=open",
  "failures by key": "/failures?key=o-500001",
  "failures by the beginning of a key": "/failures?keyPrefix=o-50000",
  "a string in 20,000 failures": "/failures?text=nothing-like-it",
  "causes of a flow": `/causes?_flowId=${flow}`,
  "deliveries of a flow": `/flows/${flow}/deliveries`,
  "runs of a flow": `/runs?_flowId=${flow}`,
  "failures of a flow": `/failures?_flowId=${flow}&status=open`,
  "records of a flow": `/statistics?${since(30)}&step=day&_flowId=${flow}`,
};

/** How often each is sent, after as often to warm up. */
const times = 15;

/** The most CPU time that this process took between two turns of the event loop while `work` went on, in milliseconds. */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = process.cpuUsage();
  let isDone = false;
  const turn = () => {
    const { system, user } = process.cpuUsage(last);
    last = process.cpuUsage();
    longest = Math.max(longest, (system + user) / 1_000);
    if (!isDone) setImmediate(turn);
  };
  await new Promise((resolve) => setImmediate(resolve));
  setImmediate(turn);
  last = process.cpuUsage();
  await work();
  isDone = true;
  await new Promise((resolve) => setImmediate(resolve));
  return longest;
}

async function measure(): Promise<Figures> {
  const storage = await SqliteStorage.open((await pageFile()).file);
  const catalog = { exports: { orders: emptyPages }, imports: { ledger: noOp() } };
  const registry = new FlowRegistry({ ...catalog, storage, clock });
  const handler = createHandler({ scheduler: new Scheduler(registry, { logger: silent }), authorize: allowAll() });
  const figures: Record<string, number> = {};
  for (const [name, path] of Object.entries(requests)) {
    const taken: number[] = [];
    const blocked: number[] = [];
    for (let round = 0; round < 2 * times; round++) {
      const block = await longestTurn(async () => {
        const ms = await timed(async () => {
          const response = await handler(new Request(`http://127.0.0.1${path}`));
          if (response.status !== 200) throw new Error(`${path}: ${await response.text()}`);
          await response.text();
        });
        if (round >= times) taken.push(ms);
      });
      if (round >= times) blocked.push(block);
    }
    figures[name] = summary(taken).median;
    figures[blockOf(name)] = summary(blocked).median;
    figures[mostOf(name)] = summary(blocked).max;
  }
  await storage.close();
  return figures;
}

const blockOf = (name: string) => `${name}, longest turn`;
const mostOf = (name: string) => `${name}, the longest turn of all`;

/** How long requests of the dashboard take, and for how long they block the event loop. */
export const pageCases: readonly BenchCase[] = [
  {
    title: "dashboard: what the page asks for, SQLite, 100,000 flows and 1 million failures",
    units: Object.fromEntries(
      Object.keys(requests).flatMap((name) => [
        [name, `ms: ${name}, median of ${times}`],
        [blockOf(name), "ms of CPU in the longest turn of the event loop, median"],
        [mostOf(name), "ms of CPU in the longest turn of all of them"],
      ]),
    ),
    measure,
  },
];
