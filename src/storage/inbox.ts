import type { Failure } from "../model/failure.ts";
import type { Run, RunStart } from "../model/run.ts";

/** Records that arrived in real time and wait for a run. */
export interface InboxStorage {
  /**
   * Adds the page to the inbox of each flow of `arrival.starts` that is there, enabled and uses the export, without
   * the records whose event id it saw at or after `dedupeAfter`; and queues the flow's start, unless a `realtime` run
   * that has not begun waits already, nothing is unread, or every import with unread pages is paused. The flow's
   * failures of `arrival.failures` are stored with it, as a commit stores them. All or none: `full` if any of the
   * inboxes holds `maxInboxPages`.
   */
  appendInbox(arrival: Arrival, rule: InboxRule): Promise<AppendInboxResult>;
  /**
   * The oldest pages after the cursor `after`, whole, until there are `maxRecords` or more, or about 16 MB. With
   * `_importId`, pages that were dropped for that import are left out.
   */
  readInbox(_flowId: string, query: InboxQuery): Promise<readonly InboxPage[]>;
  /**
   * Gives pages up, for one import or for all; a page that no import is left to settle is removed. Returns the ids of
   * those pages that were there.
   */
  dropInbox(_flowId: string, change: InboxDrop): Promise<readonly string[]>;
  /**
   * Ids, ascending, of enabled flows whose inbox holds pages that an import which is not paused has not settled, and
   * which have no waiting or active `realtime` run.
   */
  unreadInboxes(limit: number, after?: string): Promise<readonly string[]>;
}

/** One page that arrived. */
export interface Arrival {
  /** The page's own id; while it waits, the same id is not added again, nor refused as too many. */
  readonly _id: string;
  readonly _exportId: string;
  /** May be empty if there are `failures`: then nothing is added to an inbox. */
  readonly records: readonly unknown[];
  /** One event id a record, or none at all. */
  readonly ids?: readonly string[];
  readonly at: number;
  /** One for each flow that is to get it. */
  readonly starts: readonly RunStart[];
  /** Where the request came from that it is of; 1 to 512 characters. */
  readonly origin?: string;
  /** Records that could not be taken in, as failures of each import of each flow. */
  readonly failures?: readonly Failure[];
}

/** What an inbox takes in. */
export interface InboxRule {
  /** Pages that may wait in it; 1 or more. */
  readonly maxInboxPages: number;
  /** Event ids seen at or after this instant are known. */
  readonly dedupeAfter: number;
}

/** `full`: the inbox of `_flowId` is, because of `_importId`, which has the most to settle; nothing was added to any. */
export type AppendInboxResult =
  | { readonly outcome: "full"; readonly _flowId: string; readonly _importId: string }
  | { readonly outcome: "appended"; readonly flows: readonly AppendInboxFlowResult[] };

/** What one flow made of an arrival. */
export interface AppendInboxFlowResult {
  readonly _flowId: string;
  /** Records left out because their event id is known. */
  readonly duplicates: number;
  /** Pages that its inbox holds now. */
  readonly pages: number;
  /** The run that was queued for it, if one was. */
  readonly run?: Run;
}

/** Where reading an inbox goes on, and how much of it is wanted. */
export interface InboxQuery {
  /** The cursor of an entry; absent: from the oldest on. */
  readonly after?: string;
  /** 1 or more. */
  readonly maxRecords: number;
  readonly _importId?: string;
}

/** A page as it waits. */
export interface InboxPage {
  /** The arrival's id. */
  readonly _id: string;
  /** Its place in the inbox, for `after` and for a place's `inbox`. */
  readonly cursor: string;
  /** When it arrived. */
  readonly at: number;
  readonly records: readonly unknown[];
  /** `keys[i]` identifies `records[i]`: its event id, or the arrival's id and its place in it. */
  readonly keys: readonly string[];
  /** The arrival's origin, if it had one. */
  readonly origin?: string;
  /** Imports for which it was dropped; absent: none. */
  readonly droppedFor?: readonly string[];
}

/** Which pages are given up, and for whom. */
export interface InboxDrop {
  readonly _ids: readonly string[];
  /** Absent: for all imports of the flow. */
  readonly _importId?: string;
}
