import { ContractViolationError } from "../../errors.ts";
import type { Json } from "../../model/record/json.ts";
import type { Logger } from "../../model/logger.ts";
import { messageOf } from "../../model/message.ts";
import type { StoredCheckpoint } from "../../model/place.ts";
import { hasOwnPosition } from "../../model/run.ts";
import type { PassStart } from "../pass/passes.ts";
import type { RunProgress } from "../progress.ts";
import type { RunJob } from "../run-job.ts";
import { ExportSource } from "./export-source.ts";
import { FailureSource } from "./failure-source.ts";
import { InboxSource } from "./inbox-source.ts";
import { ReadContext } from "./read-context.ts";
import type { ReadSignal } from "./read-signal.ts";
import type { Source } from "./source.ts";

/** What a pass reads: the export's own pages, a flow's inbox, or stored failures. */
export type SourceKind = "pages" | "inbox" | "failures";

/** How far a pass reads, and what ends it early. */
export interface ReadBounds {
  readonly reading: ReadSignal;
  /** Records that may still be read. */
  readonly left: number;
  /** A pass that catches up ends at this checkpoint. */
  readonly until: Json | undefined;
}

/** Records of a page for which the export gives no hint. */
const defaultPageSize = 100;

/** In runs that read the export's pages, too, pages of the inbox are counted from here on. */
const firstInboxPage = 1_000_000;

/** Opens what the passes of one run read. */
export class Sources {
  readonly #job: RunJob;
  readonly #progress: RunProgress;
  /** With the ids of flow and run in every line. */
  readonly log: Logger;

  constructor(job: RunJob, progress: RunProgress, log: Logger) {
    this.#job = job;
    this.#progress = progress;
    this.log = log;
  }

  /** The version that the export's checkpoints have today. */
  get checkpointVersion(): number {
    return this.#job.export.checkpointVersion ?? 1;
  }

  /** @throws `contract_violation` if the export cannot read the checkpoint; whatever `pages` throws, classified. */
  open(start: PassStart, kind: SourceKind, bounds: ReadBounds): Source {
    const { export: from } = this.#job;
    const pageSize = from.pageSize ?? defaultPageSize;
    if (kind === "failures") return this.#failures(start, pageSize);
    return kind === "inbox" ? this.#inbox(start, pageSize) : this.#pages(start, pageSize, bounds);
  }

  #failures({ _importIds, checkpoint }: PassStart, pageSize: number): Source {
    const { claimed, clock, export: from, freeze, storage } = this.#job;
    const { retry: selection = {}, numPagesProcessed: pagesBefore } = this.#progress.run;
    const { codec } = from;
    const origin = { storage, clock, flow: claimed.flow, _importIds, pageSize, codec, freeze, selection, pagesBefore };
    return new FailureSource(origin, checkpoint?.value);
  }

  #inbox({ _importIds }: PassStart, pageSize: number): Source {
    const { claimed, export: from, freeze, storage } = this.#job;
    const { run } = this.#progress;
    const [first = ""] = _importIds;
    const after = run.limit === undefined ? this.#progress.placeOf(first).inbox : undefined;
    const moves = !hasOwnPosition(run);
    // The export's pages have numbers of their own, which may have begun in another run.
    const pagesBefore = run.numPagesProcessed + (run.trigger === "resume" ? firstInboxPage : 0);
    const origin = { storage, export: from, _flowId: claimed.flow._id, pageSize, after, moves, freeze };
    return new InboxSource({ ...origin, pagesBefore });
  }

  #pages({ _runId, checkpoint, pages }: PassStart, pageSize: number, { reading, left, until }: ReadBounds): Source {
    const { claimed, clock, export: from, freeze, imports } = this.#job;
    const { run } = this.#progress;
    const context = new ReadContext({
      checkpoint: this.#readable(checkpoint),
      flow: claimed.flow,
      run,
      pageSize,
      until,
      limit: run.limit === undefined ? undefined : left,
      reading,
      log: this.log,
    });
    return new ExportSource(from, context, { clock, freeze, shared: imports.size > 1, pagesBefore: pages, _runId });
  }

  // A checkpoint in today's shape.
  #readable(stored: StoredCheckpoint | undefined): Json | undefined {
    const { export: from } = this.#job;
    const version = this.checkpointVersion;
    if (stored === undefined || stored.version === version) return stored?.value;
    if (from.migrate === undefined)
      throw this.#violation(`its checkpoint has version ${stored.version}, it reads ${version}, and has no migrate`);
    try {
      return from.migrate(stored.value, stored.version);
    } catch (error) {
      throw this.#violation(`migrate failed: ${messageOf(error)}`, error);
    }
  }

  #violation(problem: string, cause?: unknown): ContractViolationError {
    return new ContractViolationError("Export", this.#progress.run._exportId, problem, cause);
  }
}
