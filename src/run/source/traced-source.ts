import { PoundlockError } from "../../errors.ts";
import type { RunProgress } from "../progress.ts";
import type { StepReading, Tracer } from "../tracer.ts";
import { PositionExpired, ResumeLater, type Source, type SourcePage } from "./source.ts";

// What host code threw, without the class that says where.
const reading: StepReading<"read", SourcePage | undefined> = {
  returned: (page) => {
    if (page === undefined) return { outcome: "end" };
    return { outcome: "page", counts: { numSuccess: page.batch.size, numError: 0, numIgnore: 0 } };
  },
  threw: (error) => {
    if (error instanceof ResumeLater) return { outcome: "retry", error: error.cause };
    const cause = error instanceof PoundlockError || error instanceof PositionExpired ? (error.cause ?? error) : error;
    return { outcome: error instanceof PositionExpired ? "expired" : "failed", error: cause };
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
