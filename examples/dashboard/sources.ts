import { setTimeout as wait } from "node:timers/promises";
import { type Export, retryLater } from "poundlock";

/** An order of the shop. */
export interface Order {
  readonly id: string;
  readonly total: number;
  readonly currency: string;
  readonly customer: { readonly id: number; readonly email: string; readonly vat?: string };
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
}

function orderOf(number: number): Order {
  const id = 500 + (number % 83);
  const vat = number % 29 === 0 ? {} : { vat: `NO${900_000_000 + id}MVA` };
  return {
    id: `${number}`,
    total: 100 + ((number * 37) % 9_000),
    currency: "NOK",
    customer: { id, email: `customer-${id}@example.com`, ...vat },
    lines: [{ sku: `SKU-${number % 400}`, quantity: 1 + (number % 5) }],
  };
}

const pageSize = 50;

/** Orders since the shop was opened: many at first, then a few a minute. */
export const orders: Export<Order, { after: number }> = {
  order: "ordered",
  key: ({ id }) => id,
  async *pages({ checkpoint, signal }) {
    const first = checkpoint?.after ?? 1_000;
    const last = first === 1_000 ? 4_000 : first + 120;
    let after = first;
    for (; after < last && !signal.aborted; after += pageSize) {
      await wait(250, undefined, { signal });
      const records = Array.from({ length: pageSize }, (_, index) => orderOf(after + index + 1));
      yield { records, checkpoint: { after: after + pageSize }, total: last - first };
    }
  },
};

/** How many of an article there are. */
export interface Stock {
  readonly sku: string;
  readonly quantity: number;
}

/** A listing of all articles, each time. */
export const stock: Export<Stock> = {
  key: ({ sku }) => sku,
  async *pages({ signal }) {
    for (let start = 0; start < 400; start += pageSize) {
      await wait(400, undefined, { signal });
      yield {
        records: Array.from({ length: pageSize }, (_, index) => ({
          sku: `SKU-${start + index}`,
          quantity: (start * index) % 90,
        })),
        total: 400,
      };
    }
  },
};

/** The price of an article. */
export interface Price {
  readonly sku: string;
  readonly price: number;
}

/** A listing of all prices. */
export const prices: Export<Price> = {
  key: ({ sku }) => sku,
  async *pages() {
    yield Array.from({ length: 200 }, (_, index) => ({ sku: `SKU-${index}`, price: 10 + ((index * 7) % 300) }));
  },
};

let reads = 0;

/** What customers sent back; the system that knows cannot be reached in every third reading. */
export const returns: Export<Order> = {
  key: ({ id }) => `R-${id}`,
  async *pages() {
    await wait(300);
    if (reads++ % 3 === 0) throw new Error("connect ECONNREFUSED 10.0.4.17:5432");
    yield Array.from({ length: 12 }, (_, index) => orderOf(2_000 + reads * 12 + index));
  },
};

/** Someone who signed up. */
export interface Customer {
  readonly id: string;
  readonly name: string;
  readonly country: string;
}

const countries = ["NO", "SE", "DK", "FI", "??"];

/** Customers, one every few seconds, as they sign up. */
export const customers: Export<Customer> = {
  key: ({ id }) => id,
  listen({ accept }) {
    let number = 0;
    const timer = setInterval(() => {
      number++;
      const customer = { id: `c-${number}`, name: `Customer ${number}`, country: countries[number % 5] ?? "NO" };
      accept([customer]).catch((error: unknown) => console.error(error));
    }, 4_000);
    return async () => clearInterval(timer);
  },
};

/** Thrown by what is down for a while. */
export const unavailable = (what: string) => retryLater(new Error(`${what} answered 503 Service Unavailable`));
