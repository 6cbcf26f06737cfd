import { allowAll, createHandler } from "../../src/http/index.ts";
import { routes } from "../../src/http/routes/routes.ts";
import { FlowRegistry, Scheduler } from "../../src/index.ts";
import { noOp } from "./hosts.ts";
import type { BenchCase, Figures } from "./measure.ts";

/** Bodies that are wrong, or large, in as many places as they have. `size`: how many places. */
const shapes: Readonly<Record<string, (size: number) => unknown>> = {
  ids: (size) => ({ _ids: Array(size).fill(1), _importIds: Array(size).fill(1), name: "x", _exportId: "from" }),
  strings: (size) => ({ _ids: Array(size).fill("x"), _importIds: Array(size).fill("x"), name: "x", _exportId: "from" }),
  fields: (size) => Object.fromEntries(Array.from({ length: size }, (_, index) => [`f${index}`, 1])),
  array: (size) => Array<unknown>(size).fill({ op: "add", path: "/x", value: 1 }),
  envelope: (size) => ({ records: [], ids: Array(size).fill(1) }),
  steps: (size) => ({ pageGenerators: Array(size).fill(1), pageProcessors: Array(size).fill({ a: 1 }) }),
  schedule: (size) => ({ name: "x", _exportId: "from", _importId: "into", schedule: "0,".repeat(size) }),
};

/** A body of at least so many bytes, and little more. */
function bodyOf(shape: (size: number) => unknown, bytes: number): string {
  const sample = JSON.stringify(shape(100)).length - JSON.stringify(shape(0)).length;
  return JSON.stringify(shape(Math.floor((bytes * 95) / sample)));
}

/** Milliseconds of CPU for a request, at least of three. */
async function cpuOf(send: () => Promise<Response>): Promise<number> {
  let least = Infinity;
  for (let round = 0; round < 3; round++) {
    const before = process.cpuUsage();
    await (await send()).text();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1_000);
  }
  return least;
}

async function worstExponent(): Promise<Figures> {
  const exports = { from: { listen: () => () => undefined } };
  const registry = new FlowRegistry({ exports, imports: { into: noOp() } });
  await registry.define("flow", { name: "x", _exportId: "from", _importId: "into" });
  const handler = createHandler({ scheduler: new Scheduler(registry), authorize: allowAll() });
  let [exponent, slowest] = [0, 0];
  for (const { method, path, body } of routes) {
    if (body === undefined) continue;
    const url = `http://bench.test${path.replace("{_id}", path.startsWith("/exports") ? "from" : "flow")}`;
    const limit = path.startsWith("/exports") ? 10 * 2 ** 20 : 2 ** 20;
    for (const shape of Object.values(shapes)) {
      const headers = { "content-type": "application/json", "if-match": "*" };
      const timeOf = (bytes: number) =>
        cpuOf(() => handler(new Request(url, { method, headers, body: bodyOf(shape, bytes) })));
      await timeOf(2 ** 10);
      // From an eighth of the limit on, so that what each request costs does not hide the growth.
      const [eighth, whole] = [await timeOf(limit / 8), await timeOf(limit)];
      exponent = Math.max(exponent, Math.log(whole / eighth) / Math.log(8));
      slowest = Math.max(slowest, whole);
    }
  }
  return { exponent, slowest };
}

/** What hostile bodies cost. */
export const bodyCases: readonly BenchCase[] = [
  {
    title: "http: CPU of each route against the size of hostile bodies, up to the limit",
    units: { exponent: "is the largest exponent (1: linear)", slowest: "ms CPU of the slowest request" },
    measure: worstExponent,
  },
];
