import type { Reply, SeenRequest } from "./server.ts";

/** A record of the shop's API. */
export interface Order {
  readonly id: string;
  /** ISO 8601, with microseconds. */
  readonly updatedAt: string;
}

/** An API with orders that is paged in each of the usual ways, by path. */
export class FakeShop {
  /** In the order of their ids. */
  readonly orders: Order[];

  /** Each time is that of four. */
  constructor(count = 40) {
    this.orders = Array.from({ length: count }, (_, nth) => orderAt(nth, Math.floor(nth / 4) * 60_000));
  }

  respond = (request: SeenRequest): Reply => {
    const [path = ""] = request.path.split("?");
    const asked = Object.fromEntries(request.query);
    const body = request.body === "" ? {} : (JSON.parse(request.body) as Record<string, unknown>);
    const matching = this.#since(asked.since);
    const limit = Number(asked.limit ?? body.limit ?? 10);
    const start = startOf({ ...asked, ...body }, limit);
    const orders = matching.slice(start, start + limit);
    const end = start + orders.length;
    const hasMore = end < matching.length;
    const next = `${path}?${new URLSearchParams({ ...asked, offset: String(end) }).toString()}`;
    return {
      headers: hasMore && path === "/link" ? { link: `<${next}>; rel="next", </link>; rel="first"` } : {},
      body: {
        ...{ orders, total: matching.length },
        ...(hasMore ? { cursor: String(end), next } : {}),
      },
    };
  };

  /** A new order that changed at the same time as the newest one. */
  addLate(): Order {
    const late = { ...orderAt(this.orders.length, 0), updatedAt: this.orders.at(-1)?.updatedAt ?? "" };
    this.orders.push(late);
    return late;
  }

  #since(since: string | undefined): readonly Order[] {
    if (since === undefined) return this.orders;
    const matching = this.orders.filter(({ updatedAt }) => Date.parse(updatedAt) >= Date.parse(since));
    return matching.sort((one, other) => (one.updatedAt < other.updatedAt ? -1 : 1));
  }
}

function orderAt(nth: number, ms: number): Order {
  const time = new Date(Date.parse("2029-06-01T00:00:00Z") + ms).toISOString();
  return { id: `order ${String(nth).padStart(4, "0")}`, updatedAt: time.replace("Z", "123Z") };
}

function startOf({ cursor, offset, page }: Readonly<Record<string, unknown>>, limit: number): number {
  if (page !== undefined) return (Number(page) - 1) * limit;
  return Number(cursor ?? offset ?? 0);
}
