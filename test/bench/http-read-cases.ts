import { fork } from "node:child_process";
import { join } from "node:path";
import { delta } from "../../src/connectors/index.ts";
import { connection, httpExport, nextToken } from "../../src/connectors/http/index.ts";
import { type Took, runOnce, took } from "./connector-cases.ts";
import { noOp } from "./hosts.ts";
import type { BenchCase, Figures } from "./measure.ts";

interface Order {
  readonly id: string;
  readonly customer: string;
  readonly total: number;
  readonly updatedAt: string;
}

interface OrdersPage {
  readonly orders: readonly Order[];
  readonly next: number | null;
}

/** A server in a process of its own, with so many pages of so many orders. */
async function withShop<T>(pages: number, size: number, work: (url: string) => Promise<T>): Promise<T> {
  const server = fork(join(process.cwd(), "test/bench/shop-server.mjs"), [String(pages), String(size)], {
    execArgv: [],
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.once("message", (message) => resolve(message as number));
    server.once("exit", (code) => reject(new Error(`the server ended with ${String(code)}`)));
  });
  try {
    return await work(`http://127.0.0.1:${port}`);
  } finally {
    server.removeAllListeners("exit");
    server.kill();
  }
}

async function readBeside(pages: number, size: number): Promise<Figures> {
  return withShop(pages, size, async (url) => {
    const from = httpExport<Order, OrdersPage>({
      connection: connection({ baseUrl: url }),
      request: () => ({ path: "orders" }),
      records: ({ orders }) => orders,
      paging: nextToken({ from: ({ next }) => next, to: "cursor" }),
      key: ({ id }) => id,
    });
    const byHand = async () => {
      let [cursor, read]: [number | null, number] = [0, 0];
      while (cursor !== null) {
        const answer = await fetch(`${url}/orders?cursor=${cursor}`);
        const { orders, next } = (await answer.json()) as OrdersPage;
        read += orders.length;
        cursor = next;
      }
      if (read !== pages * size) throw new Error(`${read} orders of ${pages * size}`);
    };
    const sum = (one: Took, other: Took) => ({ ms: one.ms + other.ms, cpuMs: one.cpuMs + other.cpuMs });
    await byHand();
    await runOnce(from, noOp());
    const first = await runOnce(from, noOp());
    const hand = sum(await took(byHand), await took(byHand));
    const ours = sum(first, await runOnce(from, noOp()));
    return {
      rate: (2 * pages) / (ours.ms / 1_000),
      ofRate: hand.ms / ours.ms,
      ofCpu: hand.cpuMs / ours.cpuMs,
    };
  });
}

const units = {
  rate: "pages/s",
  ofRate: "× the rate of a loop of fetch",
  ofCpu: "× the pages of a loop of fetch per CPU second",
};

/** Everything within the lookback, so that `maxSeen` is always full, and looked through for each page. */
async function deltaPages(size: number): Promise<Figures> {
  const pages = 500;
  const start = Date.now() - 3_600_000;
  const page = (nth: number) =>
    Array.from({ length: size }, (_, index) => ({ id: `${nth}-${index}`, at: start + nth }));
  const from = delta<{ readonly id: string; readonly at: number }, number>({
    at: ({ at }) => at,
    key: ({ id }) => id,
    lookbackMs: 7_200_000,
    maxSeen: 1_000,
    async *read() {
      for (let nth = 0; nth < pages; nth++) yield { records: page(nth), next: nth };
    },
  });
  const plain = {
    key: ({ id }: { readonly id: string }) => id,
    async *pages() {
      for (let nth = 0; nth < pages; nth++) yield { records: page(nth), checkpoint: { nth } };
    },
  };
  for (const each of [from, plain]) await runOnce(each as typeof plain, noOp());
  const withDelta = await runOnce(from as never, noOp());
  const without = await runOnce(plain, noOp());
  return { msPerPage: (withDelta.cpuMs - without.cpuMs) / pages };
}

/** Reading APIs, beside what somebody would write by hand. */
export const readCases: readonly BenchCase[] = [
  {
    title: "HTTP export, pages of 100, beside a loop of fetch",
    units,
    measure: () => readBeside(1_000, 100),
  },
  {
    title: "HTTP export, pages of 1,000, beside a loop of fetch",
    units,
    measure: () => readBeside(300, 1_000),
  },
  {
    title: "delta with 1,000 records seen, pages of 100",
    units: { msPerPage: "ms of CPU a page, beyond the same without delta" },
    measure: () => deltaPages(100),
  },
  {
    title: "delta with 1,000 records seen, pages of 1,000",
    units: { msPerPage: "ms of CPU a page, beyond the same without delta" },
    measure: () => deltaPages(1_000),
  },
];
