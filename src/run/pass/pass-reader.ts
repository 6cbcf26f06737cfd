import { delay } from "../../clock.ts";
import { ExportFailedError } from "../../errors.ts";
import { itemAt } from "../../model/item-at.ts";
import type { Json } from "../../model/record/json.ts";
import { importIdsOf } from "../../model/flow/flow.ts";
import type { ImportPlace, StoredCheckpoint } from "../../model/place.ts";
import { hasOwnPosition } from "../../model/run.ts";
import type { RunProgress } from "../progress.ts";
import { excessiveWait, longestWaitMs, retryDelay, waitMsOf } from "../retry.ts";
import type { RunJob } from "../run-job.ts";
import { callCommitted } from "../source/committed.ts";
import { ReadSignal } from "../source/read-signal.ts";
import { PositionExpired, ResumeLater } from "../source/source.ts";
import type { ReadBounds, SourceKind, Sources } from "../source/sources.ts";
import { OpenCount } from "./open-count.ts";
import type { PageMoverDeps } from "./page-mover.ts";
import { Pass, type PassDeps, type PassEnd } from "./pass.ts";
import type { PassStart } from "./passes.ts";
import type { Recipient } from "./recipient.ts";

/** Reads passes of one run, each again for as long as the export asks to be read again later. */
export class PassReader {
  readonly #job: RunJob;
  readonly #progress: RunProgress;
  readonly #sources: Sources;
  readonly #recipients: ReadonlyMap<string, Recipient>;
  readonly #ownPosition: boolean;
  readonly #openCount: OpenCount;
  #waits: number;
  #notBefore: number | undefined;

  constructor(job: RunJob, progress: RunProgress, sources: Sources, recipients: ReadonlyMap<string, Recipient>) {
    this.#job = job;
    this.#progress = progress;
    this.#sources = sources;
    this.#recipients = recipients;
    this.#ownPosition = hasOwnPosition(job.claimed.run);
    this.#openCount = new OpenCount(job.limits.maxOpenFailures, (_importId) => this.#countOpen(_importId));
    this.#waits = job.claimed.run.waits ?? 0;
  }

  /** Times the export asked to wait since the run made progress. */
  get waits(): number {
    return this.#waits;
  }

  /** When the run is to go on, if it is to wait. */
  get notBefore(): number | undefined {
    return this.#notBefore;
  }

  /** One pass; `until` is where one that catches up ends. `waiting`: the run is to wait. */
  async read(start: PassStart, kind: SourceKind, until?: Json): Promise<PassEnd | "waiting"> {
    const recipients = start._importIds.flatMap((_importId) => this.#recipients.get(_importId) ?? []);
    let current = start;
    for (;;) {
      const active = recipients.filter(({ left }) => left === undefined);
      if (active.length === 0) return "left";
      const pass = this.#pass(current, active, kind, until);
      try {
        const end = await pass.run();
        return this.#notBefore === undefined ? end : "waiting";
      } catch (error) {
        if (this.#job.signal.aborted && (error instanceof ResumeLater || error instanceof PositionExpired))
          return "aborted";
        if (error instanceof PositionExpired && !pass.hasRead && this.#hasPosition(current))
          current = await this.#withoutPosition(current);
        else if (error instanceof ResumeLater) {
          if (!(await this.#waitToResume(error, pass))) return "waiting";
          current = this.#resumed(start);
        } else throw error instanceof PositionExpired ? error.failure : error;
      }
    }
  }

  /**
   * Where a run begins that moves no place: where the flow's first import stands; a backfill from the start; a retry at
   * the first failure, as an import's checkpoint is one of the export's and says nothing of failures.
   */
  ownCheckpoint(): StoredCheckpoint | undefined {
    const { run } = this.#progress;
    if (run.moveCheckpoint === false || run.trigger === "retry") return undefined;
    return standingOf(this.#progress.placeOf(this.#job.claimed.flow._importId));
  }

  #hasPosition({ _importIds }: PassStart): boolean {
    if (this.#ownPosition) return this.#progress.position.checkpoint !== undefined;
    return _importIds.some((_importId) => this.#progress.placeOf(_importId).position !== undefined);
  }

  // The page token of the position is not valid any more: reading begins at the checkpoint again.
  async #withoutPosition(start: PassStart): Promise<PassStart> {
    const { _importIds } = start;
    if (this.#ownPosition) await this.#progress.commit({ position: { pages: 0 } });
    else await this.#progress.commit({ places: [{ _importIds, position: null }] });
    const checkpoint = this.#ownPosition
      ? this.ownCheckpoint()
      : this.#progress.placeOf(itemAt(_importIds, 0)).checkpoint;
    const { checkpoint: _, ...rest } = start;
    return { ...rest, ...(checkpoint === undefined ? {} : { checkpoint }), _runId: this.#progress.run._id, pages: 0 };
  }

  // Where the imports of a reading stand now.
  #resumed(start: PassStart): PassStart {
    if (this.#ownPosition) {
      const { checkpoint = start.checkpoint, pages } = this.#progress.position;
      return { ...start, ...(checkpoint === undefined ? {} : { checkpoint }), pages };
    }
    const [first = ""] = start._importIds.filter((_id) => this.#recipients.get(_id)?.left === undefined);
    const place = this.#progress.placeOf(first);
    const checkpoint = standingOf(place);
    return {
      ...start,
      ...(checkpoint === undefined ? {} : { checkpoint }),
      pages: place.position?.pages ?? start.pages,
    };
  }

  async #waitToResume(error: ResumeLater, pass: Pass): Promise<boolean> {
    const { clock, emit, limits, signal } = this.#job;
    const { run } = this.#progress;
    // Pages that were delivered without a checkpoint would be sent again.
    if (pass.pagesWithoutCheckpoint > 0) {
      const reason = `it asked to be read again later, but ${pass.pagesWithoutCheckpoint} pages had no checkpoint to go on from`;
      throw new ExportFailedError(run._exportId, new Error(`${reason}: ${error.message}`, { cause: error.cause }));
    }
    this.#waits = pass.hasProgressed ? 1 : this.#waits + 1;
    if (this.#waits >= limits.maxAttempts) throw new ExportFailedError(run._exportId, error.cause);
    const afterMs = this.#boundedWaitMs(error.afterMs);
    const delayMs = retryDelay(this.#waits, limits.backoff, afterMs);
    emit("run:retrying", { run, attempt: this.#waits, delayMs, message: error.message });
    if (delayMs > limits.maxWaitMs) {
      this.#notBefore = clock.now() + delayMs;
      return false;
    }
    await delay(clock, delayMs, signal);
    return true;
  }

  #boundedWaitMs(asked: unknown): number {
    const waitMs = waitMsOf(asked, this.#job.clock.now());
    if (waitMs <= longestWaitMs) return waitMs;
    this.#sources.log.warn({ afterMs: asked }, excessiveWait);
    return longestWaitMs;
  }

  async #countOpen(_importId: string): Promise<number> {
    const { claimed, limits, storage } = this.#job;
    return (await storage.countOpenFailures(claimed.flow._id, limits.maxOpenFailures + 1))[_importId] ?? 0;
  }

  #pass(start: PassStart, recipients: readonly Recipient[], kind: SourceKind, wantedUntil: Json | undefined): Pass {
    const { limit } = this.#progress.run;
    const { ahead = [] } = this.#progress.position;
    const behind = recipients.filter(({ _importId }) => !ahead.includes(_importId));
    const beginsSettled = behind.length === 0;
    const left = limit === undefined ? Infinity : limit - this.#recordsRead(beginsSettled ? recipients : behind);
    const reading = new ReadSignal(this.#job.signal);
    const bounds = { reading, left, until: start.catchesUp ? wantedUntil : undefined };
    const open = () => this.#sources.open(start, kind, bounds);
    const onCommitted = this.#onCommitted(kind, recipients);
    return new Pass(this.#deps(kind, bounds, { beginsSettled, open, onCommitted }), start, recipients);
  }

  // Field by field: a literal that spreads others costs microseconds, and each run makes one.
  #deps(
    kind: SourceKind,
    { left, reading, until }: ReadBounds,
    pass: Pick<PassDeps, "beginsSettled" | "open" | "onCommitted">,
  ): PassDeps {
    const { clock, emit, export: from, limits, newId, signal, tracer, yielder } = this.#job;
    return {
      clock,
      emit,
      newId,
      signal,
      tracer,
      yielder,
      reading,
      until,
      limit: left,
      beginsSettled: pass.beginsSettled,
      open: pass.open,
      onCommitted: pass.onCommitted,
      progress: this.#progress,
      codec: from.codec,
      ownPosition: this.#ownPosition,
      prefetch: limits.prefetch,
      maxFailures: limits.maxFailures,
      maxOpenFailures: limits.maxOpenFailures,
      autoRetry: limits.autoRetry,
      ordered: from.order === "ordered",
      keepsPositions: kind === "inbox" && from.pages !== undefined,
      hasKeys: from.key !== undefined || kind === "inbox",
      checkpointVersion: kind === "failures" ? 1 : this.#sources.checkpointVersion,
      hasWaitingRun: () => this.#hasWaitingRun(),
      openCount: this.#openCount,
      onWait: (notBefore) => (this.#notBefore = Math.max(this.#notBefore ?? 0, notBefore)),
    };
  }

  async #hasWaitingRun(): Promise<boolean> {
    const { claimed, storage } = this.#job;
    return (await storage.listRuns({ _flowId: claimed.flow._id, status: "queued", limit: 1 })).items.length > 0;
  }

  // Not of samples, nor while an import stands elsewhere.
  #onCommitted(kind: SourceKind, recipients: readonly Recipient[]): PageMoverDeps["onCommitted"] {
    const { claimed, clock, export: from, signal } = this.#job;
    const isOfAll = recipients.length === importIdsOf(claimed.flow).length;
    if (kind !== "pages" || from.committed === undefined || !isOfAll || this.#progress.run.limit !== undefined)
      return undefined;
    return (page) => callCommitted(from, page, { run: this.#progress.run, signal, log: this.#sources.log, clock });
  }

  // Records that a limited run has read for these imports before.
  #recordsRead(recipients: readonly Recipient[]): number {
    const { imports } = this.#progress.run;
    const reads = recipients.map(({ _importId }) => {
      const counts = imports[_importId];
      return counts === undefined ? 0 : counts.numSuccess + counts.numError + counts.numIgnore;
    });
    return Math.max(0, ...reads);
  }
}

/** Where reading for an import goes on. */
export function standingOf({ checkpoint, position }: ImportPlace): StoredCheckpoint | undefined {
  return position?.checkpoint ?? checkpoint;
}
