import { apiPath, call } from "../../api/client.ts";
import type { Run } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { href } from "../../browser/address.ts";
import { Ask } from "../../parts/ask.tsx";
import { notify, notifyError } from "../../frame/notices.tsx";
import * as say from "../../strings.ts";
import { useState } from "../../view.ts";

interface ActionProps {
  readonly flow: Flow;
  readonly changed: () => void;
}

/** What can be done with a flow. */
export function FlowActions({ flow, changed }: ActionProps) {
  const switchTo = async (disabled: boolean) => {
    await call("PATCH", apiPath(["flows", flow._id]), { body: { disabled } });
    changed();
  };
  return (
    <>
      {can("flows.run") && !flow.disabled && (
        <>
          <button type="button" class="main" onClick={() => void run(flow, {}).catch(notifyError)}>
            {say.flowRun}
          </button>
          <Sample flow={flow} />
        </>
      )}
      {can("flows.update") &&
        (flow.disabled ? (
          <button type="button" onClick={() => void switchTo(false).catch(notifyError)}>
            {say.flowEnable}
          </button>
        ) : (
          <Ask
            label={say.flowDisable}
            title={say.flowDisableTitle}
            confirm={say.flowDisableConfirm}
            isDangerous
            act={() => switchTo(true)}
          >
            <p>{say.flowDisableWhy}</p>
          </Ask>
        ))}
      {can("flows.clone") && (
        <Ask label={say.flowClone} title={say.flowCloneTitle} confirm={say.flowCloneConfirm} act={() => clone(flow)}>
          <p>{say.flowCloneWhy}</p>
        </Ask>
      )}
    </>
  );
}

async function run({ _id }: Flow, body: { readonly limit?: number }): Promise<void> {
  const { value } = await call<Run>("POST", apiPath(["flows", _id, "run"]), { body });
  notify(
    <>
      {say.flowQueued} <a href={href(["runs", value._id])}>{say.show}</a>
    </>,
  );
}

async function clone({ _id }: Flow): Promise<void> {
  const { value } = await call<Flow>("POST", apiPath(["flows", _id, "clone"]), { body: {} });
  notify(
    <>
      {say.flowCloned} <a href={href(["flows", value._id])}>{value.name}</a>
    </>,
  );
}

function Sample({ flow }: { readonly flow: Flow }) {
  const [limit, setLimit] = useState(10);
  return (
    <Ask
      label={say.flowSample}
      title={say.flowSampleTitle}
      confirm={say.flowSampleConfirm(limit)}
      isBlocked={!Number.isInteger(limit) || limit < 1}
      act={() => run(flow, { limit })}
    >
      <p>{say.flowSampleWhy}</p>
      <label class="field">
        <span>{say.flowSampleLimit}</span>
        <input
          type="number"
          min={1}
          value={limit}
          onInput={({ currentTarget }) => setLimit(currentTarget.valueAsNumber)}
        />
      </label>
    </Ask>
  );
}
