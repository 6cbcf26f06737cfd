import { apiPath, call } from "../api/client.ts";
import { can } from "../api/permissions.ts";
import { notify, notifyError } from "../frame/notices.tsx";
import * as say from "../strings.ts";

interface ResumeProps {
  readonly _flowId: string;
  /** All that are paused, without it. */
  readonly _importId?: string;
  readonly done: () => void;
}

/** Lets a paused import go on now. */
export function Resume({ _flowId, _importId, done }: ResumeProps) {
  if (!can("flows.run")) return null;
  const resume = async () => {
    await call("POST", apiPath(["flows", _flowId, "resume"]), { body: { _importId } });
    notify(say.flowResumed);
    done();
  };
  return (
    <button type="button" class="quiet" onClick={() => void resume().catch(notifyError)}>
      {say.flowResume}
    </button>
  );
}
