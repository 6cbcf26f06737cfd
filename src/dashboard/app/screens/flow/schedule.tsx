import { type ApiError, call, errorOf } from "../../api/client.ts";
import type { SchedulePreview } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import type { Flow } from "../../../../model/flow/flow.ts";
import { absolute, zone } from "../../format/times.ts";
import { scheduleInWords } from "../../format/schedule.ts";
import { Refusal } from "../../frame/states.tsx";
import { Time } from "../../parts/time.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { useEffect, useState } from "../../view.ts";

/** When a flow is due next, and when it would be by another expression. */
export function Schedule({ flow }: { readonly flow: Flow }) {
  const { schedule = "" } = flow;
  const [asked, setAsked] = useState(schedule);
  const [typed, setTyped] = useState(schedule);
  useEffect(() => {
    setAsked(schedule);
    setTyped(schedule);
  }, [schedule]);
  const isAllowed = can("schedules.preview");
  const { preview, error } = usePreview(flow, isAllowed ? asked : "");
  if (!isAllowed) return null;
  return (
    <Section title={say.flowsSchedule}>
      {schedule === "" && <p class="empty">{say.flowNoSchedule}</p>}
      <form
        class="inline"
        onSubmit={(event) => {
          event.preventDefault();
          setAsked(typed.trim());
        }}
      >
        <label class="field">
          <span>{say.flowTryOther}</span>
          <input
            class="code"
            value={typed}
            spellcheck={false}
            onInput={({ currentTarget }) => setTyped(currentTarget.value)}
          />
        </label>
        <button type="submit">{say.flowTryIt}</button>
      </form>
      {error !== undefined && <Refusal error={error} />}
      {preview !== undefined && <DueTimes preview={preview} />}
    </Section>
  );
}

function usePreview({ _id, timezone }: Flow, schedule: string): { preview?: SchedulePreview; error?: ApiError } {
  const [found, setFound] = useState<{ preview?: SchedulePreview; error?: ApiError }>({});
  useEffect(() => {
    if (schedule === "") {
      setFound({});
      return undefined;
    }
    const asking = new AbortController();
    const body = { schedule, _flowId: _id, ...(timezone === undefined ? {} : { timezone }) };
    call<SchedulePreview>("POST", "/schedules/preview", { body, signal: asking.signal }).then(
      ({ value }) => setFound({ preview: value }),
      (error: unknown) => asking.signal.aborted || setFound({ error: errorOf(error) }),
    );
    return () => asking.abort();
  }, [schedule, _id, timezone]);
  return found;
}

function DueTimes({ preview: { expression, timezone, dueAt } }: { readonly preview: SchedulePreview }) {
  return (
    <div class="box">
      <p>
        <code>{expression}</code> {scheduleInWords(expression)} ({timezone})
      </p>
      <ol class="due after" aria-label={say.flowDue}>
        {dueAt.map((at) => (
          <li key={at}>
            <Time at={at} />
            {timezone !== zone.value && <span class="muted"> {say.flowInZone(absolute(at, timezone), timezone)}</span>}
          </li>
        ))}
      </ol>
    </div>
  );
}
