import { InvalidRequestError } from "../errors.ts";
import { type Json, copyJson } from "../model/record/json.ts";
import { messageOf } from "../model/message.ts";
import { roughSize } from "../model/record/size.ts";
import type { Run } from "../model/run.ts";
import type { CauseQuery, FailureQuery, RunQuery } from "../storage/storage.ts";

/** How a run on demand goes. */
export interface RunOptions {
  /** A sample: at most this many records for each import, and no checkpoint moves; 1 or more. @default all */
  readonly limit?: number;
  /** JSON handed to the export's `pages` as `run.parameters`, such as the window of a backfill; at most 64 KB. */
  readonly parameters?: Json;
  /** False: it reads from no checkpoint, in one pass, and leaves all checkpoints where they are. @default true */
  readonly moveCheckpoint?: boolean;
}

/** How a run is canceled. */
export interface CancelOptions {
  /** Gives up the positions of its flow's imports: the next run begins at their checkpoints again. @default false */
  readonly discard?: boolean;
}

/** Which imports are meant. */
export interface CheckpointOptions {
  /** One of the flow's imports. @default all of them */
  readonly _importId?: string;
}

/** Which pages of an inbox to list. */
export interface InboxFilter {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
  /** A `next` returned before. */
  readonly after?: string;
}

/** Which runs to list. */
export interface RunFilter extends Omit<RunQuery, "limit"> {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
}

/** Which failures to list. */
export interface FailureFilter extends Omit<FailureQuery, "limit"> {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
}

/** Of what to get an overview. */
export interface OverviewFilter {
  /** Flows, runs and failures of this integration. @default all */
  readonly _integrationId?: string;
}

/** Whose causes to list. */
export interface CauseFilter extends Omit<CauseQuery, "limit"> {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
}

/**
 * What a run is to be like, as far as `options` say so.
 *
 * @throws `invalid_request` naming the option that is out of range.
 */
export function readRunOptions(options: RunOptions): Partial<Pick<Run, "limit" | "parameters" | "moveCheckpoint">> {
  const { limit, moveCheckpoint, parameters } = options;
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 1))
    throw new InvalidRequestError("limit", "a whole number, 1 or more", limit);
  if (moveCheckpoint !== undefined && typeof moveCheckpoint !== "boolean")
    throw new InvalidRequestError("moveCheckpoint", "true or false", moveCheckpoint);
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(parameters === undefined ? {} : { parameters: readJson("parameters", parameters, mostParameters) }),
    ...(moveCheckpoint === false ? { moveCheckpoint } : {}),
  };
}

/** Bytes of JSON that a run's parameters may have: every list of runs has them in it. */
const mostParameters = 64 * 1_024;

/** Bytes of JSON that a checkpoint may have that is set by hand. */
export const mostCheckpoint = 16 * 2 ** 20;

/** Failures that are chosen for one retry at most: the run keeps their ids. */
export const mostChosen = 10_000;

/**
 * A frozen copy. `most`: bytes of its JSON, in UTF-8.
 *
 * @throws `invalid_request` if it is not JSON, or longer than that.
 */
export function readJson(field: string, value: Json, most: number): Json {
  const limit = `JSON of at most ${most >= 2 ** 20 ? `${most / 2 ** 20} MB` : `${most / 1_024} KB`}`;
  // Each value and comma is a byte or more, and counted as eight: what measures this much is too long for certain, and
  // is not walked to its end.
  if (roughSize(value, most * 8) > most * 8) throw new InvalidRequestError(field, limit, value);
  let copy: Json;
  try {
    copy = copyJson(value, field);
  } catch (error) {
    throw new InvalidRequestError(field, `JSON (${messageOf(error)})`, value);
  }
  const bytes = new TextEncoder().encode(JSON.stringify(copy)).length;
  if (bytes > most) throw new InvalidRequestError(field, `${limit} (this has ${bytes} bytes)`, value);
  return copy;
}
