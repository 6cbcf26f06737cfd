import type { ExportContext } from "../../model/host/export.ts";
import type { Json } from "../../model/record/json.ts";
import type { Logger } from "../../model/logger.ts";
import type { Run } from "../../model/run.ts";
import type { ClaimedRun } from "../../storage/storage.ts";
import type { ReadSignal } from "./read-signal.ts";

/** What `pages` is given. A class, since the hidden class of a literal with a getter lives until a full collection. */
export class ReadContext implements ExportContext {
  readonly checkpoint: Json | undefined;
  readonly run: Run;
  readonly flow: ClaimedRun["flow"];
  readonly pageSize: number;
  readonly limit?: number;
  readonly until?: Json;
  readonly log: Logger;
  readonly #reading: ReadSignal;

  constructor(given: {
    readonly checkpoint: Json | undefined;
    readonly run: Run;
    readonly flow: ClaimedRun["flow"];
    readonly pageSize: number;
    readonly limit: number | undefined;
    readonly until: Json | undefined;
    readonly log: Logger;
    readonly reading: ReadSignal;
  }) {
    this.checkpoint = given.checkpoint;
    this.run = given.run;
    this.flow = given.flow;
    this.pageSize = given.pageSize;
    if (given.limit !== undefined) this.limit = given.limit;
    if (given.until !== undefined) this.until = given.until;
    this.log = given.log;
    this.#reading = given.reading;
  }

  /** Aborts when the run does, and when nothing more is read. */
  get signal(): AbortSignal {
    return this.#reading.signal;
  }
}
