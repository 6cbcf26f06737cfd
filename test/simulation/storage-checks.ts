import type { Failure, Run, RunStatus } from "../../src/index.ts";
import { CommitChecks } from "./commit-checks.ts";
import type { HostChecks } from "./host-checks.ts";
import { type ImportModel, type Model, type RunModel, newImport } from "./model.ts";
import type { CallOf, Process, StorageCall } from "./process.ts";
import { isCursor, numberOf } from "./source.ts";

/** What must be true of everything that the storage is asked for, and does. */
export class StorageChecks {
  readonly #model: Model;
  readonly #commits: CommitChecks;

  constructor(model: Model, host: HostChecks) {
    this.#model = model;
    this.#commits = new CommitChecks(model, host, (run) => this.#queued(run));
  }

  /** A process's call was carried out. */
  observe(process: Process, call: StorageCall): void {
    switch (call.name) {
      case "insertFlow":
        if (call.answer) this.#addFlow(call);
        break;
      case "queueRun":
        if (call.answer.outcome === "queued") this.#queued(call.answer.run);
        break;
      case "queueDue":
        this.#queuedDue(call);
        break;
      case "appendInbox":
        this.#appended(call);
        break;
      case "readInbox":
        this.#readInbox(call);
        break;
      case "cancelRun":
        this.#canceled(call);
        break;
      case "replaceFlow":
        if (call.answer.outcome === "replaced") this.#replaced(call.answer);
        break;
      case "deleteFlow":
        if (call.answer.outcome === "deleted") this.#deleted(call.answer);
        break;
      case "claimRun":
        this.#claimed(process, call);
        break;
      case "commitPage":
        this.#commits.committed(process, call);
        break;
      case "endRun":
        this.#commits.ended(process, call);
        break;
      case "releaseRun":
        this.#commits.released(process, call);
        break;
      case "reclaimExpiredRuns":
        this.#reclaimed(call.answer, false);
        break;
      case "setCheckpoint":
        this.#rewound(call);
        break;
      case "endPauses":
        for (const _importId of call.answer) this.#endPause(this.#importOf(call.args[0], _importId));
        break;
      case "rescheduleFlows":
        for (const { _flowId, forgetAfter = Infinity } of call.args[0]) {
          const dueTimes = this.#model.flows.get(_flowId)?.dueTimes ?? new Set();
          for (const dueAt of dueTimes) if (Date.parse(dueAt) > forgetAfter) dueTimes.delete(dueAt);
        }
        break;
      case "prune":
        // That a due time had its run is known as long as the run is.
        if (call.answer > 0) for (const { dueTimes } of this.#model.flows.values()) dueTimes.clear();
        break;
      case "resolveFailures":
        this.#resolved(call.answer);
        break;
      // They read, or change nothing that is modelled.
      case "claimDuty":
      case "completeCauses":
      case "purgeFlows":
      case "flowsOfFailures":
      case "listCauses":
      case "listFailureIds":
      case "keepProcess":
      case "listProcesses":
      case "removeProcess":
      case "countOpenFailures":
      case "dropInbox":
      case "dueFlows":
      case "dueRetries":
      case "editFailure":
      case "endWait":
      case "findFailure":
      case "findFlow":
      case "findPlaces":
      case "findRun":
      case "listFailures":
      case "listFlows":
      case "listLeases":
      case "listRuns":
      case "nextDueAt":
      case "nextResumeAt":
      case "nextRetryAt":
      case "openKeys":
      case "overview":
      case "flowActivities":
      case "saveStatistics":
      case "listStatistics":
      case "compactStatistics":
      case "releaseDuty":
      case "renewLeases":
      case "resumableFlows":
      case "scheduledFlows":
      case "unreadInboxes":
      case "waitingFlows":
        break;
    }
  }

  /** Another process, outside of this simulation, reclaimed these runs. */
  stolen(runs: readonly Run[]): void {
    this.#reclaimed(runs, true);
  }

  #importOf(_flowId: string, _importId: string): ImportModel | undefined {
    return this.#model.flows.get(_flowId)?.imports.get(_importId);
  }

  #addFlow({ args: [flow] }: CallOf<"insertFlow">): void {
    const { plan, sources } = this.#model.around;
    const source = sources.get(flow._exportId);
    if (source === undefined) return;
    const _importIds = flow._importIds ?? [flow._importId];
    const chosen = plan.imports.filter(({ _id }) => _importIds.includes(_id));
    this.#model.flows.set(flow._id, {
      ...{ _id: flow._id, source, queue: [], active: undefined, isDeleted: false },
      imports: new Map(chosen.map((one) => [one._id, newImport(one)])),
      ...{ dueTimes: new Set(), events: new Set(), inbox: [] },
    });
  }

  #queued(run: Run): void {
    const model = this.#model;
    const flow = model.flows.get(run._flowId);
    if (flow === undefined || model.runs.has(run._id)) return;
    model.tally.runs++;
    if (run.trigger === "resume") model.tally.resumeRuns++;
    flow.queue.push(run._id);
    model.runs.set(run._id, {
      ...{ _id: run._id, flow, trigger: run.trigger, limit: run.limit, claims: 0, opens: 0, end: undefined },
      ...{ holder: undefined, lastToken: undefined, commits: 0, sums: new Map(), newFailures: new Map() },
      ...{ base: undefined, own: new Map(), ahead: [], ended: undefined, isCanceling: false, discards: false },
      cancelBy: Infinity,
    });
  }

  #queuedDue({ args: [ticks, rule], answer }: CallOf<"queueDue">): void {
    const model = this.#model;
    for (const [index, outcome] of answer.entries()) {
      const flow = model.flows.get(ticks[index]?._flowId ?? "");
      if (flow === undefined || !("run" in outcome)) continue;
      const { run } = outcome;
      if (outcome.outcome === "queued") {
        const dueAt = run.dueAt ?? "";
        if (flow.dueTimes.has(dueAt)) model.violate("due times", `two runs of flow ${flow._id} for ${dueAt}`);
        flow.dueTimes.add(dueAt);
        if (rule.overlap === "bufferOne" && flow.queue.some((_id) => this.#coalesces(_id)))
          model.violate("due times", `two scheduled runs of flow ${flow._id} wait`);
        this.#queued(run);
      } else if (outcome.outcome === "coalesced") {
        model.tally.coalesced++;
        if (!flow.queue.includes(run._id) || model.runs.get(run._id)?.claims !== 0)
          model.violate("due times", `a due time was folded into run ${run._id}, which has begun or does not wait`);
      } else if (flow.active !== run._id && !flow.queue.includes(run._id))
        model.violate("due times", `a due time was skipped for run ${run._id}, which neither waits nor runs`);
    }
  }

  // A run that a due time would have been folded into.
  #coalesces(_id: string): boolean {
    const run = this.#model.runs.get(_id);
    return run?.claims === 0 && /^(schedule|catch-up)$/.test(run.trigger);
  }

  #appended({ args: [arrival], answer }: CallOf<"appendInbox">): void {
    if (answer.outcome !== "appended") return;
    const { flows, tally } = this.#model;
    for (const { _flowId, duplicates, run } of answer.flows) {
      const flow = flows.get(_flowId);
      if (flow === undefined) continue;
      const seen = new Set(flow.events);
      let expected = 0;
      for (const record of arrival.records) {
        const n = numberOf(record) ?? -1;
        if (arrival.ids !== undefined && seen.has(n)) expected++;
        seen.add(n);
        flow.events.add(n);
      }
      tally.events += arrival.records.length;
      tally.duplicates += duplicates;
      if (duplicates !== expected)
        this.#model.violate("intake", `${duplicates} duplicates in inbox ${_flowId}, expected ${expected}`);
      if (run !== undefined) this.#queued(run);
    }
  }

  #readInbox({ args: [_flowId], answer }: CallOf<"readInbox">): void {
    const inbox = this.#model.flows.get(_flowId)?.inbox ?? [];
    for (const page of answer) {
      const cursor = Number(page.cursor);
      if (!inbox.some((known) => known.cursor === cursor))
        inbox.push({ cursor, numbers: page.records.map((record) => numberOf(record) ?? -1) });
    }
    inbox.sort((one, other) => one.cursor - other.cursor);
  }

  #canceled({ args: [_runId, { discard = false }], answer }: CallOf<"cancelRun">): void {
    const run = this.#model.runs.get(_runId);
    if (run === undefined || answer === undefined || run.ended !== undefined) return;
    run.discards ||= discard;
    if (answer.status === "canceled") {
      this.#leaveQueue(run, "canceled");
      // The positions are those of the run that has begun.
      const { active, queue } = run.flow;
      const hasBegun = active !== undefined || queue.some((_id) => (this.#model.runs.get(_id)?.claims ?? 0) > 0);
      if (run.discards && !hasBegun) this.#model.discard(run.flow);
    } else if (answer.status === "canceling") this.#isToEnd(run);
  }

  #isToEnd(run: RunModel): void {
    const { elapsed, plan } = this.#model.around;
    run.isCanceling = true;
    run.cancelBy = Math.min(run.cancelBy, elapsed() + plan.options.leaseMs / 3 + 5_000);
  }

  #replaced({ flow: { _id }, canceled }: Extract<CallOf<"replaceFlow">["answer"], { outcome: "replaced" }>): void {
    // The next due time may have been computed anew, with a clock that went back meanwhile.
    this.#model.flows.get(_id)?.dueTimes.clear();
    for (const run of canceled) this.#leaveQueue(this.#model.runs.get(run._id), "canceled");
  }

  #deleted({ flow: { _id }, canceled }: Extract<CallOf<"deleteFlow">["answer"], { outcome: "deleted" }>): void {
    const flow = this.#model.flows.get(_id);
    if (flow === undefined) return;
    for (const run of canceled) this.#leaveQueue(this.#model.runs.get(run._id), "canceled");
    flow.isDeleted = true;
    const active = this.#model.runs.get(flow.active ?? "");
    if (active !== undefined) this.#isToEnd(active);
  }

  #leaveQueue(run: RunModel | undefined, ended: RunStatus): void {
    const place = run?.flow.queue.indexOf(run._id) ?? -1;
    if (run === undefined || place < 0) return;
    run.flow.queue.splice(place, 1);
    run.ended = ended;
    this.#model.tally.canceledRuns++;
  }

  #claimed(process: Process, { args: [_flowId, lease], answer }: CallOf<"claimRun">): void {
    const model = this.#model;
    if (answer === undefined || !("run" in answer)) return;
    const flow = model.flows.get(_flowId);
    const run = model.runs.get(answer.run._id);
    if (flow === undefined || run === undefined || run.holder?.token === lease.token) return;
    if (flow.active !== undefined)
      model.violate("one running run", `run ${run._id} of flow ${_flowId} was claimed while ${flow.active} runs`);
    if (flow.queue[0] !== run._id)
      model.violate("first in, first out", `flow ${_flowId} began ${run._id}, waiting are ${flow.queue.join(", ")}`);
    if (!process.canRun(flow.source.plan._id, flow.imports.keys()))
      model.violate("routing", `${process.name} claimed ${run._id} of flow ${_flowId}, and lacks a part of it`);
    const place = flow.queue.indexOf(run._id);
    if (place >= 0) flow.queue.splice(place, 1);
    flow.active = run._id;
    run.claims++;
    run.holder = { process, token: lease.token };
    run.lastToken = lease.token;
    process.claims.set(run._id, run.claims);
    model.noteSlots(process);
  }

  #reclaimed(runs: readonly Run[], isTheft: boolean): void {
    const model = this.#model;
    for (const { _id, status } of runs) {
      const run = model.runs.get(_id);
      if (run === undefined) continue;
      const { flow, holder } = run;
      if (isTheft) model.tally.stolenRuns++;
      else model.tally.crashedRuns++;
      // Code that ignores its signal is left behind by a stop, and its lease with it.
      const isWell = holder !== undefined && model.around.isHealthy(holder.process) && model.around.clocksAgree();
      if (holder !== undefined) model.noteSlots(holder.process);
      if (!isTheft && !model.isDeaf(_id) && isWell)
        model.violate("lease", `run ${_id} was reclaimed from ${holder.process.name}, which is well`);
      if (flow.active === _id) flow.active = undefined;
      run.holder = undefined;
      run.cancelBy = Infinity;
      model.excuseAll(flow);
      if (status === "queued") flow.queue.unshift(_id);
      else run.ended = status;
      if (status === "canceled" && run.discards && !flow.isDeleted) model.discard(flow);
    }
  }

  #rewound({ args: [_flowId, checkpoint, { _importIds }], answer }: CallOf<"setCheckpoint">): void {
    const flow = this.#model.flows.get(_flowId);
    if (flow === undefined || !answer) return;
    const value: unknown = checkpoint?.value;
    for (const _importId of _importIds) {
      const into = flow.imports.get(_importId);
      if (into !== undefined) this.#model.rewind(flow, into, isCursor(flow.source.plan, value) ? value : undefined);
    }
  }

  #endPause(into: ImportModel | undefined): void {
    if (into === undefined) return;
    into.pause = undefined;
    this.#model.tally.resumed++;
  }

  #resolved(failures: readonly Failure[]): void {
    for (const { _id, _flowId, _importId } of failures) {
      const into = this.#importOf(_flowId, _importId);
      const n = into?.open.get(_id);
      if (into === undefined || n === undefined) continue;
      into.open.delete(_id);
      into.closed.add(_id);
      into.resolved.add(n);
    }
  }
}
