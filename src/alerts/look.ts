import type { Flow } from "../index.ts";
import type { FlowActivity, FlowState } from "../model/flow/activity.ts";
import type { Overview } from "../model/flow/overview.ts";
import { type AlertState, type Incident, subjectKey } from "./alert.ts";
import { failedRuns } from "./failed-runs.ts";
import { type Finding, findingsOf, hasLasted, moreFinding, queueFinding, watchedStates } from "./findings.ts";
import type { AlertRules, AlertSource } from "./options.ts";

/** Incidents of flows that are open at a time, at most: they are in the checkpoint. */
export const mostIncidents = 1_000;

/** What has become of an incident, with what there is to say of it. */
export interface Change {
  readonly state: AlertState;
  /** As it is from now on; as it was if it is over. */
  readonly incident: Incident;
  /** Absent if it is over. */
  readonly finding?: Finding;
}

/** What one look needs. */
export interface LookDeps {
  readonly scheduler: AlertSource;
  readonly rules: AlertRules;
  /** The flow that alerts, which is not looked at. */
  readonly _flowId: string;
  readonly now: number;
  readonly signal: AbortSignal;
}

/** One look at how all flows do: compares it with the incidents that are open. */
export class Look {
  readonly #deps: LookDeps;
  #overview: Overview | undefined;

  constructor(deps: LookDeps) {
    this.#deps = deps;
  }

  /** What is to be alerted of: first what became of open incidents, in their order, then those that have begun. */
  async changes(open: readonly Incident[]): Promise<readonly Change[]> {
    const changes: Change[] = [];
    const current = new Map<string, Incident>();
    const findings = await this.#findingsOfOpen(open);
    for (const incident of open) {
      // Of all flows together: looked at last, when it is known how many incidents there are.
      if (incident.kind === "more") continue;
      const finding = findings.get(subjectKey(incident));
      const isSame = finding !== undefined && (finding.since ?? incident.since) === incident.since;
      if (isSame) current.set(subjectKey(incident), incident);
      const change = isSame ? this.#reminder(incident, finding) : ({ state: "resolved", incident } as const);
      if (change !== undefined) changes.push(change);
    }
    const fresh = await this.#fresh(current);
    return [...changes, ...fresh, ...(await this.#more(open, current))];
  }

  async #findingsOfOpen(open: readonly Incident[]): Promise<ReadonlyMap<string, Finding>> {
    const { now, rules, scheduler } = this.#deps;
    const ids = [...new Set(open.flatMap(({ _flowId }) => _flowId ?? []))];
    const activities = await scheduler.activities(ids);
    const all = ids.flatMap((_id, index) => {
      const activity = activities[index];
      return activity === undefined ? [] : findingsOf(_id, activity, rules, now);
    });
    const queue = await this.#queueFinding();
    if (queue !== undefined) all.push(queue);
    return new Map(all.map((finding) => [subjectKey(finding), finding]));
  }

  #reminder(incident: Incident, finding: Finding): Change | undefined {
    const { now, rules } = this.#deps;
    const { remindAfterMs } = rules;
    if (remindAfterMs === undefined || !hasLasted(incident.alertedAt, remindAfterMs, now)) return undefined;
    const reminders = incident.reminders + 1;
    return { state: "reminder", incident: { ...incident, alertedAt: isoOf(now), reminders }, finding };
  }

  /** Adds what it finds to `current`. */
  async #fresh(current: Map<string, Incident>): Promise<readonly Change[]> {
    const fresh: Change[] = [];
    let room = mostIncidents - flowIncidents(current).length;
    const begin = (finding: Finding, flow?: Flow) => {
      const incident = this.#begun(finding, flow);
      current.set(subjectKey(incident), incident);
      fresh.push({ state: "firing", incident, finding });
    };
    const queue = await this.#queueFinding();
    if (queue !== undefined && !current.has(subjectKey(queue))) begin(queue);
    const seen = new Set<string>([this.#deps._flowId]);
    for (const state of watchedStates(this.#deps.rules))
      for await (const [flow, activity] of this.#flowsIn(state, seen))
        for (const finding of findingsOf(flow._id, activity, this.#deps.rules, this.#deps.now)) {
          if (room <= 0) return fresh;
          if (current.has(subjectKey(finding)) || !(await this.#isEnough(finding))) continue;
          begin(finding, flow);
          room--;
        }
    return fresh;
  }

  // Each flow once, though it may be in several lists.
  async *#flowsIn(state: FlowState, seen: Set<string>): AsyncGenerator<readonly [Flow, FlowActivity]> {
    const { scheduler, signal } = this.#deps;
    let after: string | undefined;
    do {
      signal.throwIfAborted();
      const page = await scheduler.registry.list({ state, ...(after === undefined ? {} : { after }) });
      const flows = page.items.filter(({ _id }) => !seen.has(_id));
      const activities = await scheduler.activities(flows.map(({ _id }) => _id));
      for (const [index, flow] of flows.entries()) {
        seen.add(flow._id);
        const activity = activities[index];
        if (activity !== undefined) yield [flow, activity];
      }
      after = page.next;
    } while (after !== undefined);
  }

  async #isEnough({ kind, since, _flowId }: Finding): Promise<boolean> {
    const { rules, scheduler } = this.#deps;
    const least = rules.failedRuns ?? 1;
    if (kind !== "failing" || least === 1 || since === undefined || _flowId === undefined) return true;
    return (await failedRuns(scheduler, { _flowId, since }, least)).count >= least;
  }

  async #more(open: readonly Incident[], current: ReadonlyMap<string, Incident>): Promise<readonly Change[]> {
    const before = open.find(({ kind }) => kind === "more");
    const all = flowIncidents(current);
    const finding =
      all.length < mostIncidents
        ? undefined
        : moreFinding(
            await this.#overviewNow(),
            this.#deps.rules,
            all.filter(({ kind }) => kind !== "openFailures").length,
          );
    if (finding === undefined) return before === undefined ? [] : [{ state: "resolved", incident: before }];
    if (before === undefined) return [{ state: "firing", incident: this.#begun(finding), finding }];
    const reminder = this.#reminder(before, finding);
    return reminder === undefined ? [] : [reminder];
  }

  async #queueFinding(): Promise<Finding | undefined> {
    const { now, rules } = this.#deps;
    return rules.queueAgeMs === undefined ? undefined : queueFinding(await this.#overviewNow(), rules, now);
  }

  async #overviewNow(): Promise<Overview> {
    return (this.#overview ??= await this.#deps.scheduler.overview());
  }

  #begun({ kind, since, _flowId, _importId }: Finding, flow?: Flow): Incident {
    const alertedAt = isoOf(this.#deps.now);
    return {
      kind,
      ...(_flowId === undefined ? {} : { _flowId }),
      ...(_importId === undefined ? {} : { _importId }),
      ...(flow?._integrationId === undefined ? {} : { _integrationId: flow._integrationId }),
      ...{ since: since ?? alertedAt, alertedAt, reminders: 0 },
    };
  }
}

function flowIncidents(current: ReadonlyMap<string, Incident>): readonly Incident[] {
  return [...current.values()].filter(({ _flowId }) => _flowId !== undefined);
}

function isoOf(at: number): string {
  return new Date(at).toISOString();
}
