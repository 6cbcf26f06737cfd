import { createHandler } from "../../src/http/index.ts";
import type { Handler } from "../../src/http/handler.ts";
import {
  type Export,
  FlowRegistry,
  type Import,
  MemoryStorage,
  type Result,
  Scheduler,
  retryLater,
} from "../../src/index.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { ManualClock } from "../../src/testing/index.ts";
import { pageFile, pageFileTime } from "../bench/page-file.ts";
import { type Clock, systemClock } from "../../src/clock.ts";
import { aborted, day, hour, minute, second } from "../support/harness.ts";

/** Flows to look at, and when it is there. */
export interface PictureHost {
  readonly api: Handler;
  readonly now: number;
  readonly scheduler: Scheduler;
  readonly close: () => Promise<void>;
}

const now = Date.parse("2030-01-02T15:01:00Z");
const everyone = () => ({ fullAccess: true, caller: "ann@example.com" }) as const;

/** An order of the pictures. */
interface Order {
  readonly id: string;
  readonly total: number;
  readonly currency: string;
  readonly customer: { readonly id: number; readonly country: string; readonly vat?: string };
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
}

const countries = ["NO", "SE", "DK", "FI"];

function orderOf(number: number): Order {
  const id = 500 + (number % 83);
  const vat = number % 71 === 0 ? {} : { vat: `NO${900_000_000 + id}MVA` };
  return {
    ...{ id: `o-${number}`, total: 100 + ((number * 37) % 9_000), currency: "NOK" },
    customer: { id, country: countries[number % 4] ?? "NO", ...vat },
    lines: [{ sku: `SKU-${number % 400}`, quantity: 1 + (number % 5) }],
  };
}

const wait = (clock: Clock, ms: number) => new Promise<void>((resolve) => void clock.setTimer(resolve, ms));

/** Orders as they come in over the day: few at night. */
function orders(clock: Clock): Export<Order, number> {
  return {
    order: "ordered",
    key: ({ id }) => id,
    async *pages({ checkpoint = 1_000 }) {
      const time = (clock.now() % day) / day;
      const count = Math.round(60 + 260 * Math.sin(Math.PI * time) ** 2 + ((clock.now() / minute) % 7) * 9);
      const records = Array.from({ length: count }, (_, index) => orderOf(checkpoint + index));
      yield { records, checkpoint: checkpoint + count, total: count };
    },
  };
}

/** Refuses orders of companies whose VAT number it does not know. */
function ledger(clock: Clock): Import<Order> {
  return {
    idempotent: true,
    async write(records) {
      await wait(clock, second + records.length * 31);
      return records.map(({ customer }): Result => {
        if (customer.vat !== undefined) return { ok: true };
        const error = Object.assign(new Error(`customer ${customer.id} has no VAT number`), { code: "no_vat" });
        return { ok: false, fault: "reject", error };
      });
    },
  };
}

/** Cannot reach a mail server now and then, and writes to nobody about small orders. */
const mailer: Import<Order> = {
  idempotent: false,
  filter: ({ total }) => total > 1_500,
  async write(records) {
    return records.map(({ id }): Result => {
      const error = new Error(`451 greylisted, try again later: order ${id}`);
      return Number(id.slice(2)) % 997 === 0 ? { ok: false, fault: "retry", error } : { ok: true };
    });
  },
};

/** Is away from a time on. */
function away<T>(clock: Clock, from: number): Import<T> {
  return {
    idempotent: true,
    async write(records) {
      await wait(clock, second + records.length * 17);
      if (clock.now() >= from)
        throw retryLater(new Error("PUT /articles answered 503 Service Unavailable"), { afterMs: 4 * hour });
    },
  };
}

/** Cannot be read from a time on. */
function broken(clock: Clock, from: number): Export<Order, number> {
  return {
    order: "ordered",
    key: ({ id }) => id,
    async *pages({ checkpoint = 0 }) {
      if (clock.now() >= from) throw new Error("connect ECONNREFUSED 10.0.4.12:5432");
      yield { records: [orderOf(checkpoint + 1)], checkpoint: checkpoint + 1 };
    },
  };
}

/** Many, of which the last ones take long. */
const archive: Export<Order, number> = {
  order: "ordered",
  key: ({ id }) => id,
  async *pages({ checkpoint = 0, signal }) {
    const total = 4_000;
    for (let at = checkpoint; at < 2_400; at += 100)
      yield {
        records: Array.from({ length: 100 }, (_, index) => orderOf(at + index)),
        checkpoint: at + 100,
        total,
      };
    await aborted(signal);
  },
};

/** Two days of a small shop: a flow fails, an import is paused, another flow is at it for long, a few records are refused. */
export async function smallHost(): Promise<PictureHost> {
  const clock = new ManualClock(now - 2 * day);
  let ids = 0;
  const registry = new FlowRegistry({
    exports: { orders: orders(clock), prices: orders(clock), returns: broken(clock, now - 3 * hour), archive },
    imports: { ledger: ledger(clock), mailer, shop: away(clock, now - 95 * minute), web: away(clock, Infinity) },
    storage: new MemoryStorage(),
    clock,
    newId: () => `01943c05-7e00-7a1c-8f3d-${(++ids).toString(16).padStart(12, "0")}`,
  });
  const scheduler = new Scheduler(registry, {
    random: () => 0.5,
    logger: silentLogger,
    maxAttempts: 1,
    autoRetry: false,
  });
  const quarter = "*/15 * * * *";
  const { group, removed } = { group: "pictures", removed: "keep" } as const;
  await registry.defineAll(
    {
      orders: {
        name: "Orders to ledger and mail",
        schedule: quarter,
        _exportId: "orders",
        _importIds: ["ledger", "mailer"],
      },
      prices: { name: "Prices to shop and web", schedule: quarter, _exportId: "prices", _importIds: ["shop", "web"] },
      returns: { name: "Returns to ledger", schedule: "*/30 * * * *", _exportId: "returns", _importId: "ledger" },
      invoices: {
        name: "Invoices to the archive",
        schedule: quarter,
        _exportId: "archive",
        _importId: "web",
        disabled: true,
      },
      campaign: { name: "Christmas campaign", _exportId: "orders", _importId: "mailer" },
    },
    { group, removed },
  );
  await scheduler.start();
  await clock.advance(2 * day - 10 * minute);
  await registry.patch("invoices", { disabled: false });
  await clock.advance(10 * minute);
  const api = createHandler({ scheduler, authorize: everyone, basePath: "/api" });
  const close = async () => {
    const stopped = scheduler.stop();
    // The run that is shown going on is given its time to end.
    await clock.advance(minute);
    await stopped;
  };
  return { api, now, scheduler, close };
}

/** Nothing has been defined yet. */
export async function emptyHost(): Promise<PictureHost> {
  const clock = new ManualClock(now);
  const registry = new FlowRegistry({ storage: new MemoryStorage(), clock });
  const scheduler = new Scheduler(registry, { logger: silentLogger });
  await scheduler.start();
  const api = createHandler({ scheduler, authorize: everyone, basePath: "/api" });
  return { api, now, scheduler, close: () => scheduler.stop() };
}

/** 100,000 flows with a million failures. */
export async function largeHost(): Promise<PictureHost> {
  const clock: Clock = { ...systemClock, now: () => pageFileTime + 2 * minute };
  const storage = await SqliteStorage.open((await pageFile()).file, { readOnly: true });
  const registry = new FlowRegistry({ storage, clock });
  const scheduler = new Scheduler(registry, { logger: silentLogger });
  const api = createHandler({ scheduler, authorize: everyone, basePath: "/api" });
  const close = async () => {
    await scheduler.stop();
    await storage.close();
  };
  return { api, now: clock.now(), scheduler, close };
}
