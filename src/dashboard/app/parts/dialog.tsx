import { type ApiError, errorOf } from "../api/client.ts";
import * as say from "../strings.ts";
import { type ComponentChildren, useEffect, useId, useRef, useState } from "../view.ts";
import { Refusal } from "../frame/states.tsx";

/** A question before something is done. */
export interface DialogProps {
  readonly title: string;
  readonly children: ComponentChildren;
  /** What the button says: it names the number. */
  readonly confirm: string;
  /** It cannot be done as it stands. */
  readonly isBlocked?: boolean;
  readonly isDangerous?: boolean;
  /** Does it. What it throws is shown, and the dialog stays. */
  readonly act: () => Promise<void>;
  readonly close: () => void;
}

/** A modal dialog: Escape closes it, and the focus goes back to where it was. */
export function Dialog(props: DialogProps) {
  const { title, children, confirm, isBlocked = false, isDangerous = false, act, close } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const { isActing, error, perform } = useAction(act, () => dialog.current?.close());
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={heading} onClose={close}>
      <h2 id={heading}>{title}</h2>
      <div class="dialog-body">{children}</div>
      {error !== undefined && <Refusal error={error} />}
      <div class="dialog-foot">
        <button type="button" onClick={() => dialog.current?.close()}>
          {say.cancel}
        </button>
        <button
          type="button"
          class={isDangerous ? "main danger" : "main"}
          disabled={isBlocked || isActing}
          onClick={() => void perform()}
        >
          {confirm}
        </button>
      </div>
    </dialog>
  );
}

interface Action {
  readonly isActing: boolean;
  /** Why it was not done. */
  readonly error: ApiError | undefined;
  readonly perform: () => Promise<void>;
}

/** Does something when it is asked for, and `done` after it; it can be tried again after it has failed. */
function useAction(act: () => Promise<void>, done: () => void): Action {
  const [isActing, setActing] = useState(false);
  const [error, setError] = useState<ApiError | undefined>(undefined);
  const perform = async () => {
    setActing(true);
    setError(undefined);
    try {
      await act();
      done();
    } catch (thrown) {
      setError(errorOf(thrown));
      setActing(false);
    }
  };
  return { isActing, error, perform };
}
