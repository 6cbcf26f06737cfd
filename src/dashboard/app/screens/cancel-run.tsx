import { apiPath, call } from "../api/client.ts";
import { Dialog } from "../parts/dialog.tsx";
import { notify } from "../frame/notices.tsx";
import { say } from "../strings.ts";
import { useState } from "../view.ts";

/** A button that cancels a run, once it is asked for a second time. */
export function CancelRun({ _id }: { readonly _id: string }) {
  const [isAsking, setAsking] = useState(false);
  const act = async () => {
    await call("PUT", apiPath(["runs", _id, "cancel"]));
    notify(say.run.canceled);
  };
  return (
    <>
      <button type="button" class="quiet" onClick={() => setAsking(true)}>
        {say.run.cancel}
      </button>
      {isAsking && (
        <Dialog
          title={say.run.cancelTitle}
          confirm={say.run.cancelConfirm}
          isDangerous
          act={act}
          close={() => setAsking(false)}
        >
          <p>{say.run.cancelWhy}</p>
        </Dialog>
      )}
    </>
  );
}
