import {
  type Export,
  type Flow,
  FlowRegistry,
  type Import,
  type Result,
  type Run,
  Scheduler,
  isPoundlockError,
} from "../../../src/index.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { ManualClock, arrayExport } from "../../../src/testing/index.ts";
import { aborted, Gate, minute, noon, second } from "../../support/harness.ts";
import { Audit, type Item, nameOf } from "./audit.ts";

const pageSize = 3;
const graceMs = 5 * second;
/** How long `stop` may take: its grace, and the second that aborted code may take. */
const stopMs = graceMs + second;

/** What became of a call of the host: `hung` if it had not answered when nothing was left to be done. */
type CallResult<T> = { readonly value: T } | { readonly hung: true } | undefined;

/** The host: its exports, imports and flows, and the script it follows, whatever the storage does. */
export class ScriptedHost {
  readonly clock: ManualClock;
  readonly audit: Audit;
  /** Calls of this host that answered `storage_failed`, and those that never answered. */
  failed = 0;
  hung = 0;
  /** What the storage said, here or in the background. */
  readonly causes = new Set<string>();
  readonly #exports: Readonly<Record<string, Export<Item>>>;
  readonly #imports: Readonly<Record<string, Import<Item>>>;
  readonly #orders: Item[];
  readonly #stock: Item[];
  readonly #bulk: string;
  /** Groups of events that were sent and not yet answered with OK. */
  readonly #unanswered = new Set<readonly Item[]>();
  readonly #answered: Item[] = [];
  /** Ledger, when it takes orders, and the reading of the stock wait while these are closed. */
  #ledgerGate: { readonly gate: Gate; readonly isDeaf: boolean } | undefined;
  #stockGate: Gate | undefined;
  #isHealed = false;
  /** The first ones are the script's. */
  #lastEvent = 9;
  #registry: FlowRegistry | undefined;
  #scheduler: Scheduler | undefined;
  #isStarted = false;
  /** Flows that may not be there, because it could not be seen that they were stored. */
  readonly #missing = new Set<string>();
  #nextId = 0;
  readonly #ended = new Map<string, Run>();

  /** `bulk`: characters that each record has beside its name; more than 0: and an event arrives with every step. */
  constructor(bulk = 0) {
    this.#bulk = "x".repeat(bulk);
    this.#orders = this.#items("orders", 12);
    this.#stock = this.#items("stock", 6);
    const key = ({ n }: Item) => `#${n}`;
    const stock = arrayExport(this.#stock, { pageSize, key, order: "unordered" });
    this.#exports = {
      orders: arrayExport(this.#orders, { pageSize, key }),
      stock: { ...stock, pages: (context) => this.#whenThereIsStock(stock, context) },
      events: { pageSize, listen: () => () => undefined },
    };
    const ignores = ({ n }: Item) => n % 5 === 0;
    this.#imports = {
      ledger: {
        idempotent: true,
        filter: (item) => !ignores(item),
        write: async (items, { flow, signal }) => {
          if (flow._exportId === "orders" && this.#ledgerGate !== undefined) {
            const { gate, isDeaf } = this.#ledgerGate;
            await (isDeaf ? gate.opened : Promise.race([gate.opened, aborted(signal)]));
            if (!isDeaf && signal.aborted) throw new Error("aborted");
          }
          return this.#write(flow, "ledger", items, ({ n }) => n % 4 === 0 && !this.#isHealed);
        },
      },
      mail: {
        idempotent: false,
        write: async (items, { flow }) => this.#write(flow, "mail", items, ({ n }) => n === 7),
      },
    };
    this.audit = new Audit(
      { ledger: { idempotent: true, ignores }, mail: { idempotent: false, ignores: () => false } },
      pageSize,
    );
    this.clock = new StorageClock(this.audit);
  }

  #write(flow: Flow, _importId: string, items: readonly Item[], refuses: (item: Item) => boolean): readonly Result[] {
    return items.map((item) => {
      if (refuses(item)) return { ok: false, fault: "reject", error: new Error(`no ${nameOf(item)}`) };
      this.audit.write(flow._id, _importId, item);
      return { ok: true };
    });
  }

  async *#whenThereIsStock(from: Export<Item>, context: Parameters<NonNullable<Export<Item>["pages"]>>[0]) {
    if (this.#stockGate !== undefined) await Promise.race([this.#stockGate.opened, aborted(context.signal)]);
    if (!context.signal.aborted) yield* from.pages?.(context) ?? [];
  }

  /** A process with nothing in its memory begins to work with this storage. */
  async begin(storage: Storage): Promise<void> {
    const { clock } = this;
    const newId = () => `id-${String(++this.#nextId).padStart(6, "0")}`;
    this.#registry = new FlowRegistry({ exports: this.#exports, imports: this.#imports, storage, clock, newId });
    const retention = { runsPerFlow: 4 };
    this.#scheduler = new Scheduler(this.#registry, { random: () => 0.5, graceMs, retention, logger: silentLogger });
    this.#watch(this.#scheduler);
    this.#isStarted = false;
    await this.#define("a-orders", "orders", ["ledger", "mail"]);
    await this.#define("b-stock", "stock", ["ledger", "mail"], "* * * * *");
    await this.#define("c-events", "events", ["ledger", "mail"]);
    await this.#start();
  }

  async #define(_id: string, _exportId: string, _importIds: string[], schedule: string | null = null): Promise<void> {
    // As the host's own code says at every start, until it is done.
    for (let tries = 0; tries < 3; tries++) {
      const defined = await this.#call("define", ({ registry }) =>
        registry.define(_id, { name: _id, _exportId, _importIds, schedule }),
      );
      if (valueOf(defined) !== undefined) {
        this.#missing.delete(_id);
        return;
      }
      this.#missing.add(_id);
      await this.clock.advance(second);
    }
  }

  #watch(scheduler: Scheduler): void {
    const { violations } = this.audit;
    for (const name of ["run:completed", "run:canceled"] as const)
      scheduler.on(name, ({ run }) => this.#ended.set(run._id, run));
    scheduler.on("run:failed", ({ run }) => violations.push(`run ${run._id} failed: ${run.error?.message}`));
    scheduler.on("listener:error", ({ error }) => violations.push(`a listener threw ${String(error)}`));
    scheduler.on("background:error", ({ error, during }) => this.#checkError(error, `error while ${during}`));
  }

  #checkError(error: unknown, where: string): void {
    if (isPoundlockError(error) && error.code === "storage_failed" && error.cause instanceof Error) {
      this.causes.add(error.cause.message);
      return;
    }
    this.audit.violations.push(`${where}: ${String(error)}`);
  }

  // Undefined: the storage failed. Nothing else may come out of a host's call.
  async #call<T>(
    what: string,
    call: (parts: { registry: FlowRegistry; scheduler: Scheduler }) => Promise<T>,
    allowed?: string,
  ): Promise<CallResult<T>> {
    const { clock } = this;
    const registry = this.#registry;
    const scheduler = this.#scheduler;
    if (registry === undefined || scheduler === undefined) throw new Error("nothing has begun");
    const calling = call({ registry, scheduler }).then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    const results: Awaited<typeof calling>[] = [];
    void calling.then((answer) => results.push(answer));
    for (let turns = 0; turns < 50 && results.length === 0; turns++) await clock.settle();
    // A start that fails stops what it had begun, which has a second.
    if (results.length === 0 && what === "start") await clock.advance(second);
    const [said] = results;
    if (said === undefined) {
      this.hung++;
      return { hung: true };
    }
    if ("value" in said) return said;
    const { error } = said;
    if (isPoundlockError(error) && error.code === allowed) return undefined;
    if (isPoundlockError(error) && error.code === "not_found" && this.#missing.size > 0) return undefined;
    this.failed++;
    this.#checkError(said.error, what);
    return undefined;
  }

  async #start(): Promise<void> {
    if (this.#isStarted) return;
    // A start that hangs is stopped and left behind.
    this.#isStarted = (await this.#call("start", ({ scheduler }) => scheduler.start())) !== undefined;
  }

  /** Ends the process in good order: `stop` resolves in time, whatever the storage does, and nothing of it goes on. */
  async end(): Promise<void> {
    const { clock } = this;
    const { violations } = this.audit;
    const stopped: boolean[] = [];
    this.#scheduler?.stop().then(
      () => stopped.push(true),
      (error: unknown) => violations.push(`stop: ${String(error)}`),
    );
    await clock.advance(stopMs);
    if (stopped.length === 0) violations.push(`stop has not resolved after ${stopMs} ms`);
    this.#isStarted = false;
  }

  // Time passes; a scheduler that could not start is started again, and what was not answered is sent again.
  async #pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.#start();
    if (this.#bulk === "") await this.#send();
    // Larger than all that a run may have made room for.
    else {
      const n = ++this.#lastEvent;
      await this.#send([{ source: "events", n, bulk: this.#bulk.repeat(10) }]);
    }
  }

  async #send(...groups: readonly (readonly Item[])[]): Promise<void> {
    for (const group of groups) this.#unanswered.add(group);
    for (const group of this.#unanswered) {
      const ids = group.map(nameOf);
      const accepted = await this.#call(
        "accept",
        ({ scheduler }) => scheduler.accept("events", group, { ids }),
        "flow_disabled",
      );
      if (accepted === undefined || "hung" in accepted) continue;
      this.#unanswered.delete(group);
      this.#answered.push(...group);
    }
  }

  /** Everything the storage is asked for, and so every call that may go wrong. `restarted`: another view of the same storage. */
  async follow(storage: Storage): Promise<void> {
    await this.begin(storage);
    await this.#moveAndRetry();
    await this.#arrive();
    await this.#coalesceAndDisable();
    await this.#cancel();
    await this.#delete();
    await this.#release(storage);
    await this.#leaveBehind(storage);
    await this.#pass(minute);
  }

  async #moveAndRetry(): Promise<void> {
    await this.#run("a-orders");
    await this.#call("listFailures", ({ scheduler }) =>
      scheduler.listFailures({ _flowId: "a-orders", status: "open" }),
    );
    this.#isHealed = true;
    await this.#call("retryFailures", ({ scheduler }) => scheduler.retryFailures("a-orders"));
    const failures = await this.#call("listFailures", ({ scheduler }) =>
      scheduler.listFailures({ _flowId: "a-orders", _importId: "mail" }),
    );
    const [failure] = valueOf(failures)?.items ?? [];
    if (failure === undefined) return;
    await this.#call("getFailure", ({ scheduler }) => scheduler.getFailure(failure._id));
    await this.#call("editFailure", ({ scheduler }) => scheduler.editFailure(failure._id, failure.record), "conflict");
    await this.#call("overview", ({ scheduler }) => scheduler.overview());
    await this.#call("activities", ({ scheduler }) => scheduler.activities(["a-orders"]));
    await this.#call("statistics", ({ scheduler }) =>
      scheduler.statistics({ from: "2030-01-01T00:00:00Z", until: "2030-01-02T00:00:00Z" }),
    );
    await this.#call("listCauses", ({ scheduler }) => scheduler.listCauses({ _flowId: "a-orders" }));
    await this.#call("retryMatching", ({ scheduler }) =>
      scheduler.retryMatching({ key: "of no failure", through: failure._id }),
    );
    await this.#call("resolveMatching", ({ scheduler }) =>
      scheduler.resolveMatching({ key: "of no failure", through: failure._id }),
    );
    await this.#call("resume", ({ scheduler }) => scheduler.resume("a-orders"));
    await this.#call("dropInbox", ({ scheduler }) => scheduler.dropInbox("c-events", ["no such page"]));
    await this.#call("resolveFailures", ({ scheduler }) => scheduler.resolveFailures([failure._id]));
    await this.#call("getCheckpoint", ({ scheduler }) => scheduler.getCheckpoint("a-orders"));
  }

  async #arrive(): Promise<void> {
    const [one, two, three] = [this.#items("events", 3), this.#items("events", 6, 4), this.#items("events", 9, 7)];
    await this.#send(one, two);
    // Whoever is in doubt sends again what was taken in already.
    await this.#send(one, three);
  }

  async #coalesceAndDisable(): Promise<void> {
    const gate = (this.#stockGate = new Gate());
    // One runs, one waits, one is folded into it.
    for (let count = 0; count < 3; count++) await this.#pass(minute);
    await this.#call("listRuns", ({ scheduler }) => scheduler.listRuns({ _flowId: "b-stock" }));
    await this.#disable("b-stock", true);
    this.#stockGate = undefined;
    gate.open();
    await this.clock.settle();
    await this.#disable("b-stock", false);
    const at = valueOf(await this.#call("getCheckpoint", ({ scheduler }) => scheduler.getCheckpoint("b-stock")));
    const set = ({ scheduler }: { scheduler: Scheduler }) => scheduler.setCheckpoint("b-stock", { read: 3 });
    // Back, never on: what is left out by hand would be missing.
    if (at !== undefined) await this.#call("setCheckpoint", set, "conflict");
    await this.#pass(minute);
  }

  async #disable(_id: string, disabled: boolean): Promise<void> {
    await this.#call("patch", ({ registry }) => registry.patch(_id, { disabled }));
  }

  async #cancel(): Promise<void> {
    this.#grow();
    const gate = this.#closeLedger(false);
    const running = await this.#run("a-orders");
    const waiting = await this.#run("a-orders");
    for (const run of [waiting, running])
      if (run !== undefined) await this.#call("cancel", ({ scheduler }) => scheduler.cancel(run._id));
    await this.clock.settle();
    this.#openLedger(gate);
    await this.#call("retryFailures", ({ scheduler }) => scheduler.retryFailures("a-orders"));
    await this.#pass(second);
  }

  async #delete(): Promise<void> {
    const gate = this.#closeLedger(false);
    const input = { name: "passing", _exportId: "orders", _importIds: ["ledger"] };
    const flow = valueOf(await this.#call("create", ({ registry }) => registry.create(input)));
    if (flow !== undefined) {
      await this.#run(flow._id);
      await this.#run(flow._id);
      await this.clock.advance(second);
      await this.#call("delete", ({ registry }) => registry.delete(flow._id));
      await this.clock.settle();
    }
    this.#openLedger(gate);
    await this.#pass(second);
  }

  // The process stops while a run waits for an import that heeds its signal; the next one resumes it.
  async #release(storage: Storage): Promise<void> {
    this.#grow();
    const gate = this.#closeLedger(false);
    await this.#run("a-orders");
    await this.end();
    this.#openLedger(gate);
    await this.begin(storage);
    await this.#pass(second);
  }

  // It stops while an import ignores its signal, and is left behind; the run is reclaimed when its lease has run out.
  async #leaveBehind(storage: Storage): Promise<void> {
    this.#grow();
    const gate = this.#closeLedger(true);
    await this.#run("a-orders");
    await this.end();
    this.#ledgerGate = undefined;
    await this.begin(storage);
    await this.#pass(minute);
    gate.open();
    await this.#pass(second);
  }

  #closeLedger(isDeaf: boolean): Gate {
    const gate = new Gate();
    this.#ledgerGate = { gate, isDeaf };
    return gate;
  }

  #openLedger(gate: Gate): void {
    this.#ledgerGate = undefined;
    gate.open();
  }

  #items(source: string, last: number, first = 1): Item[] {
    const bulk = this.#bulk;
    return Array.from({ length: last - first + 1 }, (_, index) => ({ source, n: first + index, bulk }));
  }

  #grow(): void {
    this.#orders.push(...this.#items("orders", this.#orders.length + 4, this.#orders.length + 1));
  }

  async #run(_flowId: string): Promise<Run | undefined> {
    const run = valueOf(await this.#call("run", ({ scheduler }) => scheduler.run(_flowId), "not_found"));
    await this.clock.settle();
    return run;
  }

  /** All is well now: what waits is run, and what is there is moved. */
  async recover(): Promise<void> {
    // Leases run out and a sweep finds them, twice; what a lost answer left disabled is enabled again.
    await this.#start();
    await this.#disable("b-stock", false);
    await this.#pass(2 * minute + 5 * second);
    const flows = valueOf(await this.#call("list", ({ registry }) => registry.list({ _exportId: "orders" })));
    for (const { _id } of flows?.items ?? []) await this.#run(_id);
    await this.#pass(10 * second);
  }

  /** What was untrue so far, line by line. */
  get violations(): string {
    return this.audit.violations.join("\n");
  }

  /** Beside that, what must be true once all is well. */
  async check(): Promise<string> {
    const { audit, clock } = this;
    for (const group of this.#unanswered) audit.violations.push(`${group.map(nameOf).join()} cannot be sent`);
    audit.checkArrived([...this.#orders, ...this.#stock, ...this.#answered]);
    const storage = this.#registry?.storage;
    if (storage === undefined) return "nothing has begun";
    const runs = (await storage.listRuns({ limit: 1_000 })).items;
    for (const run of runs)
      if (!["completed", "canceled"].includes(run.status))
        audit.violations.push(`run ${run._id} of ${run._flowId} (${run.trigger}) is ${run.status}`);
    for (const run of new Map([...this.#ended, ...runs.map((run) => [run._id, run] as const)]).values())
      audit.checkRun(run);
    const stock = await storage.findFlow("b-stock");
    const { nextDueAt } = audit.flows.get("b-stock") ?? {};
    if (nextDueAt === undefined || nextDueAt <= clock.now() || stock?.nextRunAt !== new Date(nextDueAt).toISOString())
      audit.violations.push(`b-stock is due at ${stock?.nextRunAt}, the audit has ${nextDueAt}, it is ${clock.now()}`);
    const unread = await storage.unreadInboxes(10);
    const waiting = (await storage.readInbox("c-events", { maxRecords: 1 })).length;
    if (unread.length + waiting > 0) audit.violations.push("events still wait in an inbox");
    return this.violations;
  }
}

/** Stands still, too, while the storage is at work: it does not wait for any timer of this clock. */
class StorageClock extends ManualClock {
  readonly #audit: Audit;

  constructor(audit: Audit) {
    super(noon);
    this.#audit = audit;
  }

  override async settle(): Promise<void> {
    do await super.settle();
    while (this.#audit.underway > 0);
  }
}

function valueOf<T>(said: CallResult<T>): T | undefined {
  return said !== undefined && "value" in said ? said.value : undefined;
}
