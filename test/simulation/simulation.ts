import { MemoryStorage, type Run } from "../../src/index.ts";
import type { Storage, Wake } from "../../src/storage/storage.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { Chance } from "../support/chance.ts";
import { Actions } from "./actions.ts";
import { Chaos, Host } from "./host.ts";
import { HostChecks } from "./host-checks.ts";
import { type FlowModel, type Invariant, Model } from "./model.ts";
import type { Plan } from "./plan.ts";
import { type Parts, Process } from "./process.ts";
import { Source, isRefused, isUnmappable } from "./source.ts";
import { StandingChecks } from "./standing.ts";
import { StorageChecks } from "./storage-checks.ts";

/** The longest a run waits for a sweep. */
const sweepMs = 30_000;

/** Longer than any pause that ends by itself. */
const pauseMs = 1_000_000;

/** Timers that may wait at once. */
const mostTimers = 200;

/** By how much processes err about the time of the storage, in milliseconds. */
const clockErrorMs = 100;

/** The engine in one process or several, all that happens to it, and the model of what it must do. */
export class Simulation {
  readonly plan: Plan;
  readonly trace: string[] = [];
  readonly model: Model;
  readonly sources = new Map<string, Source>();
  readonly processes: Process[] = [];
  readonly hosts = new Map<Process, Host>();
  readonly storage: Storage;
  readonly faults = new Chaos();
  readonly chance: Chance;
  readonly checks: StorageChecks;
  readonly #hostChecks: HostChecks;
  readonly #standing: StandingChecks;
  readonly #clock = new ManualClock("2030-01-01T00:00:07Z");
  readonly #actions: Actions;
  /** How far clocks on the wall were moved. */
  #jumpedMs = 0;
  #jumpedAt = -Infinity;
  #isSetBack = false;
  #disturbedAt = -Infinity;
  readonly #thawedAt = new Map<Process, number>();
  #ids = 0;
  readonly #began: number;

  constructor(plan: Plan, storage: Storage = new MemoryStorage()) {
    this.plan = plan;
    this.storage = storage;
    this.chance = new Chance(plan.seed ^ 0x5eed);
    this.#began = this.#clock.now();
    for (const one of plan.exports) this.sources.set(one._id, new Source(one));
    this.model = new Model({
      plan,
      sources: this.sources,
      elapsed: () => this.elapsed(),
      isHealthy: (process) => this.#isHealthy(process),
      clocksAgree: () => this.#clocksAgree(),
      trace: (line) => this.note(line),
    });
    this.#hostChecks = new HostChecks(this.model);
    this.checks = new StorageChecks(this.model, this.#hostChecks);
    this.#standing = new StandingChecks({
      ...{ model: this.model, storage, processes: this.processes },
      timeOf: (process) => this.now() + (plan.many?.storageClock === true ? 0 : process.skew.ms),
      disturbedAt: () => this.#disturbedAt,
      mostMs: 2 * Math.max(plan.options.leaseMs, sweepMs) + 15_000,
    });
    this.#actions = new Actions(this);
    this.note(JSON.stringify(plan));
  }

  isBroken(): boolean {
    return this.model.violations.length > 0;
  }

  /** Everything may happen. */
  async chaos(): Promise<void> {
    for (let nth = 0; nth < this.plan.processes; nth++) this.openAny();
    for (const process of this.processes) await this.#actions.start(process);
    await this.#actions.begin();
    for (let step = 0; step < this.plan.steps && !this.isBroken(); step++) {
      this.#actions.perform();
      await this.pass(this.#delay());
      await this.#check();
    }
  }

  /** Nothing goes wrong any more: what was left behind has to be made up for. */
  async recover(): Promise<void> {
    this.note("the chaos is over");
    this.faults.end();
    for (const process of this.processes) if (process.isFrozen) this.thaw(process);
    if (this.plan.many?.storageClock === false) this.#setClocks();
    await this.pass(2_000);
    if (!this.processes.some(({ state }) => state === "started")) await this.#actions.start(this.openAny());
    if (!this.live().every((flow) => this.#canRun(flow))) await this.#actions.start(this.openWhole());
    this.#actions.enableAll();
    await this.pass(1_000);
    await this.#resumeAll();
    if (!this.isBroken()) await this.#endRuns();
    if (!this.isBroken()) await this.#drain();
    if (!this.isBroken() && this.chance.happens(0.5)) await this.#retryAll();
    if (!this.isBroken()) await this.#compare();
    if (!this.isBroken()) await this.#close();
  }

  /** Whatever still waits is let go. */
  end(): void {
    this.faults.end();
    for (const process of this.processes) process.crash();
  }

  /** Milliseconds since the beginning, whatever the clocks on the wall say. */
  elapsed(): number {
    return this.#clock.now() - this.#began - this.#jumpedMs;
  }

  now(): number {
    return this.#clock.now();
  }

  async pass(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    if (this.#clock.timers > mostTimers) this.model.violate("quiet", `${this.#clock.timers} timers wait`);
  }

  /** What goes on by itself may take a round of maintenance from now on. */
  disturb(): void {
    this.#disturbedAt = this.elapsed();
  }

  note(line: string): void {
    this.trace.push(`${String(this.elapsed()).padStart(7)} ${line}`);
  }

  /** The clock on the wall is moved. */
  jump(ms: number): void {
    this.#jumpedAt = this.elapsed();
    if (ms < 0) this.#isSetBack = true;
    this.#jumpedMs += ms;
    this.#clock.jumpTo(this.#clock.now() + ms);
  }

  thaw(process: Process): void {
    this.#thawedAt.set(process, this.elapsed());
    this.note(`${process.name} goes on`);
    process.gate.thaw();
  }

  /** Flows that are there. */
  live(): readonly FlowModel[] {
    return [...this.model.flows.values()].filter(({ isDeleted }) => !isDeleted);
  }

  /** A new process with these parts. */
  open(has: Parts): Process {
    const { chance, model, plan } = this;
    const { many } = plan;
    const isSet = plan.processes === 1 || (many !== undefined && this.faults.isOver);
    const skewMs = isSet ? 0 : (many?.skewMs ?? 1_500);
    const process = new Process({
      name: `process-${this.processes.length}`,
      plan,
      clock: this.#clock,
      skewMs: skewMs > 0 ? chance.between(-skewMs, skewMs) : 0,
      errorMs: many?.storageClock === true ? chance.between(-clockErrorMs, clockErrorMs) : undefined,
      has,
      storage: this.storage,
      view: {
        chance,
        viewsParts: many !== undefined,
        settled: (answer) => (many === undefined ? answer : this.#settled(answer)),
        conditions: () => (this.faults.isOver ? { slowMs: plan.storage.slowMs, faults: 0 } : plan.storage),
        shared: true,
        onCall: (caller, call) => this.checks.observe(caller, call),
        onWakes: ({ name }, call, wakes) => this.#noteWakes(`${name} ${call}`, wakes),
      },
      chance,
      newId: () => `id-${String(++this.#ids).padStart(5, "0")}`,
    });
    const trace = (line: string) => this.note(line);
    const host = new Host({ process, model, checks: this.#hostChecks, chance, chaos: this.faults, trace });
    for (const source of this.sources.values())
      if (has.exportIds.includes(source.plan._id)) process.registry.addExport(source.plan._id, host.export(source));
    for (const one of plan.imports)
      if (has.importIds.includes(one._id)) process.registry.addImport(one._id, host.import(one));
    this.#watch(process);
    if (many !== undefined) this.note(`${process.name} is there: ${JSON.stringify({ ...has, ...process.skew })}`);
    this.processes.push(process);
    this.hosts.set(process, host);
    return process;
  }

  /** A new process with all exports and imports. */
  openWhole(): Process {
    const { exports, imports } = this.plan;
    return this.open({ exportIds: exports.map(({ _id }) => _id), importIds: imports.map(({ _id }) => _id) });
  }

  /** A new process, which may lack some of them. */
  openAny(): Process {
    const { chance, plan } = this;
    if (plan.many === undefined) return this.openWhole();
    const exportIds = plan.exports.map(({ _id }) => _id);
    const importIds = plan.imports.map(({ _id }) => _id);
    const { exports, imports } = plan.many.lacks;
    const some = (ids: readonly string[], rate: number) =>
      chance.happens(rate) ? chance.someOf(ids, 1, ids.length - 1) : ids;
    return this.open({ exportIds: some(exportIds, exports), importIds: some(importIds, imports) });
  }

  #canRun({ imports, source }: FlowModel): boolean {
    return this.processes.some(
      (process) => process.state === "started" && process.canRun(source.plan._id, imports.keys()),
    );
  }

  // Time does not go on before a storage has answered, however many turns of the event loop it takes.
  async #settled<T>(answer: Promise<T>): Promise<T> {
    const waiting = new Set([answer]);
    const settled = () => waiting.delete(answer);
    answer.then(settled, settled);
    while (waiting.size > 0) await this.#clock.yieldToEventLoop();
    return answer;
  }

  #noteWakes(call: string, wakes: readonly Wake[]): void {
    if (wakes.length > 0) this.note(`${call} ${wakes.map(({ _flowId }) => _flowId).join(" ")}`);
  }

  #clocksAgree(): boolean {
    const { many, options } = this.plan;
    if (many === undefined || many.storageClock) return true;
    const skews = this.processes.filter(({ isCrashed }) => !isCrashed).map(({ skew }) => skew.ms);
    return Math.max(...skews) - Math.min(...skews) < options.leaseMs / 3;
  }

  /**
   * How far what a clock that was ahead has left may be away, in milliseconds: instants for which flows wait, and due times
   * that have had their runs.
   */
  get #behindMs(): number {
    const { many } = this.plan;
    return many === undefined || many.storageClock ? 0 : many.skewMs;
  }

  /** How much longer pauses may last, in milliseconds: those of a clock that was up to an hour ahead keep their instants. */
  get #pausedMs(): number {
    return Math.max(this.#behindMs, this.#isSetBack ? 3_600_000 : 0);
  }

  // Somebody sets them right.
  #setClocks(): void {
    this.note("all clocks are set");
    this.#jumpedAt = this.elapsed();
    for (const { skew } of this.processes) skew.ms = 0;
  }

  #watch({ scheduler, name }: Process): void {
    const ended = ({ run }: { readonly run: Run }) =>
      this.note(`${name} ${run.status} ${run._id} ${run.error?.code ?? ""} ${run.error?.message ?? ""}`);
    scheduler.on("run:queued", ({ run }) => this.note(`${name} queued ${run._id} of ${run._flowId}: ${run.trigger}`));
    scheduler.on("run:started", ({ run }) => this.note(`${name} started ${run._id} of ${run._flowId}`));
    scheduler.on("run:requeued", ({ run, reason }) => this.note(`${name} requeued ${run._id}: ${reason}`));
    scheduler.on("lease:lost", ({ run }) => this.note(`${name} lost ${run._id}`));
    scheduler.on("import:paused", ({ run, _importId, pause }) =>
      this.note(`${name} paused ${_importId} of ${run._flowId} until ${pause.resumeAt ?? pause.until}`),
    );
    scheduler.on("import:resumed", ({ _flowId, _importId }) => this.note(`${name} resumed ${_importId} of ${_flowId}`));
    scheduler.on("run:completed", ended);
    scheduler.on("run:failed", ended);
    scheduler.on("run:canceled", ended);
    scheduler.on("listener:error", ({ error }) => this.model.violate("quiet", `a listener threw ${String(error)}`));
    scheduler.on("background:error", ({ error, during }) => {
      this.note(`${name} error while ${during}: ${String(error)}`);
      // Its tracer may be one that does what it must not, which is reported, and harms nothing.
      const isExpected = during === "tracing" || this.plan.storage.faults > 0;
      if (!isExpected) this.model.violate("quiet", `error while ${during}: ${String(error)}`);
    });
  }

  #delay(): number {
    const kind = this.chance.weighted({ instant: 4, moment: 4, seconds: 5, half: 1, minutes: 0.5 });
    switch (kind) {
      case "instant":
        return 0;
      case "moment":
        return this.chance.between(1, 300);
      case "seconds":
        return this.chance.between(300, 6_000);
      case "half":
        return this.chance.between(6_000, 45_000);
      case "minutes":
        return this.chance.between(45_000, 130_000);
    }
  }

  #isHealthy(process: Process): boolean {
    const recently = this.elapsed() - 2 * this.plan.options.leaseMs;
    return (
      this.plan.storage.faults === 0 &&
      process.gate.isOpen &&
      (this.#thawedAt.get(process) ?? -Infinity) < recently &&
      this.#jumpedAt < recently
    );
  }

  // A place that moves without a commit, an ending or a hand that moves it is moved by nothing that may.
  async #check(): Promise<void> {
    this.model.checkCancels();
    if (this.plan.storage.faults === 0) await this.#standing.check();
    for (const flow of this.live()) {
      const places = await this.storage.findPlaces(flow._id);
      for (const [_importId, { checkpoint, position }] of flow.imports) {
        const { checkpoint: stored, position: at } = places[_importId] ?? {};
        const found = JSON.stringify([stored?.value, at?.checkpoint?.value]);
        const known = JSON.stringify([checkpoint, position?.cursor]);
        if (found !== known)
          this.model.violate("cursor", `${_importId} of flow ${flow._id} is at ${found}, and was moved to ${known}`);
      }
      const { disabled = true, nextRunAt, schedule } = (await this.storage.findFlow(flow._id)) ?? {};
      if (!disabled && schedule !== undefined && nextRunAt === undefined)
        this.model.violate("due times", `flow ${flow._id} has a schedule, and no due time`);
    }
  }

  // A pause ends by itself, or when somebody ends it, and then the import goes on.
  async #resumeAll(): Promise<void> {
    const paused = () => this.live().flatMap((flow) => [...flow.imports.values()].flatMap(({ pause }) => pause ?? []));
    for (const { _id, imports } of this.live())
      if ([...imports.values()].some(({ pause }) => pause?.until === "person")) this.#actions.resume(_id);
    for (
      let waited = 0;
      waited < pauseMs + this.#pausedMs && paused().some(({ until }) => until !== "person");
      waited += sweepMs
    )
      await this.pass(sweepMs);
    for (const { _id, imports } of this.live())
      for (const { pause, plan } of imports.values())
        if (pause !== undefined && pause.until !== "person")
          this.model.violate("liveness", `${plan._id} of flow ${_id} is still paused, though all is well`);
  }

  async #endRuns(): Promise<void> {
    const { many, options } = this.plan;
    const left = this.model.unfinished();
    // The lease of a process whose clock was ahead runs out once others have seen it unchanged for two of its lengths.
    const lengths = many?.storageClock === false || this.#isSetBack ? 5 : 2;
    await this.pass(lengths * Math.max(options.leaseMs, sweepMs) + 15_000);
    await this.#passWaits(left);
    const open = new Set(this.model.unfinished());
    for (const run of left)
      if (open.has(run)) this.model.violate("liveness", `run ${run} has not ended, though all is well`);
  }

  // A sample or a backfill that met an outage waits as long as a pause would: two minutes for the third.
  async #passWaits(runs: readonly string[]): Promise<void> {
    for (const _id of runs) {
      const { status, notBefore } = (await this.storage.findRun(_id)) ?? {};
      if (status !== "queued" || notBefore === undefined) continue;
      const leftMs = Date.parse(notBefore) - this.#clock.now();
      if (leftMs > 0) await this.pass(leftMs + 15_000);
    }
  }

  async #drain(): Promise<void> {
    this.#actions.appendToAll();
    // A reading that went on where another run left it ends there: what came since is for the next one.
    for (let nth = 0; nth < 2; nth++) {
      for (const { _id } of this.live()) this.#actions.run(_id);
      await this.pass(20_000);
    }
    this.model.checkDrained();
    if (this.isBroken()) return;
    await this.#freshRecords();
    await this.pass(62_000 + this.#behindMs);
    this.model.checkDrained();
    this.model.checkStates();
    await this.#check();
    await this.#checkDueTimes();
  }

  // A fresh record passes, too: as soon as its flow is due, or is asked to run if it has no schedule.
  async #freshRecords(): Promise<void> {
    this.#actions.appendToAll();
    for (const { _id } of this.live()) {
      const flow = await this.storage.findFlow(_id);
      if (flow?.schedule === undefined || flow.schedule !== "* * * * *") this.#actions.run(_id);
    }
  }

  // Whatever the clocks did before.
  async #checkDueTimes(): Promise<void> {
    for (const { _id } of this.live()) {
      const { nextRunAt, schedule } = (await this.storage.findFlow(_id)) ?? {};
      if (schedule === undefined) continue;
      const inMs = Date.parse(nextRunAt ?? "") - this.now();
      if (!(inMs <= 130_000)) this.model.violate("due times", `flow ${_id} is due at ${nextRunAt ?? "no time"}`);
    }
  }

  async #retryAll(): Promise<void> {
    this.#actions.retryAll();
    await this.pass(15_000);
    for (const { _id, imports } of this.live())
      for (const { plan, open } of imports.values())
        for (const n of open.values())
          if (!isRefused(plan, n) && !isUnmappable(plan, n))
            this.model.violate("liveness", `the failure of record ${n} of flow ${_id} at ${plan._id} is still open`);
  }

  // What the storage has at the end is what the model has.
  async #compare(): Promise<void> {
    for (const flow of this.live()) {
      const failures = await this.storage.listFailures({ _flowId: flow._id, status: "open", limit: 1_000 });
      const open = [...flow.imports.values()].flatMap((into) => [...into.open.keys()]);
      const stored = failures.items.map(({ _id }) => _id);
      if (failures.next === undefined)
        this.#expectSame("conservation", `open failures of ${flow._id}`, stored.sort(), open.sort());
      const { items } = await this.storage.listRuns({ _flowId: flow._id, limit: 1_000 });
      const waiting = items.filter(({ status }) => status === "queued").map(({ _id }) => _id);
      this.#expectSame("first in, first out", `waiting runs of ${flow._id}`, waiting.sort(), [...flow.queue].sort());
      const active = items.filter(({ status }) => status === "running" || status === "canceling");
      this.#expectSame("one running run", `running runs of ${flow._id}`, active[0]?._id, flow.active);
    }
    this.#checkListening();
  }

  #expectSame(invariant: Invariant, what: string, stored: unknown, known: unknown): void {
    const [one, other] = [JSON.stringify(stored), JSON.stringify(known)];
    if (one !== other) this.model.violate(invariant, `${what}: the storage has ${one}, expected ${other}`);
  }

  // Each export that is in use is listened to by one of the processes.
  #checkListening(): void {
    const used = new Set(this.live().map(({ source }) => source.plan._id));
    const hosts = [...this.hosts].filter(([process]) => process.state === "started");
    for (const { plan } of this.sources.values()) {
      if (!plan.listens || !used.has(plan._id) || hosts.length === 0) continue;
      const listening = hosts.filter(([, host]) => host.listening.has(plan._id)).map(([{ name }]) => name);
      if (listening.length !== 1)
        this.model.violate("intake", `${plan._id} is listened to by ${listening.join(" and ") || "none"}`);
    }
  }

  async #close(): Promise<void> {
    for (const process of this.processes) if (process.state === "started") this.#actions.stop(process);
    await this.pass(25_000);
    const open = this.#actions.pending.filter((asked) => /stop|create|accept|run|cancel$/.test(asked));
    const isAlone = !this.processes.some(({ isCrashed }) => isCrashed);
    if (isAlone && open.length > 0) this.model.violate("liveness", `never returned: ${open.join(", ")}`);
    if (this.#clock.timers > 0) this.model.violate("quiet", `${this.#clock.timers} timers wait though all has ended`);
  }
}
