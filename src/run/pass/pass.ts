import { isDeepStrictEqual } from "node:util";
import type { Yielder } from "../../clock.ts";
import type { Json } from "../../model/record/json.ts";
import { PageMover, type PageMoverDeps } from "./page-mover.ts";
import type { PassStart } from "./passes.ts";
import { ReadAhead } from "../source/read-ahead.ts";
import type { ReadSignal } from "../source/read-signal.ts";
import { tracedSource } from "../source/traced-source.ts";
import { type Recipient, isAwaited } from "./recipient.ts";
import type { Source, SourcePage } from "../source/source.ts";

/** What a pass needs. */
export interface PassDeps extends PageMoverDeps {
  readonly yielder: Yielder;
  readonly prefetch: number;
  /** Opens the source. @throws whatever the export throws, classified */
  readonly open: (reading: ReadSignal) => Source;
  /** Aborts the reading when the pass ends. */
  readonly reading: ReadSignal;
  /** Records that may still be read. */
  readonly limit: number;
  /** The first page is one that all have settled, before the run waited. */
  readonly beginsSettled: boolean;
  /** A pass that catches up ends at this checkpoint. */
  readonly until: Json | undefined;
  /** Whether another run of the flow waits. */
  readonly hasWaitingRun: () => Promise<boolean>;
}

/** How a pass ended. `through`: there is nothing more to read. `left`: every import has left it. */
export type PassEnd = "through" | "aborted" | "yielded" | "left";

/** One reading of a source for all imports that stand at the same place, page by page. */
export class Pass {
  readonly #deps: PassDeps;
  readonly #start: PassStart;
  readonly #recipients: readonly Recipient[];
  readonly #mover: PageMover;

  constructor(deps: PassDeps, start: PassStart, recipients: readonly Recipient[]) {
    this.#deps = deps;
    this.#start = start;
    this.#recipients = recipients;
    this.#mover = new PageMover(deps, start, recipients);
  }

  /** True once a page was read. */
  get hasRead(): boolean {
    return this.#mover.hasMoved;
  }

  /** Pages since the last one that had a checkpoint. */
  get pagesWithoutCheckpoint(): number {
    return this.#mover.pagesWithoutCheckpoint;
  }

  /** True once it committed a checkpoint other than the one it began at. */
  get hasProgressed(): boolean {
    return this.#mover.hasProgressed;
  }

  /** @throws `lease_lost`, `export_failed`, `contract_violation` of the export, and what the storage throws. */
  async run(): Promise<PassEnd> {
    const { beginsSettled, limit, open, prefetch, progress, reading, signal, tracer, yielder } = this.#deps;
    // A function, as the signal may abort at every await.
    const isAborted = () => signal.aborted;
    if (isAborted()) return "aborted";
    if (limit <= 0) return this.#through();
    const readBefore = progress.run.numPagesGenerated;
    const source = tracer === undefined ? open(reading) : tracedSource(open(reading), tracer, progress);
    const pages = new ReadAhead(source, prefetch, signal);
    let left = limit;
    let nth = readBefore;
    const isLast = () => pages.isOver && nth === readBefore + pages.read;
    try {
      for (let page = await pages.next(); page !== undefined; page = await pages.next()) {
        if (isAborted()) return "aborted";
        const isCounted = beginsSettled && !this.hasRead;
        const part = cut(page, left);
        await this.#mover.move(part, { nth: ++nth, generated: readBefore + pages.read, isLast });
        if (!isCounted) left -= page.batch.size;
        const end = this.#endAfter(left) ?? (this.#start.catchesUp ? await this.#endOfCatchUp(part) : undefined);
        if (end !== undefined) return end;
        if (yielder.isDue()) await yielder.yield();
      }
      return isAborted() ? "aborted" : this.#through();
    } finally {
      reading.end();
      await pages.close();
    }
  }

  #endAfter(left: number): PassEnd | undefined {
    const { ownPosition, signal } = this.#deps;
    if (signal.aborted) return "aborted";
    if (!this.#recipients.some(isActive)) return "left";
    // The run waits with the import, and goes on with this page.
    if (ownPosition && this.#recipients.some(({ left: departure }) => isAwaited(departure))) return "left";
    return left <= 0 ? this.#through() : undefined;
  }

  // It has reached the others, or another run of the flow waits.
  async #endOfCatchUp({ checkpoint }: SourcePage): Promise<PassEnd | undefined> {
    const { hasWaitingRun, until } = this.#deps;
    if (until !== undefined && isDeepStrictEqual(checkpoint, until)) return this.#through();
    // Without a checkpoint to go on from, what it has read would be read again, each time that another run waits.
    if (!this.#mover.hasCommitted || this.#mover.pagesWithoutCheckpoint > 0) return undefined;
    if (!(await hasWaitingRun())) return undefined;
    for (const recipient of this.#recipients.filter(isActive)) recipient.leave({ status: "behind" });
    return "yielded";
  }

  #through(): PassEnd {
    this.#mover.endHeld();
    this.#mover.passThrough();
    return this.#recipients.some(isActive) ? "through" : "left";
  }
}

function isActive({ left }: Recipient): boolean {
  return left === undefined;
}

// Only part of a page: its checkpoint would say too much.
function cut(page: SourcePage, left: number): SourcePage {
  if (page.batch.size <= left) return page;
  const { checkpoint: _, inboxThrough: __, ...rest } = page;
  return { ...rest, batch: page.batch.slice(0, left) };
}
