import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  type Clock,
  type Export,
  FlowRegistry,
  type Import,
  Scheduler,
  retryLater,
  systemClock,
} from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { DeliveryFile, linesOf } from "../support/deliveries.ts";
import { openStorage } from "./open-storage.ts";
import { type Place, type PointName, isSame } from "./points.ts";
import { type WatchedCall, watchedStorage } from "../support/watched-storage.ts";

/** What a host is made of; plain JSON, so that a process can be given it. */
export interface HostSetting {
  /** Where its file and its deliveries are. */
  readonly folder: string;
  /** What it signs with. */
  readonly name: string;
  /** Pages that there are to read. */
  readonly pages: number;
  /** How far its clock is ahead of the computer's: leases that have run out by it need no waiting. @default 0 */
  readonly aheadMs?: number;
  /** Where it stops. */
  readonly halt?: Place;
  /** Milliseconds that its imports take to answer when they have written. @default 0 */
  readonly answerMs?: number;
  /** The second import is down for so many milliseconds, then up for as many, and so on. @default it is never down */
  readonly downMs?: number;
  /** Milliseconds for which it waits for another process's transaction. @default the storage's own */
  readonly busyMs?: number;
  /** How often a run may be reclaimed. @default the scheduler's own */
  readonly maxCrashes?: number;
}

/** Called as the host goes on. */
export interface HostCallbacks {
  /** It stands at its `halt`; it goes on when this returns, or resolves where its code can wait. */
  halted?(place: Place): Promise<void> | void;
  /** It committed a page, or was refused. */
  committed?(page: number, held: boolean): void;
  /** It ended a run, or was refused. */
  ended?(held: boolean): void;
}

/** A record. */
export interface Order {
  readonly n: number;
}

/** Records of a page, also of those that were accepted. */
export const pageSize = 10;
/** The imports of both flows. */
export const importIds = ["left", "right"] as const;
/** The shortest there is. */
const leaseMs = 1_000;

/** One page's records; 1 for the first page. */
export function ordersOf(page: number): readonly Order[] {
  return Array.from({ length: pageSize }, (_, index) => ({ n: (page - 1) * pageSize + index }));
}

/** The key of a record, in either flow. */
export function keyOf({ n }: Order): string {
  return `order-${n}`;
}

/** A registry and a scheduler on a file: flow `orders` reads on demand, flow `events` what was accepted. */
export class FileHost {
  readonly storage: Storage;
  readonly registry: FlowRegistry;
  readonly scheduler: Scheduler;
  readonly #setting: HostSetting;
  readonly #callbacks: HostCallbacks;
  #appended = 0;
  #hasHalted = false;
  /** A write that waits for the leases to be renewed. */
  #renewal: { readonly page: number; readonly done: () => void } | undefined;
  /** The one that the renewal going on was made for: an earlier renewal may still be under way when a write begins to wait. */
  #renewing: { readonly page: number; readonly done: () => void } | undefined;
  /** What is to be changed now, and how many statements have done a part of it. */
  #changing: Place | undefined;
  #statements = 0;

  static async open(setting: HostSetting, callbacks: HostCallbacks = {}): Promise<FileHost> {
    const file = join(setting.folder, "file");
    const { busyMs, halt } = setting;
    const between = () => host.#inTransaction();
    const stored = await openStorage(file, {
      ...(halt !== undefined && isInTransaction(halt) ? { between } : {}),
      ...(busyMs === undefined ? {} : { busyMs }),
    });
    const host: FileHost = new FileHost(setting, callbacks, stored);
    for (const _id of ["orders", "events"])
      await host.registry.define(_id, { name: _id, _exportId: _id, _importIds: [...importIds] });
    return host;
  }

  private constructor(setting: HostSetting, callbacks: HostCallbacks, stored: Storage) {
    this.#setting = setting;
    this.#callbacks = callbacks;
    const { downMs, maxCrashes } = setting;
    const before = (call: WatchedCall) => this.#before(call);
    this.storage = watchedStorage(stored, { before, after: (call) => this.#after(call) });
    const imports = Object.fromEntries(importIds.map((_importId) => [_importId, this.#import(_importId)]));
    const exports = { orders: this.#orders(), events: eventsExport };
    this.registry = new FlowRegistry({ exports, imports, storage: this.storage, clock: this.#clock() });
    this.scheduler = new Scheduler(this.registry, {
      leaseMs,
      logger: silentLogger,
      ...(maxCrashes === undefined ? {} : { maxCrashes }),
      ...(downMs === undefined ? {} : { maxAttempts: 2, retryDelayMs: 20 }),
    });
  }

  /** Lets what runs be taken over, and closes the file. */
  async close(): Promise<void> {
    await this.scheduler.stop();
    await this.storage.close();
  }

  #orders(): Export<Order, { readonly page: number }> {
    const { folder, name, pages } = this.#setting;
    const reach = (point: PointName, page: number) => this.#reach({ point, page });
    return {
      order: "ordered",
      pageSize,
      key: keyOf,
      async *pages({ checkpoint }) {
        const first = (checkpoint?.page ?? 0) + 1;
        appendFileSync(join(folder, "reads"), `${name} ${first}\n`);
        for (let page = first; page <= pages; page++) {
          const records = ordersOf(page);
          await reach("page read", page);
          yield { records, checkpoint: { page } };
        }
      },
    };
  }

  #import(_importId: string): Import<Order> {
    const { folder, name, answerMs = 0 } = this.#setting;
    const deliveries = new DeliveryFile(folder, _importId);
    return {
      idempotent: true, // whoever reads the deliveries counts each key once
      map: (order) => {
        // The first half of the page is mapped by then, and the second is not.
        if (order.n % pageSize === pageSize / 2) void this.#reach({ point: "mapped", page: pageOf(order), _importId });
        return { ...order };
      },
      write: async ([first], { keys, run }) => {
        const page = first === undefined ? 0 : pageOf(first);
        await this.#reach({ point: "before write", page, _importId });
        if (_importId === importIds[1] && this.#isDown()) throw retryLater("it is down");
        const middle: Place = { point: "mid write", page, _importId };
        const half = this.#halts(middle) ? keys.length / 2 : 0;
        if (half > 0) deliveries.add(keys.slice(0, half), run._id, name);
        await this.#reach(middle);
        deliveries.add(keys.slice(half), run._id, name);
        if (_importId === importIds[0]) await this.#renewed(page);
        if (answerMs > 0) await pause(answerMs);
        await this.#reach({ point: "written", page, _importId });
      },
    };
  }

  #isDown(): boolean {
    const { downMs } = this.#setting;
    return downMs !== undefined && Math.floor(systemClock.now() / downMs) % 2 === 1;
  }

  // A page takes so little time that leases are only renewed during one that waits for it.
  #renewed(page: number): Promise<void> | void {
    const { halt } = this.#setting;
    if (halt?.page === page && isRenewal(halt)) return new Promise((done) => (this.#renewal = { page, done }));
  }

  async #before(call: WatchedCall): Promise<void> {
    if (call.name === "appendInbox") {
      this.#appended++;
      this.#change({ point: "mid append", page: this.#appended });
      await this.#reach({ point: "before append", page: this.#appended });
    } else if (call.name === "commitPage") {
      this.#change({ point: "mid commit", page: call.args[1].ordinal });
      await this.#reach({ point: "before commit", page: call.args[1].ordinal });
    } else if (call.name === "endRun") await this.#reach({ point: "before end", page: 0 });
    else if (call.name === "renewLeases") {
      this.#renewing = this.#renewal;
      if (this.#renewing !== undefined) await this.#reach({ point: "lease renew", page: this.#renewing.page });
    }
  }

  async #after({ name, args, answer }: WatchedCall): Promise<void> {
    if (name === "appendInbox") await this.#reach({ point: "appended", page: this.#appended });
    else if (name === "queueRun") await this.#reach({ point: "queued", page: 0 });
    else if (name === "claimRun" && answer !== undefined) await this.#reach({ point: "taken", page: 0 });
    else if (name === "readInbox") {
      const [first] = (answer ?? []).flatMap(({ records }) => records as readonly Order[]);
      if (first !== undefined) await this.#reach({ point: "page read", page: pageOf(first) });
    } else if (name === "commitPage") {
      this.#changing = undefined;
      this.#callbacks.committed?.(args[1].ordinal, answer !== undefined);
      await this.#reach({ point: "committed", page: args[1].ordinal });
    } else if (name === "endRun") {
      this.#callbacks.ended?.(answer !== undefined);
      await this.#reach({ point: "ended", page: 0 });
    } else if (name === "renewLeases" && this.#renewing !== undefined) {
      const { page, done } = this.#renewing;
      await this.#reach({ point: "lease renewed", page });
      this.#renewal = undefined;
      done();
    }
  }

  // Between two statements of a transaction nothing can wait: so the callback has to halt the whole process.
  #inTransaction(): void {
    if (this.#changing !== undefined) void this.#reach({ ...this.#changing, statement: ++this.#statements });
  }

  #change(place: Place): void {
    this.#changing = place;
    this.#statements = 0;
  }

  #halts(place: Place): boolean {
    return this.#setting.halt !== undefined && isSame(this.#setting.halt, place);
  }

  async #reach(place: Place): Promise<void> {
    if (this.#hasHalted || !this.#halts(place)) return;
    this.#hasHalted = true;
    await this.#callbacks.halted?.(place);
  }

  #clock(): Clock {
    const { aheadMs = 0, halt } = this.#setting;
    // Who waits for a renewal need not wait a third of the lease.
    const hurry = halt !== undefined && isRenewal(halt) ? 20 : 1;
    return {
      now: () => systemClock.now() + aheadMs,
      setTimer: (callback, delayMs) => systemClock.setTimer(callback, delayMs / hurry),
      yieldToEventLoop: () => systemClock.yieldToEventLoop(),
    };
  }
}

/** At which page each reading of `orders` began, and whose it was. */
export function readingsOf(folder: string): readonly { readonly process: string; readonly page: number }[] {
  return linesOf(join(folder, "reads")).map((line) => {
    const [process = "", page = ""] = line.split(" ");
    return { process, page: Number(page) };
  });
}

const eventsExport: Export<Order> = { pageSize, key: keyOf, listen: () => () => undefined };

function pageOf({ n }: Order): number {
  return Math.floor(n / pageSize) + 1;
}

function isInTransaction({ point }: Place): boolean {
  return point === "mid commit" || point === "mid append";
}

function isRenewal({ point }: Place): boolean {
  return point === "lease renew" || point === "lease renewed";
}
