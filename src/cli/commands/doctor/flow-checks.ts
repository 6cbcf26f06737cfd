import { systemClock } from "../../../clock.ts";
import type { Flow, Run } from "../../../index.ts";
import type { Delivery, Pause } from "../../../model/delivery.ts";
import { type Api, pathTo } from "../../api/api.ts";
import { countOf, shellWord, timeOf } from "../../output/words.ts";
import type { ShownCause } from "../documents.ts";
import { resumeOf } from "../show.ts";
import type { Finding } from "./finding.ts";

/** How late a due time may be before it is worth a look, in milliseconds. */
const lateMs = 60_000;

/** How many items of each kind are looked at one by one. */
const mostLooked = 1_000;

type ListedFlow = Pick<Flow, "_id" | "name" | "disabled" | "schedule" | "nextRunAt" | "_importId">;

/** How the flows do, as far as an API says it. */
export async function checkFlows(api: Api): Promise<readonly Finding[]> {
  const overdue: Finding[] = [];
  const paused: Finding[] = [];
  const enabled = new Set<string>();
  const query = { include: "_id,name,disabled,schedule,nextRunAt,_importId", disabled: false };
  for await (const { items } of api.list<ListedFlow>("/flows", query, { limit: Infinity })) {
    for (const flow of items) {
      if (enabled.size < mostLooked) paused.push(...(await pausedImports(api, flow._id)));
      enabled.add(flow._id);
      overdue.push(...overdueFinding(flow));
    }
  }
  return [...overdue, ...(await failingFlows(api, enabled)), ...paused, ...(await openCauses(api))];
}

function overdueFinding({ _id, nextRunAt, schedule }: ListedFlow): readonly Finding[] {
  if (schedule === undefined) return [];
  const late = nextRunAt === undefined || Date.parse(nextRunAt) < systemClock.now() - lateMs;
  if (!late) return [];
  const due = nextRunAt === undefined ? "has a schedule, and no due time" : `was due ${String(timeOf(nextRunAt))}`;
  return [
    {
      ...({ check: "overdue", _flowId: _id } as const),
      message: `Flow ${_id} ${due}, and no run was queued.`,
      advice: "Look whether a process of the application is running whose scheduler is started.",
    },
  ];
}

async function pausedImports(api: Api, _flowId: string): Promise<readonly Finding[]> {
  const deliveries = await api.find<readonly Delivery[]>(pathTo("flows", _flowId, "/deliveries"));
  return (deliveries ?? []).flatMap(({ _importId, paused }) =>
    paused === undefined ? [] : [pauseFinding(_flowId, _importId, paused)],
  );
}

/** One import that is paused. */
export function pauseFinding(_flowId: string, _importId: string, paused: Pause): Finding {
  const { reason, resumeAt, since } = paused;
  const resumes = resumeAt === undefined ? "" : ` It resumes by itself at ${String(resumeOf(paused))}.`;
  return {
    ...({ check: "paused", _flowId, _importId } as const),
    message: `Import ${_importId} of flow ${_flowId} is paused since ${String(timeOf(since))}: ${reason.code}: ${reason.message}.${resumes}`,
    advice: `Put right what the reason names; then: poundlock resume ${shellWord(_flowId)} --import ${shellWord(_importId)}`,
  };
}

/** Of the newest runs that failed, those after which no other one completed. */
async function failingFlows(api: Api, enabled: ReadonlySet<string>): Promise<readonly Finding[]> {
  const { items } = await api.page<Run>("/runs", { status: "failed", limit: mostLooked });
  const newest = new Map<string, Run>();
  for (const run of items) if (!newest.has(run._flowId) && enabled.has(run._flowId)) newest.set(run._flowId, run);
  const findings: Finding[] = [];
  for (const [_flowId, failed] of newest) {
    const since = await api.find<readonly Run[]>(pathTo("flows", _flowId, "/jobs/latest"), { limit: 100 });
    const last = since?.find((run) => run.status === "completed" || run.status === "failed");
    if (last?._id === failed._id) findings.push(failingFinding(failed));
  }
  return findings;
}

function failingFinding({ _flowId, _id, endedAt, error }: Run): Finding {
  const reason = error === undefined ? "" : `: ${error.code}: ${error.message}`;
  return {
    ...({ check: "failing", _flowId, _runId: _id } as const),
    message: `The last run of flow ${_flowId} failed at ${String(timeOf(endedAt))}${reason}.`,
    advice: `Put right what the error names; then: poundlock run ${shellWord(_flowId)}. All about it: poundlock show ${shellWord(_id)}`,
  };
}

async function openCauses(api: Api): Promise<readonly Finding[]> {
  const causes = await api.get<readonly ShownCause[]>("/causes", { limit: 20 });
  return causes.map(({ cause, fault, flows, open, pattern }) => ({
    ...({ check: "failures", cause } as const),
    message: `${countOf(open, "open failure")} in ${countOf(flows, "flow")} (${fault}): ${pattern}`,
    advice: `Look at them: poundlock failures --cause ${shellWord(cause)}; then retry or resolve them with the same option.`,
  }));
}
