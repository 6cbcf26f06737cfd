import { isPoundlockError } from "../../src/index.ts";
import { type Action, type FlowPlan, flowPlan } from "./plan.ts";
import type { Process } from "./process.ts";
import type { Simulation } from "./simulation.ts";
import { type Source, eventIdOf, pagesBefore } from "./source.ts";

/** Codes with which the engine may refuse what an action asks of it. */
const refusals = ["not_found", "flow_disabled", "busy", "conflict", "storage_failed"];

/** After these it may take until the next round of maintenance before every process does its part. */
const disturbing: ReadonlySet<Action> = new Set<Action>([
  ...(["crash", "forget", "freeze", "jump", "start", "steal", "stop", "thaw"] as const),
]);

/** What hosts, persons and accidents do to the engine, by chance. */
export class Actions {
  readonly #simulation: Simulation;
  readonly #pending = new Set<string>();
  #count = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  /** What was asked and has not returned. */
  get pending(): readonly string[] {
    return [...this.#pending];
  }

  /** What is there from the beginning. */
  async begin(): Promise<void> {
    const { plan, sources } = this.#simulation;
    for (const source of sources.values()) this.#append(source);
    for (const flow of plan.flows) this.#create(flow);
    await this.#simulation.pass(10);
  }

  /** One of those that are possible now. */
  perform(): void {
    const { chance } = this.#simulation;
    const action = chance.weighted(this.#possible());
    this.#simulation.note(`· ${action}`);
    if (disturbing.has(action)) this.#simulation.disturb();
    const flow = chance.anyOf(this.#simulation.live());
    const source = chance.anyOf([...this.#simulation.sources.values()]);
    const process = chance.anyOf(this.#started());
    if (flow !== undefined) this.#toFlow[action]?.(flow._id);
    if (source !== undefined) this.#toSource[action]?.(source);
    if (process !== undefined) this.#toProcess[action]?.(process);
    this.#others[action]?.();
  }

  async start(process: Process): Promise<void> {
    process.state = "starting";
    const started = process.scheduler.start().then(
      () => (process.isCrashed ? undefined : (process.state = "started")),
      (error: unknown) => {
        if (!process.isCrashed) process.state = "stopped";
        throw error;
      },
    );
    this.#ask("start", started);
    await this.#simulation.pass(0);
  }

  stop(process: Process): void {
    process.state = "stopping";
    const { chance, model } = this.#simulation;
    const graceMs = chance.oneOf([0, 0, 300, 20_000]);
    const stopped = process.scheduler.stop({ graceMs }).then(() => {
      if (process.isCrashed) return;
      process.state = "stopped";
      const left = model.callsOf(process).map(({ _runId }) => _runId);
      if (left.length > 0) model.violate("abort", `${process.name} stopped, but still runs ${left.join(", ")}`);
    });
    this.#simulation.note(`${process.name} stops within ${graceMs} ms`);
    this.#ask("stop", stopped);
  }

  run(_flowId: string): void {
    this.#ask("run", this.#worker().scheduler.run(_flowId));
  }

  resume(_flowId: string): void {
    this.#ask("resume", this.#worker().scheduler.resume(_flowId));
  }

  retryAll(): void {
    for (const { _id } of this.#simulation.live()) this.#ask("retry", this.#worker().scheduler.retryFailures(_id));
  }

  enableAll(): void {
    for (const { _id } of this.#simulation.live())
      this.#ask("enable", this.#worker().registry.patch(_id, { disabled: false }));
  }

  appendToAll(): void {
    for (const source of this.#simulation.sources.values()) this.#append(source);
  }

  #started(): readonly Process[] {
    return this.#simulation.processes.filter(({ state, gate }) => state === "started" && gate.isOpen);
  }

  /** A process that can be asked for something. */
  #worker(isAble: (process: Process) => boolean = () => true): Process {
    const { chance, processes } = this.#simulation;
    const open = processes.filter((process) => process.gate.isOpen && isAble(process));
    return chance.anyOf(this.#started().filter(isAble)) ?? chance.anyOf(open) ?? this.#simulation.openWhole();
  }

  #possible(): Record<Action, number> {
    const { faults, plan, processes } = this.#simulation;
    const { habits } = plan;
    const isStarted = this.#started().length > 0;
    const there = processes.filter(({ state }) => state !== "crashed" && state !== "stopped").length;
    return {
      ...habits,
      start: there < plan.processes ? habits.start * 4 : 0,
      stop: isStarted ? habits.stop : 0,
      crash: isStarted ? habits.crash : 0,
      freeze: isStarted ? habits.freeze : 0,
      thaw: processes.some(({ isFrozen }) => isFrozen) ? habits.thaw : 0,
      delete: this.#simulation.live().length > 1 ? habits.delete : 0,
      outage: plan.imports.some(({ outages }) => outages) ? habits.outage : 0,
      heal: faults.down.length > 0 ? habits.heal : 0,
    };
  }

  readonly #toFlow: Partial<Record<Action, (_flowId: string) => void>> = {
    run: (_flowId) => this.run(_flowId),
    sample: (_flowId) => {
      const limit = this.#simulation.chance.between(1, 5);
      this.#ask("sample", this.#worker().scheduler.run(_flowId, { limit }));
    },
    disable: (_flowId) => this.#ask("disable", this.#worker().registry.patch(_flowId, { disabled: true })),
    enable: (_flowId) => this.#ask("enable", this.#worker().registry.patch(_flowId, { disabled: false })),
    reschedule: (_flowId) => {
      const schedule = this.#simulation.chance.oneOf([null, "* * * * *", "*/2 * * * *"]);
      this.#ask("reschedule", this.#worker().registry.patch(_flowId, { schedule }));
    },
    delete: (_flowId) => this.#ask("delete", this.#worker().registry.delete(_flowId)),
    retry: (_flowId) => this.#retry(_flowId),
    rewind: (_flowId) => this.#ask("rewind", this.#rewind(_flowId)),
    resume: (_flowId) => this.resume(_flowId),
  };

  readonly #toSource: Partial<Record<Action, (source: Source) => void>> = {
    append: (source) => this.#append(source),
    accept: (source) => this.#accept(source, true),
    acceptAgain: (source) => this.#accept(source, false),
  };

  readonly #toProcess: Partial<Record<Action, (process: Process) => void>> = {
    stop: (process) => this.stop(process),
    crash: (process) => {
      this.#simulation.note(`${process.name} crashes`);
      process.crash();
    },
    freeze: (process) => {
      this.#simulation.note(`${process.name} freezes`);
      process.gate.freeze();
    },
  };

  readonly #others: Partial<Record<Action, () => void>> = {
    cancel: () => this.#cancel(false),
    discard: () => this.#cancel(true),
    create: () => {
      const { chance, plan } = this.#simulation;
      this.#create(flowPlan(chance, plan.exports, plan.imports));
    },
    resolve: () => this.#resolve(),
    wait: () => {
      const run = this.#simulation.chance.anyOf([...this.#simulation.model.runs.keys()]);
      if (run !== undefined) this.#ask(`wait for ${run}`, this.#worker().scheduler.waitFor(run));
    },
    start: () => this.#startOne(),
    thaw: () => {
      const frozen = this.#simulation.processes.find(({ isFrozen }) => isFrozen);
      if (frozen !== undefined) this.#simulation.thaw(frozen);
    },
    steal: () => this.#ask("steal", this.#steal()),
    jump: () => {
      const ms = this.#simulation.chance.oneOf([-7_200_000, -8_000, 3_000, 50_000, 3_600_000, 7_200_000]);
      this.#simulation.note(`the clock on the wall jumps by ${ms} ms`);
      this.#simulation.jump(ms);
    },
    forget: () => this.#ask("forget", this.#forgetWakes()),
    outage: () => this.#takeDown(),
    heal: () => this.#heal(),
  };

  // A database that has crashed has lost them.
  async #forgetWakes(): Promise<void> {
    const { sources, storage } = this.#simulation;
    await storage.wakes?.claimWakes(1_000, [...sources.keys()]);
  }

  #takeDown(): void {
    const { chance, faults, plan } = this.#simulation;
    const down = chance.anyOf(plan.imports.filter(({ outages }) => outages));
    if (down === undefined) return;
    this.#simulation.note(`${down._id} is down`);
    faults.takeDown(down._id);
  }

  #heal(): void {
    const { chance, faults } = this.#simulation;
    const down = chance.anyOf(faults.down);
    if (down === undefined) return;
    this.#simulation.note(`${down} is up again`);
    faults.heal(down);
  }

  // What was asked returns some time, and if it is refused then for a reason that its caller can act on.
  #ask(what: string, result: Promise<unknown>): void {
    const asked = `${++this.#count} ${what}`;
    this.#pending.add(asked);
    result.then(
      () => this.#pending.delete(asked),
      (error: unknown) => {
        this.#pending.delete(asked);
        const code = isPoundlockError(error) ? error.code : undefined;
        this.#simulation.note(`${what} is refused: ${code ?? String(error)}`);
        if (code === undefined || !refusals.includes(code))
          this.#simulation.model.violate("quiet", `${what} was refused with ${String(error)}`);
      },
    );
  }

  #append(source: Source): void {
    const { chance } = this.#simulation;
    const { plan } = source;
    const pages = chance.oneOf([1, 1, 2, 3]);
    for (let nth = 0; nth < pages; nth++) {
      const count = chance.happens(0.15) ? 0 : chance.between(1, plan.mostRecords);
      source.append(count, !(plan.patchy && chance.happens(0.4)));
    }
    this.#simulation.note(`${plan._id} has ${source.pages.length} pages`);
  }

  #create({ _exportId, _importIds, schedule }: FlowPlan): void {
    const input = { name: "a flow", _exportId, _importIds: [..._importIds] };
    const { registry } = this.#worker((process) => process.canRun(_exportId, _importIds));
    this.#ask("create", registry.create(schedule === undefined ? input : { ...input, schedule }));
  }

  #accept(source: Source, isNew: boolean): void {
    const { chance, hosts, model } = this.#simulation;
    const old = Array.from({ length: chance.between(1, 3) }, () => source.oldEvent(chance.between(0, 4)));
    const again = old.filter((record) => record !== undefined);
    const records = isNew ? [...source.newEvents(chance.between(0, 4)), ...(chance.happens(0.2) ? again : [])] : again;
    const ids = records.map(eventIdOf);
    const process = this.#worker();
    const { _id } = source.plan;
    const listener = hosts.get(process)?.listening.get(_id);
    const accepted =
      listener !== undefined && chance.happens(0.5)
        ? listener(records, { ids })
        : process.scheduler.accept(_id, records, { ids });
    const numbers = records.map(({ n }) => n);
    const checked = accepted.then((result) => {
      this.#simulation.note(`accepted ${JSON.stringify(result)} of ${numbers.join(" ")}`);
      const isKept = (n: number) => [...model.flows.values()].some(({ events }) => events.has(n));
      for (const n of numbers) if (!isKept(n)) model.violate("intake", `event ${n} was accepted, but is in no inbox`);
      if (result.accepted + result.duplicates !== numbers.length)
        model.violate("intake", `${JSON.stringify(result)} for ${numbers.length} records`);
    });
    this.#ask("accept", checked);
  }

  #cancel(discard: boolean): void {
    const { chance, model } = this.#simulation;
    const open = [...model.runs.values()].filter(({ ended }) => ended === undefined);
    const running = open.filter(({ holder }) => holder !== undefined);
    const run = chance.anyOf(chance.happens(0.7) && running.length > 0 ? running : open);
    if (run === undefined) return;
    this.#simulation.note(`cancel ${run._id}`);
    this.#ask("cancel", this.#worker().scheduler.cancel(run._id, discard ? { discard } : {}));
  }

  #startOne(): void {
    const { chance, processes } = this.#simulation;
    const stopped = processes.filter(({ state }) => state === "stopped");
    const again = chance.happens(0.5) ? chance.anyOf(stopped) : undefined;
    void this.start(again ?? this.#simulation.openAny());
  }

  // Another process thinks that the lease has run out long ago.
  async #steal(): Promise<void> {
    const { checks, plan, storage } = this.#simulation;
    const { maxCrashes } = plan.options;
    const error = { code: "lease_lost", message: "stolen" };
    const now = this.#simulation.now() + 1e9;
    checks.stolen(await storage.reclaimExpiredRuns({ now, maxCrashes, error, limit: 1 }));
  }

  #retry(_flowId: string): void {
    const { chance, model } = this.#simulation;
    const { scheduler } = this.#worker();
    const into = chance.anyOf([...(model.flows.get(_flowId)?.imports.values() ?? [])]);
    const some = chance.someOf([...(into?.open.keys() ?? [])], 0, 3);
    const kind = chance.oneOf(["all", "import", "some"]);
    const selection =
      kind === "import" && into !== undefined
        ? { _importId: into.plan._id }
        : kind === "some" && some.length > 0
          ? { _ids: some }
          : {};
    this.#ask("retry", scheduler.retryFailures(_flowId, selection));
  }

  #resolve(): void {
    const { chance } = this.#simulation;
    const flows = this.#simulation.live();
    const open = flows.flatMap(({ imports }) => [...imports.values()].flatMap((into) => [...into.open.keys()]));
    this.#ask("resolve", this.#worker().scheduler.resolveFailures(chance.someOf(open, 0, 3)));
  }

  async #rewind(_flowId: string): Promise<void> {
    const { chance, model } = this.#simulation;
    const flow = model.flows.get(_flowId);
    const imports = [...(flow?.imports.values() ?? [])];
    const only = chance.happens(0.5) ? chance.anyOf(imports) : undefined;
    const moved = only === undefined ? imports : [only];
    // Back, never on: what is left out by hand would be missing.
    const page = chance.between(0, Math.min(...moved.map(({ checkpoint }) => pagesBefore(checkpoint))));
    const isOrdered = flow?.source.plan.order === "ordered";
    const cursor = isOrdered ? { page } : { base: 0, end: page, at: page };
    const chosen = only === undefined ? {} : { _importId: only.plan._id };
    const { scheduler } = this.#worker();
    await scheduler.setCheckpoint(_flowId, page === 0 ? undefined : cursor, chosen);
  }
}
