import { apiPath } from "../../api/client.ts";
import type { Delivery, ShownRun } from "../../api/documents.ts";
import type { LiveEvent } from "../../api/live.ts";
import { knowFlow } from "../../api/names.ts";
import { type Resource, useResource } from "../../api/resource.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { scheduleInWords } from "../../format/schedule.ts";
import { flowZone } from "../../format/times.ts";
import { OpenCauses } from "../../tables/causes.tsx";
import { Part } from "../../frame/states.tsx";
import { Badge } from "../../parts/status.tsx";
import { Time } from "../../parts/time.tsx";
import { Gone, Title } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { useEffect } from "../../view.ts";
import { FlowActions } from "./actions.tsx";
import { Checkpoints } from "./checkpoints.tsx";
import { Definition } from "./definition.tsx";
import { Diagram } from "./diagram.tsx";
import { Inbox } from "./inbox.tsx";
import { FlowRuns } from "./runs.tsx";
import type { KnownRuns } from "./pace.ts";
import { Schedule } from "./schedule.tsx";

const ofFlow = { title: say.flowFailures, none: say.flowNoFailures, limit: "20" } as const;

/** One flow: what it links, how it fares, and what can be done about it. */
export function FlowScreen({ _id }: { readonly _id: string }) {
  const changes = ({ name, data }: LiveEvent) =>
    data.flow?._id === _id || (data.run?._flowId === _id && name !== "run:retrying");
  const flow = useResource<Flow>(apiPath(["flows", _id]), ({ data }) => data.flow?._id === _id);
  const deliveries = useResource<readonly Delivery[]>(apiPath(["flows", _id, "deliveries"]), changes);
  const runs = useResource<readonly ShownRun[]>(apiPath(["runs"], { _flowId: _id, limit: "30" }), changes);
  const value = flow.value.value;
  useEffect(() => {
    flowZone.value = value?.timezone;
    return () => (flowZone.value = undefined);
  }, [value?.timezone]);
  if (value !== undefined) knowFlow(value);
  if (flow.error.value?.status === 404) return <Gone name={_id} words={say.flowGone} />;
  const reload = () => {
    void flow.reload();
    deliveries.reloadSoon();
  };
  const known = { runs: runs.value.value ?? [], isPart: runs.next.value !== undefined };
  return (
    <>
      <Title
        name={value?.name ?? _id}
        actions={value === undefined ? null : <FlowActions flow={value} changed={reload} />}
      >
        {value !== undefined && <Facts flow={value} />}
      </Title>
      <FlowDiagram flow={flow} deliveries={deliveries} known={known} />
      <FlowRuns _flowId={_id} runs={runs} />
      <OpenCauses {...ofFlow} filter={{ _flowId: _id }} changes={changes} />
      <Checkpoints _id={_id} deliveries={deliveries} runs={known.runs} />
      <Inbox _id={_id} changes={changes} />
      {value !== undefined && <Schedule flow={value} />}
      {value !== undefined && (
        <Definition flow={value} etag={flow.etag.value} changed={reload} reload={() => flow.reload()} />
      )}
    </>
  );
}

function Facts({ flow: { disabled, schedule, timezone, nextRunAt } }: { readonly flow: Flow }) {
  return (
    <p class="subtitle">
      {disabled ? (
        <Badge tone="calm">{say.flowsDisabled}</Badge>
      ) : (
        <Badge tone="good" icon="ok">
          {say.flowEnabled}
        </Badge>
      )}
      {schedule === undefined ? (
        <span>{say.flowOnDemand}</span>
      ) : (
        <span title={schedule}>
          {scheduleInWords(schedule)}
          {timezone !== undefined && ` (${timezone})`}
        </span>
      )}
      {nextRunAt !== undefined && (
        <span>
          {say.flowNextRun} <Time at={nextRunAt} />
        </span>
      )}
    </p>
  );
}

interface FlowDiagramProps {
  readonly flow: Resource<Flow>;
  readonly deliveries: Resource<readonly Delivery[]>;
  readonly known: KnownRuns;
}

function FlowDiagram({ flow, deliveries, known }: FlowDiagramProps) {
  return (
    <Part of={flow}>
      {(shown) => (
        <Part of={deliveries}>
          {(rows) => <Diagram flow={shown} deliveries={rows} known={known} changed={() => deliveries.reloadSoon()} />}
        </Part>
      )}
    </Part>
  );
}
