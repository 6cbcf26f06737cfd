import { apiPath } from "../../api/client.ts";
import type { ListedFlow, Overview, ShownRun } from "../../api/documents.ts";
import type { LiveEvent } from "../../api/live.ts";
import { showsHealth } from "../../../../model/run.ts";
import { knowFlow } from "../../api/names.ts";
import { type Resource, useResource } from "../../api/resource.ts";
import { href } from "../../browser/address.ts";
import { scheduleInWords } from "../../format/schedule.ts";
import { Icon, type IconName } from "../../frame/icons.tsx";
import { Resume } from "../../parts/resume.tsx";
import { Part } from "../../frame/states.tsx";
import { Time } from "../../parts/time.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { type ComponentChildren, type JSX } from "../../view.ts";

const shown = 5;
const fields = "_id,name,schedule,activity";
/** Failed runs of a flow that are counted, and what is shown of them. */
const mostFailed = 50;
const failedFields = "_id,trigger,limit,endedAt,error";

interface AttentionProps {
  readonly overview: Resource<Overview>;
  readonly changes: (event: LiveEvent) => boolean;
}

/** Flows that somebody may have to look at, the worst first. */
export function Attention({ overview, changes }: AttentionProps) {
  const value = overview.value.value;
  if (value === undefined) return null;
  const { flows, failing, paused, overdue } = value;
  return (
    <Section title={say.overviewAttention}>
      {failing + paused + overdue === 0 && (
        <p class="empty">{flows.enabled + flows.disabled === 0 ? say.flowsEmpty : say.overviewCalm(flows.enabled)}</p>
      )}
      <Group state="failing" total={failing} changes={changes} row={FailingFlow} />
      <Group state="paused" total={paused} changes={changes} row={PausedFlow} />
      <Group state="overdue" total={overdue} changes={changes} row={OverdueFlow} />
    </Section>
  );
}

interface GroupProps extends Pick<AttentionProps, "changes"> {
  readonly state: "failing" | "paused" | "overdue";
  readonly total: number;
  readonly row: (props: RowProps) => JSX.Element;
}

interface RowProps {
  readonly flow: ListedFlow;
  /** Its flow is not as it is shown any more. */
  readonly changed: () => void;
}

function Group({ state, total, changes, row: RowOf }: GroupProps) {
  const flows = useResource<readonly ListedFlow[]>(
    total === 0 ? undefined : apiPath(["flows"], { state, include: fields, limit: String(shown) }),
    changes,
  );
  if (total === 0) return null;
  return (
    <Part of={flows}>
      {(rows) => {
        for (const flow of rows) knowFlow(flow);
        // Of paused imports a flow may have several.
        const shownOnes = rows.reduce(
          (sum, { activity }) => sum + (state === "paused" ? (activity?.paused.length ?? 0) : 1),
          0,
        );
        return (
          <ul class="rows attention">
            {rows.map((flow) => (
              <li key={flow._id}>
                <RowOf flow={flow} changed={() => flows.reloadSoon()} />
              </li>
            ))}
            {total > shownOnes && (
              <li>
                <a href={href(["flows"], { state })}>{say.overviewMore(total - shownOnes)}</a>
              </li>
            )}
          </ul>
        );
      }}
    </Part>
  );
}

interface FlowRowProps {
  readonly icon: IconName;
  readonly state: string;
  readonly flow: ListedFlow;
  readonly children: ComponentChildren;
  readonly action?: ComponentChildren;
}

function FlowRow({ icon, state, flow: { _id, name }, children, action }: FlowRowProps) {
  return (
    <div class="attention-row">
      <span class={`state ${icon === "failed" ? "bad" : "warn"}`}>
        <Icon name={icon} />
        {state}
      </span>
      <a class="row-name" href={href(["flows", _id])}>
        {name}
      </a>
      <span class="row-words">{children}</span>
      {action}
    </div>
  );
}

function FailingFlow({ flow: { _id, activity, ...flow } }: RowProps) {
  const { failingSince = "" } = activity ?? {};
  const runs = useResource<readonly ShownRun[]>(
    apiPath(["runs"], { _flowId: _id, status: "failed", limit: String(mostFailed), include: failedFields }),
    ({ name, data }) => name === "run:failed" && data.run?._flowId === _id,
  ).value.value;
  const failed = runs?.filter((run) => showsHealth(run) && (run.endedAt ?? "") >= failingSince) ?? [];
  const [last] = failed;
  return (
    <FlowRow icon="failed" state={say.flowsStates.failing} flow={{ _id, ...flow }}>
      {say.overviewFailedTimes(failed.length, failed.length === mostFailed)} <Time at={failingSince} />
      {last !== undefined && (
        <>
          {" · "}
          <a href={href(["runs", last._id])}>{say.overviewLastRun}</a>
          <span class="row-why">
            <code>{last.error?.code}</code> {last.error?.message}
          </span>
        </>
      )}
    </FlowRow>
  );
}

function PausedFlow({ changed, flow }: RowProps) {
  const paused = flow.activity?.paused ?? [];
  const action = <Resume _flowId={flow._id} done={changed} />;
  return (
    <FlowRow icon="paused" state={say.flowsStates.paused} flow={flow} action={action}>
      {paused.map(({ _importId, since, resumeAt }) => (
        <span key={_importId}>
          {say.overviewPausedSince(_importId)} <Time at={since} show="absolute" />,{" "}
          {resumeAt === undefined ? (
            say.overviewByPerson
          ) : (
            <>
              {say.overviewResumes} <Time at={resumeAt} show="relative" />
            </>
          )}{" "}
        </span>
      ))}
    </FlowRow>
  );
}

function OverdueFlow({ flow }: RowProps) {
  const { schedule, activity: { overdueSince, lastRun } = {} } = flow;
  return (
    <FlowRow icon="overdue" state={say.flowsStates.overdue} flow={flow}>
      {say.overviewOverdueSince} <Time at={overdueSince} />
      {schedule !== undefined && `, ${scheduleInWords(schedule)}`}
      {lastRun !== undefined && (
        <>
          {" · "}
          {say.overviewLastRan} <Time at={lastRun.endedAt} show="absolute" />
        </>
      )}
    </FlowRow>
  );
}
