import type { Flow, Run } from "../../../index.ts";
import type { Delivery, Pause } from "../../../model/delivery.ts";
import type { FlowActivity, FlowState } from "../../../model/flow/activity.ts";
import type { Overview } from "../../../model/flow/overview.ts";
import { type Api, pathTo } from "../../api/api.ts";
import { countOf, shellWord, timeOf } from "../../output/words.ts";
import type { ShownCause } from "../documents.ts";
import { resumeOf } from "../show.ts";
import type { Check, Finding } from "./finding.ts";

/** How many flows of each kind are looked at one by one. */
const mostLooked = 1_000;

/** What a flow in a state is listed with. */
type ListedFlow = Pick<Flow, "_id"> & { readonly activity: FlowActivity };

/** How the flows do, as far as an API says it. What it costs depends on what is wrong, and not on how many flows there are. */
export async function checkFlows(api: Api): Promise<readonly Finding[]> {
  const { failing, overdue, paused } = await api.get<Overview>("/overview");
  return [
    ...(await inState(api, "overdue", overdue, ({ _id, activity }) => overdueFindings(_id, activity))),
    ...(await inState(api, "failing", failing, ({ _id, activity }) => failingFindings(api, _id, activity))),
    ...(await inState(api, "paused", paused, ({ _id }) => pausedImports(api, _id))),
    ...(await openCauses(api)),
  ];
}

/** What is found of each flow in that state. `count`: how many findings there are in all, as the overview says. */
async function inState(
  api: Api,
  state: FlowState & Check,
  count: number,
  findingsOf: (flow: ListedFlow) => readonly Finding[] | Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  if (count === 0) return [];
  const findings: Finding[] = [];
  const query = { state, disabled: false, include: "_id,activity" };
  for await (const { items } of api.list<ListedFlow>("/flows", query, { limit: mostLooked }))
    for (const flow of items) findings.push(...(await findingsOf(flow)));
  const more = count - findings.length;
  if (findings.length < mostLooked || more <= 0) return findings;
  const message = `${countOf(more, "more", "more")} ${more === 1 ? "is" : "are"} ${state}.`;
  return [...findings, { check: state, message, advice: "They are listed once those above are put right." }];
}

function overdueFindings(_id: string, { lastRun, overdueSince }: FlowActivity): readonly Finding[] {
  if (overdueSince === undefined) return [];
  const last =
    lastRun?.endedAt === undefined ? "none has ended yet" : `the last one ended at ${String(timeOf(lastRun.endedAt))}`;
  return [
    {
      ...({ check: "overdue", _flowId: _id } as const),
      message: `Flow ${_id} was due for the second time at ${String(timeOf(overdueSince))}, and no run has begun; ${last}.`,
      advice: "Look whether a process of the application is running whose scheduler is started.",
    },
  ];
}

async function failingFindings(api: Api, _flowId: string, { failingSince }: FlowActivity): Promise<readonly Finding[]> {
  if (failingSince === undefined) return [];
  const { items } = await api.page<Run>("/runs", { _flowId, status: "failed", limit: 1 });
  const [last] = items;
  const reason = last?.error === undefined ? "" : `: ${last.error.code}: ${last.error.message}`;
  const more = last === undefined ? "" : ` All about it: poundlock show ${shellWord(last._id)}`;
  return [
    {
      ...({ check: "failing", _flowId } as const),
      ...(last === undefined ? {} : { _runId: last._id }),
      message: `Flow ${_flowId} fails since ${String(timeOf(failingSince))}${reason}.`,
      advice: `Put right what the error names; then: poundlock run ${shellWord(_flowId)}.${more}`,
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

async function openCauses(api: Api): Promise<readonly Finding[]> {
  const causes = await api.get<readonly ShownCause[]>("/causes", { limit: 20 });
  return causes.map(({ cause, fault, flows, open, pattern }) => ({
    ...({ check: "failures", cause } as const),
    message: `${countOf(open, "open failure")} in ${countOf(flows, "flow")} (${fault}): ${pattern}`,
    advice: `Look at them: poundlock failures --cause ${shellWord(cause)}; then retry or resolve them with the same option.`,
  }));
}
