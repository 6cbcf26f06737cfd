import type { Clock } from "../../clock.ts";
import { ImportUnavailableError, type PoundlockError, TooManyFailuresError } from "../../errors.ts";
import type { Emit, SchedulerEvents } from "../../events.ts";
import type { Pause } from "../../model/delivery.ts";
import { messageOf } from "../../model/message.ts";
import type { ImportResult, PauseReason } from "../destination/import-page.ts";
import type { RunProgress } from "../progress.ts";
import type { OpenCount } from "./open-count.ts";
import { type PauseCause, nextPause } from "./pause.ts";
import type { Departure, Part, Recipient, Share } from "./recipient.ts";

/** What departures take. */
export interface DepartureDeps {
  readonly progress: RunProgress;
  readonly clock: Clock;
  readonly emit: Emit<SchedulerEvents>;
  readonly maxFailures: number;
  readonly maxOpenFailures: number;
  /** Whether the run has a position of its own, and moves no import's place. */
  readonly ownPosition: boolean;
  /** The run's, of failures at imports that are `maxOpenFailures` at most. */
  readonly openCount: OpenCount;
  /** A destination asks a run with a position of its own to wait. */
  readonly onWait: (notBefore: number) => void;
}

/** Why imports leave a pass, and for how long they are paused. */
export class Departures {
  readonly #deps: DepartureDeps;

  constructor(deps: DepartureDeps) {
    this.#deps = deps;
  }

  /** The destination takes nothing now. */
  unavailable(recipient: Recipient, { error, afterMs }: PauseReason): Departure {
    const unavailable = new ImportUnavailableError(recipient._importId, error);
    const asked = afterMs === undefined ? {} : { afterMs };
    const pause = this.#pause(recipient, { until: "time", reason: reasonOf(unavailable), ...asked });
    return { status: "paused", pause, ...(afterMs === undefined ? { error: unavailable } : {}) };
  }

  /** Its code said stop, or broke the contract. */
  halted(recipient: Recipient, { stopped }: ImportResult, error: PoundlockError): Departure {
    if (stopped === undefined) return { status: "failed", error };
    return { status: "failed", error, pause: this.#pause(recipient, { until: "nextRun", reason: reasonOf(error) }) };
  }

  /** How it leaves once the page is committed for it; undefined if it goes on. */
  async after({ recipient, result, settled }: Part & Pick<Share, "settled">): Promise<Departure | undefined> {
    if (result.pause !== undefined) return this.unavailable(recipient, result.pause);
    const { maxFailures, maxOpenFailures, openCount } = this.#deps;
    const { _importId } = recipient;
    const message = messageOf(result.errors.at(-1)?.error);
    if (this.#deps.progress.failedOf(_importId).numNew + settled.numNew > maxFailures)
      return this.#tooMany(recipient, maxFailures, new TooManyFailuresError(_importId, maxFailures, "run", message));
    if (!(await openCount.isOver(_importId, settled.numNew))) return undefined;
    return this.#tooMany(
      recipient,
      maxOpenFailures,
      new TooManyFailuresError(_importId, maxOpenFailures, "open", message),
    );
  }

  /** It leaves now, and nothing of the page is committed for it. */
  leave(recipient: Recipient, departure: Departure): void {
    const { onWait, ownPosition, progress } = this.#deps;
    const { pause } = departure;
    if (ownPosition) {
      // A run with a position of its own waits with its import, whose place is not its to change.
      const waits = departure.status === "paused" && pause?.resumeAt !== undefined;
      recipient.leave(waits ? departure : { ...departure, status: "failed" });
      if (waits) onWait(Date.parse(pause.resumeAt));
      this.#pauseRetries(recipient, departure);
      return;
    }
    recipient.leave(departure);
    progress.plan({ _importIds: [recipient._importId], behind: true, ...(pause === undefined ? {} : { pause }) });
    this.emitPaused(recipient, departure);
  }

  // Or what goes out again by itself would meet the same stop, and fail a run, in each round of maintenance. An import
  // that is paused gets no automatic retries, and its pause may have a reason that a retry does not end.
  #pauseRetries(recipient: Recipient, departure: Departure): void {
    const { progress } = this.#deps;
    const { _importId } = recipient;
    const { pause } = departure;
    if (pause?.until !== "nextRun" || progress.run.trigger !== "retry") return;
    if (progress.placeOf(_importId).pause !== undefined) return;
    progress.plan({ _importIds: [_importId], pause });
    this.emitPaused(recipient, departure);
  }

  /** Unless it is paused for the same reason again. */
  emitPaused({ _importId }: Recipient, { pause }: Departure): void {
    if (pause?.attempts !== 1) return;
    this.#deps.emit("import:paused", { run: this.#deps.progress.run, _importId, pause });
  }

  /** If it was paused. To be called before its place says otherwise. */
  emitResumed({ _importId }: Recipient): void {
    const { emit, progress } = this.#deps;
    if (progress.placeOf(_importId).pause === undefined) return;
    emit("import:resumed", { _flowId: progress.run._flowId, _importId, run: progress.run });
  }

  #tooMany(recipient: Recipient, maxOpen: number, error: TooManyFailuresError): Departure {
    const pause = this.#pause(recipient, { until: "person", reason: reasonOf(error), maxOpen });
    return { status: "paused", error, pause };
  }

  #pause({ _importId }: Recipient, cause: PauseCause): Pause {
    const { clock, progress } = this.#deps;
    return nextPause(progress.placeOf(_importId).pause, cause, clock.now());
  }
}

function reasonOf({ code, message }: PoundlockError): Pause["reason"] {
  return Object.freeze({ code, message });
}
