import * as say from "../strings.ts";
import { useEffect, useId, useRef } from "../view.ts";

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select"));

/** The two shortcuts, and the dialog that lists them. */
export function Shortcuts() {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector("dialog[open]") !== null) return;
      if (event.key === "?") dialog.current?.showModal();
      if (event.key !== "/") return;
      const fields = document.querySelectorAll<HTMLElement>("#find, #find-key");
      const shown = [...fields].find((field) => field.offsetParent !== null);
      if (shown === undefined) return;
      event.preventDefault();
      shown.focus();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={heading}>
      <h2 id={heading}>{say.shortcutsTitle}</h2>
      <dl class="facts">
        <Key name="/" does={say.navFindHint} />
        <Key name="?" does={say.shortcutsHelp} />
        <Key name="Esc" does={say.shortcutsEscape} />
      </dl>
      <div class="dialog-foot">
        <button type="button" class="main" onClick={() => dialog.current?.close()}>
          {say.shortcutsClose}
        </button>
      </div>
    </dialog>
  );
}

function Key({ name, does }: { readonly name: string; readonly does: string }) {
  return (
    <div>
      <dt>
        <kbd>{name}</kbd>
      </dt>
      <dd>{does}</dd>
    </div>
  );
}
