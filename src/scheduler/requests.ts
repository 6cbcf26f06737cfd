import { InvalidRequestError } from "../errors.ts";
import { checkId } from "../flow-registry.ts";
import { faults } from "../model/failure.ts";
import { instant, partOfText } from "../model/filters.ts";
import { type Json, copyJson } from "../model/record/json.ts";
import { messageOf } from "../model/message.ts";
import { roughSize } from "../model/record/size.ts";
import type { RetrySelection, Run } from "../model/run.ts";
import { type Shape, boolean, oneOf, string, v, validate, wholeNumber } from "../model/validate.ts";
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

const runRules = {
  limit: v.optional(wholeNumber(1)),
  parameters: v.unknown(),
  moveCheckpoint: v.optional(boolean),
} satisfies Shape<RunOptions>;

const cancelRules = { discard: v.optional(boolean) } satisfies Shape<CancelOptions>;

/** Ids are checked by `checkId`, which knows of promises. */
const checkpointRules = { _importId: v.unknown() } satisfies Shape<CheckpointOptions>;

const selectionRules = {
  _importId: v.unknown(),
  _exportId: v.optional(string),
  _ids: v.optional(v.array(v.unknown(), "an array of ids")),
  _integrationId: v.optional(string),
  _runId: v.optional(string),
  _connectorId: v.optional(string),
  fault: v.optional(oneOf(...faults)),
  cause: v.optional(string),
  key: v.optional(string),
  keyPrefix: v.optional(partOfText),
  text: v.optional(partOfText),
  through: v.optional(string),
  dueBy: v.optional(instant),
} satisfies Shape<RetrySelection>;

/** @throws `invalid_request` naming the option that is unknown, or out of range. */
export function readCancelOptions(options: CancelOptions): boolean {
  validate(options, cancelRules, InvalidRequestError);
  return options.discard ?? false;
}

/** @throws `invalid_request` naming the option that is unknown: of a typo, all imports would be meant. */
export function readImportId(options: CheckpointOptions): string | undefined {
  validate(options, checkpointRules, InvalidRequestError);
  return options._importId;
}

/** @throws `invalid_request` naming the field that is unknown, or out of range: of a typo, all failures would be meant. */
export function checkSelection(selection: RetrySelection): void {
  validate(selection, selectionRules, InvalidRequestError);
  const { _importId, _ids = [] } = selection;
  if (_importId !== undefined) checkId("_importId", _importId);
  if (_ids.length > mostChosen) throw new InvalidRequestError("_ids", `at most ${mostChosen} ids`, _ids);
  for (const _id of _ids) checkId("_ids", _id);
}

/**
 * What a run is to be like, as far as `options` say so.
 *
 * @throws `invalid_request` naming the option that is unknown, or out of range.
 */
export function readRunOptions(options: RunOptions): Partial<Pick<Run, "limit" | "parameters" | "moveCheckpoint">> {
  validate(options, runRules, InvalidRequestError);
  const { limit, moveCheckpoint, parameters } = options;
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
const mostChosen = 10_000;

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
