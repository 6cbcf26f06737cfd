import { itemAt } from "../../model/item-at.ts";
import type { Failure } from "../../model/failure.ts";
import type { Logger } from "../../model/logger.ts";
import { messageOf } from "../../model/message.ts";
import type { TenantScope } from "./authorization.ts";

/** What may be shown of a record, and of why it failed. */
export interface RedactResult {
  readonly record: unknown;
  readonly message: string;
  readonly key: string;
}

/** What a caller is about to be shown. */
export interface RedactInput extends RedactResult {
  /** The failure it is of; absent: a page of an inbox, or an event. */
  readonly failure?: Failure;
  /** The caller's; absent: the caller may see everything. */
  readonly scope?: TenantScope;
  /** Absent: an event, which is sent to everyone. */
  readonly request?: Request;
}

/** Takes personal data out of what is shown. Called for each record, so it must be fast, and it returns no promise. */
export type Redact = (input: RedactInput) => RedactResult;

/** For whom something is shown. */
export type Viewer = Pick<RedactInput, "scope" | "request">;

/** What is shown instead of what the hook failed on. */
export const notShown = "[not shown]";

/** Applies the host's `redact` to everything before it leaves the handler. */
export class Redaction {
  readonly #redact: Redact | undefined;
  readonly #logger: Logger;

  constructor(redact: Redact | undefined, logger: Logger) {
    this.#redact = redact;
    this.#logger = logger;
  }

  /** False: everything is shown as stored. */
  get isActive(): boolean {
    return this.#redact !== undefined;
  }

  /** The failure as the viewer may see it. */
  failure(failure: Failure, viewer: Viewer): Failure {
    const redact = this.#redact;
    if (redact === undefined) return failure;
    const { record, message, key } = failure;
    const shown = this.#apply(redact, { record, message, key, failure, ...viewer });
    if (!("original" in failure)) return { ...failure, ...shown };
    const first = this.#apply(redact, { record: failure.original, message, key, failure, ...viewer });
    return { ...failure, ...shown, original: first.record };
  }

  /** A page of an inbox as the viewer may see it. */
  page<Page extends { readonly records: readonly unknown[]; readonly keys: readonly string[] }>(
    page: Page,
    viewer: Viewer,
  ): Page {
    const redact = this.#redact;
    if (redact === undefined) return page;
    const shown = page.records.map((record, index) =>
      this.#apply(redact, { record, message: "", key: itemAt(page.keys, index), ...viewer }),
    );
    return { ...page, records: shown.map(({ record }) => record), keys: shown.map(({ key }) => key) };
  }

  /** The message of an event. */
  message(message: string): string {
    const redact = this.#redact;
    return redact === undefined ? message : this.#apply(redact, { record: undefined, message, key: "" }).message;
  }

  #apply(redact: Redact, input: RedactInput): RedactResult {
    try {
      const { record, message, key } = redact(input);
      if (typeof message !== "string" || typeof key !== "string")
        throw new TypeError("redact: expected record, message and key");
      return { record, message, key };
    } catch (error) {
      this.#log(error);
      return { record: undefined, message: notShown, key: notShown };
    }
  }

  #log(error: unknown): void {
    try {
      this.#logger.error({ error: messageOf(error) }, "redact failed: the record is not shown");
    } catch {
      // A logger that throws must not keep the caller from its response.
    }
  }
}
