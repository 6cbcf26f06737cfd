import { apiPath, call } from "../../api/client.ts";
import type { Delivery } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { href } from "../../browser/address.ts";
import { errorOf } from "../../parts/dialog.tsx";
import { Icon } from "../../frame/icons.tsx";
import { notify } from "../../frame/notices.tsx";
import { Time } from "../../parts/time.tsx";
import * as say from "../../strings.ts";

interface DiagramProps {
  readonly flow: Flow;
  readonly deliveries: readonly Delivery[];
  /** In the middle of a reading each import is behind what is being read. */
  readonly isRunning: boolean;
  readonly changed: () => void;
}

/** The export and the imports that a flow links, and how delivery to each stands. Lists, which the style draws as boxes. */
export function Diagram({ flow: { _id, _exportId }, deliveries, isRunning, changed }: DiagramProps) {
  return (
    <section class="diagram" aria-label={say.flowDiagram}>
      <div class="end end-export">
        <span class="end-name">{_exportId}</span>
      </div>
      <ol>
        {deliveries.map((delivery) => (
          <li key={delivery._importId}>
            <Destination _flowId={_id} delivery={delivery} isRunning={isRunning} changed={changed} />
          </li>
        ))}
      </ol>
    </section>
  );
}

interface DestinationProps {
  readonly _flowId: string;
  readonly delivery: Delivery;
  readonly isRunning: boolean;
  readonly changed: () => void;
}

function Destination({ _flowId, delivery, isRunning, changed }: DestinationProps) {
  const { _importId, paused, openFailures } = delivery;
  const behind = delivery.behind && !isRunning;
  const sign = paused !== undefined ? "paused" : openFailures > 0 ? "failed" : "ok";
  return (
    <div class={`end end-${sign}`}>
      <span class="end-name">
        <Icon name={sign} />
        {_importId}
      </span>
      <span class="end-state">
        {paused !== undefined && <Paused _flowId={_flowId} delivery={delivery} changed={changed} />}
        {behind && <span>{say.flowBehind}</span>}
        {openFailures > 0 && (
          <a href={href(["failures"], { flow: _flowId, import: _importId })}>{say.flowOpenFailures(openFailures)}</a>
        )}
        {paused === undefined && !behind && openFailures === 0 && <span class="muted">ok</span>}
      </span>
    </div>
  );
}

function Paused({ _flowId, delivery: { _importId, paused }, changed }: Omit<DestinationProps, "isRunning">) {
  if (paused === undefined) return null;
  const resume = async () => {
    try {
      await call("POST", apiPath(["flows", _flowId, "resume"]), { body: { _importId } });
      notify(say.flowResumed);
      changed();
    } catch (error) {
      notify(errorOf(error).message, true);
    }
  };
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
      {can("flows.run") && (
        <button type="button" class="quiet" onClick={() => void resume()}>
          {say.flowResume}
        </button>
      )}
    </span>
  );
}
