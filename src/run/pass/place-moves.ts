import type { Clock } from "../../clock.ts";
import type { PlaceChange, StoredCheckpoint } from "../../model/place.ts";
import type { RunPosition } from "../../storage/storage.ts";
import type { RunProgress } from "../progress.ts";
import type { SourcePage } from "../source/source.ts";
import type { Departures } from "./departures.ts";
import { type Recipient, type Share, isAwaited } from "./recipient.ts";

/** What moving places takes. */
export interface PlaceMoveDeps {
  readonly progress: RunProgress;
  readonly clock: Clock;
  /** Whether page checkpoints become the imports' at once. */
  readonly ordered: boolean;
  /** Whether the run has a position of its own, and moves no import's place. */
  readonly ownPosition: boolean;
  /** Whether the reading says nothing of the export's pages: where imports stand in them stays. */
  readonly keepsPositions: boolean;
}

/** One page as it is committed. */
export interface PageStep {
  readonly page: SourcePage;
  /** The page's, with its version. */
  readonly checkpoint: StoredCheckpoint | undefined;
  /** Pages of the reading up to and including this one. */
  readonly pages: number;
  /** The run whose id default keys are made of. */
  readonly _runId: string;
}

/** What a commit does to places. */
export interface Moves {
  readonly places: readonly PlaceChange[];
  /** The run's own, if it has one. */
  readonly position?: RunPosition;
}

const noMoves: Moves = Object.freeze({ places: Object.freeze([]) });

/** Where a commit moves imports to, or a run with a position of its own. Changes are frozen, so that nobody copies them. */
export class PlaceMoves {
  readonly #deps: PlaceMoveDeps;
  readonly #recipients: readonly Recipient[];
  readonly #departures: Departures;
  #together: readonly string[] = [];

  constructor(deps: PlaceMoveDeps, recipients: readonly Recipient[], departures: Departures) {
    this.#deps = deps;
    this.#recipients = recipients;
    this.#departures = departures;
  }

  /** `excluded`: imports for which the page counts as settled. `isLast`: no import is left to settle it. */
  after(step: PageStep, shares: readonly Share[], excluded: readonly string[], isLast: boolean): Moves {
    if (this.#deps.ownPosition) return this.#ownMove(step, shares, excluded, isLast);
    const plain: string[] = [...excluded];
    const places: PlaceChange[] = [];
    for (const share of shares) {
      const change = this.#special(step, share);
      if (change === undefined) plain.push(share.recipient._importId);
      else places.push(change);
    }
    const move = plain.length === 0 ? undefined : this.#move(step, this.#shared(plain));
    if (move !== undefined) places.push(move);
    return { places };
  }

  // An import that leaves with this commit, or whose pause ends with it; undefined for any other.
  #special(step: PageStep, { recipient, departure }: Share): PlaceChange | undefined {
    const { _importId } = recipient;
    if (departure !== undefined) {
      recipient.leave(departure);
      const pause = departure.pause === undefined ? {} : { pause: departure.pause };
      return Object.freeze({ ...this.#moveOf(step, _importId), behind: true, ...pause });
    }
    const { behind, pause } = this.#deps.progress.placeOf(_importId);
    // What arrives gets through, but a resume run is to follow for the pages that it has not got.
    if (pause === undefined || (behind === true && this.#deps.keepsPositions)) return undefined;
    this.#departures.emitResumed(recipient);
    return Object.freeze({ ...this.#moveOf(step, _importId), pause: null });
  }

  #moveOf(step: PageStep, _importId: string): PlaceChange {
    const _importIds = Object.freeze([_importId]);
    return this.#move(step, _importIds) ?? { _importIds };
  }

  // Undefined if the page moves nothing.
  #move(step: PageStep, _importIds: readonly string[]): PlaceChange | undefined {
    const { page, checkpoint, pages, _runId } = step;
    if (page.inboxThrough !== undefined) return Object.freeze({ _importIds, inbox: page.inboxThrough });
    if (checkpoint === undefined) return undefined;
    const at = this.#deps.clock.now();
    if (this.#deps.ordered)
      return Object.freeze({ _importIds, checkpoint, position: Object.freeze({ _runId, pages, at }) });
    return Object.freeze({ _importIds, position: Object.freeze({ _runId, pages, checkpoint, at }) });
  }

  // The same list for page after page, as long as the same imports move.
  #shared(_importIds: readonly string[]): readonly string[] {
    const before = this.#together;
    const isSame = before.length === _importIds.length && before.every((_id, index) => _id === _importIds[index]);
    if (!isSame) this.#together = Object.freeze(_importIds);
    return this.#together;
  }

  #ownMove(step: PageStep, shares: readonly Share[], excluded: readonly string[], isLast: boolean): Moves {
    const moves = this.#ownPosition(step, shares, excluded, isLast);
    // The page is settled for those that leave with this commit, so they leave after it.
    for (const { recipient, departure } of shares)
      if (departure !== undefined) this.#departures.leave(recipient, departure);
    return moves;
  }

  #ownPosition(
    { checkpoint, pages }: PageStep,
    shares: readonly Share[],
    excluded: readonly string[],
    isLast: boolean,
  ): Moves {
    if (checkpoint === undefined) return noMoves;
    const { position } = this.#deps.progress;
    const { ahead = [], ...rest } = position;
    // A page that an import is paused at is still to be read for it.
    if (isLast && !this.#recipients.some(({ left }) => isAwaited(left)))
      return { places: noMoves.places, position: { ...rest, pages, checkpoint } };
    const moved = [...shares.map(({ recipient }) => recipient._importId), ...excluded];
    return { places: noMoves.places, position: { ...position, ahead: [...ahead, ...moved] } };
  }
}
