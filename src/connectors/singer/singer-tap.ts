import { InvalidOptionError } from "../../errors.ts";
import { canonicalHash } from "../../model/record/canonical.ts";
import { type Export, type ExportContext, exportRules } from "../../model/host/export.ts";
import { type Json, formatValue } from "../../model/record/json.ts";
import type { Page, UnreadableRecord } from "../../model/host/page.ts";
import { type Shape, v, validate } from "../../model/validate.ts";
import { Command, type CommandOptions, type LineReader, type SingerSetting, commandRules, setting } from "./command.ts";

/** A program that reads a source and writes it as Singer messages. */
export interface TapOptions extends CommandOptions {
  /** Given as the file of `--catalog`: which streams and fields are read. @default none: what the tap chooses */
  readonly catalog?: SingerSetting;
  /** Records of a page, unless a STATE ends it sooner; 1 or more. @default 1000 */
  readonly pageSize?: number;
  /** As of any export. @default 600000 */
  readonly readTimeoutMs?: number;
}

/** A RECORD message. */
export interface SingerRecord {
  readonly stream: string;
  readonly record: Readonly<Record<string, unknown>>;
  /** When the tap read it, as it says; ISO 8601. */
  readonly timeExtracted?: string;
}

const rules: Shape<TapOptions> = {
  ...commandRules,
  catalog: v.optional(setting),
  pageSize: exportRules.pageSize,
  readTimeoutMs: exportRules.readTimeoutMs,
};

/**
 * Reads what a Singer tap reads. Its STATE messages are checkpoints, so a run that is resumed gives it the last one that was
 * committed. The key of a record is its stream and its `key_properties`.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 * @see https://hub.meltano.com/singer/spec
 */
export function singerTap(options: TapOptions): Export<SingerRecord> {
  validate(options, rules, InvalidOptionError, "singerTap.");
  const { pageSize = 1_000, readTimeoutMs } = options;
  const keys = new Map<string, readonly string[]>();
  return {
    order: "ordered",
    pageSize,
    ...(readTimeoutMs === undefined ? {} : { readTimeoutMs }),
    key: (record) => keyOf(record, keys.get(record.stream) ?? []),
    pages: (context) => readPages(options, context, keys),
  };
}

// Without key properties its content is what a record is known by.
function keyOf({ stream, record }: SingerRecord, properties: readonly string[]): string {
  const values = properties.map((name) => record[name]);
  const [only] = values;
  if (values.length === 0) return `${stream}/${canonicalHash(record)}`;
  const isPlain = values.length === 1 && (typeof only === "string" || typeof only === "number");
  return `${stream}/${isPlain ? only : JSON.stringify(values)}`;
}

async function* readPages(
  options: TapOptions,
  context: ExportContext,
  keys: Map<string, readonly string[]>,
): AsyncGenerator<Page<SingerRecord>> {
  const { checkpoint, log, signal } = context;
  const state = checkpoint === undefined || checkpoint === null ? undefined : (checkpoint as object);
  const files = { config: options.config, catalog: options.catalog, state };
  const command = await Command.start(options, { role: "tap", files, signal, log });
  try {
    command.endInput();
    const reading = new TapReading(command, context, keys);
    yield* reading.pages();
    const error = await command.outcome();
    signal.throwIfAborted();
    // What has a checkpoint is good, however the tap ended.
    yield* reading.rest(error === undefined);
    if (error !== undefined) throw error;
  } finally {
    await command.close();
  }
}

interface Message {
  readonly type?: unknown;
  readonly stream?: unknown;
  readonly record?: unknown;
  readonly time_extracted?: unknown;
  readonly key_properties?: unknown;
  readonly value?: unknown;
}

class TapReading {
  readonly #command: Command;
  readonly #lines: LineReader;
  readonly #context: ExportContext;
  readonly #keys: Map<string, readonly string[]>;
  /** Records since the last page, and as many of them as the last STATE stands for. */
  #records: SingerRecord[] = [];
  #unreadable: UnreadableRecord[] = [];
  #state: { readonly value: Json; readonly records: number; readonly unreadable: number } | undefined;

  constructor(command: Command, context: ExportContext, keys: Map<string, readonly string[]>) {
    this.#command = command;
    this.#lines = command.lines();
    this.#context = context;
    this.#keys = keys;
  }

  /** Pages until the output ends. */
  async *pages(): AsyncGenerator<Page<SingerRecord>> {
    const { pageSize, signal } = this.#context;
    do {
      for (let line = this.#lines.take(); line !== undefined; line = this.#lines.take()) {
        this.#read(line);
        if (this.#records.length + this.#unreadable.length < pageSize) continue;
        yield this.#page();
        signal.throwIfAborted();
      }
      // Nothing more is here, and the next line may take long.
      if (this.#state !== undefined) yield this.#page();
      signal.throwIfAborted();
    } while (await this.#lines.more());
    this.#read(this.#lines.last());
  }

  /** What came after the last page; what no STATE stands for only if the tap ended well. */
  *rest(isWhole: boolean): Generator<Page<SingerRecord>> {
    if (this.#state !== undefined) yield this.#page();
    if (isWhole && this.#records.length + this.#unreadable.length > 0) yield this.#page();
  }

  // Up to the last STATE; all, without a checkpoint, if there is none.
  #page(): Page<SingerRecord> {
    const { value, records, unreadable } = this.#state ?? {
      ...{ value: undefined, records: this.#records.length, unreadable: this.#unreadable.length },
    };
    const page = { records: this.#records.slice(0, records), unreadable: this.#unreadable.slice(0, unreadable) };
    this.#records = this.#records.slice(records);
    this.#unreadable = this.#unreadable.slice(unreadable);
    this.#state = undefined;
    return {
      records: page.records,
      ...(page.unreadable.length === 0 ? {} : { unreadable: page.unreadable }),
      ...(value === undefined ? {} : { checkpoint: value }),
    };
  }

  #read(line: string): void {
    if (line.trim() === "") return;
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      // The error of `JSON.parse` quotes the line.
      this.#unreadable.push({ raw: line, error: new Error("it is no Singer message: it is no JSON") });
      return;
    }
    const type: unknown = typeof message === "object" && (message as unknown) !== null ? message.type : undefined;
    if (type === "RECORD") this.#readRecord(message, line);
    else if (type === "STATE") this.#readState(message);
    else if (type === "SCHEMA") this.#readSchema(message);
    else if (type === "BATCH")
      throw new Error(`${this.#command.program} sends batches as files: turn its batch_config off`);
    else if (typeof type === "string") this.#context.log.debug({ type }, "singer: message without a meaning here");
    else this.#unreadable.push({ raw: line, error: new Error("it is no Singer message: it has no type") });
  }

  #readRecord({ stream, record, time_extracted: time }: Message, line: string): void {
    if (typeof stream !== "string" || typeof record !== "object" || record === null)
      this.#unreadable.push({ raw: line, error: new Error("a RECORD message has no stream, or no record") });
    else
      this.#records.push({
        stream,
        record: record as SingerRecord["record"],
        ...(typeof time === "string" ? { timeExtracted: time } : {}),
      });
  }

  #readState({ value }: Message): void {
    if (typeof value !== "object" || value === null)
      throw new Error(`${this.#command.program} sent a STATE that is no object, but ${formatValue(value)}`);
    this.#state = { value: value as Json, records: this.#records.length, unreadable: this.#unreadable.length };
  }

  #readSchema({ stream, key_properties: properties }: Message): void {
    if (typeof stream !== "string") return;
    const names: readonly unknown[] = Array.isArray(properties) ? properties : [];
    this.#keys.set(
      stream,
      names.filter((name) => typeof name === "string"),
    );
  }
}
