import { hasOwnPosition } from "../../../../model/run.ts";
import { apiPath, call } from "../../api/client.ts";
import type { Delivery, ShownRun } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import type { Resource } from "../../api/resource.ts";
import { pretty } from "../../format/json.ts";
import { Dialog } from "../../parts/dialog.tsx";
import { NotJson } from "../../parts/json-text.tsx";
import { notify } from "../../frame/notices.tsx";
import { Part } from "../../frame/states.tsx";
import { type Column, Table } from "../../tables/table.tsx";
import { Time } from "../../parts/time.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { useState } from "../../view.ts";
import { isActive } from "./pace.ts";
import { parsed } from "../parsed.ts";

interface CheckpointsProps {
  readonly _id: string;
  readonly deliveries: Resource<readonly Delivery[]>;
  readonly runs: readonly ShownRun[];
}

/** Where reading for each import resumes, and how to change that. */
export function Checkpoints({ _id, deliveries, runs }: CheckpointsProps) {
  const [asked, ask] = useState<Delivery | undefined>(undefined);
  const last = runs.find((run) => run.status === "completed" && !hasOwnPosition(run));
  return (
    <Section title={say.flowDeliveries}>
      <Part of={deliveries}>
        {(rows) => (
          <Table
            label={say.flowDeliveries}
            columns={columnsOf(runs.some(isActive), ask)}
            rows={rows}
            idOf={({ _importId }) => _importId}
          />
        )}
      </Part>
      {asked !== undefined && (
        <CheckpointDialog
          _id={_id}
          delivery={asked}
          last={last}
          close={() => ask(undefined)}
          changed={() => void deliveries.reload()}
        />
      )}
    </Section>
  );
}

function columnsOf(isRunning: boolean, ask: (delivery: Delivery) => void): readonly Column<Delivery>[] {
  return [
    { title: say.failuresImport, isName: true, cell: ({ _importId }) => _importId },
    {
      title: say.flowCheckpoint,
      cell: ({ checkpoint }) =>
        checkpoint === undefined ? (
          <span class="muted">{say.flowFromStart}</span>
        ) : (
          <code class="clip">{JSON.stringify(checkpoint)}</code>
        ),
    },
    { title: say.flowMovedAt, isMinor: true, cell: ({ movedAt }) => <Time at={movedAt} /> },
    {
      title: "",
      cell: (delivery) =>
        can("checkpoints.write") && (
          <div class="row-actions">
            <button
              type="button"
              class="quiet"
              disabled={isRunning}
              title={isRunning ? say.flowSetRunning : undefined}
              onClick={() => ask(delivery)}
            >
              {say.flowSetCheckpoint}
            </button>
          </div>
        ),
    },
  ];
}

interface CheckpointDialogProps {
  readonly _id: string;
  readonly delivery: Delivery;
  readonly last: ShownRun | undefined;
  readonly close: () => void;
  readonly changed: () => void;
}

function CheckpointDialog({ _id, delivery, last, close, changed }: CheckpointDialogProps) {
  const { _importId, checkpoint } = delivery;
  const [text, setText] = useState(checkpoint === undefined ? "" : pretty(checkpoint));
  const isReset = text.trim() === "";
  const { value, problem } = isReset ? { value: undefined, problem: undefined } : parsed(text);
  const act = async () => {
    const body = isReset ? { _importId } : { _importId, value };
    await call("PUT", apiPath(["flows", _id, "checkpoint"]), { body });
    notify(say.flowSetDone);
    changed();
  };
  const counts = last?.imports[_importId];
  return (
    <Dialog
      title={say.flowSetTitle(_importId)}
      confirm={say.flowSetConfirm}
      isDangerous
      isBlocked={problem !== undefined}
      act={act}
      close={close}
    >
      <label class="field">
        <span>{say.flowSetValue}</span>
        <textarea
          class="code"
          rows={6}
          spellcheck={false}
          value={text}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
      </label>
      <NotJson problem={problem} />
      <p>
        {isReset ? say.flowSetAgain(counts && counts.numSuccess + counts.numError + counts.numIgnore) : say.flowSetWhy}
      </p>
    </Dialog>
  );
}
