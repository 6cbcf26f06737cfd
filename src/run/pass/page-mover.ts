import type { Clock } from "../../clock.ts";
import {
  CountsMismatchError,
  ImportUnavailableError,
  type PoundlockError,
  TooManyFailuresError,
} from "../../errors.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { Pause } from "../../model/delivery.ts";
import type { Codec } from "../../model/export.ts";
import { messageOf } from "../../model/message.ts";
import type { PlaceChange, StoredCheckpoint } from "../../model/place.ts";
import type { RunPosition } from "../../storage/storage.ts";
import { type ImportResult, type PauseReason, importPage } from "../destination/import-page.ts";
import type { PassStart } from "./passes.ts";
import { EarlyCommits, type Part } from "./early-commits.ts";
import { type PauseCause, nextPause, pausesBeforeProbe } from "./pause.ts";
import type { RunProgress } from "../progress.ts";
import type { Departure, Recipient } from "./recipient.ts";
import { type AutoRetry, type SettledPage, settle, settledTogether } from "./settle.ts";
import type { CommittedPage, SourcePage } from "../source/source.ts";

/** What moving pages takes. */
export interface PageMoverDeps {
  readonly progress: RunProgress;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly newId: () => string;
  readonly emit: Emit<SchedulerEvents>;
  readonly codec: Codec | undefined;
  readonly maxFailures: number;
  readonly maxOpenFailures: number;
  readonly autoRetry: AutoRetry | false;
  /** Whether page checkpoints become the imports' at once. */
  readonly ordered: boolean;
  /** Whether the run has a position of its own, and moves no import's place. */
  readonly ownPosition: boolean;
  /** Whether the end of the reading says nothing of the export's pages: where imports stand in them stays. */
  readonly keepsPositions: boolean;
  /** Whether keys come from the export, so that one may have failed before. */
  readonly hasKeys: boolean;
  readonly checkpointVersion: number;
  /** Open failures at an import, as far as it matters. */
  readonly countOpen: (_importId: string) => Promise<number>;
  /** A page is settled and committed for every import of the flow; absent: nobody asks. */
  readonly onCommitted?: (page: CommittedPage) => Promise<void>;
  /** A destination asks a run with a position of its own to wait. */
  readonly onWait: (notBefore: number) => void;
}

/** What of a page is committed together. */
interface Share {
  readonly recipient: Recipient;
  readonly settled: SettledPage;
  readonly departure: Departure | undefined;
}

/**
 * Moves the pages of one pass: each is offered to every import at once, and committed for all that have settled it. An
 * import that fails, stops or is paused leaves the pass and keeps its place; the others go on.
 */
export class PageMover {
  readonly #deps: PageMoverDeps;
  readonly #recipients: readonly Recipient[];
  readonly #start: PassStart;
  #pages: number;
  #reached: StoredCheckpoint | undefined;
  #withoutCheckpoint = 0;
  #hasMoved = false;
  #hasCommitted = false;
  #hasProgressed = false;

  constructor(deps: PageMoverDeps, start: PassStart, recipients: readonly Recipient[]) {
    this.#deps = deps;
    this.#start = start;
    this.#recipients = recipients;
    this.#pages = start.pages;
    this.#reached = start.checkpoint;
  }

  get hasMoved(): boolean {
    return this.#hasMoved;
  }

  get hasCommitted(): boolean {
    return this.#hasCommitted;
  }

  get hasProgressed(): boolean {
    return this.#hasProgressed;
  }

  get pagesWithoutCheckpoint(): number {
    return this.#withoutCheckpoint;
  }

  /** Settles a page for every import that is still read for, and commits it. `generated`: pages read by now. */
  async move(page: SourcePage, generated: number): Promise<void> {
    const wanted = this.#recipientsFor(page);
    if (this.#deps.hasKeys && page.failures === undefined && page.batch.size > 0)
      await Promise.all(wanted.map(({ open }) => open.load()));
    this.#hasMoved = true;
    const checkpoint = this.#storedCheckpoint(page);
    const early = new EarlyCommits(wanted.length, async (parts) => {
      await this.#commit(page, checkpoint, parts, { generated });
    });
    const parts = await Promise.all(wanted.map((recipient) => this.#offer(page, recipient, early)));
    const rest = await early.end(parts);
    const isSettled = await this.#commit(page, checkpoint, rest, { generated, last: true });
    this.#advance(checkpoint);
    if (page.read !== undefined && isSettled && this.#recipients.every(isCurrent))
      await this.#deps.onCommitted?.(page.read);
  }

  /** What is held when no page follows stays unsettled: the pause goes on. */
  endHeld(): void {
    for (const recipient of this.#recipients)
      if (recipient.held !== undefined && recipient.left === undefined) {
        const reason = recipient.held.result.unavailable ?? { error: undefined };
        this.#leave(recipient, this.#unavailable(recipient, reason));
      }
  }

  /** Ends the reading for the imports that are still in it. */
  passThrough(): void {
    const { keepsPositions, ordered, ownPosition, progress } = this.#deps;
    if (ownPosition) return;
    const active = this.#recipients.filter(({ left }) => left === undefined);
    if (keepsPositions) {
      this.#endPauses(active);
      return;
    }
    const moved = active.filter(({ _importId }) => {
      const { behind, pause, position } = progress.placeOf(_importId);
      return position !== undefined || behind === true || pause !== undefined;
    });
    // Also where no page was left to read after a position: the reading that it belongs to is through.
    const checkpoint = ordered ? undefined : this.#reached;
    for (const recipient of moved) this.#emitResumed(recipient);
    const change = { _importIds: moved.map(({ _importId }) => _importId), position: null, behind: false, pause: null };
    progress.plan({ ...change, ...(checkpoint === undefined ? {} : { checkpoint }) });
  }

  #endPauses(recipients: readonly Recipient[]): void {
    const paused = recipients.filter(({ _importId }) => this.#deps.progress.placeOf(_importId).pause !== undefined);
    for (const recipient of paused) this.#emitResumed(recipient);
    this.#deps.progress.plan({ _importIds: paused.map(({ _importId }) => _importId), pause: null });
  }

  #recipientsFor({ excluded, failures }: SourcePage): readonly Recipient[] {
    const ahead = this.#deps.ownPosition && !this.#hasMoved ? (this.#deps.progress.position.ahead ?? []) : [];
    return this.#recipients.filter(({ _importId, left }) => {
      if (left !== undefined || ahead.includes(_importId) || excluded?.has(_importId) === true) return false;
      return failures === undefined || failures._importId === _importId;
    });
  }

  async #offer(page: SourcePage, recipient: Recipient, early: EarlyCommits): Promise<Part> {
    const { to } = recipient;
    const { run } = this.#deps.progress;
    const watched = early.isUseful ? { ...to, run, onRetry: early.watch(to.onRetry) } : { ...to, run };
    const result = await importPage(page.batch, watched, page.failures?.doubtful);
    const part = { recipient, result };
    // Without a checkpoint nobody could tell later who has settled what.
    if (page.checkpoint !== undefined || page.inboxThrough !== undefined) early.settled(part);
    return part;
  }

  #storedCheckpoint({ checkpoint }: SourcePage): StoredCheckpoint | undefined {
    if (checkpoint === undefined) return undefined;
    return Object.freeze({ value: checkpoint, version: this.#deps.checkpointVersion });
  }

  #advance(checkpoint: StoredCheckpoint | undefined): void {
    this.#pages++;
    if (checkpoint === undefined) {
      this.#withoutCheckpoint++;
      return;
    }
    this.#withoutCheckpoint = 0;
    this.#hasProgressed ||= JSON.stringify(checkpoint.value) !== JSON.stringify(this.#reached?.value);
    this.#reached = checkpoint;
  }

  // True if every import of the pass has settled the page, or has left.
  async #commit(
    page: SourcePage,
    checkpoint: StoredCheckpoint | undefined,
    parts: readonly Part[],
    { generated, last = false }: { readonly generated: number; readonly last?: boolean },
  ): Promise<boolean> {
    const shares: Share[] = [];
    for (const part of parts) {
      const share = await this.#share(page, part);
      if (share !== undefined) shares.push(share);
    }
    const excluded = last && page.excluded !== undefined ? [...page.excluded].filter((id) => this.#reads(id)) : [];
    if (shares.length === 0 && excluded.length === 0 && !this.#isSettledBefore(last, parts)) return false;
    const { progress } = this.#deps;
    // After an abort some imports may have it before them still.
    const isOver = parts.every(
      ({ recipient }) =>
        recipient.left !== undefined ||
        recipient.held !== undefined ||
        shares.some((share) => share.recipient === recipient),
    );
    const moved = [...shares.map(({ recipient }) => recipient._importId), ...excluded];
    const failures = await progress.commit({
      generated,
      processed: last && isOver ? 1 : 0,
      counts: Object.fromEntries(shares.map(({ recipient, settled }) => [recipient._importId, settled.counts])),
      ...this.#moves(page, checkpoint, shares, { moved, isLast: last && isOver }),
      failures: shares.flatMap(({ settled }) => settled.failures),
      delivered: shares.flatMap(({ settled }) => settled.delivered),
      superseded: shares.flatMap(({ settled }) => settled.superseded),
      total: page.total,
    });
    this.#hasCommitted = true;
    for (const share of shares) this.#follow(share, failures);
    return isOver;
  }

  // Early commits have settled the page for all others: it is processed now.
  #isSettledBefore(last: boolean, parts: readonly Part[]): boolean {
    return last && parts.length === 0 && this.#recipients.some(({ left }) => left === undefined);
  }

  #reads(_importId: string): boolean {
    return this.#recipients.some((recipient) => recipient._importId === _importId && recipient.left === undefined);
  }

  #follow({ recipient, settled, departure }: Share, failures: SettledPage["failures"]): void {
    const { emit, progress } = this.#deps;
    recipient.open.follow(failures, settled.closedKeys);
    recipient.numNew += settled.numNew;
    recipient.numRejected += settled.numRejected;
    if (settled.superseded.length > 0)
      emit("failures:resolved", { run: progress.run, _ids: settled.superseded, resolvedBy: "delivery" });
    if (departure !== undefined) this.#emitPaused(recipient, departure);
  }

  #moves(
    page: SourcePage,
    checkpoint: StoredCheckpoint | undefined,
    shares: readonly Share[],
    { moved, isLast }: { readonly moved: readonly string[]; readonly isLast: boolean },
  ): { readonly places: readonly PlaceChange[]; readonly position?: RunPosition } {
    if (this.#deps.ownPosition) return { places: [], ...this.#ownMove(checkpoint, moved, isLast) };
    const step = this.#stepTo(page, checkpoint);
    const places: PlaceChange[] = [];
    const plain: string[] = moved.filter(
      (_importId) => !shares.some((share) => share.recipient._importId === _importId),
    );
    for (const { recipient, departure } of shares) {
      const { _importId } = recipient;
      const before = this.#deps.progress.placeOf(_importId).pause;
      if (departure !== undefined) {
        recipient.left = departure;
        const pause = departure.pause === undefined ? {} : { pause: departure.pause };
        places.push({ _importIds: [_importId], ...step, behind: true, ...pause });
      } else if (before !== undefined) {
        this.#emitResumed(recipient);
        places.push({ _importIds: [_importId], ...step, pause: null });
      } else plain.push(_importId);
    }
    if (plain.length > 0 && step !== undefined) places.push({ _importIds: plain, ...step });
    return { places };
  }

  #stepTo(page: SourcePage, checkpoint: StoredCheckpoint | undefined): Omit<PlaceChange, "_importIds"> | undefined {
    if (page.inboxThrough !== undefined) return { inbox: page.inboxThrough };
    if (checkpoint === undefined) return undefined;
    const { clock, ordered } = this.#deps;
    const position = { _runId: this.#start._runId, pages: this.#pages + 1, at: clock.now() };
    return ordered ? { checkpoint, position } : { position: { ...position, checkpoint } };
  }

  #ownMove(
    checkpoint: StoredCheckpoint | undefined,
    moved: readonly string[],
    isLast: boolean,
  ): { readonly position?: RunPosition } {
    if (checkpoint === undefined) return {};
    const { progress } = this.#deps;
    const { ahead: _, ...position } = progress.position;
    // A page that an import is paused at is still to be read for it.
    if (isLast && !this.#recipients.some(({ left }) => left?.status === "paused"))
      return { position: { ...position, pages: this.#pages + 1, checkpoint } };
    return { position: { ...progress.position, ahead: [...(progress.position.ahead ?? []), ...moved] } };
  }

  // What this import settles now; undefined if nothing of the page is committed for it.
  async #share(page: SourcePage, { recipient, result }: Part): Promise<Share | undefined> {
    const { signal } = this.#deps;
    const isRetry = page.failures !== undefined;
    const halt = result.violation ?? result.stopped;
    if (halt !== undefined) {
      this.#leave(recipient, this.#halted(recipient, result, halt));
      return undefined;
    }
    if (signal.aborted && !isSettled(recipient, result)) return undefined;
    if (result.unavailable !== undefined && !isRetry) {
      this.#probeOrLeave(page, recipient, result.unavailable, result);
      return undefined;
    }
    try {
      const settled = this.#settled(page, { recipient, result });
      const departure = isRetry ? undefined : await this.#departure(recipient, result, settled);
      return { recipient, settled, departure };
    } catch (error) {
      if (!(error instanceof CountsMismatchError)) throw error;
      this.#leave(recipient, { status: "failed", error });
      return undefined;
    }
  }

  #settled(page: SourcePage, { recipient, result }: Part): SettledPage {
    const { autoRetry, clock, codec, newId, progress } = this.#deps;
    const { _importId, held, open } = recipient;
    const deps = { run: progress.run, _importId, open, codec, autoRetry, clock, newId };
    const settled = settle(page.batch, result, page.failures, deps);
    if (held === undefined) return settled;
    // The next page got through: what looked like an outage was the fault of the records that are held.
    recipient.held = undefined;
    return settledTogether(settle(held.batch, held.result, undefined, deps), settled, page.batch, open);
  }

  #probeOrLeave(page: SourcePage, recipient: Recipient, reason: PauseReason, result: ImportResult): void {
    const { ownPosition, progress } = this.#deps;
    const attempts = progress.placeOf(recipient._importId).pause?.attempts ?? 0;
    if (!ownPosition && recipient.held === undefined && attempts >= pausesBeforeProbe)
      recipient.held = { batch: page.batch, result };
    else this.#leave(recipient, this.#unavailable(recipient, reason));
  }

  #unavailable(recipient: Recipient, { error, afterMs }: PauseReason): Departure {
    const unavailable = new ImportUnavailableError(recipient._importId, error);
    const asked = afterMs === undefined ? {} : { afterMs };
    const pause = this.#pause(recipient, { until: "time", reason: reasonOf(unavailable), ...asked });
    return { status: "paused", pause, ...(afterMs === undefined ? { error: unavailable } : {}) };
  }

  #halted(recipient: Recipient, { stopped }: ImportResult, error: PoundlockError): Departure {
    if (stopped === undefined) return { status: "failed", error };
    return { status: "failed", error, pause: this.#pause(recipient, { until: "nextRun", reason: reasonOf(error) }) };
  }

  // The page is committed for it, and then it is paused; undefined if it goes on.
  async #departure(recipient: Recipient, result: ImportResult, settled: SettledPage): Promise<Departure | undefined> {
    if (result.pause !== undefined) return this.#unavailable(recipient, result.pause);
    if (settled.numNew === 0) return undefined;
    const { countOpen, maxFailures, maxOpenFailures } = this.#deps;
    const { _importId } = recipient;
    const message = messageOf(result.errors.at(-1)?.error);
    if (recipient.numNew + settled.numNew > maxFailures)
      return this.#tooMany(recipient, maxFailures, new TooManyFailuresError(_importId, maxFailures, "run", message));
    const open = (await countOpen(_importId)) + settled.numNew;
    if (open <= maxOpenFailures) return undefined;
    return this.#tooMany(
      recipient,
      maxOpenFailures,
      new TooManyFailuresError(_importId, maxOpenFailures, "open", message),
    );
  }

  #tooMany(recipient: Recipient, maxOpen: number, error: TooManyFailuresError): Departure {
    const pause = this.#pause(recipient, { until: "person", reason: reasonOf(error), maxOpen });
    return { status: "paused", error, pause };
  }

  #pause({ _importId }: Recipient, cause: PauseCause): Pause {
    const { clock, progress } = this.#deps;
    return nextPause(progress.placeOf(_importId).pause, cause, clock.now());
  }

  #leave(recipient: Recipient, departure: Departure): undefined {
    const { onWait, ownPosition, progress } = this.#deps;
    const { pause } = departure;
    recipient.held = undefined;
    recipient.left = departure;
    if (ownPosition) {
      // A run with a position of its own waits with its import, whose place is not its to change.
      if (departure.status === "paused" && pause?.resumeAt !== undefined) onWait(Date.parse(pause.resumeAt));
      return undefined;
    }
    progress.plan({ _importIds: [recipient._importId], behind: true, ...(pause === undefined ? {} : { pause }) });
    this.#emitPaused(recipient, departure);
    return undefined;
  }

  #emitPaused({ _importId }: Recipient, { pause }: Departure): void {
    if (pause?.attempts !== 1) return;
    this.#deps.emit("import:paused", { run: this.#deps.progress.run, _importId, pause });
  }

  #emitResumed({ _importId }: Recipient): void {
    const { emit, progress } = this.#deps;
    if (progress.placeOf(_importId).pause === undefined) return;
    emit("import:resumed", { _flowId: progress.run._flowId, _importId, run: progress.run });
  }
}

// It has settled every page so far, and is read for still.
function isCurrent({ held, left }: Recipient): boolean {
  return held === undefined && left === undefined;
}

// After an abort: all of it is settled, or leaving it out would send a record twice to an import that does not bear it;
// then what was not sent is stored. Otherwise it is left to the next reading.
function isSettled({ to }: Recipient, { errors, sent }: ImportResult): boolean {
  const unsent = errors.filter(({ fault }) => fault === "unsent").length;
  return unsent === 0 || (!to.import.idempotent && unsent < sent);
}

function reasonOf({ code, message }: PoundlockError): Pause["reason"] {
  return Object.freeze({ code, message });
}
