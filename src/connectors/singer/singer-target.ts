import { randomUUID } from "node:crypto";
import { isAborted } from "../../clock.ts";
import { InvalidOptionError, retryLater, stop } from "../../errors.ts";
import { type ImportContext, type ImportMembers, type Result, importRules } from "../../model/host/import.ts";
import { type Shape, v, validate } from "../../model/validate.ts";
import { Command, CommandNotStartedError, type CommandOptions, commandRules } from "./command.ts";
import type { SingerRecord } from "./singer-tap.ts";

/** A program that writes Singer messages to a destination. */
export interface TargetOptions
  extends CommandOptions, Pick<ImportMembers<SingerRecord>, "idempotent" | "batchSize" | "writeTimeoutMs" | "sameKey"> {
  /** Sent before the records of each batch: the streams that the target writes, by their names. */
  readonly streams: Readonly<Record<string, StreamSchema>>;
}

/** What a target is to know of a stream before its records. */
export interface StreamSchema {
  /** JSON Schema of its records. */
  readonly schema: object;
  /** Fields that identify a record. @default none */
  readonly keyProperties?: readonly string[];
}

/** An import that starts a target. Spread it to add a `filter` or `map`, which may take other records. */
export type SingerImport = Omit<ImportMembers<SingerRecord>, "filter" | "map" | "schema">;

const rules: Shape<TargetOptions> = {
  ...commandRules,
  streams: v.record(v.string(), v.looseObject({ schema: v.looseObject({}) }), "schemas by the names of their streams"),
  idempotent: importRules.idempotent,
  batchSize: importRules.batchSize,
  writeTimeoutMs: importRules.writeTimeoutMs,
  sameKey: importRules.sameKey,
};

/**
 * Writes with a Singer target, one process a batch: let pages be large. A batch is written if the target ends with exit code
 * 0 **and** has sent back the STATE that came after its records; anything else means that the outcome is unknown.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function singerTarget(options: TargetOptions): SingerImport {
  validate(options, rules, InvalidOptionError, "singerTarget.");
  const { batchSize, idempotent, sameKey = "together", writeTimeoutMs } = options;
  return {
    idempotent,
    sameKey,
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(writeTimeoutMs === undefined ? {} : { writeTimeoutMs }),
    write: (records, context) => writeBatch(options, records, context),
  };
}

async function writeBatch(
  options: TargetOptions,
  records: readonly SingerRecord[],
  context: ImportContext,
): Promise<readonly Result[]> {
  const known = records.filter(({ stream }) => Object.hasOwn(options.streams, stream));
  if (known.length > 0) await send(options, known, context);
  return records.map(({ stream }) =>
    Object.hasOwn(options.streams, stream)
      ? { ok: true }
      : {
          ok: false,
          fault: "reject",
          error: new Error(`singerTarget.streams has no stream ${JSON.stringify(stream)}`),
        },
  );
}

async function send(options: TargetOptions, records: readonly SingerRecord[], context: ImportContext): Promise<void> {
  const { log, signal } = context;
  const command = await start(options, context);
  try {
    // Its own for each batch, so that no other one is taken for it.
    const batch = randomUUID();
    const returned = sentBack(command, batch);
    for (const chunk of messagesOf(options, records, batch)) await command.write(chunk);
    command.endInput();
    const [isBack, error] = await Promise.all([returned, command.outcome()]);
    if (error instanceof CommandNotStartedError) throw stop(error);
    if (error !== undefined) throw error;
    signal.throwIfAborted();
    if (!isBack)
      throw new Error(`${command.program} ended without sending the state back, so what it has written is not known`);
    log.debug({ records: records.length }, "singer: a batch is written");
  } finally {
    await command.close();
  }
}

async function start(options: TargetOptions, { log, signal }: ImportContext): Promise<Command> {
  try {
    return await Command.start(options, { role: "target", files: { config: options.config }, signal, log });
  } catch (error) {
    // Nothing was written yet.
    throw isAborted(signal) ? retryLater(error) : stop(error);
  }
}

/** Whether the output ends with our state. */
async function sentBack(command: Command, batch: string): Promise<boolean> {
  const lines = command.lines();
  let last = "";
  do {
    for (let line = lines.take(); line !== undefined; line = lines.take()) if (line.trim() !== "") last = line;
  } while (await lines.more());
  const rest = lines.last();
  return batchIn(rest.trim() === "" ? last : rest) === batch;
}

function batchIn(line: string): unknown {
  try {
    return (JSON.parse(line) as { readonly poundlock?: { readonly batch?: unknown } } | null)?.poundlock?.batch;
  } catch {
    return undefined;
  }
}

/** In pieces of some size, so that neither a record costs a call nor a batch one string. */
function* messagesOf({ streams }: TargetOptions, records: readonly SingerRecord[], batch: string): Generator<string> {
  let text = "";
  const used = new Set(records.map(({ stream }) => stream));
  for (const [stream, { keyProperties = [], schema }] of Object.entries(streams)) {
    if (!used.has(stream)) continue;
    text += line({ type: "SCHEMA", stream, schema, key_properties: keyProperties });
  }
  for (const { record, stream, timeExtracted } of records) {
    text += line({ type: "RECORD", stream, record, time_extracted: timeExtracted });
    if (text.length < 65_536) continue;
    yield text;
    text = "";
  }
  yield text + line({ type: "STATE", value: { poundlock: { batch } } });
}

function line(message: object): string {
  return `${JSON.stringify(message)}\n`;
}
