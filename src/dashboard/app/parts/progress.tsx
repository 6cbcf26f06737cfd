import { onLive } from "../api/live.ts";
import type { ShownRun } from "../api/documents.ts";
import { currentTime } from "../browser/clock.ts";
import { duration } from "../format/times.ts";
import * as say from "../strings.ts";
import { useEffect, useState } from "../view.ts";

/** How far a run was at some time. */
interface Sample {
  readonly at: number;
  readonly done: number;
  readonly pages: number;
}

/** A run as events say that it is, and what can be said of its speed. */
export interface LiveRun {
  readonly run: ShownRun;
  readonly done: number;
  readonly perMinute: number | undefined;
  readonly leftMs: number | undefined;
}

const windowMs = 60_000;
/** Records that were read and are settled: by the import that is ahead, as each gets all of them. */
const settled = ({ imports }: ShownRun) =>
  Math.max(
    0,
    ...Object.values(imports).map(({ numSuccess, numError, numIgnore }) => numSuccess + numError + numIgnore),
  );

/** Follows a run by its events. */
export function useLiveRun(loaded: ShownRun): LiveRun {
  const [newest, setNewest] = useState<ShownRun>(loaded);
  const [samples, setSamples] = useState<readonly Sample[]>([]);
  useEffect(
    () =>
      onLive(({ name, data: { run, total } }) => {
        if (run?._id !== loaded._id || !name.startsWith("run:")) return;
        setNewest((before) => ({ ...before, ...run, ...(total === undefined ? {} : { total }) }));
        const at = currentTime();
        const sample = { at, done: settled(run), pages: run.numPagesProcessed };
        setSamples((known) => [...known.filter((one) => at - one.at < windowMs), sample]);
      }),
    [loaded._id],
  );
  const run = settled(newest) >= settled(loaded) && loaded.endedAt === undefined ? newest : loaded;
  return { run, done: settled(run), ...speedOf(samples, run) };
}

function speedOf(samples: readonly Sample[], run: ShownRun): Pick<LiveRun, "perMinute" | "leftMs"> {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || samples.length < 3 || last.at === first.at)
    return { perMinute: undefined, leftMs: undefined };
  const perMs = (last.done - first.done) / (last.at - first.at);
  const rest = run.total === undefined ? undefined : run.total - last.done;
  const leftMs = rest === undefined || perMs <= 0 || rest < 0 ? undefined : rest / perMs;
  return { perMinute: Math.round(perMs * 60_000), leftMs };
}

/** How far a run is; the time that is left, once that can be said. */
export function Progress({ live: { run, done, leftMs } }: { readonly live: LiveRun }) {
  return (
    <div class="progress">
      <progress
        aria-label={say.runProgress(done, run.total)}
        {...(run.total === undefined ? {} : { value: Math.min(done, run.total), max: Math.max(1, run.total) })}
      />
      <span class="number">{say.runProgress(done, run.total)}</span>
      {leftMs !== undefined && <span class="muted">{say.runAbout(duration(leftMs))}</span>}
    </div>
  );
}
