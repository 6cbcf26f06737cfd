import { apiPath, call } from "../../api/client.ts";
import type { ListedFlow, Overview, ShownRun } from "../../api/documents.ts";
import type { LiveEvent } from "../../api/live.ts";
import { knowFlow } from "../../api/names.ts";
import { can } from "../../api/permissions.ts";
import { type Resource, useResource } from "../../api/resource.ts";
import { href } from "../../browser/address.ts";
import { scheduleInWords } from "../../format/schedule.ts";
import { errorOf } from "../../parts/dialog.tsx";
import { Icon, type IconName } from "../../frame/icons.tsx";
import { notify } from "../../frame/notices.tsx";
import { Part } from "../../frame/states.tsx";
import { Time } from "../../parts/time.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { type ComponentChildren } from "../../view.ts";

const shown = 5;
const fields = "_id,name,schedule,activity";

interface AttentionProps {
  readonly overview: Resource<Overview>;
  readonly changes: (event: LiveEvent) => boolean;
}

/** Flows that somebody may have to look at, the worst first. */
export function Attention({ overview, changes }: AttentionProps) {
  const value = overview.value.value;
  const listOf = (state: string, count: number | undefined) =>
    count === undefined || count === 0
      ? undefined
      : apiPath(["flows"], { state, include: fields, limit: String(shown) });
  const failing = useResource<readonly ListedFlow[]>(listOf("failing", value?.failing), changes);
  const paused = useResource<readonly ListedFlow[]>(listOf("paused", value?.paused), changes);
  const overdue = useResource<readonly ListedFlow[]>(listOf("overdue", value?.overdue), changes);
  if (value === undefined) return null;
  const { flows } = value;
  const isCalm = value.failing + value.paused + value.overdue === 0;
  return (
    <Section title={say.overviewAttention}>
      {isCalm && (
        <p class="empty">
          {flows.enabled + flows.disabled === 0 ? say.overviewNoFlows : say.overviewCalm(flows.enabled)}
        </p>
      )}
      {value.failing > 0 && (
        <Group state="failing" total={value.failing} flows={failing} row={(flow) => <FailingFlow flow={flow} />} />
      )}
      {value.paused > 0 && (
        <Group state="paused" total={value.paused} flows={paused} row={(flow) => <PausedFlow flow={flow} />} />
      )}
      {value.overdue > 0 && (
        <Group state="overdue" total={value.overdue} flows={overdue} row={(flow) => <OverdueFlow flow={flow} />} />
      )}
    </Section>
  );
}

interface GroupProps {
  readonly state: "failing" | "paused" | "overdue";
  readonly total: number;
  readonly flows: Resource<readonly ListedFlow[]>;
  readonly row: (flow: ListedFlow) => ComponentChildren;
}

function Group({ state, total, flows, row }: GroupProps) {
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
              <li key={flow._id}>{row(flow)}</li>
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

function FailingFlow({ flow }: { readonly flow: ListedFlow }) {
  const { failingSince, lastRun } = flow.activity ?? {};
  return (
    <FlowRow icon="failed" state={say.flowsStates.failing} flow={flow}>
      {say.overviewFailingSince} <Time at={failingSince} />
      {lastRun !== undefined && (
        <>
          {" · "}
          <a href={href(["runs", lastRun._id])}>{say.flowsLastRun.toLowerCase()}</a>
          <RunError _id={lastRun._id} />
        </>
      )}
    </FlowRow>
  );
}

/** Why a run failed. Where it cannot be read, the link beside it leads to why. */
function RunError({ _id }: { readonly _id: string }) {
  const error = useResource<ShownRun>(apiPath(["runs", _id])).value.value?.error;
  if (error === undefined) return null;
  return (
    <span class="row-why">
      <code>{error.code}</code> {error.message}
    </span>
  );
}

function PausedFlow({ flow }: { readonly flow: ListedFlow }) {
  const paused = flow.activity?.paused ?? [];
  const resume = async () => {
    try {
      await call("POST", apiPath(["flows", flow._id, "resume"]), { body: {} });
      notify(say.flowResumed);
    } catch (error) {
      notify(errorOf(error).message, true);
    }
  };
  const action = can("flows.run") ? (
    <button type="button" class="quiet" onClick={() => void resume()}>
      {say.flowResume}
    </button>
  ) : null;
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

function OverdueFlow({ flow }: { readonly flow: ListedFlow }) {
  return (
    <FlowRow icon="overdue" state={say.flowsStates.overdue} flow={flow}>
      {say.overviewOverdueSince} <Time at={flow.activity?.overdueSince} />
      {flow.schedule !== undefined && `, ${scheduleInWords(flow.schedule)}`}
    </FlowRow>
  );
}
