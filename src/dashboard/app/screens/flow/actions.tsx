import { apiPath, call } from "../../api/client.ts";
import type { Run } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { href } from "../../browser/address.ts";
import { Dialog, errorOf } from "../../parts/dialog.tsx";
import { notify } from "../../frame/notices.tsx";
import * as say from "../../strings.ts";
import { useState } from "../../view.ts";

interface ActionProps {
  readonly flow: Flow;
  readonly changed: () => void;
}

type Question = "sample" | "disable" | "clone";

/** What can be done with a flow. */
export function FlowActions({ flow, changed }: ActionProps) {
  const [asked, ask] = useState<Question | undefined>(undefined);
  const close = () => ask(undefined);
  return (
    <>
      {can("flows.run") && !flow.disabled && (
        <>
          <button type="button" class="main" onClick={() => void run(flow, {}).catch(failed)}>
            {say.flowRun}
          </button>
          <button type="button" onClick={() => ask("sample")}>
            {say.flowSample}
          </button>
        </>
      )}
      {can("flows.update") &&
        (flow.disabled ? (
          <button type="button" onClick={() => void patch(flow, { disabled: false }).then(changed, failed)}>
            {say.flowEnable}
          </button>
        ) : (
          <button type="button" onClick={() => ask("disable")}>
            {say.flowDisable}
          </button>
        ))}
      {can("flows.clone") && (
        <button type="button" onClick={() => ask("clone")}>
          {say.flowClone}
        </button>
      )}
      {asked === "sample" && <SampleDialog flow={flow} close={close} />}
      {asked === "disable" && <DisableDialog flow={flow} changed={changed} close={close} />}
      {asked === "clone" && <CloneDialog flow={flow} close={close} />}
    </>
  );
}

const failed = (error: unknown) => notify(errorOf(error).message, true);

async function run({ _id }: Flow, body: { readonly limit?: number }): Promise<void> {
  const { value } = await call<Run>("POST", apiPath(["flows", _id, "run"]), { body });
  notify(
    <>
      {say.flowQueued} <a href={href(["runs", value._id])}>{say.show}</a>
    </>,
  );
}

const patch = ({ _id }: Flow, body: object) => call<Flow>("PATCH", apiPath(["flows", _id]), { body });

function SampleDialog({ flow, close }: { readonly flow: Flow; readonly close: () => void }) {
  const [limit, setLimit] = useState(10);
  return (
    <Dialog
      title={say.flowSampleTitle}
      confirm={say.flowSampleConfirm(limit)}
      isBlocked={!Number.isInteger(limit) || limit < 1}
      act={() => run(flow, { limit })}
      close={close}
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
    </Dialog>
  );
}

function DisableDialog({ flow, changed, close }: ActionProps & { readonly close: () => void }) {
  const act = async () => {
    await patch(flow, { disabled: true });
    changed();
  };
  return (
    <Dialog title={say.flowDisableTitle} confirm={say.flowDisableConfirm} isDangerous act={act} close={close}>
      <p>{say.flowDisableWhy}</p>
    </Dialog>
  );
}

function CloneDialog({ flow, close }: { readonly flow: Flow; readonly close: () => void }) {
  const act = async () => {
    const { value } = await call<Flow>("POST", apiPath(["flows", flow._id, "clone"]), { body: {} });
    notify(
      <>
        {say.flowCloned} <a href={href(["flows", value._id])}>{value.name}</a>
      </>,
    );
  };
  return (
    <Dialog title={say.flowCloneTitle} confirm={say.flowCloneConfirm} act={act} close={close}>
      <p>{say.flowCloneWhy}</p>
    </Dialog>
  );
}
