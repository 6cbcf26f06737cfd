import { ApiError, apiPath, call } from "../../api/client.ts";
import { can } from "../../api/permissions.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { pretty } from "../../format/json.ts";
import { Dialog } from "../../parts/dialog.tsx";
import { Diff } from "../../parts/diff.tsx";
import { notify } from "../../frame/notices.tsx";
import { Section } from "../../frame/title.tsx";
import { say } from "../../strings.ts";
import { useEffect, useState } from "../../view.ts";
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
  const [base, setBase] = useState({ text: stored, etag });
  const [text, setText] = useState(stored);
  const [isAsking, setAsking] = useState(false);
  const [conflict, setConflict] = useState(false);
  const isEdited = text !== base.text;
  useEffect(() => {
    // What is being edited stays, and is saved only over what it was made of.
    if (isEdited) return;
    setBase({ text: stored, etag });
    setText(stored);
  }, [stored, etag]);
  const { value, problem } = parsed(text);
  const save = async () => {
    try {
      const headers = base.etag === undefined ? {} : { "if-match": base.etag };
      await call("PUT", apiPath(["flows", flow._id]), { body: value, headers });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 412) throw error;
      await reload();
      setConflict(true);
      return;
    }
    setBase({ text, etag: undefined });
    notify(say.flow.saved);
    changed();
  };
  const reset = () => {
    setBase({ text: stored, etag });
    setText(stored);
    setConflict(false);
  };
  return (
    <Section title={say.flow.definition}>
      <textarea
        class="code"
        aria-label={say.flow.definition}
        rows={Math.min(24, text.split("\n").length + 1)}
        spellcheck={false}
        readOnly={!can("flows.update")}
        value={text}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
      />
      {problem !== undefined && (
        <p class="refusal" role="alert">
          {say.flow.notJson(problem)}
        </p>
      )}
      {conflict && (
        <div class="refusal" role="alert">
          <p>{say.flow.changedMeanwhile}</p>
          <Diff before={stored} after={text} />
        </div>
      )}
      {isEdited && (
        <div class="inline">
          <button type="button" class="main" disabled={problem !== undefined} onClick={() => setAsking(true)}>
            {say.flow.save}
          </button>
          <button type="button" onClick={reset}>
            {say.flow.reset}
          </button>
        </div>
      )}
      {isAsking && (
        <Dialog title={say.flow.saveTitle} confirm={say.flow.saveConfirm} act={save} close={() => setAsking(false)}>
          <Diff before={base.text} after={text} />
        </Dialog>
      )}
    </Section>
  );
}
