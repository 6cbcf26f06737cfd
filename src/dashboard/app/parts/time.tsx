import { now } from "../browser/clock.ts";
import { absolute, relative, zone } from "../format/times.ts";

/** A time of a document. */
export interface TimeProps {
  readonly at: string | undefined;
  /** Which of both is shown; the relative one has the other below the pointer and for screen readers. */
  readonly show?: "both" | "absolute" | "relative";
  readonly seconds?: boolean;
}

/** A time in the zone that is chosen; relative times are never alone. */
export function Time({ at, show = "both", seconds = false }: TimeProps) {
  if (at === undefined) return <span class="muted">–</span>;
  const exactly = absolute(at, zone.value, seconds);
  return (
    <time dateTime={at} title={`${at} · ${zone.value}`}>
      {show !== "relative" && exactly}
      {show === "both" && <span class="muted"> · {relative(at, now.value)}</span>}
      {show === "relative" && relative(at, now.value)}
    </time>
  );
}
