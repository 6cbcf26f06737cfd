import type { FlowActivity, LastRun } from "../../../model/flow/activity.ts";
import type { Flow } from "../../../model/flow/flow.ts";
import { hasEnded } from "../../../model/run.ts";
import { isoOf, mostInState, mostNames, optional } from "../../documents.ts";
import type { ActivityQuery, FlowQuery } from "../../storage.ts";
import type { MemoryState } from "../state.ts";

/** @see OverviewStorage.flowActivities */
export function flowActivities(
  state: MemoryState,
  { _flowIds, ...query }: ActivityQuery,
): readonly (FlowActivity | undefined)[] {
  return _flowIds.map((_flowId) => {
    const flow = state.flows.get(_flowId);
    return flow === undefined ? undefined : activityOf(state, flow, query);
  });
}

function activityOf(
  state: MemoryState,
  { _id, disabled }: Flow,
  { now, _integrationId }: Omit<ActivityQuery, "_flowIds">,
): FlowActivity {
  const { failingSince, overdueAt = Infinity } = disabled ? {} : (state.health.get(_id) ?? {});
  let openFailures = 0;
  for (const { _integrationId: owner, open } of state.causes.get(_id)?.values() ?? [])
    if (_integrationId === undefined || owner === _integrationId) openFailures += open;
  const places = [...(state.places.get(_id) ?? [])].sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.freeze<FlowActivity>({
    ...optional("lastRun", lastRunOf(state, _id, _integrationId)),
    ...optional("failingSince", failingSince === undefined ? undefined : isoOf(failingSince)),
    ...optional("overdueSince", overdueAt <= now ? isoOf(overdueAt) : undefined),
    openFailures,
    paused: places.flatMap(([_importId, { pause }]) =>
      pause === undefined ? [] : { _importId, since: pause.since, ...optional("resumeAt", pause.resumeAt) },
    ),
  });
}

function lastRunOf(state: MemoryState, _flowId: string, _integrationId: string | undefined): LastRun | undefined {
  for (const { run } of state.queues.get(_flowId)?.runs.before(Infinity) ?? []) {
    if (!hasEnded(run) || (_integrationId !== undefined && run._integrationId !== _integrationId)) continue;
    const { _id, status, endedAt, numError } = run;
    return { _id, status, ...optional("endedAt", endedAt), numError };
  }
  return undefined;
}

/** The ids of `ids` that are looked at for one page of a search, ascending, and where the next one goes on. */
export function portionOf(
  state: MemoryState,
  ids: readonly string[],
  query: FlowQuery,
): { readonly ids: readonly string[]; readonly next?: string } {
  const { state: wanted } = query;
  if (wanted === undefined) return cut(ids, mostNames);
  const inState: string[] = [];
  for (const _id of ids) {
    if (isInState(state, _id, query)) inState.push(_id);
    if (inState.length === mostInState) break;
  }
  return cut(inState, mostInState);
}

function cut(all: readonly string[], most: number): { readonly ids: readonly string[]; readonly next?: string } {
  const ids = all.slice(0, most);
  return { ids, ...optional("next", ids.length < most ? undefined : ids.at(-1)) };
}

function isInState(state: MemoryState, _id: string, { _integrationId, now = 0, state: wanted }: FlowQuery): boolean {
  const isOwn = (of: { readonly _integrationId?: string | undefined } | undefined) =>
    of !== undefined && (_integrationId === undefined || of._integrationId === _integrationId);
  const isEnabled = state.flows.get(_id)?.disabled === false;
  const { failingSince, overdueAt = Infinity } = state.health.get(_id) ?? {};
  if (wanted === undefined) return true;
  switch (wanted) {
    case "failing":
      return isEnabled && failingSince !== undefined;
    case "overdue":
      return isEnabled && overdueAt <= now;
    case "paused":
      return isEnabled && [...(state.places.get(_id)?.values() ?? [])].some(({ pause }) => pause !== undefined);
    case "failures":
      return [...(state.causes.get(_id)?.values() ?? [])].some((cause) => cause.open > 0 && isOwn(cause));
    case "running":
      return isOwn(state.queues.get(_id)?.active?.run);
    case "queued":
      return state.queues.get(_id)?.waiting.some(({ run }) => isOwn(run)) === true;
  }
}
