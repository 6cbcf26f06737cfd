import type { Overview } from "../../../model/flow/overview.ts";
import { type Run, showsHealth } from "../../../model/run.ts";
import { isoOf, optional } from "../../documents.ts";
import type { OverviewQuery } from "../../storage.ts";
import type { MemoryState } from "../state.ts";

/** How a flow does. Instants are epoch milliseconds. Changed in place: each run does so three times. */
export interface FlowHealth {
  /** Since when it fails. */
  failingSince: number | undefined;
  /** The due time after `nextRunAt`. */
  followingDueAt: number | undefined;
  /** From when on it is overdue. */
  overdueAt: number | undefined;
}

/** What is known of a flow, to be changed. */
export function healthOf(state: MemoryState, _flowId: string): FlowHealth {
  let health = state.health.get(_flowId);
  if (health === undefined) {
    health = { failingSince: undefined, followingDueAt: undefined, overdueAt: undefined };
    state.health.set(_flowId, health);
  }
  return health;
}

/** A flow's schedule, or its next due time, is another one. */
export function reschedule(state: MemoryState, _flowId: string, followingDueAt: number | undefined): void {
  const health = healthOf(state, _flowId);
  health.followingDueAt = health.overdueAt = followingDueAt;
}

/** A run of the flow ended. */
export function keepHealth(state: MemoryState, run: Run): void {
  if (!showsHealth(run) || run.endedAt === undefined) return;
  const health = healthOf(state, run._flowId);
  if (run.status === "failed") health.failingSince ??= Date.parse(run.endedAt);
  if (run.status === "completed") health.failingSince = undefined;
}

/** @see OverviewStorage.overview */
export function overview(state: MemoryState, query: OverviewQuery): Overview {
  const { now, _integrationId } = query;
  const sizes = { enabled: 0, disabled: 0, failing: 0, overdue: 0, paused: 0, inboxPages: 0 };
  for (const flow of state.flows.values()) {
    if (_integrationId !== undefined && flow._integrationId !== _integrationId) continue;
    sizes.inboxPages += state.inboxes.get(flow._id)?.pages.size ?? 0;
    if (flow.disabled) {
      sizes.disabled++;
      continue;
    }
    sizes.enabled++;
    const { failingSince, overdueAt = Infinity } = state.health.get(flow._id) ?? {};
    if (failingSince !== undefined) sizes.failing++;
    if (overdueAt <= now) sizes.overdue++;
    for (const { pause } of state.places.get(flow._id)?.values() ?? []) if (pause !== undefined) sizes.paused++;
  }
  const { failing, inboxPages, overdue, paused, enabled, disabled } = sizes;
  const { oldestQueuedAt, ...runs } = runsNow(state, query);
  return Object.freeze<Overview>({
    flows: Object.freeze({ enabled, disabled }),
    runs: Object.freeze(runs),
    ...{ failing, overdue, paused, openFailures: openFailures(state, _integrationId), inboxPages },
    ...optional("oldestQueuedAt", oldestQueuedAt),
  });
}

function runsNow(state: MemoryState, { now, _integrationId }: OverviewQuery) {
  const isWanted = (run: Run) => _integrationId === undefined || run._integrationId === _integrationId;
  let [running, queued, oldest] = [0, 0, Infinity];
  let oldestQueuedAt: string | undefined;
  for (const { run } of state.active) if (run.status === "running" && isWanted(run)) running++;
  for (const { waiting } of state.queues.values())
    for (const { run, seq } of waiting) {
      if (!isWanted(run)) continue;
      queued++;
      if (seq > oldest || run.startedAt !== undefined || (run.notBefore ?? "") > isoOf(now)) continue;
      oldest = seq;
      oldestQueuedAt = run.queuedAt;
    }
  return { running, queued, oldestQueuedAt };
}

function openFailures(state: MemoryState, _integrationId: string | undefined): number {
  let size = 0;
  for (const causes of state.causes.values())
    for (const { _integrationId: owner, open } of causes.values())
      if (_integrationId === undefined || owner === _integrationId) size += open;
  return size;
}
