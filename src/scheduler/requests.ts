import { InvalidRequestError } from "../errors.ts";
import { type Json, copyJson } from "../model/record/json.ts";
import { messageOf } from "../model/message.ts";
import type { Run } from "../model/run.ts";
import type { FailureQuery, RunQuery } from "../storage/storage.ts";

/** How a run on demand goes. */
export interface RunOptions {
  /** A sample: at most this many records for each import, and no checkpoint moves; 1 or more. @default all */
  readonly limit?: number;
  /** JSON handed to the export's `pages` as `run.parameters`, such as the window of a backfill. */
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
    ...(parameters === undefined ? {} : { parameters: readJson("parameters", parameters) }),
    ...(moveCheckpoint === false ? { moveCheckpoint } : {}),
  };
}

/**
 * A frozen copy.
 *
 * @throws `invalid_request` if it is not JSON.
 */
export function readJson(field: string, value: Json): Json {
  try {
    return copyJson(value, field);
  } catch (error) {
    throw new InvalidRequestError(field, `JSON (${messageOf(error)})`, value);
  }
}
