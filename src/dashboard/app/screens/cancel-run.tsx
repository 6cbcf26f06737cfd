import { apiPath, call } from "../api/client.ts";
import { Dialog } from "../parts/dialog.tsx";
import { notify } from "../frame/notices.tsx";
import * as say from "../strings.ts";
import { useState } from "../view.ts";

/** A button that cancels a run, once it is asked for a second time. */
export function CancelRun({ _id }: { readonly _id: string }) {
  const [isAsking, setAsking] = useState(false);
  const act = async () => {
    await call("PUT", apiPath(["runs", _id, "cancel"]));
    notify(say.runCanceled);
  };
  return (
    <>
      <button type="button" class="quiet" onClick={() => setAsking(true)}>
        {say.runCancel}
      </button>
      {isAsking && (
        <Dialog
          title={say.runCancelTitle}
          confirm={say.runCancelConfirm}
          isDangerous
          act={act}
          close={() => setAsking(false)}
        >
          <p>{say.runCancelWhy}</p>
        </Dialog>
      )}
    </>
  );
}
