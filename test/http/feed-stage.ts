import { EventFeed } from "../../src/http/events/event-feed.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { type Setting, Stage, upTo } from "../support/harness.ts";

/** One event as a reader understands it. */
export interface Event {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
}

/** Reads a stream as the standard says: https://html.spec.whatwg.org/multipage/server-sent-events.html */
export class Reader {
  readonly events: Event[] = [];
  readonly chunks: Uint8Array[] = [];
  lastEventId = "";
  retry: number | undefined;
  comments = 0;
  ended = false;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** Reads one chunk, or the end. */
  async read(): Promise<void> {
    const { done, value } = await this.#reader.read();
    if (done) this.ended = true;
    else this.#take(value);
  }

  /** Reads until the end. */
  async readAll(): Promise<this> {
    while (!this.ended) await this.read();
    return this;
  }

  async leave(): Promise<void> {
    await this.#reader.cancel();
  }

  get names(): string[] {
    return this.events.map(({ name }) => name);
  }

  #take(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    const blocks = (this.#rest + new TextDecoder().decode(chunk)).split("\n\n");
    this.#rest = blocks.pop() ?? "";
    for (const block of blocks) this.#dispatch(block);
  }

  #dispatch(block: string): void {
    let [name, data]: [string, string | undefined] = ["message", undefined];
    for (const line of block.split(/\r\n|\n|\r/)) {
      const [, field = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (field === "" && line !== "") this.comments++;
      else if (field === "id") this.lastEventId = value;
      else if (field === "event") name = value;
      else if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
      else if (field === "retry") this.retry = Number(value);
      else if (line !== "") throw new Error(`a line that is no field: ${line}`);
    }
    if (data !== undefined) this.events.push({ id: this.lastEventId, name, data: JSON.parse(data) as unknown });
  }
}

/** How a feed is made, and of what stage. */
export interface FeedSetting extends Setting {
  readonly capacity?: number;
  readonly heartbeatMs?: number;
}

/** A stage with a feed. */
export function setting({ capacity = 1_000, heartbeatMs = 15_000, ...rest }: FeedSetting = {}) {
  const stage = new Stage({
    exports: { numbers: arrayExport(upTo(3)) },
    imports: { ledger: collectingImport<number>() },
    ...rest,
  });
  const feed = new EventFeed({ registry: stage.registry, scheduler: stage.scheduler, capacity, heartbeatMs });
  const listen = (options: Parameters<EventFeed["stream"]>[0] = {}) => new Reader(feed.stream(options));
  /** A reader that has been greeted and waits. */
  const listening = async (options: Parameters<EventFeed["stream"]>[0] = {}) => {
    const reader = listen(options);
    await reader.read();
    return reader;
  };
  const { registry, scheduler, clock } = stage;
  return { registry, scheduler, clock, stage, feed, listen, listening };
}

/** The same, with a scheduler that has started. */
export async function started(parts: FeedSetting = {}) {
  const all = setting(parts);
  await all.scheduler.start();
  return all;
}
