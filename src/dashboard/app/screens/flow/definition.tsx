import { ApiError, apiPath, call } from "../../api/client.ts";
import { can } from "../../api/permissions.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { pretty } from "../../format/json.ts";
import { Ask } from "../../parts/ask.tsx";
import { Diff } from "../../parts/diff.tsx";
import { JsonText, NotJson } from "../../parts/json-text.tsx";
import { notify } from "../../frame/notices.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { type ComponentChildren, useEffect, useState } from "../../view.ts";
import { parsed } from "../parsed.ts";

interface DefinitionProps {
  readonly flow: Flow;
  readonly etag: string | undefined;
  readonly changed: () => void;
  readonly reload: () => Promise<void>;
}

const readOnly = new Set(["_id", "createdAt", "lastModified", "lastExecutedAt", "nextRunAt", "disabledBy", "group"]);

/** The fields that can be written. */
const writable = (flow: Flow) =>
  pretty(Object.fromEntries(Object.entries(flow).filter(([name]) => !readOnly.has(name))));

/** The document of a flow, to be changed as it is written. */
export function Definition({ flow, etag, changed, reload }: DefinitionProps) {
  const stored = writable(flow);
  const { base, text, isEdited, edit, saved, reset } = useDefinitionText(stored, etag);
  const [hasConflict, setConflict] = useState(false);
  const { value, problem } = parsed(text);
  const save = async () => {
    if (await replace(flow._id, value, base.etag)) {
      saved();
      notify(say.flowSaved);
      changed();
    } else {
      await reload();
      setConflict(true);
    }
  };
  const discard = () => {
    reset();
    setConflict(false);
  };
  return (
    <Section title={say.flowDefinition}>
      <JsonText label={say.flowDefinition} text={text} maxRows={24} isReadOnly={!can("flows.update")} edit={edit} />
      <NotJson problem={problem} />
      {hasConflict && <Conflict stored={stored} edited={text} />}
      {isEdited && (
        <Buttons isBlocked={problem !== undefined} save={save} discard={discard}>
          <Diff before={base.text} after={text} />
        </Buttons>
      )}
    </Section>
  );
}

interface DefinitionText {
  /** What editing began with, and its entity tag if that is known. */
  readonly base: { readonly text: string; readonly etag: string | undefined };
  readonly text: string;
  readonly isEdited: boolean;
  readonly edit: (text: string) => void;
  /** What is there now has been stored. */
  readonly saved: () => void;
  /** Gives the changes up. */
  readonly reset: () => void;
}

/** What is being edited; as long as nothing has been changed in it, it is what is stored. */
function useDefinitionText(stored: string, etag: string | undefined): DefinitionText {
  const [base, setBase] = useState({ text: stored, etag });
  const [text, edit] = useState(stored);
  const isEdited = text !== base.text;
  const reset = () => {
    setBase({ text: stored, etag });
    edit(stored);
  };
  useEffect(() => {
    // What is being edited stays, and is saved only over what it was made of.
    if (!isEdited) reset();
  }, [stored, etag]);
  return { base, text, isEdited, edit, saved: () => setBase({ text, etag: undefined }), reset };
}

/** Replaces a flow by another document. Resolves with false if it is not the one of the entity tag any more. */
async function replace(_id: string, body: unknown, etag: string | undefined): Promise<boolean> {
  try {
    const headers = etag === undefined ? {} : { "if-match": etag };
    await call("PUT", apiPath(["flows", _id]), { body, headers });
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 412) return false;
    throw error;
  }
}

function Conflict({ stored, edited }: { readonly stored: string; readonly edited: string }) {
  return (
    <div class="refusal" role="alert">
      <p>{say.flowChangedMeanwhile}</p>
      <Diff before={stored} after={edited} />
    </div>
  );
}

interface ButtonsProps {
  readonly isBlocked: boolean;
  readonly save: () => Promise<void>;
  readonly discard: () => void;
  /** What would change. */
  readonly children: ComponentChildren;
}

function Buttons({ isBlocked, save, discard, children }: ButtonsProps) {
  return (
    <div class="inline">
      <Ask
        label={say.flowSave}
        kind="main"
        isDisabled={isBlocked}
        title={say.flowSaveTitle}
        confirm={say.flowSaveConfirm}
        act={save}
      >
        {children}
      </Ask>
      <button type="button" onClick={discard}>
        {say.flowReset}
      </button>
    </div>
  );
}
