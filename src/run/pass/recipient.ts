import type { PoundlockError } from "../../errors.ts";
import type { Pause } from "../../model/delivery.ts";
import type { ImportEnding } from "../../storage/storage.ts";
import type { Batch } from "../destination/batch.ts";
import type { Destination } from "../destination/destination.ts";
import type { ImportResult } from "../destination/import-page.ts";
import type { OpenFailures } from "./open-failures.ts";
import type { SettledPage } from "./settle.ts";

/** A page that is not settled: whether it is poison or an outage is for the next page to show. */
export interface HeldPage {
  readonly batch: Batch;
  readonly result: ImportResult;
}

/** One import over one run: where its records go, and what became of them so far. */
export class Recipient {
  readonly to: Destination;
  readonly open: OpenFailures;
  /** Why it left its pass; undefined while it is read for. */
  left: Departure | undefined;
  held: HeldPage | undefined;
  /** Failures of this run under keys that had none open. */
  numNew = 0;
  numRejected = 0;
  /** Called when it begins to wait for another attempt at the page that it is offered. */
  onWait: (() => void) | undefined;

  constructor(to: Destination, open: OpenFailures) {
    this.to = to;
    this.open = open;
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
  readonly pause?: Pause;
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
