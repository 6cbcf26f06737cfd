import { createHash } from "node:crypto";
import { MemoryStorage, type Run, isPoundlockError } from "../../src/index.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { Chance } from "../support/chance.ts";
import { Host, Storm } from "./host.ts";
import { type Invariant, Ledger, type Tally, type Violation, pagesBefore } from "./ledger.ts";
import { type Deed, type FlowPlan, type Plan, flowPlan, planOf } from "./plan.ts";
import { Process } from "./process.ts";
import { Source, eventIdOf } from "./source.ts";

/** How the simulation of one seed went. */
export interface Outcome {
  readonly seed: number;
  /** The first invariant that did not hold; undefined if all did. */
  readonly violation: Violation | undefined;
  /** Everything that happened, in order. */
  readonly trace: readonly string[];
  readonly tally: Tally;
}

/** Adds what happened in one storm to what happened in all of them. */
export function addTally(totals: Map<string, number>, tally: Tally): void {
  for (const name of Object.keys(tally) as (keyof Tally)[]) totals.set(name, (totals.get(name) ?? 0) + tally[name]);
}

/** A text that differs if anything happened differently. */
export function hashOf({ trace }: Outcome): string {
  return createHash("sha256").update(trace.join("\n")).digest("hex");
}

/**
 * Lets a storm loose on the real engine, watches it, and waits until all is well again. The same seed gives the same
 * storm, step by step.
 */
export async function simulate(seed: number): Promise<Outcome> {
  const world = new World(planOf(seed));
  const rejected = (error: unknown) => world.ledger.broken("quiet", `unhandled rejection: ${String(error)}`);
  process.on("unhandledRejection", rejected);
  try {
    await world.storm();
    if (!world.isBroken()) await world.calm();
  } finally {
    process.off("unhandledRejection", rejected);
    world.end();
  }
  const { trace, ledger } = world;
  return { seed, violation: ledger.violations[0], trace, tally: ledger.tally };
}

/** The longest a swept run waits to be taken up: the sweep comes every 30 s. */
const sweepMs = 30_000;

/** Timers that may wait at once. */
const mostTimers = 200;

/** Codes with which the engine may refuse what a deed asks of it. */
const refusals = ["not_found", "flow_disabled", "busy", "conflict", "storage_failed"];

class World {
  readonly plan: Plan;
  readonly trace: string[] = [];
  readonly ledger: Ledger;
  readonly #chance: Chance;
  readonly #clock = new ManualClock("2030-01-01T00:00:07Z");
  readonly #storage = new MemoryStorage();
  readonly #sources = new Map<string, Source>();
  readonly #storm = new Storm();
  readonly #processes: Process[] = [];
  readonly #hosts = new Map<Process, Host>();
  readonly #pending = new Set<string>();
  /** How far clocks on the wall were moved. */
  #jumpedMs = 0;
  #jumpedAt = -Infinity;
  readonly #thawedAt = new Map<Process, number>();
  #ids = 0;
  #deeds = 0;
  readonly #began: number;

  constructor(plan: Plan) {
    this.plan = plan;
    this.#chance = new Chance(plan.seed ^ 0x5eed);
    this.#began = this.#clock.now();
    for (const one of plan.exports) this.#sources.set(one._id, new Source(one));
    this.ledger = new Ledger({
      plan,
      sources: this.#sources,
      elapsed: () => this.#elapsed(),
      isHealthy: (process) => this.#isHealthy(process),
      trace: (line) => this.#tell(line),
    });
    this.#tell(JSON.stringify(plan));
  }

  isBroken(): boolean {
    return this.ledger.violations.length > 0;
  }

  /** Everything may happen. */
  async storm(): Promise<void> {
    for (let nth = 0; nth < this.plan.processes; nth++) this.#open();
    for (const process of this.#processes) await this.#start(process);
    for (const source of this.#sources.values()) this.#append(source);
    for (const flow of this.plan.flows) this.#create(flow);
    await this.#pass(10);
    for (let step = 0; step < this.plan.steps && !this.isBroken(); step++) {
      this.#do(this.#chance.weighted(this.#possible()));
      await this.#pass(this.#delay());
      await this.#check();
    }
  }

  /** Nothing goes wrong any more: what was left behind has to be made up for, within twice the lease time. */
  async calm(): Promise<void> {
    const { leaseMs } = this.plan.options;
    this.#tell("the storm is over");
    this.#storm.passes();
    for (const process of this.#processes) if (process.isFrozen) this.#thaw(process);
    await this.#pass(2_000);
    if (!this.#processes.some(({ state }) => state === "started")) await this.#start(this.#open());
    for (const { _id } of this.#live()) this.#ask("enable", this.#worker().registry.patch(_id, { disabled: false }));
    await this.#pass(1_000);
    const left = this.ledger.unfinished();
    await this.#pass(2 * Math.max(leaseMs, sweepMs) + 15_000);
    const open = new Set(this.ledger.unfinished());
    for (const run of left)
      if (open.has(run)) this.ledger.broken("liveness", `run ${run} has not ended, though all is well`);
    for (const source of this.#sources.values()) this.#append(source);
    for (const { _id } of this.#live()) this.#run(_id);
    await this.#pass(20_000);
    this.ledger.checkDrained();
    if (this.isBroken()) return;
    await this.#freshRecords();
    await this.#pass(62_000);
    this.ledger.checkDrained();
    await this.#check();
    if (!this.isBroken() && this.#chance.happens(0.5)) await this.#retryAll();
    if (!this.isBroken()) await this.#compare();
    if (!this.isBroken()) await this.#close();
  }

  /** Whatever still waits is let go. */
  end(): void {
    this.#storm.passes();
    for (const process of this.#processes) process.crash();
  }

  #elapsed(): number {
    return this.#clock.now() - this.#began - this.#jumpedMs;
  }

  #delay(): number {
    const kind = this.#chance.weighted({ instant: 4, moment: 4, seconds: 5, half: 1, minutes: 0.5 });
    switch (kind) {
      case "instant":
        return 0;
      case "moment":
        return this.#chance.between(1, 300);
      case "seconds":
        return this.#chance.between(300, 6_000);
      case "half":
        return this.#chance.between(6_000, 45_000);
      case "minutes":
        return this.#chance.between(45_000, 130_000);
    }
  }

  async #pass(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    if (this.#clock.timers > mostTimers) this.ledger.broken("quiet", `${this.#clock.timers} timers wait`);
  }

  #isHealthy(process: Process): boolean {
    const { leaseMs } = this.plan.options;
    const recently = this.#elapsed() - 2 * leaseMs;
    return (
      this.plan.storage.faults === 0 &&
      process.gate.isOpen &&
      (this.#thawedAt.get(process) ?? -Infinity) < recently &&
      this.#jumpedAt < recently
    );
  }

  #tell(line: string): void {
    this.trace.push(`${String(this.#elapsed()).padStart(7)} ${line}`);
  }

  #open(): Process {
    const { plan } = this;
    const process = new Process({
      name: `process-${this.#processes.length}`,
      plan,
      clock: this.#clock,
      skewMs: plan.processes > 1 ? this.#chance.between(-1_500, 1_500) : 0,
      storage: this.#storage,
      view: {
        chance: this.#chance,
        weather: () => (this.#storm.isOver ? { slowMs: plan.storage.slowMs, faults: 0 } : plan.storage),
        shared: true,
        told: (teller, call) => this.ledger.observe(teller, call),
      },
      chance: this.#chance,
      newId: () => `id-${String(++this.#ids).padStart(5, "0")}`,
    });
    const trace = (line: string) => this.#tell(line);
    const host = new Host({ process, ledger: this.ledger, chance: this.#chance, storm: this.#storm, trace });
    for (const source of this.#sources.values()) process.registry.addExport(source.plan._id, host.export(source));
    for (const one of plan.imports) process.registry.addImport(one._id, host.import(one));
    this.#watch(process);
    this.#processes.push(process);
    this.#hosts.set(process, host);
    return process;
  }

  #watch(process: Process): void {
    const { scheduler, name } = process;
    const ended = ({ run }: { readonly run: Run }) =>
      this.#tell(`${name} ${run.status} ${run._id} ${run.error?.code ?? ""} ${run.error?.message ?? ""}`);
    scheduler.on("run:queued", ({ run }) => this.#tell(`${name} queued ${run._id} of ${run._flowId}: ${run.trigger}`));
    scheduler.on("run:started", ({ run }) => this.#tell(`${name} started ${run._id} of ${run._flowId}`));
    scheduler.on("run:requeued", ({ run, reason }) => this.#tell(`${name} requeued ${run._id}: ${reason}`));
    scheduler.on("lease:lost", ({ run }) => this.#tell(`${name} lost ${run._id}`));
    scheduler.on("run:completed", ended);
    scheduler.on("run:failed", ended);
    scheduler.on("run:canceled", ended);
    scheduler.on("listener:error", ({ error }) => this.ledger.broken("quiet", `a listener threw ${String(error)}`));
    scheduler.on("background:error", ({ error, during }) => {
      this.#tell(`${name} trouble ${during}: ${String(error)}`);
      if (this.plan.storage.faults === 0) this.ledger.broken("quiet", `trouble ${during}: ${String(error)}`);
    });
  }

  async #start(process: Process): Promise<void> {
    process.state = "starting";
    const started = process.scheduler.start().then(
      () => (process.isCrashed ? undefined : (process.state = "started")),
      (error: unknown) => {
        if (!process.isCrashed) process.state = "stopped";
        throw error;
      },
    );
    this.#ask("start", started);
    await this.#pass(0);
  }

  #stop(process: Process): void {
    process.state = "stopping";
    const graceMs = this.#chance.oneOf([0, 0, 300, 20_000]);
    const stopped = process.scheduler.stop({ graceMs }).then(() => {
      if (process.isCrashed) return;
      process.state = "stopped";
      const left = this.ledger.callsOf(process).map(({ _runId }) => _runId);
      if (left.length > 0) this.ledger.broken("abort", `${process.name} stopped, but still runs ${left.join(", ")}`);
    });
    this.#tell(`${process.name} stops within ${graceMs} ms`);
    this.#ask("stop", stopped);
  }

  #thaw(process: Process): void {
    this.#thawedAt.set(process, this.#elapsed());
    this.#tell(`${process.name} goes on`);
    process.gate.letGo();
  }

  /** A process that can be asked for something. */
  #worker(): Process {
    const able = this.#processes.filter(({ gate }) => gate.isOpen);
    const started = able.filter(({ state }) => state === "started");
    return this.#chance.anyOf(started) ?? this.#chance.anyOf(able) ?? this.#open();
  }

  #possible(): Record<Deed, number> {
    const { habits } = this.plan;
    const started = this.#processes.filter(({ state, gate }) => state === "started" && gate.isOpen).length;
    const isShort = this.#processes.filter(({ state }) => state !== "crashed" && state !== "stopped").length;
    return {
      ...habits,
      start: isShort < this.plan.processes ? habits.start * 4 : 0,
      stop: started > 0 ? habits.stop : 0,
      crash: started > 0 ? habits.crash : 0,
      freeze: started > 0 ? habits.freeze : 0,
      thaw: this.#processes.some(({ isFrozen }) => isFrozen) ? habits.thaw : 0,
      delete: this.#live().length > 1 ? habits.delete : 0,
    };
  }

  #live() {
    return [...this.ledger.flows.values()].filter(({ isDeleted }) => !isDeleted);
  }

  #do(deed: Deed): void {
    this.#tell(`· ${deed}`);
    const chance = this.#chance;
    const flow = chance.anyOf(this.#live());
    const source = chance.anyOf([...this.#sources.values()]);
    const started = this.#processes.filter(({ state, gate }) => state === "started" && gate.isOpen);
    const process = chance.anyOf(started);
    const { registry, scheduler } = this.#worker();
    switch (deed) {
      case "append":
        if (source !== undefined) this.#append(source);
        break;
      case "run":
        if (flow !== undefined) this.#run(flow._id);
        break;
      case "sample":
        if (flow !== undefined) this.#ask(deed, scheduler.run(flow._id, { limit: chance.between(1, 5) }));
        break;
      case "accept":
        if (source !== undefined) this.#accept(source, true);
        break;
      case "acceptAgain":
        if (source !== undefined) this.#accept(source, false);
        break;
      case "cancel":
        this.#cancel();
        break;
      case "disable":
        if (flow !== undefined) this.#ask(deed, registry.patch(flow._id, { disabled: true }));
        break;
      case "enable":
        if (flow !== undefined) this.#ask(deed, registry.patch(flow._id, { disabled: false }));
        break;
      case "reschedule": {
        const schedule = chance.oneOf([null, "* * * * *", "*/2 * * * *"]);
        if (flow !== undefined) this.#ask(deed, registry.patch(flow._id, { schedule }));
        break;
      }
      case "create":
        this.#create(flowPlan(chance, this.plan.exports, this.plan.imports));
        break;
      case "delete":
        if (flow !== undefined) this.#ask(deed, registry.delete(flow._id));
        break;
      case "stop":
        if (process !== undefined) this.#stop(process);
        break;
      case "start":
        this.#startOne();
        break;
      case "crash":
        this.#tell(`${process?.name ?? "nobody"} crashes`);
        process?.crash();
        break;
      case "freeze":
        this.#tell(`${process?.name ?? "nobody"} freezes`);
        process?.gate.hold();
        break;
      case "thaw": {
        const frozen = this.#processes.find(({ isFrozen }) => isFrozen);
        if (frozen !== undefined) this.#thaw(frozen);
        break;
      }
      case "steal":
        this.#ask(deed, this.#steal());
        break;
      case "retry":
        if (flow !== undefined) this.#retry(flow._id);
        break;
      case "resolve":
        this.#resolve();
        break;
      case "jump":
        this.#jump();
        break;
      case "rewind":
        if (flow !== undefined) this.#ask(deed, this.#rewind(flow._id));
        break;
      case "wait": {
        const run = chance.anyOf([...this.ledger.runs.keys()]);
        if (run !== undefined) this.#ask(`wait for ${run}`, scheduler.waitFor(run));
        break;
      }
    }
  }

  // What was asked is answered some time, and if it is refused then for a reason that its asker can act on.
  #ask(what: string, answer: Promise<unknown>): void {
    const asked = `${++this.#deeds} ${what}`;
    this.#pending.add(asked);
    answer.then(
      () => this.#pending.delete(asked),
      (error: unknown) => {
        this.#pending.delete(asked);
        const code = isPoundlockError(error) ? error.code : undefined;
        this.#tell(`${what} is refused: ${code ?? String(error)}`);
        if (code === undefined || !refusals.includes(code))
          this.ledger.broken("quiet", `${what} was refused with ${String(error)}`);
      },
    );
  }

  #append(source: Source): void {
    const { plan } = source;
    const pages = this.#chance.oneOf([1, 1, 2, 3]);
    for (let nth = 0; nth < pages; nth++) {
      const count = this.#chance.happens(0.15) ? 0 : this.#chance.between(1, plan.mostRecords);
      source.append(count, !(plan.patchy && this.#chance.happens(0.4)));
    }
    this.#tell(`${plan._id} has ${source.pages.length} pages`);
  }

  #create(flow: FlowPlan): void {
    const { _exportId, _importIds, schedule } = flow;
    const input = { name: "a flow", _exportId, _importIds: [..._importIds] };
    const { registry } = this.#worker();
    this.#ask("create", registry.create(schedule === undefined ? input : { ...input, schedule }));
  }

  #run(_flowId: string): void {
    const { scheduler } = this.#worker();
    this.#ask("run", scheduler.run(_flowId));
  }

  #accept(source: Source, isNew: boolean): void {
    const chance = this.#chance;
    const old = Array.from({ length: chance.between(1, 3) }, () => source.oldEvent(chance.between(0, 4)));
    const again = old.filter((record) => record !== undefined);
    const records = isNew ? [...source.newEvents(chance.between(0, 4)), ...(chance.happens(0.2) ? again : [])] : again;
    const ids = records.map(eventIdOf);
    const process = this.#worker();
    const { _id } = source.plan;
    const listener = this.#hosts.get(process)?.listening.get(_id);
    const accepted =
      listener !== undefined && chance.happens(0.5)
        ? listener(records, { ids })
        : process.scheduler.accept(_id, records, { ids });
    const numbers = records.map(({ n }) => n);
    this.#ask(
      "accept",
      accepted.then((answer) => {
        this.#tell(`accepted ${JSON.stringify(answer)} of ${numbers.join(" ")}`);
        const isKept = (n: number) => [...this.ledger.flows.values()].some(({ events }) => events.has(n));
        for (const n of numbers)
          if (!isKept(n)) this.ledger.broken("intake", `event ${n} was accepted, but is in no inbox`);
        if (answer.accepted + answer.duplicates !== numbers.length)
          this.ledger.broken("intake", `${JSON.stringify(answer)} for ${numbers.length} records`);
      }),
    );
  }

  #cancel(): void {
    const open = [...this.ledger.runs.values()].filter(({ ended }) => ended === undefined);
    const running = open.filter(({ holder }) => holder !== undefined);
    const run = this.#chance.anyOf(this.#chance.happens(0.7) && running.length > 0 ? running : open);
    if (run === undefined) return;
    this.#tell(`cancel ${run._id}`);
    this.#ask("cancel", this.#worker().scheduler.cancel(run._id));
  }

  #startOne(): void {
    const stopped = this.#processes.filter(({ state }) => state === "stopped");
    const again = this.#chance.happens(0.5) ? this.#chance.anyOf(stopped) : undefined;
    void this.#start(again ?? this.#open());
  }

  // Another process thinks that the lease has run out long ago.
  async #steal(): Promise<void> {
    const { maxCrashes } = this.plan.options;
    const error = { code: "lease_lost", message: "stolen" };
    const now = this.#clock.now() + 1e9;
    this.ledger.stolen(await this.#storage.reclaimExpiredRuns({ now, maxCrashes, error, limit: 1 }));
  }

  #retry(_flowId: string): void {
    const { scheduler } = this.#worker();
    const books = [...(this.ledger.flows.get(_flowId)?.books.values() ?? [])];
    const book = this.#chance.anyOf(books);
    const some = this.#chance.someOf([...(book?.open.keys() ?? [])], 0, 3);
    const kind = this.#chance.oneOf(["all", "import", "some"]);
    const selection =
      kind === "import" && book !== undefined
        ? { _importId: book.plan._id }
        : kind === "some" && some.length > 0
          ? { _ids: some }
          : {};
    this.#ask("retry", scheduler.retryFailures(_flowId, selection));
  }

  #resolve(): void {
    const open = this.#live().flatMap(({ books }) => [...books.values()].flatMap((book) => [...book.open.keys()]));
    this.#ask("resolve", this.#worker().scheduler.resolveFailures(this.#chance.someOf(open, 0, 3)));
  }

  #jump(): void {
    const ms = this.#chance.oneOf([-8_000, 3_000, 50_000, 3_600_000]);
    this.#tell(`the clock on the wall jumps by ${ms} ms`);
    this.#jumpedAt = this.#elapsed();
    this.#jumpedMs += ms;
    this.#clock.jumpTo(this.#clock.now() + ms);
  }

  async #rewind(_flowId: string): Promise<void> {
    const flow = this.ledger.flows.get(_flowId);
    const page = this.#chance.between(0, pagesBefore(flow?.cursor));
    const isOrdered = flow?.source.plan.order === "ordered";
    const cursor = isOrdered ? { page } : { run: "by hand", base: 0, end: page, at: page };
    await this.#worker().scheduler.setCheckpoint(_flowId, page === 0 ? undefined : cursor);
  }

  // A cursor that moves without a commit, an ending or a hand that moves it is nobody's.
  async #check(): Promise<void> {
    this.ledger.checkCancels();
    for (const flow of this.#live()) {
      const stored = await this.#storage.findCheckpoint(flow._id);
      if (JSON.stringify(stored?.value) !== JSON.stringify(flow.cursor))
        this.ledger.broken("cursor", `flow ${flow._id} is at ${JSON.stringify(stored?.value)}, moved by nobody`);
    }
  }

  // A fresh record passes, too: as soon as its flow is due, or is asked to run if it has no schedule.
  async #freshRecords(): Promise<void> {
    for (const source of this.#sources.values()) this.#append(source);
    for (const { _id } of this.#live()) {
      const flow = await this.#storage.findFlow(_id);
      if (flow?.schedule === undefined || flow.schedule !== "* * * * *") this.#run(_id);
    }
  }

  async #retryAll(): Promise<void> {
    for (const { _id } of this.#live()) this.#ask("retry", this.#worker().scheduler.retryFailures(_id));
    await this.#pass(15_000);
    for (const { _id, books } of this.#live())
      for (const { plan, open } of books.values())
        for (const n of open.values())
          if (!((plan.refuses > 0 && n % plan.refuses === 1) || (plan.cannotMap > 0 && n % plan.cannotMap === 2)))
            this.ledger.broken("liveness", `the failure of record ${n} of flow ${_id} at ${plan._id} is still open`);
  }

  // What the storage says at the end is what the ledger says.
  async #compare(): Promise<void> {
    const differs = (invariant: Invariant, what: string, pair: readonly [unknown, unknown]) => {
      const [said, known] = pair.map((side) => JSON.stringify(side));
      if (said !== known)
        this.ledger.broken(invariant, `${what}: the storage has ${said ?? ""}, expected ${known ?? ""}`);
    };
    for (const flow of this.#live()) {
      const failures = await this.#storage.listFailures({ _flowId: flow._id, status: "open", limit: 1_000 });
      const open = [...flow.books.values()].flatMap((book) => [...book.open.keys()]);
      if (failures.next === undefined)
        differs("conservation", `open failures of ${flow._id}`, [
          failures.items.map(({ _id }) => _id).sort(),
          open.sort(),
        ]);
      const { items } = await this.#storage.listRuns({ _flowId: flow._id, limit: 1_000 });
      const waiting = items.filter(({ status }) => status === "queued").map(({ _id }) => _id);
      differs("first in, first out", `waiting runs of ${flow._id}`, [waiting.sort(), [...flow.line].sort()]);
      const active = items.filter(({ status }) => status === "running" || status === "canceling");
      differs("one running run", `running runs of ${flow._id}`, [active.map(({ _id }) => _id)[0], flow.active]);
    }
    this.#checkListening();
  }

  #checkListening(): void {
    const used = new Set(this.#live().map(({ source }) => source.plan._id));
    for (const [process, { listening }] of this.#hosts)
      if (process.state === "started")
        for (const { plan } of this.#sources.values())
          if (plan.listens && used.has(plan._id) && !listening.has(plan._id))
            this.ledger.broken("intake", `${process.name} does not listen on ${plan._id}`);
  }

  async #close(): Promise<void> {
    for (const process of this.#processes) if (process.state === "started") this.#stop(process);
    await this.#pass(25_000);
    const open = [...this.#pending].filter((asked) => /stop|create|accept|run|cancel$/.test(asked));
    const isAlone = !this.#processes.some(({ isCrashed }) => isCrashed);
    if (isAlone && open.length > 0) this.ledger.broken("liveness", `never answered: ${open.join(", ")}`);
    if (this.#clock.timers > 0) this.ledger.broken("quiet", `${this.#clock.timers} timers wait though all has ended`);
  }
}
