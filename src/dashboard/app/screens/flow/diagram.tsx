import type { Delivery } from "../../api/documents.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { now } from "../../browser/clock.ts";
import { href } from "../../browser/address.ts";
import { Icon } from "../../frame/icons.tsx";
import { Resume } from "../../parts/resume.tsx";
import { Time } from "../../parts/time.tsx";
import * as say from "../../strings.ts";
import { type KnownRuns, isActive, lagOf, perHour } from "./pace.ts";

interface DiagramProps {
  readonly flow: Flow;
  readonly deliveries: readonly Delivery[];
  readonly known: KnownRuns;
  readonly changed: () => void;
}

/** The export and the imports that a flow links, and how delivery to each stands. Lists, which the style draws as boxes. */
export function Diagram({ flow: { _id, _exportId }, deliveries, known, changed }: DiagramProps) {
  return (
    <section class="diagram" aria-label={say.flowDiagram}>
      <div class="end end-export">
        <span class="end-name">{_exportId}</span>
      </div>
      <ol>
        {deliveries.map((delivery) => (
          <li key={delivery._importId}>
            <Pace runs={known.runs} delivery={delivery} />
            <Destination _flowId={_id} delivery={delivery} known={known} changed={changed} />
          </li>
        ))}
      </ol>
    </section>
  );
}

interface DestinationProps {
  readonly _flowId: string;
  readonly delivery: Delivery;
  readonly known: KnownRuns;
  readonly changed: () => void;
}

interface PaceProps extends Pick<KnownRuns, "runs"> {
  readonly delivery: Delivery;
}

/** How many records an hour take this way; nothing of an import that is paused. */
function Pace({ runs, delivery: { _importId, paused } }: PaceProps) {
  const rate = paused === undefined ? perHour(runs, _importId, now.value) : 0;
  return <span class="pace">{rate >= 1 && <span title={say.flowRateWhy}>{say.flowRate(rate)}</span>}</span>;
}

function Destination({ _flowId, delivery, known, changed }: DestinationProps) {
  const { _importId, paused, openFailures } = delivery;
  const lag = lagOf(known, delivery);
  // In the middle of a reading each import is behind what is being read.
  const isBehind = (delivery.behind && !known.runs.some(isActive)) || (paused !== undefined && lag.records > 0);
  const sign = paused !== undefined ? "paused" : openFailures > 0 ? "failed" : "ok";
  return (
    <div class={`end end-${sign}`}>
      <span class="end-name">
        <Icon name={sign} />
        {_importId}
      </span>
      <span class="end-state">
        {paused !== undefined && <Paused _flowId={_flowId} delivery={delivery} changed={changed} />}
        {isBehind && <span>{say.flowBehind(lag)}</span>}
        {openFailures > 0 && (
          <a href={href(["failures"], { flow: _flowId, import: _importId })}>{say.flowOpenFailures(openFailures)}</a>
        )}
        {paused === undefined && !isBehind && openFailures === 0 && <span class="muted">ok</span>}
      </span>
    </div>
  );
}

function Paused({ _flowId, delivery: { _importId, paused }, changed }: Omit<DestinationProps, "known">) {
  if (paused === undefined) return null;
  return (
    <span>
      {say.flowPaused("")}
      <Time at={paused.since} show="absolute" />: {paused.reason.message}
      {"; "}
      {paused.resumeAt === undefined ? (
        say.overviewByPerson
      ) : (
        <>
          {say.overviewResumes} <Time at={paused.resumeAt} />
        </>
      )}{" "}
      <Resume _flowId={_flowId} _importId={_importId} done={changed} />
    </span>
  );
}
