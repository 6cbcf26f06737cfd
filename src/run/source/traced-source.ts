import type { RunProgress } from "../progress.ts";
import type { StepReading, Tracer } from "../tracer.ts";
import { PositionExpired, ResumeLater, type Source, type SourcePage } from "./source.ts";

const reading: StepReading<"read", SourcePage | undefined> = {
  returned: (page) => (page === undefined ? { outcome: "end" } : { outcome: "page" }),
  threw: (error) => {
    if (error instanceof ResumeLater) return { outcome: "retry", error: error.cause };
    return { outcome: error instanceof PositionExpired ? "expired" : "failed", error };
  },
};

/** The same source; each page that is asked for is a step of its run. */
export function tracedSource(source: Source, tracer: Tracer, progress: Pick<RunProgress, "run">): Source {
  let page = progress.run.numPagesGenerated;
  return {
    next: () => tracer.around({ kind: "read", run: progress.run, page: ++page }, () => source.next(), reading),
    close: () => source.close(),
  };
}
