import { errorOf } from "../api/client.ts";
import { after, currentTime } from "../browser/clock.ts";
import * as say from "../strings.ts";
import { type ComponentChildren, signal } from "../view.ts";
import { Icon } from "./icons.tsx";

interface Notice {
  readonly id: number;
  readonly content: ComponentChildren;
  readonly isError: boolean;
}

const notices = signal<readonly Notice[]>([]);
const spoken = signal("");
let last = 0;
let spokenAt = 0;
let waiting: string | undefined;

/** Shows for a while what was done, or why it was not. */
export function notify(content: ComponentChildren, isError = false): void {
  const id = ++last;
  notices.value = [...notices.value.slice(-2), { id, content, isError }];
  if (!isError) after(8_000, () => dismiss(id));
}

/** Shows why something was not done. */
export const notifyError = (error: unknown): void => notify(errorOf(error).message, true);

function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Lets a screen reader say it: at most one sentence in five seconds, the newest one. */
export function announce(sentence: string): void {
  const rest = spokenAt + 5_000 - currentTime();
  if (rest <= 0) {
    spokenAt = currentTime();
    spoken.value = sentence;
    return;
  }
  if (waiting === undefined)
    after(rest, () => {
      const newest = waiting;
      waiting = undefined;
      if (newest !== undefined) announce(newest);
    });
  waiting = sentence;
}

/** Where notices are shown, above everything and moving nothing. */
export function Notices() {
  return (
    <>
      <div class="notices" role="status">
        {notices.value.map(({ id, content, isError }) => (
          <div key={id} class={isError ? "notice bad" : "notice"}>
            <span>{content}</span>
            <button type="button" class="bare" aria-label={say.dismiss} onClick={() => dismiss(id)}>
              <Icon name="close" />
            </button>
          </div>
        ))}
      </div>
      <div class="unseen" aria-live="polite">
        {spoken.value}
      </div>
    </>
  );
}
