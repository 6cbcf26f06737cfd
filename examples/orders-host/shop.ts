import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";

/** The API of a shop: orders in pages, with a token, and at most 10 requests in half a second. */
export class Shop {
  /** Of all requests, how many were too many. */
  refused = 0;
  readonly #orders = Array.from({ length: 5_000 }, (_, index) => orderOf(index + 1));
  readonly #server = createServer((request, response) => this.#respond(request, response));
  #requests: number[] = [];

  get orders(): readonly ShopOrder[] {
    return this.#orders;
  }

  /** Starts listening, and resolves with the URL. */
  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/api`;
  }

  /** A customer changes an order. */
  change(index: number, total: number): void {
    const order = this.#orders[index];
    if (order === undefined) throw new RangeError(`there is no order ${index}`);
    this.#orders.splice(index, 1);
    this.#orders.push({ ...order, total, updatedAt: new Date().toISOString() });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await promisify(this.#server.close.bind(this.#server))();
  }

  #respond({ url = "", headers }: IncomingMessage, response: ServerResponse): void {
    const answer = (status: number, body: object, more: Record<string, string> = {}) =>
      response.writeHead(status, { "content-type": "application/json", ...more }).end(JSON.stringify(body));
    if (headers.authorization !== "Bearer let-me-in") {
      answer(401, { error: "no such token" });
      return;
    }
    this.#requests = [...this.#requests.filter((at) => at > Date.now() - 500), Date.now()];
    if (this.#requests.length > 10) {
      this.refused++;
      answer(429, { error: "too many requests" }, { "retry-after": "1" });
      return;
    }
    const query = new URL(url, "http://shop").searchParams;
    const changed = this.#orders.filter(({ updatedAt }) => updatedAt >= (query.get("since") ?? ""));
    const [from, limit] = [Number(query.get("cursor") ?? 0), Math.min(100, Number(query.get("limit") ?? 100))];
    const next = from + limit < changed.length ? String(from + limit) : null;
    answer(200, { orders: changed.slice(from, from + limit), next });
  }
}

/** Some are dirty: the total of each 1,000th is less than nothing. */
function orderOf(number: number) {
  const lines = Array.from({ length: number % 3 }, (_, index) => ({ sku: `sku-${index + 1}`, count: number % 5 }));
  return {
    ...{ id: `order-${number}`, customer: { email: `customer-${number % 700}@example.com` }, lines },
    total: number % 1_000 === 0 ? -1 : 10 * number,
    updatedAt: new Date(Date.UTC(2026, 0, 1) + number * 60_000).toISOString(),
  };
}

type ShopOrder = ReturnType<typeof orderOf>;
