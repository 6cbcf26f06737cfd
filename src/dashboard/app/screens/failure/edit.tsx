import { type ApiError, apiPath, call, errorOf } from "../../api/client.ts";
import type { Failure } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import { pretty } from "../../format/json.ts";
import { Diff } from "../../parts/diff.tsx";
import { JsonText, NotJson } from "../../parts/json-text.tsx";
import { notify } from "../../frame/notices.tsx";
import { Refusal } from "../../frame/states.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { useState } from "../../view.ts";
import { parsed } from "../parsed.ts";
import { retry } from "./failure.tsx";

interface EditProps {
  readonly failure: Failure;
  readonly etag: string | undefined;
  readonly reload: () => Promise<void>;
}

/** Begins to edit on demand. */
export function EditRecord(props: EditProps) {
  const [isEditing, setEditing] = useState(false);
  if (!isEditing)
    return (
      <p class="after">
        <button type="button" onClick={() => setEditing(true)}>
          {say.failureEdit}
        </button>
      </p>
    );
  return <Editor {...props} close={() => setEditing(false)} />;
}

/** The record as JSON, what has changed in it, and whether it can be saved. */
function Editor({ failure, etag, reload, close }: EditProps & { readonly close: () => void }) {
  // What was there when editing began: another change since then must not be overwritten.
  const [begun] = useState({ text: pretty(failure.record), etag });
  const [text, setText] = useState(begun.text);
  const [error, setError] = useState<ApiError | undefined>(undefined);
  const { value, problem } = parsed(text);
  const save = async (isRetried: boolean) => {
    try {
      const headers = { "if-match": begun.etag ?? "" };
      await call("PATCH", apiPath(["failures", failure._id]), { body: { record: value }, headers });
      if (isRetried) await retry(failure);
      else notify(say.flowSaved);
      close();
      await reload();
    } catch (thrown) {
      setError(errorOf(thrown));
    }
  };
  return (
    <Section title={say.failureEdit}>
      <div class="editor">
        <div>
          <h3>{say.failureEditLabel}</h3>
          <JsonText label={say.failureEditLabel} text={text} maxRows={30} edit={setText} />
        </div>
        <Changes before={pretty(failure.original ?? failure.record)} after={text} />
      </div>
      <NotJson problem={problem} />
      {error !== undefined &&
        (error.status === 412 ? <Conflict reload={() => void reload().then(close)} /> : <Refusal error={error} />)}
      <SaveButtons isBlocked={problem !== undefined || text === begun.text} save={save} discard={close} />
    </Section>
  );
}

function Changes({ before, after }: { readonly before: string; readonly after: string }) {
  return (
    <div>
      <h3>{say.failureChanges}</h3>
      {after === before ? <p class="empty">{say.failureNoChanges}</p> : <Diff before={before} after={after} />}
    </div>
  );
}

interface SaveButtonsProps {
  readonly isBlocked: boolean;
  readonly save: (isRetried: boolean) => Promise<void>;
  readonly discard: () => void;
}

function SaveButtons({ isBlocked, save, discard }: SaveButtonsProps) {
  return (
    <div class="inline">
      {can("failures.retry") && (
        <button type="button" class="main" disabled={isBlocked} onClick={() => void save(true)}>
          {say.failureSaveAndRetry}
        </button>
      )}
      <button type="button" disabled={isBlocked} onClick={() => void save(false)}>
        {say.failureSave}
      </button>
      <button type="button" onClick={discard}>
        {say.failureDiscard}
      </button>
    </div>
  );
}

function Conflict({ reload }: { readonly reload: () => void }) {
  return (
    <div class="refusal" role="alert">
      <p>{say.failureConflict}</p>
      <button type="button" class="quiet" onClick={reload}>
        {say.failureReload}
      </button>
    </div>
  );
}
