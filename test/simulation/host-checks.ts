import type { ExportContext, ImportContext, Run } from "../../src/index.ts";
import type { FlowModel, HostCall, ImportModel, Model } from "./model.ts";
import type { ExportPlan, ImportPlan } from "./plan.ts";
import type { Process } from "./process.ts";
import { type Cursor, isCursor, isExpected, keeps, keyOf, numberOf } from "./source.ts";

/** What must be true whenever the engine calls the host's code. */
export class HostChecks {
  readonly #model: Model;
  /** Key → number, for exports whose keys are made by the engine. */
  readonly #keyOwners = new Map<string, number>();
  readonly #keysInRun = new Map<string, string>();

  constructor(model: Model) {
    this.#model = model;
  }

  /** The record that the engine made this key for at an import; undefined if it made none. */
  ownerOf(_flowId: string, _importId: string, key: string): number | undefined {
    return this.#keyOwners.get(`${_flowId} ${_importId} ${key}`);
  }

  /** Host code is called for a run. */
  begins(process: Process, run: Run): HostCall {
    const model = this.#model;
    const call = { process, _runId: run._id, _flowId: run._flowId, isDeaf: false };
    const mine = model.isHolder(process, run._id);
    const busy = new Set([run._id]);
    for (const other of model.calls) {
      if (other.isDeaf || other.process.isCrashed) continue;
      if (other.process === process) busy.add(other._runId);
      if (other._flowId !== run._flowId || (other._runId === run._id && other.process === process)) continue;
      if (mine && model.isHolder(other.process, other._runId))
        model.violate("one running run", `runs ${other._runId} and ${run._id} of flow ${run._flowId} run at once`);
    }
    const { concurrency } = model.around.plan.options;
    if (busy.size > concurrency)
      model.violate("concurrency", `${process.name} runs ${[...busy].join(", ")} at once, ${concurrency} are allowed`);
    model.calls.add(call);
    model.noteSlots(process);
    return call;
  }

  /** It has ended. */
  ends(call: HostCall): void {
    this.#model.noteSlots(call.process);
    this.#model.calls.delete(call);
  }

  /** An export begins to read, from the cursor returned, up to so many pages; there are `now` of them. */
  opens(
    process: Process,
    plan: ExportPlan,
    context: ExportContext,
    now: number,
  ): { cursor: Cursor | undefined; end: number } {
    const { checkpoint, run } = context;
    const known = this.#model.runs.get(run._id);
    const isMine = this.#model.isHolder(process, run._id);
    const cursor = checkpoint === undefined || isCursor(plan, checkpoint) ? checkpoint : undefined;
    if (checkpoint !== undefined && cursor === undefined)
      this.#model.violate("cursor", `run ${run._id} starts from ${JSON.stringify(checkpoint)}, none of ${plan._id}'s`);
    if (known === undefined) return { cursor, end: now };
    if (isMine) {
      known.opens++;
      known.base = cursor;
      known.own.clear();
      for (const _importId of known.ahead) known.own.set(_importId, 1);
      for (const into of known.flow.imports.values()) Object.assign(into, { loose: 0, isProbed: false });
      // Of a flow that was deleted no places are kept: its run goes on from its own.
      if (known.limit === undefined && !known.flow.isDeleted) this.#checkStart(known.flow, run, cursor);
    }
    return { cursor, end: (known.end ??= now) };
  }

  // A reading begins where an import of the flow stands.
  #checkStart({ imports }: FlowModel, run: Run, cursor: Cursor | undefined): void {
    const from = JSON.stringify(cursor);
    const places = [...imports.values()].map(({ checkpoint, position }) =>
      JSON.stringify(position?.cursor ?? checkpoint),
    );
    if (!places.includes(from))
      this.#model.violate(
        "cursor",
        `run ${run._id} reads from ${cursor === undefined ? "the start" : from}, where no import stands`,
      );
  }

  /** An import is given records; returns their numbers. */
  offers(process: Process, plan: ImportPlan, records: readonly unknown[], context: ImportContext): number[] {
    const model = this.#model;
    model.tally.writes++;
    const { run, keys, attempt, signal } = context;
    const flow = model.flows.get(run._flowId);
    const place = `${plan._id}, run ${run._id}`;
    if (signal.aborted) model.violate("abort", `a write began after its run was aborted: ${place}`);
    if (attempt > model.around.plan.options.maxAttempts) model.violate("attempts", `attempt ${attempt} at ${place}`);
    if (keys.length !== records.length)
      model.violate("keys", `${keys.length} keys for ${records.length} records: ${place}`);
    const into = flow?.imports.get(plan._id);
    if (flow === undefined || into === undefined) {
      model.violate("isolation", `records for an import that is none of flow ${run._flowId}'s: ${place}`);
      return [];
    }
    return records.map((record, index) => {
      const n = numberOf(record) ?? -1;
      if (!isExpected(plan, flow.source.plan._id, record))
        model.violate("no invention", `${place} was given ${JSON.stringify(record)}`);
      if (!keeps(plan, n)) model.violate("no invention", `record ${n} was filtered out, but sent: ${place}`);
      this.#checkKey(flow, into, { run, n, key: keys[index] ?? "" });
      if (model.isHolder(process, run._id)) this.#checkOffer(process, into, run, n);
      return n;
    });
  }

  /** A record is there now. */
  applies(process: Process, plan: ImportPlan, run: Run, n: number): void {
    const model = this.#model;
    const flow = model.flows.get(run._flowId);
    const into = flow?.imports.get(plan._id);
    if (flow === undefined || into === undefined) return;
    const before = into.applied.get(n);
    const isMine = model.isHolder(process, run._id);
    if (before !== undefined) model.tally.repeated++;
    const isExcused =
      before === undefined ||
      plan.idempotent ||
      !isMine ||
      before < into.excusedAt ||
      run.trigger === "retry" ||
      run.limit !== undefined ||
      flow.source.plan.patchy;
    if (!isExcused)
      model.violate(
        "repetition",
        `record ${n} twice at ${plan._id} without a reason: flow ${flow._id}, run ${run._id}`,
      );
    // What was written by a process that may not write any more, by hand, or as a sample excuses whatever comes after.
    const counts = isMine && run.trigger !== "retry" && run.limit === undefined;
    into.applied.set(n, counts ? model.nextSeq() : -1);
    this.#noteState(flow, into, n, !isMine || run.limit !== undefined);
  }

  #noteState({ source }: FlowModel, { states }: ImportModel, n: number, spoils: boolean): void {
    const { keys, order, patchy } = source.plan;
    // Events that are accepted at the same time arrive in any order.
    if (keys !== "things" || n > 1_000_000) return;
    const key = keyOf(source.plan, n);
    const { newest = n, spoiled = false } = states.get(key) ?? {};
    // A source that gives its newest page first gives older states after newer ones by itself.
    const isUnordered = order === "unordered" || patchy;
    states.set(key, { last: n, newest: Math.max(n, newest), spoiled: spoiled || spoils || isUnordered });
  }

  /** The import has said all it will say of this record in this run: it must not be sent to it again. */
  settles(process: Process, plan: ImportPlan, run: Run, n: number): void {
    this.#model.importOf(run, plan)?.settledIn.set(n, this.#executionOf(process, run));
  }

  /** The import refuses it. */
  rejects(plan: ImportPlan, run: Run, n: number): void {
    this.#model.importOf(run, plan)?.rejected.add(n);
  }

  /** Whether the import has it is not known to the engine. */
  doubts(plan: ImportPlan, run: Run, n: number): void {
    this.#model.importOf(run, plan)?.doubted.add(n);
  }

  /** The import asks not to be sent this record for so long. */
  postpones(process: Process, plan: ImportPlan, call: { run: Run; n: number; afterMs: number }): void {
    const execution = `${this.#executionOf(process, call.run)} ${call.n}`;
    this.#model.importOf(call.run, plan)?.notBefore.set(execution, this.#model.around.elapsed() + call.afterMs);
  }

  /** Whether the destination has it. */
  isApplied(plan: ImportPlan, run: Run, n: number): boolean {
    return this.#model.importOf(run, plan)?.applied.has(n) ?? false;
  }

  #checkKey(flow: FlowModel, { plan: to }: ImportModel, sent: { run: Run; n: number; key: string }): void {
    const { key, n, run } = sent;
    const wrong = (what: string) =>
      this.#model.violate("keys", `record ${n} of run ${run._id} at ${to._id} has key ${key}, ${what}`);
    const { plan } = flow.source;
    if (plan.keys !== "none") {
      if (key !== keyOf(plan, n)) wrong("not its own");
      return;
    }
    // Each import has readings of its own, whose pages are counted anew.
    const identity = `${flow._id} ${to._id} ${key}`;
    const owner = this.#keyOwners.get(identity);
    // A source that gives its newest page first gives other pages when a reading that was not committed begins again.
    if (owner !== undefined && owner !== n && plan.order === "ordered") wrong(`which is record ${owner}'s`);
    this.#keyOwners.set(identity, n);
    if (run.trigger === "retry") return;
    const place = `${run._id} ${to._id} ${n}`;
    const before = this.#keysInRun.get(place);
    if (before !== undefined && before !== key) wrong(`but had ${before} before`);
    this.#keysInRun.set(place, key);
  }

  #checkOffer(process: Process, into: ImportModel, run: Run, n: number): void {
    const model = this.#model;
    const place = `record ${n} at ${into.plan._id}, flow ${run._flowId}, run ${run._id}`;
    if (run.trigger === "retry") {
      if (!into.resolved.has(n) && !into.stored.has(n)) model.violate("isolation", `a retry sent no failure: ${place}`);
      return;
    }
    const execution = this.#executionOf(process, run);
    if (into.settledIn.get(n) === execution) model.violate("isolation", `sent again after it was settled: ${place}`);
    const isPatchy = model.flows.get(run._flowId)?.source.plan.patchy === true;
    if (run.limit === undefined && !isPatchy && into.committed.has(n))
      model.violate("isolation", `sent again after a commit settled it: ${place}`);
    if (model.around.elapsed() < (into.notBefore.get(`${execution} ${n}`) ?? 0))
      model.violate("attempts", `sent again before its time: ${place}`);
  }

  // A patchy export is read again from its last checkpoint, which may be before pages that are settled.
  #executionOf(process: Process, run: Run): string {
    const known = this.#model.runs.get(run._id);
    const opens = known?.flow.source.plan.patchy === true ? known.opens : 0;
    return `${run._id}#${process.claims.get(run._id) ?? 0}.${opens}`;
  }
}
