import { apiPath, call } from "../../api/client.ts";
import type { Run } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { href } from "../../browser/address.ts";
import { Dialog, errorOf } from "../../parts/dialog.tsx";
import { notify } from "../../frame/notices.tsx";
import { say } from "../../strings.ts";
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
            {say.flow.run}
          </button>
          <button type="button" onClick={() => ask("sample")}>
            {say.flow.sample}
          </button>
        </>
      )}
      {can("flows.update") &&
        (flow.disabled ? (
          <button type="button" onClick={() => void patch(flow, { disabled: false }).then(changed, failed)}>
            {say.flow.enable}
          </button>
        ) : (
          <button type="button" onClick={() => ask("disable")}>
            {say.flow.disable}
          </button>
        ))}
      {can("flows.clone") && (
        <button type="button" onClick={() => ask("clone")}>
          {say.flow.clone}
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
      {say.flow.queued} <a href={href(["runs", value._id])}>{say.show}</a>
    </>,
  );
}

const patch = ({ _id }: Flow, body: object) => call<Flow>("PATCH", apiPath(["flows", _id]), { body });

function SampleDialog({ flow, close }: { readonly flow: Flow; readonly close: () => void }) {
  const [limit, setLimit] = useState(10);
  return (
    <Dialog
      title={say.flow.sampleTitle}
      confirm={say.flow.sampleConfirm(limit)}
      isBlocked={!Number.isInteger(limit) || limit < 1}
      act={() => run(flow, { limit })}
      close={close}
    >
      <p>{say.flow.sampleWhy}</p>
      <label class="field">
        <span>{say.flow.sampleLimit}</span>
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
    <Dialog title={say.flow.disableTitle} confirm={say.flow.disableConfirm} isDangerous act={act} close={close}>
      <p>{say.flow.disableWhy}</p>
    </Dialog>
  );
}

function CloneDialog({ flow, close }: { readonly flow: Flow; readonly close: () => void }) {
  const act = async () => {
    const { value } = await call<Flow>("POST", apiPath(["flows", flow._id, "clone"]), { body: {} });
    notify(
      <>
        {say.flow.cloned} <a href={href(["flows", value._id])}>{value.name}</a>
      </>,
    );
  };
  return (
    <Dialog title={say.flow.cloneTitle} confirm={say.flow.cloneConfirm} act={act} close={close}>
      <p>{say.flow.cloneWhy}</p>
    </Dialog>
  );
}
