import { apiPath, call } from "../api/client.ts";
import { notify } from "../frame/notices.tsx";
import { Ask, type AskProps } from "../parts/ask.tsx";
import * as say from "../strings.ts";

interface CancelRunProps extends Pick<AskProps, "kind"> {
  readonly _id: string;
}

/** A button that cancels a run, once it is asked for a second time. */
export function CancelRun({ _id, kind }: CancelRunProps) {
  const act = async () => {
    await call("PUT", apiPath(["runs", _id, "cancel"]));
    notify(say.runCanceled);
  };
  return (
    <Ask
      label={say.runCancel}
      kind={kind}
      title={say.runCancelTitle}
      confirm={say.runCancelConfirm}
      isDangerous
      act={act}
    >
      <p>{say.runCancelWhy}</p>
    </Ask>
  );
}
