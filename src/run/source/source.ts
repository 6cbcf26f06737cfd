import { ExportFailedError } from "../../errors.ts";
import type { Failure } from "../../model/failure.ts";
import type { Json } from "../../model/record/json.ts";
import { messageOf } from "../../model/message.ts";
import type { UnreadableRecord } from "../../model/host/page.ts";
import type { Batch } from "../destination/batch.ts";

/** One page on its way into the imports. */
export interface SourcePage {
  readonly batch: Batch;
  /** Where reading goes on after this page. */
  readonly checkpoint?: Json;
  readonly total?: number;
  /** The inbox is settled up to here with this page. */
  readonly inboxThrough?: string;
  /** Imports for which the page was dropped: it counts as settled for them. */
  readonly excluded?: ReadonlySet<string>;
  /** The stored failures this page is made of, record by record, and the one import they are for. */
  readonly failures?: FailureOrigin;
  /** Where the requests came from that its records arrived with. */
  readonly origins?: readonly string[];
  /** As the export gave it, if the export is to be called once it is committed. */
  readonly read?: CommittedPage;
}

/** What an export's `committed` is given of a page. */
export interface CommittedPage {
  readonly records: readonly unknown[];
  readonly checkpoint: Json | undefined;
  readonly total: number | undefined;
  readonly unreadable: readonly UnreadableRecord[] | undefined;
}

/** Where the records of a retry run's page come from. */
export interface FailureOrigin {
  readonly _importId: string;
  readonly items: readonly Failure[];
  readonly doubtful: ReadonlySet<number>;
}

/** Where a run's pages come from, one at a time. */
export interface Source {
  /** Undefined at the end. Not called again before it has returned. */
  next(): Promise<SourcePage | undefined>;
  /** Gives up what is open. Resolves when the host's code has ended, or is left behind. */
  close(): Promise<void>;
}

/** `retryLater` thrown while reading: resume from the last committed checkpoint after `afterMs`. */
export class ResumeLater extends Error {
  override readonly name = "ResumeLater";
  /** As it was given. */
  readonly afterMs: unknown;

  constructor(cause: unknown, afterMs: unknown) {
    super(messageOf(cause), { cause });
    this.afterMs = afterMs;
  }
}

/** `expired` thrown while reading: what reading was resumed with is not valid any more. */
export class PositionExpired extends Error {
  override readonly name = "PositionExpired";
  /** What the run fails with if there is nothing to give up. */
  readonly failure: ExportFailedError;

  constructor(_exportId: string, cause: unknown) {
    super(messageOf(cause), { cause });
    this.failure = new ExportFailedError(_exportId, cause);
  }
}
