import type { Flow } from "../model/flow/flow.ts";
import type { ImportContext } from "../model/host/import.ts";
import type { Logger } from "../model/logger.ts";
import type { Run } from "../model/run.ts";
import { itemAt } from "../model/item-at.ts";

/** Where a record of a part comes from: its place in the batch, and which of its items it is. */
export interface Origin {
  readonly index: number;
  /** Undefined: the record itself. */
  readonly item?: number;
}

/**
 * What an import is given with records that were made of a batch. A class, since what a batch's own context has is made
 * when it is asked for, and stays so here.
 */
export class PartContext implements ImportContext {
  readonly attempt: number;
  readonly page: number;
  readonly run: Run;
  readonly flow: Flow;
  readonly log: Logger;
  readonly #whole: ImportContext;
  readonly #origins: readonly Origin[];
  #keys: readonly string[] | undefined;
  #idempotencyKeys: readonly string[] | undefined;

  constructor(whole: ImportContext, origins: readonly Origin[]) {
    this.attempt = whole.attempt;
    this.page = whole.page;
    this.run = whole.run;
    this.flow = whole.flow;
    this.log = whole.log;
    this.#whole = whole;
    this.#origins = origins;
  }

  get keys(): readonly string[] {
    return (this.#keys ??= this.#of(this.#whole.keys));
  }

  get idempotencyKeys(): readonly string[] {
    return (this.#idempotencyKeys ??= this.#of(this.#whole.idempotencyKeys));
  }

  get signal(): AbortSignal {
    return this.#whole.signal;
  }

  #of(keys: readonly string[]): readonly string[] {
    const keyOf = ({ index, item }: Origin) => itemAt(keys, index) + (item === undefined ? "" : `/${item}`);
    return Object.freeze(this.#origins.map(keyOf));
  }
}
