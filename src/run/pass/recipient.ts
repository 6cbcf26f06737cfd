import { type ErrorCode, PoundlockError } from "../../errors.ts";
import type { Pause } from "../../model/delivery.ts";
import type { RunError } from "../../model/run.ts";
import type { ImportEnding, ImportLeft } from "../../storage/storage.ts";
import type { Batch } from "../destination/batch.ts";
import type { Destination } from "../destination/destination.ts";
import type { ImportResult } from "../destination/import-page.ts";
import type { OpenFailures } from "./open-failures.ts";
import type { SettledPage } from "./settle.ts";

/** A page that is not settled: whether it is poison or an outage is for the next page to show of which something is sent. */
export interface HeldPage {
  readonly batch: Batch;
  readonly result: ImportResult;
  /** What a commit would keep of it and of the pages after it, of which nothing was sent; undefined: none followed so far. */
  readonly settled?: SettledPage;
}

/** One import over one run: where its records go, and what became of them so far. */
export class Recipient {
  readonly to: Destination;
  readonly open: OpenFailures;
  held: HeldPage | undefined;
  /** Called when it begins to wait for another attempt at the page that it is offered. */
  onWait: (() => void) | undefined;

  readonly #onLeft: (departure: Departure) => void;
  #left: Departure | undefined;

  /** `left`: how it left before the run was resumed, if it did. */
  constructor(
    to: Destination,
    open: OpenFailures,
    onLeft: (departure: Departure) => void,
    left: ImportLeft | undefined,
  ) {
    this.to = to;
    this.open = open;
    this.#onLeft = onLeft;
    this.#left = left === undefined ? undefined : departureOf(left);
  }

  /** Why it left its pass; undefined while it is read for. */
  get left(): Departure | undefined {
    return this.#left;
  }

  /** This run reads for it no more. */
  leave(departure: Departure): void {
    this.held = undefined;
    this.#left = departure;
    this.#onLeft(departure);
  }

  get _importId(): string {
    return this.to._importId;
  }
}

/** How an import left its pass. */
export interface Departure {
  readonly status: Exclude<ImportEnding["status"], "completed" | "skipped">;
  /** What the run fails with; absent if the destination asked for the wait, or the import only yields. */
  readonly error?: PoundlockError;
  /** Why it left, if no error of the run says so. */
  readonly reason?: RunError;
  readonly pause?: Pause;
}

/** What a commit keeps of a departure. */
export function leftOf({ error, pause, reason = pause?.reason, status }: Departure): ImportLeft {
  if (error !== undefined) return { status, error: { code: error.code, message: error.message }, failsRun: true };
  return reason === undefined ? { status } : { status, error: reason };
}

function departureOf({ error, failsRun, status }: ImportLeft): Departure {
  const left = status as Departure["status"];
  if (error === undefined) return { status: left };
  return failsRun === true ? { status: left, error: new KeptError(error) } : { status: left, reason: error };
}

// An error from before the run was resumed, as a commit kept it.
class KeptError extends PoundlockError {
  readonly code: ErrorCode;

  constructor({ code, message }: RunError) {
    super(message);
    this.code = code as ErrorCode;
  }
}

/** Whether the run waits with it, and goes on with the page that it left at. */
export function isAwaited(departure: Departure | undefined): boolean {
  return departure?.status === "paused" && departure.pause?.resumeAt !== undefined;
}

/** One import's part of a page: what became of it there. */
export interface Part {
  readonly recipient: Recipient;
  readonly result: ImportResult;
}

/** One import's share of a commit. */
export interface Share {
  readonly recipient: Recipient;
  readonly settled: SettledPage;
  /** The import leaves the pass with this commit. */
  readonly departure: Departure | undefined;
}
