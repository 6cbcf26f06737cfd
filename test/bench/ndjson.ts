import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { Export, Import } from "../../src/index.ts";

/** One line of the files that are moved; about 180 bytes. */
export interface Order {
  readonly id: string;
  readonly name: string;
  readonly amount: number;
  readonly date: string;
  readonly address: { readonly street: string; readonly city: string; readonly country: string };
}

/** The `number`-th order, the same every time. */
export function makeOrder(number: number): Order {
  return {
    id: `order-${1_000_000 + number}`,
    name: `Customer ${number % 9_973} of the northern branch`,
    amount: (number % 100_000) / 100,
    date: `2026-${String((number % 12) + 1).padStart(2, "0")}-${String((number % 28) + 1).padStart(2, "0")}`,
    address: { street: `Lock Road ${number % 500}`, city: `City ${number % 1_000}`, country: "NO" },
  };
}

/** Writes a file of `total` orders, one a line. */
export async function writeOrders(file: string, total: number): Promise<void> {
  const handle = await open(file, "w");
  try {
    for (let first = 0; first < total; first += 10_000) {
      let text = "";
      for (let number = first; number < Math.min(total, first + 10_000); number++)
        text += `${JSON.stringify(makeOrder(number))}\n`;
      await handle.appendFile(text);
    }
    // Or the system would be busy writing it out while what reads it is measured.
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const lineEnd = 10;

/** Reads a file line by line as a stream, from the byte at which the checkpoint says the next line begins. */
export function ordersFrom(file: string, pageSize: number): Export<Order, { readonly offset: number }> {
  return {
    order: "ordered",
    pageSize,
    key: ({ id }) => id,
    async *pages({ checkpoint, signal }) {
      let offset = checkpoint?.offset ?? 0;
      let records: Order[] = [];
      let rest: Uint8Array = new Uint8Array();
      const chunks: AsyncIterable<Buffer> = createReadStream(file, { start: offset, highWaterMark: 262_144, signal });
      for await (const chunk of chunks) {
        const bytes = Buffer.concat([rest, chunk]);
        let begin = 0;
        for (let end = bytes.indexOf(lineEnd); end >= 0; end = bytes.indexOf(lineEnd, begin)) {
          records.push(JSON.parse(bytes.toString("utf8", begin, end)) as Order);
          offset += end + 1 - begin;
          begin = end + 1;
          if (records.length < pageSize) continue;
          yield { records, checkpoint: { offset } };
          records = [];
        }
        rest = bytes.subarray(begin);
      }
      if (records.length > 0) yield { records, checkpoint: { offset } };
    },
  };
}

/**
 * Appends every batch to a file in one write. Nothing is synced: that would cost both sides of a comparison the same,
 * and hide what the storage costs.
 */
export async function ordersInto(
  file: string,
): Promise<{ readonly into: Import<Order>; readonly close: () => Promise<void> }> {
  const handle = await open(file, "a");
  const into: Import<Order> = {
    idempotent: false,
    async write(records) {
      let text = "";
      for (const record of records) text += `${JSON.stringify(record)}\n`;
      await handle.appendFile(text);
    },
  };
  return { into, close: () => handle.close() };
}

/** @throws if the copy is not as long as what it was copied from. */
export async function expectSameLength(source: string, copy: string): Promise<void> {
  const [from, into] = await Promise.all([stat(source), stat(copy)]);
  if (from.size !== into.size) throw new Error(`${into.size} bytes of ${from.size} arrived`);
}
