import type { Clock } from "../../clock.ts";
import { CountsMismatchError } from "../../errors.ts";
import type { Codec } from "../../model/host/export.ts";
import type { StoredCheckpoint } from "../../model/place.ts";
import type { Counts } from "../../model/run.ts";
import { type ImportResult, type PauseReason, importPage } from "../destination/import-page.ts";
import type { Commit, RunProgress } from "../progress.ts";
import { type ResultOf, type Tracer, distinctOrigins } from "../tracer.ts";
import type { CommittedPage, SourcePage } from "../source/source.ts";
import { type DepartureDeps, Departures } from "./departures.ts";
import { EarlyCommits } from "./early-commits.ts";
import type { AutoRetry } from "./failure-maker.ts";
import type { PassStart } from "./passes.ts";
import { pausesBeforeProbe } from "./pause.ts";
import { type PageStep, type PlaceMoveDeps, PlaceMoves } from "./place-moves.ts";
import type { Part, Recipient, Share } from "./recipient.ts";
import { type SettledPage, settle, settledTogether } from "./settle.ts";

/** What moving pages takes. */
export interface PageMoverDeps extends DepartureDeps, PlaceMoveDeps {
  readonly progress: RunProgress;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly tracer: Tracer | undefined;
  readonly newId: () => string;
  readonly codec: Codec | undefined;
  readonly autoRetry: AutoRetry | false;
  /** Whether the run has a position of its own, and moves no import's place. */
  readonly ownPosition: boolean;
  /** Whether keys come from the export, so that one may have failed before. */
  readonly hasKeys: boolean;
  readonly checkpointVersion: number;
  /** A page is settled and committed for every import of the flow; undefined: nobody asks. */
  readonly onCommitted: ((page: CommittedPage) => Promise<void>) | undefined;
}

/** What of a page is committed together. */
interface PageShare extends PageStep {
  readonly place: PagePlace;
}

/** Where a page stands among those of its run. */
export interface PagePlace {
  /** Which one it is, from 1 on. */
  readonly nth: number;
  /** Pages read by now. */
  readonly generated: number;
  /** Whether it is known that no page follows. */
  readonly isLast: () => boolean;
}

/** A share of which it is not known yet whether its import leaves. */
type LeavingShare = Part & { -readonly [Field in keyof Share]: Share[Field] };

const none: readonly never[] = Object.freeze([]);

/**
 * Moves the pages of one pass: each is offered to every import at once, and committed for all that have settled it. An
 * import that fails, stops or is paused leaves the pass and keeps its place; the others go on.
 */
export class PageMover {
  readonly #deps: PageMoverDeps;
  readonly #recipients: readonly Recipient[];
  readonly #start: PassStart;
  readonly #departures: Departures;
  readonly #moves: PlaceMoves;
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
    this.#departures = new Departures(deps);
    this.#moves = new PlaceMoves(deps, recipients, this.#departures);
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

  /** Settles a page for every import that is still read for, and commits it. */
  move(page: SourcePage, place: PagePlace): Promise<unknown> {
    const { progress, tracer } = this.#deps;
    if (tracer === undefined) return this.#move(page, place);
    const { run } = progress;
    const { batch, origins = none } = page;
    const step = {
      kind: "page",
      run,
      page: place.nth,
      records: batch.size,
      origins: distinctOrigins(origins),
    } as const;
    return tracer.around(step, () => this.#move(page, place), {
      returned: (isSettled) => this.#moved(run, isSettled ? "settled" : "unsettled"),
      threw: (error) => ({ ...this.#moved(run, "failed"), error }),
    });
  }

  #moved(before: Counts, outcome: ResultOf<"page">["outcome"]): ResultOf<"page"> {
    const { numError, numIgnore, numSuccess } = this.#deps.progress.run;
    const counts = {
      numSuccess: numSuccess - before.numSuccess,
      numError: numError - before.numError,
      numIgnore: numIgnore - before.numIgnore,
    };
    return { outcome, counts };
  }

  async #move(page: SourcePage, place: PagePlace): Promise<boolean> {
    const wanted = this.#recipientsFor(page);
    if (this.#deps.hasKeys && page.failures === undefined && page.batch.size > 0 && !wanted.every(hasLoaded))
      await loadOpen(wanted);
    this.#hasMoved = true;
    const checkpoint = this.#storedCheckpoint(page);
    const share = { page, checkpoint, place, pages: this.#pages + 1, _runId: this.#start._runId };
    const [only] = wanted;
    // One import waits for no other.
    const isSettled =
      only !== undefined && wanted.length === 1
        ? await this.#moveTo(only, share)
        : await this.#moveTogether(share, wanted);
    this.#advance(page, checkpoint);
    if (page.read !== undefined && isSettled && this.#recipients.every(isCurrent))
      await this.#deps.onCommitted?.(page.read);
    return isSettled;
  }

  async #moveTo(recipient: Recipient, share: PageShare): Promise<boolean> {
    recipient.onWait = undefined;
    const result = await this.#offer(share.page, recipient);
    return this.#commit(share, [{ recipient, result }], true);
  }

  async #moveTogether(share: PageShare, wanted: readonly Recipient[]): Promise<boolean> {
    const { page } = share;
    const early = new EarlyCommits(wanted.length, async (parts) => {
      await this.#commit(share, parts, false);
    });
    // Without a checkpoint nobody could tell later who has settled what.
    const mayBeEarly = page.checkpoint !== undefined || page.inboxThrough !== undefined;
    const offers = wanted.map(async (recipient) => {
      recipient.onWait = () => early.waits();
      const part = { recipient, result: await this.#offer(page, recipient) };
      if (mayBeEarly) early.settles(part);
      return part;
    });
    const rest = await early.end(await Promise.all(offers));
    return this.#commit(share, rest, true);
  }

  /** What is held when no page follows stays unsettled: the pause goes on. */
  endHeld(): void {
    for (const recipient of this.#recipients)
      if (recipient.held !== undefined && recipient.left === undefined) {
        const reason = recipient.held.result.unavailable ?? { error: undefined };
        this.#departures.leave(recipient, this.#departures.unavailable(recipient, reason));
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
    for (const recipient of moved) this.#departures.emitResumed(recipient);
    const change = { _importIds: moved.map(({ _importId }) => _importId), position: null, behind: false, pause: null };
    progress.plan({ ...change, ...(checkpoint === undefined ? {} : { checkpoint }) });
  }

  #endPauses(recipients: readonly Recipient[]): void {
    // One that is behind has pages left to get: the pause that has ended is what a resume run is queued for.
    const paused = recipients.filter(({ _importId }) => {
      const { behind, pause } = this.#deps.progress.placeOf(_importId);
      return pause !== undefined && behind !== true;
    });
    for (const recipient of paused) this.#departures.emitResumed(recipient);
    this.#deps.progress.plan({ _importIds: paused.map(({ _importId }) => _importId), pause: null });
  }

  #recipientsFor({ excluded, failures }: SourcePage): readonly Recipient[] {
    const ahead = this.#deps.ownPosition && !this.#hasMoved ? (this.#deps.progress.position.ahead ?? none) : none;
    const isWanted = ({ _importId, left }: Recipient) => {
      if (left !== undefined || ahead.includes(_importId) || excluded?.has(_importId) === true) return false;
      return failures === undefined || failures._importId === _importId;
    };
    return this.#recipients.every(isWanted) ? this.#recipients : this.#recipients.filter(isWanted);
  }

  #offer(page: SourcePage, { to }: Recipient): Promise<ImportResult> {
    to.run = this.#deps.progress.run;
    return importPage(page.batch, to, page.failures?.doubtful);
  }

  #storedCheckpoint({ checkpoint }: SourcePage): StoredCheckpoint | undefined {
    if (checkpoint === undefined) return undefined;
    return Object.freeze({ value: checkpoint, version: this.#deps.checkpointVersion });
  }

  #advance({ inboxThrough }: SourcePage, checkpoint: StoredCheckpoint | undefined): void {
    this.#pages++;
    if (checkpoint === undefined) {
      if (inboxThrough === undefined) this.#withoutCheckpoint++;
      return;
    }
    this.#withoutCheckpoint = 0;
    this.#hasProgressed ||= JSON.stringify(checkpoint.value) !== JSON.stringify(this.#reached?.value);
    this.#reached = checkpoint;
  }

  // True if every import of the pass has settled the page, or has left. `isRest`: no other part of it is still to come.
  async #commit(share: PageShare, parts: readonly Part[], isRest: boolean): Promise<boolean> {
    const shares = this.#sharesOf(share.page, parts);
    if (share.page.failures === undefined)
      for (const one of shares) if (mayLeave(one)) one.departure = await this.#departures.after(one);
    const commit = this.#commitOf(share, parts, shares, isRest);
    if (commit === undefined) return false;
    // Without records at all: a page that has some pays no promise for this.
    if (share.page.batch.size === 0 && (await this.#isLeftToEnd(share, commit))) {
      this.#deps.progress.leaveToEnd(commit);
      return true;
    }
    const failures = await this.#deps.progress.commit(commit);
    this.#hasCommitted = true;
    for (const one of shares) this.#follow(one, failures);
    return commit.processed === 1;
  }

  // A last page without records, after which nothing is called that waits for a commit: the run's end takes it along.
  async #isLeftToEnd({ place }: PageShare, commit: Commit): Promise<boolean> {
    const { onCommitted, ownPosition, tracer } = this.#deps;
    if (ownPosition || this.#start.catchesUp || tracer !== undefined || onCommitted !== undefined) return false;
    if (!keepsCountsOnly(commit) || this.#recipients.some(({ to }) => to.import.finish !== undefined)) return false;
    // A generator that has nothing more says so within 6 microtasks. Whatever takes longer may take very long.
    for (let turn = 0; turn < 8 && !place.isLast(); turn++) await Promise.resolve();
    return place.isLast();
  }

  #sharesOf(page: SourcePage, parts: readonly Part[]): readonly LeavingShare[] {
    const shares: LeavingShare[] = [];
    for (const part of parts) {
      const settled = this.#settled(page, part);
      const { recipient, result } = part;
      if (settled !== undefined) shares.push({ recipient, result, settled, departure: undefined });
    }
    return shares;
  }

  // Undefined if there is nothing to commit. Apart, as V8 compiles small functions sooner.
  #commitOf(
    share: PageShare,
    parts: readonly Part[],
    shares: readonly Share[],
    isRest: boolean,
  ): (Commit & { readonly processed: number }) | undefined {
    const { page, place } = share;
    const { progress } = this.#deps;
    const excluded = isRest && page.excluded !== undefined ? [...page.excluded].filter((id) => this.#reads(id)) : none;
    if (shares.length === 0 && excluded.length === 0 && !this.#isSettledBefore(isRest, parts)) return undefined;
    const isLast = isRest && isOver(parts, shares);
    if (page.failures === undefined)
      for (const { recipient, settled } of shares) progress.addFailed(recipient._importId, settled);
    const { places, position } = this.#moves.after(share, shares, excluded, isLast);
    return {
      generated: place.generated,
      page: place.nth,
      processed: isLast ? 1 : 0,
      counts: countsOf(shares),
      places,
      position,
      failures: joined(shares, failuresOf),
      delivered: joined(shares, deliveredOf),
      superseded: joined(shares, supersededOf),
      total: page.total,
    };
  }

  // Early commits have settled the page for all others: it is processed now.
  #isSettledBefore(isRest: boolean, parts: readonly Part[]): boolean {
    return isRest && parts.length === 0 && this.#recipients.some(({ left }) => left === undefined);
  }

  #reads(_importId: string): boolean {
    return this.#recipients.some((recipient) => recipient._importId === _importId && recipient.left === undefined);
  }

  #follow({ recipient, settled, departure }: Share, failures: SettledPage["failures"]): void {
    const { emit, ownPosition, progress } = this.#deps;
    recipient.open.follow(failures, settled.closedKeys);
    if (settled.superseded.length > 0)
      emit("failures:resolved", { run: progress.run, _ids: settled.superseded, resolvedBy: "delivery" });
    if (departure !== undefined && !ownPosition) this.#departures.emitPaused(recipient, departure);
  }

  // What this import settles now; undefined if nothing of the page is committed for it.
  #settled(page: SourcePage, { recipient, result }: Part): SettledPage | undefined {
    const halt = result.violation ?? result.stopped;
    if (halt !== undefined) {
      this.#departures.leave(recipient, this.#departures.halted(recipient, result, halt));
      return undefined;
    }
    if (this.#deps.signal.aborted && !isSettled(recipient, result)) return undefined;
    if (result.unavailable !== undefined && page.failures === undefined) {
      this.#probeOrLeave(page, recipient, result.unavailable, result);
      return undefined;
    }
    try {
      return this.#settledNow(page, recipient, result);
    } catch (error) {
      if (!(error instanceof CountsMismatchError)) throw error;
      this.#departures.leave(recipient, { status: "failed", error });
      return undefined;
    }
  }

  #settledNow(page: SourcePage, recipient: Recipient, result: ImportResult): SettledPage | undefined {
    const { autoRetry, clock, codec, newId, progress } = this.#deps;
    const { _importId, held, open } = recipient;
    const deps = { run: progress.run, _importId, open, codec, autoRetry, clock, newId };
    const settled = settle(page.batch, result, page.failures, deps);
    if (held === undefined) return settled;
    const before = held.settled ?? settle(held.batch, held.result, undefined, deps);
    const together = settledTogether(before, settled, page.batch, open);
    // The import ignores all of it, which shows nothing of the destination.
    const isSilent = result.sent === 0 && result.errors.length === 0;
    // Otherwise it got through: what looked like an outage was the fault of the records that are held.
    recipient.held = isSilent ? { ...held, settled: together } : undefined;
    return isSilent ? undefined : together;
  }

  #probeOrLeave(page: SourcePage, recipient: Recipient, reason: PauseReason, result: ImportResult): void {
    const { ownPosition, progress } = this.#deps;
    const attempts = progress.placeOf(recipient._importId).pause?.attempts ?? 0;
    if (!ownPosition && recipient.held === undefined && attempts >= pausesBeforeProbe)
      recipient.held = { batch: page.batch, result };
    else this.#departures.leave(recipient, this.#departures.unavailable(recipient, reason));
  }
}

function keepsCountsOnly({
  delivered = none,
  failures = none,
  places = none,
  position,
  processed,
  superseded = none,
}: Commit): boolean {
  const lists = [delivered, failures, places, superseded];
  return processed === 1 && position === undefined && lists.every(({ length }) => length === 0);
}

function hasLoaded({ open }: Recipient): boolean {
  return open.isLoaded;
}

async function loadOpen(recipients: readonly Recipient[]): Promise<void> {
  const missing = recipients.filter(({ open }) => !open.isLoaded);
  if (missing.length > 0) await Promise.all(missing.map(({ open }) => open.load()));
}

// It has settled every page so far, and is read for still.
function isCurrent({ held, left }: Recipient): boolean {
  return held === undefined && left === undefined;
}

// After an abort some imports may have the page before them still.
function isOver(parts: readonly Part[], shares: readonly Share[]): boolean {
  if (parts.length === shares.length) return true;
  return parts.every(
    ({ recipient }) =>
      recipient.left !== undefined ||
      recipient.held !== undefined ||
      shares.some((share) => share.recipient === recipient),
  );
}

function countsOf(shares: readonly Share[]): Readonly<Record<string, Counts>> {
  const counts: Record<string, Counts> = {};
  for (const { recipient, settled } of shares) counts[recipient._importId] = settled.counts;
  return counts;
}

const failuresOf = ({ failures }: SettledPage) => failures;
const deliveredOf = ({ delivered }: SettledPage) => delivered;
const supersededOf = ({ superseded }: SettledPage) => superseded;

// With what a commit keeps, it may have failed too often.
function mayLeave({ result, settled }: LeavingShare): boolean {
  return result.pause !== undefined || settled.numNew > 0;
}

// Of most pages, nothing.
function joined<T>(shares: readonly Share[], listOf: (settled: SettledPage) => readonly T[]): readonly T[] {
  const [first] = shares;
  if (shares.length === 1 && first !== undefined) return listOf(first.settled);
  if (shares.every(({ settled }) => listOf(settled).length === 0)) return none;
  return shares.flatMap(({ settled }) => listOf(settled));
}

// After an abort: all of it is settled, or leaving it out would send a record twice to an import that does not bear it;
// then what was not sent is stored. Otherwise it is left to the next reading.
function isSettled({ to }: Recipient, { errors, sent }: ImportResult): boolean {
  const unsent = errors.filter(({ fault }) => fault === "unsent").length;
  return unsent === 0 || (!to.import.idempotent && unsent < sent);
}
