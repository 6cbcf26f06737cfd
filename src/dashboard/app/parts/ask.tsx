import { useState } from "../view.ts";
import { Dialog, type DialogProps } from "./dialog.tsx";

/** A button, and what it asks. */
export interface AskProps extends Omit<DialogProps, "close"> {
  /** What the button says that leads to the question. */
  readonly label: string;
  /** How it looks. */
  readonly kind?: "main" | "quiet" | undefined;
  readonly isDisabled?: boolean;
}

/** A button for what is done once it is asked for a second time. */
export function Ask({ label, kind, isDisabled = false, ...question }: AskProps) {
  const [isAsking, setAsking] = useState(false);
  return (
    <>
      <button type="button" class={kind} disabled={isDisabled} onClick={() => setAsking(true)}>
        {label}
      </button>
      {isAsking && <Dialog {...question} close={() => setAsking(false)} />}
    </>
  );
}
