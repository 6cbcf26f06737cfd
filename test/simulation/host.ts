import {
  type Export,
  type ExportContext,
  type Import,
  type ImportContext,
  type Json,
  type ListenContext,
  type Result,
  type Run,
  reject,
  retryLater,
  stop,
} from "../../src/index.ts";
import type { Chance } from "../support/chance.ts";
import type { HostChecks } from "./host-checks.ts";
import type { HostCall, Model } from "./model.ts";
import type { ExportPlan, ImportPlan } from "./plan.ts";
import type { Process } from "./process.ts";
import {
  type Cursor,
  type Source,
  type Step,
  type SourceRecord,
  isRefused,
  isThrough,
  isUnmappable,
  keeps,
  keyOf,
  mappedOf,
  nextStep,
  numberOf,
  recordOf,
} from "./source.ts";

/** While it lasts, everything may go wrong. */
export class Chaos {
  readonly #over: Promise<void>;
  #end: () => void = () => undefined;
  readonly #down = new Set<string>();
  isOver = false;

  constructor() {
    this.#over = new Promise((resolve) => (this.#end = resolve));
  }

  /** Nothing goes wrong from now on, and what hangs returns. */
  end(): void {
    this.isOver = true;
    this.#down.clear();
    this.#end();
  }

  /** Resolves when it is over. */
  get over(): Promise<void> {
    return this.#over;
  }

  /** The destination of this import takes nothing until it heals. */
  takeDown(_importId: string): void {
    this.#down.add(_importId);
  }

  heal(_importId: string): void {
    this.#down.delete(_importId);
  }

  isDown(_importId: string): boolean {
    return this.#down.has(_importId);
  }

  /** The imports whose destinations are down. */
  get down(): readonly string[] {
    return [...this.#down];
  }
}

/** What host code has to do with. */
export interface HostParts {
  readonly process: Process;
  readonly model: Model;
  readonly checks: HostChecks;
  readonly chance: Chance;
  readonly chaos: Chaos;
  readonly trace: (line: string) => void;
}

type Listening = Map<string, ListenContext<unknown>["accept"]>;

/** The host's own code in one process: exports that read the sources and imports that write, well or badly. */
export class Host {
  readonly #parts: HostParts;
  /** Runs and imports of which a page is not committed. */
  readonly #failed = new Set<string>();
  /** How events get in, by export; only while it listens. */
  readonly listening: Listening = new Map();

  constructor(parts: HostParts) {
    this.#parts = parts;
  }

  /** The export that reads `source`. */
  export(source: Source): Export<unknown> {
    const { plan } = source;
    return {
      pages: (context) => this.#read(source, context),
      pageSize: plan.pageSize,
      order: plan.order,
      ...(plan.keys === "none" ? {} : { key: (record: unknown) => keyOf(plan, numberOf(record) ?? -1) }),
      ...(plan.versions ? { version: (record: unknown) => numberOf(record) ?? -1 } : {}),
      ...(plan.listens ? { listen: (context: ListenContext<unknown>) => this.#listen(plan, context) } : {}),
    };
  }

  /** The import that `plan` describes. */
  import(plan: ImportPlan): Import<unknown> {
    const { batchSize, concurrency, writeTimeoutMs, idempotent } = plan;
    return {
      idempotent,
      write: (records, context) => this.#write(plan, records, context),
      ...(batchSize === undefined ? {} : { batchSize }),
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(writeTimeoutMs === undefined ? {} : { writeTimeoutMs }),
      ...(plan.leavesOut === 0 ? {} : { filter: (record: unknown) => keeps(plan, numberOf(record) ?? 0) }),
      ...(plan.maps ? { map: (record: unknown) => this.#map(plan, record) } : {}),
      ...(plan.finds ? { find: (records: readonly unknown[], context) => this.#find(plan, records, context) } : {}),
    };
  }

  #listen(plan: ExportPlan, context: ListenContext<unknown>): () => void {
    if (!this.#parts.chaos.isOver && this.#parts.chance.happens(plan.faultRate)) throw new Error("no connection");
    this.listening.set(plan._id, (...call) => context.accept(...call));
    return () => this.listening.delete(plan._id);
  }

  #map(plan: ImportPlan, record: unknown): unknown {
    const { chance } = this.#parts;
    const n = numberOf(record) ?? -1;
    if (isUnmappable(plan, n)) throw new Error(`no map for record ${n}`);
    // What a source gave is the shape it gives; whether it still is, is checked where it arrives.
    const mapped = mappedOf(plan, record as SourceRecord);
    if (chance.happens(0.01)) tamper(chance, [record], []);
    return mapped;
  }

  async *#read(source: Source, context: ExportContext): AsyncGenerator<never> {
    const { process, checks, model } = this.#parts;
    const { plan } = source;
    const { run, until } = context;
    const opened = checks.opens(process, plan, context, source.pages.length);
    let { cursor } = opened;
    let isAtEnd = false;
    this.#parts.trace(`${process.name} reads ${plan._id} for ${run._id} from ${JSON.stringify(cursor)}`);
    for (;;) {
      if (context.signal.aborted)
        model.violate("abort", `a read of ${plan._id} began after run ${run._id} was aborted`);
      await process.gate.passed();
      const call = checks.begins(process, run);
      try {
        if (!(await this.#readWell(plan, context, call))) return;
      } finally {
        checks.ends(call);
      }
      // A cursor that is through would begin another reading.
      const step: Step | undefined = isAtEnd ? undefined : nextStep(plan, cursor, opened.end);
      if (step === undefined) return;
      const hasCheckpoint = source.pages[step.page]?.hasCheckpoint === true || isEnd(step.cursor);
      const records = source.numbers(step.page).map((n) => recordOf(plan._id, n));
      isAtEnd = isEnd(step.cursor) || (plan.stopsAtUntil && JSON.stringify(until) === JSON.stringify(step.cursor));
      cursor = step.cursor;
      // Pages are typed by what a host's own export would know; this one is any export.
      yield (hasCheckpoint ? { records, checkpoint: step.cursor satisfies Json } : records) as never;
    }
  }

  // False: its signal aborted, and it ends quietly, as many an export does.
  async #readWell(plan: ExportPlan, context: ExportContext, call: HostCall): Promise<boolean> {
    const { chance, chaos, trace, process } = this.#parts;
    const { signal, run } = context;
    const fault = chaos.isOver || !chance.happens(plan.faultRate) ? "none" : chance.weighted(readFaults);
    if (fault !== "none") trace(`${process.name} read of ${plan._id} for ${run._id}: ${fault}`);
    switch (fault) {
      case "none":
        break;
      case "slow":
        await this.#pause(chance.between(1, 4_000), signal);
        break;
      case "hang":
        await this.#hang(signal);
        break;
      case "deaf":
        call.isDeaf = true;
        await this.#pause(chance.between(1_000, 15_000));
        break;
      case "retryLater":
        throw retryLater("the source is busy", chance.happens(0.5) ? { afterMs: chance.between(0, 3_000) } : {});
      case "stop":
        throw stop("the source's credentials are wrong");
      case "throw":
        throw new Error("the source broke");
    }
    if (!signal.aborted) return true;
    if (chance.happens(0.5)) await this.#pause(chance.between(1, 250));
    if (chance.happens(0.5)) throw signal.reason;
    return false;
  }

  async #find(plan: ImportPlan, records: readonly unknown[], context: ImportContext): Promise<unknown[]> {
    const { process, checks, chance, chaos } = this.#parts;
    const { run } = context;
    await process.gate.passed();
    const numbers = records.map((record) => numberOf(record) ?? -1);
    if (!chaos.isOver && chance.happens(0.1)) {
      for (const n of numbers) checks.settles(process, plan, run, n);
      throw new Error("cannot look");
    }
    return numbers.map((n) => {
      if (!checks.isApplied(plan, run, n)) return undefined;
      checks.settles(process, plan, run, n);
      return { n };
    });
  }

  async #write(plan: ImportPlan, records: readonly unknown[], context: ImportContext): Promise<void | Result[]> {
    const { process, checks, chance, trace } = this.#parts;
    const { run, keys, attempt } = context;
    if (!process.gate.isOpen) await process.gate.passed();
    const numbers = checks.offers(process, plan, records, context);
    const kind = this.#kindOf(plan, numbers);
    trace(`${process.name} ${plan._id} ${run._id} try ${attempt} of ${numbers.join(" ")}: ${kind}`);
    const call = checks.begins(process, run);
    try {
      if (chance.happens(0.06)) tamper(chance, records, keys);
      return await this.#respond(kind, { plan, numbers, run, signal: context.signal, call });
    } finally {
      checks.ends(call);
    }
  }

  #kindOf(plan: ImportPlan, numbers: readonly number[]): WriteKind {
    const { chance, chaos } = this.#parts;
    if (chaos.isDown(plan._id)) return "down";
    if (!chaos.isOver && chance.happens(plan.faultRate)) return chance.weighted(writeFaults);
    if (!numbers.some((n) => isRefused(plan, n))) return chance.happens(0.1) ? "slow" : "ok";
    return chance.happens(0.5) ? "refuse" : "refuseAll";
  }

  async #respond(kind: WriteKind, write: Write): Promise<void | Result[]> {
    const { chance } = this.#parts;
    const { numbers, signal } = write;
    switch (kind) {
      case "ok":
        return this.#ok(write);
      case "down":
        throw retryLater("the destination is down");
      case "slow":
        await this.#pause(chance.between(1, 3_000), signal);
        if (signal.aborted) return this.#abandon(write);
        return this.#ok(write);
      case "refuse":
        return this.#results(write, (n) => (isRefused(write.plan, n) ? "reject" : "ok"));
      case "refuseAll":
        return this.#refuse(write);
      case "partial":
        return this.#results(write, () => chance.oneOf(["ok", "ok", "retry", "reject", "unknown"]));
      case "retryLater":
        return this.#postpone(write);
      case "stop":
        this.#excuse(write);
        throw stop("the destination's credentials are wrong");
      case "throw":
        return this.#throwAfter(write, chance.oneOf([0, numbers.length, chance.between(0, numbers.length)]));
      case "hang":
        for (const n of numbers) this.#parts.checks.doubts(write.plan, write.run, n);
        await this.#hang(signal);
        return signal.aborted ? this.#abandon(write) : this.#ok(write);
      case "deaf":
        for (const n of numbers) this.#parts.checks.doubts(write.plan, write.run, n);
        write.call.isDeaf = true;
        await this.#pause(chance.between(1_000, 15_000));
        throw new Error("returned much too late");
      case "short":
        this.#apply(write, numbers.slice(1));
        this.#excuse(write);
        return numbers.slice(1).map(() => ({ ok: true }));
      case "long":
        this.#apply(write, numbers);
        this.#excuse(write);
        return [...numbers, 0].map(() => ({ ok: true }));
      case "nonsense":
        this.#excuse(write);
        // What a host without types may return.
        return numbers.map(() => ({}) as unknown as Result);
    }
  }

  #ok(write: Write): void | Result[] {
    const { plan, numbers } = write;
    if (numbers.some((n) => isRefused(plan, n)))
      return this.#results(write, (n) => (isRefused(plan, n) ? "reject" : "ok"));
    this.#apply(write, numbers);
    for (const n of numbers) this.#settle(write, n);
    return this.#parts.chance.happens(0.5) ? undefined : numbers.map(() => ({ ok: true }));
  }

  #results(write: Write, outcomeOf: (n: number) => "ok" | "retry" | "reject" | "unknown"): Result[] {
    const { checks, chance, process } = this.#parts;
    const { plan, run } = write;
    return write.numbers.map((n) => {
      const outcome = outcomeOf(n);
      const error = new Error(`${outcome} of record ${n}`);
      switch (outcome) {
        case "ok":
          this.#apply(write, [n]);
          this.#settle(write, n);
          return { ok: true, value: n };
        case "reject":
          checks.rejects(plan, run, n);
          this.#settle(write, n);
          return { ok: false, fault: "reject", error };
        case "unknown":
          if (chance.happens(0.5)) this.#apply(write, [n]);
          this.#doubt(write, n);
          return { ok: false, fault: "unknown", error };
        case "retry": {
          const afterMs = chance.happens(0.3) ? chance.between(1, 2_000) : undefined;
          if (afterMs === undefined) return { ok: false, fault: "retry", error };
          checks.postpones(process, plan, { run, n, afterMs });
          return { ok: false, fault: "retry", error, afterMs };
        }
      }
    });
  }

  #refuse(write: Write): never {
    const { checks } = this.#parts;
    const { numbers, plan, run } = write;
    const [only] = numbers;
    if (numbers.length === 1 && only !== undefined) {
      checks.rejects(plan, run, only);
      this.#settle(write, only);
    }
    throw reject(new Error("refused"));
  }

  #postpone(write: Write): never {
    const { checks, chance, process } = this.#parts;
    if (chance.happens(0.5)) throw retryLater("busy");
    const afterMs = chance.between(1, 4_000);
    for (const n of write.numbers) checks.postpones(process, write.plan, { run: write.run, n, afterMs });
    throw retryLater("busy", { afterMs });
  }

  #throwAfter(write: Write, applied: number): never {
    this.#apply(write, write.numbers.slice(0, applied));
    for (const n of write.numbers) this.#doubt(write, n);
    throw new Error("the connection broke");
  }

  // Aborted, it takes a moment, and may have written everything before.
  async #abandon(write: Write): Promise<never> {
    const { chance, process } = this.#parts;
    const begunAt = process.clock.now();
    if (chance.happens(0.5)) await this.#pause(chance.between(1, 250));
    // The process stood still meanwhile, so that nobody waited for it; or another batch has ended the page.
    const isLeft = process.clock.now() - begunAt > 1_000 || this.#failed.has(`${write.run._id} ${write.plan._id}`);
    try {
      return this.#throwAfter(write, chance.oneOf([0, write.numbers.length]));
    } finally {
      if (isLeft) this.#excuse(write);
    }
  }

  #apply({ plan, run }: Write, numbers: readonly number[]): void {
    for (const n of numbers) this.#parts.checks.applies(this.#parts.process, plan, run, n);
  }

  // Nothing of the page is committed for it, and batches before this one may have been written.
  #excuse({ plan, run }: Write): void {
    this.#failed.add(`${run._id} ${plan._id}`);
    const into = this.#parts.model.importOf(run, plan);
    if (into !== undefined) this.#parts.model.excuse(into);
  }

  #settle({ plan, run }: Write, n: number): void {
    this.#parts.checks.settles(this.#parts.process, plan, run, n);
  }

  // It may not be sent again by itself, unless that is harmless or somebody looked.
  #doubt(write: Write, n: number): void {
    this.#parts.checks.doubts(write.plan, write.run, n);
    if (!write.plan.idempotent && !write.plan.finds) this.#settle(write, n);
  }

  async #pause(delayMs: number, signal?: AbortSignal): Promise<void> {
    const { clock } = this.#parts.process;
    if (signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        cancel();
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const cancel = clock.setTimer(done, delayMs);
      void this.#parts.chaos.over.then(done);
      signal?.addEventListener("abort", done);
    });
    await this.#parts.process.gate.passed();
  }

  async #hang(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await Promise.race([
      this.#parts.chaos.over,
      new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
    ]);
    await this.#parts.process.gate.passed();
  }
}

interface Write {
  readonly plan: ImportPlan;
  readonly numbers: readonly number[];
  readonly run: Run;
  readonly signal: AbortSignal;
  readonly call: HostCall;
}

const readFaults = { slow: 6, hang: 1, deaf: 0.3, retryLater: 3, stop: 0.5, throw: 2 };

const writeFaults = {
  ...{ slow: 3, partial: 5, retryLater: 3, refuseAll: 1.5, stop: 0.4, throw: 3, hang: 1.5, deaf: 0.4 },
  ...{ short: 0.6, long: 0.3, nonsense: 0.2 },
};

type WriteKind = keyof typeof writeFaults | "ok" | "down" | "refuse";

function isEnd(cursor: Cursor): boolean {
  return "at" in cursor && isThrough(cursor);
}

// What no import should do: change what it is given.
function tamper(chance: Chance, records: readonly unknown[], keys: readonly string[]): void {
  const [first] = records as SourceRecord[];
  const attempt = chance.oneOf<() => unknown>([
    () => first?.words.push("tampered"),
    () => first !== undefined && (first.box.total = -1),
    () => first !== undefined && (first.of = "somebody else"),
    () => (records as unknown[]).reverse(),
    () => (records as unknown[]).pop(),
    () => (keys as string[]).reverse(),
    () => (keys as string[]).pop(),
  ]);
  try {
    attempt();
  } catch {
    // It is frozen, as it should be.
  }
}
