import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import { formatValue } from "../model/record/json.ts";
import { type IntegerReading, type ParsedJson, type UnreadInteger, parseJson } from "../model/record/json-integers.ts";
import { v } from "../model/validate.ts";
import type { Schema } from "./documents.ts";
import { type Problem, HttpError, badRequest } from "./http-error.ts";

/** What the body of a request may be. */
export interface BodySpec {
  /** False: an empty body means that every field is left out. */
  readonly required: boolean;
  /** Media type → its shape. */
  readonly content: Readonly<Record<string, Schema>>;
  /** True: the body is checked against its shape here. False: the route's own code does it, against the same shape. */
  readonly checked: boolean;
  /** The body may be compressed: by gzip, deflate or br. @default false */
  readonly acceptsCompressed?: boolean;
  /** A body without a content type is accepted if it begins as JSON does. @default false */
  readonly acceptsUntyped?: boolean;
}

/** A body that was read and parsed. */
export interface Body {
  /** Undefined if the body is empty and may be. */
  readonly value: unknown;
  /** In lower case, without parameters; "" if the body is empty. */
  readonly mediaType: string;
}

/** How a body is read. */
export interface BodyReading extends BodySpec {
  /** Most bytes, also after it was decompressed. */
  readonly limit: number;
  /** `verify` has accepted the request: senders of webhooks call JSON by other media types, too. */
  readonly isVerified?: boolean;
  /** @default "refuse" */
  readonly integers?: IntegerReading;
  /** The status of a body with an integer that is refused. @default 400 */
  readonly unreadStatus?: number;
}

const noBytes = new Uint8Array(0);

const rewritten = new WeakSet<Request>();

/** Remembers that a parser has read the body before, and that what the request has is the parser's result as JSON. */
export function markRewritten(request: Request): Request {
  rewritten.add(request);
  return request;
}

/**
 * What to respond with instead of 401 where a parser has left no bytes to verify: the sender is not to blame.
 * Undefined if the bytes are those that were sent.
 */
export function unverifiable(request: Request): HttpError | undefined {
  if (!rewritten.has(request)) return undefined;
  const message =
    "The body was parsed before the request reached this handler, so its signature cannot be verified: mount the handler before the parser, or keep the bytes as rawBody";
  return new HttpError(500, [{ code: "unexpected", message }]);
}

/** @throws HttpError 500 if something has read the body before: its sender is not to blame, and may try again. */
export function expectUnread({ bodyUsed, body }: Request): void {
  if (!bodyUsed && body?.locked !== true) return;
  const message =
    "The body was read before the request reached this handler, by a middleware for example: pass on a request whose body is unread";
  throw new HttpError(500, [{ code: "unexpected", message }]);
}

/**
 * The bytes of the body.
 *
 * @throws HttpError 413 if there are more than `limit`, as soon as that is known; 400 if they end early.
 */
export async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > limit) throw tooLarge(limit);
  try {
    // Servers enforce a declared length, so nothing larger can arrive.
    if (declared !== null) return checkSize(new Uint8Array(await request.arrayBuffer()), limit);
    return request.body === null ? noBytes : await collect(request.body, limit);
  } catch (error) {
    if (error instanceof HttpError) throw error;
    throw badRequest("", "The body could not be read to its end");
  }
}

/**
 * The body, parsed as its media type says.
 *
 * @throws HttpError 415 for a media type, charset or encoding that is not supported; 400 for invalid JSON or shape.
 */
export async function readBody(bytes: Uint8Array, request: Request, reading: BodyReading): Promise<Body> {
  const { content, checked, required } = reading;
  if (bytes.length === 0 && !required) return { value: undefined, mediaType: "" };
  const mediaType = mediaTypeOf(request, bytes, reading);
  const value = parse(await decompressed(bytes, request, reading), reading);
  const schema = content[mediaType];
  return { value: checked && schema !== undefined ? readShape(value, schema) : value, mediaType };
}

/**
 * The value, if it has that shape.
 *
 * @throws HttpError 400 with every problem.
 */
export function readShape(value: unknown, schema: Schema): unknown {
  // Valibot takes an array for an object.
  if (Array.isArray(value) && schema.type.endsWith("object"))
    throw badRequest("", `The body: expected an object, found ${formatValue(value)}`);
  const oversized = oversizedLists(value, schema);
  if (oversized.length > 0) throw new HttpError(400, oversized);
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  throw new HttpError(400, parsed.issues.map(problemOf));
}

/**
 * Lists that are too long, found before their items are checked: otherwise each wrong item would become a problem of its
 * own, however many there are.
 */
function oversizedLists(value: unknown, schema: Schema): Problem[] {
  const fields = "entries" in schema ? Object.entries(schema.entries as Readonly<Record<string, Schema>>) : [];
  const parts = fields.map(
    ([field, part]) => [field, (value as Record<string, unknown> | null)?.[field], part] as const,
  );
  return [["", value, schema] as const, ...parts].flatMap(([field, found, part]) => {
    const limit = maxLengthOf(part);
    if (!Array.isArray(found) || limit === undefined || found.length <= limit.requirement) return [];
    const message = `${field === "" ? "The body" : field}: expected ${limit.message}, found an array of ${found.length}`;
    return [{ code: "invalid_request", message, ...(field === "" ? {} : { field }) }];
  });
}

interface MaxLength {
  readonly type: "max_length";
  readonly requirement: number;
  readonly message: string;
}

function maxLengthOf(schema: object): MaxLength | undefined {
  if ("type" in schema && schema.type === "max_length") return schema as MaxLength;
  if ("wrapped" in schema) return maxLengthOf(schema.wrapped as object);
  if (!("pipe" in schema)) return undefined;
  for (const part of schema.pipe as readonly object[]) {
    const found = maxLengthOf(part);
    if (found !== undefined) return found;
  }
  return undefined;
}

const json = "application/json";

/** @throws HttpError 415 */
function mediaTypeOf(
  { headers }: Request,
  bytes: Uint8Array,
  { content, isVerified, acceptsUntyped }: BodyReading,
): string {
  const known = Object.keys(content);
  const contentType = headers.get("content-type");
  if (acceptsUntyped === true && (contentType ?? "") === "" && beginsAsJson(bytes)) return json;
  const [first = "", ...parameters] = (contentType ?? "").toLowerCase().split(";");
  const type = first.trim();
  const charset = parameters
    .map((one) => /^\s*charset\s*=\s*"?([^"\s]+)/.exec(one)?.[1])
    .find((one) => one !== undefined);
  if (charset === undefined || /^utf-?8$/.test(charset)) {
    if (known.includes(type)) return type;
    if (isVerified === true && (type === "text/plain" || /^application\/[^ ]+\+json$/.test(type))) return json;
  }
  const found = contentType === null ? "nothing" : formatValue(contentType);
  throw badRequest("content-type", `content-type: expected ${known.join(" or ")} in UTF-8, found ${found}`, 415);
}

function beginsAsJson(bytes: Uint8Array): boolean {
  return /^\s*[{[]/.test(Buffer.from(bytes.subarray(0, 100)).toString("latin1"));
}

const gunzipAsync = promisify(gunzip);
/** By content encoding. */
const decompressors = new Map([
  ["gzip", gunzipAsync],
  ["x-gzip", gunzipAsync],
  ["deflate", promisify(inflate)],
  ["br", promisify(brotliDecompress)],
]);

/** @throws HttpError 415 for an encoding that is not supported here; 413 if there are more than `limit` bytes in it. */
async function decompressed(
  bytes: Uint8Array,
  { headers }: Request,
  { limit, acceptsCompressed }: BodyReading,
): Promise<Uint8Array> {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (encoding === "identity") return bytes;
  const decompress = acceptsCompressed === true ? decompressors.get(encoding) : undefined;
  if (decompress === undefined) {
    const expected = acceptsCompressed === true ? "gzip, deflate, br or none" : "none";
    throw badRequest("content-encoding", `content-encoding: expected ${expected}, found ${formatValue(encoding)}`, 415);
  }
  try {
    return await decompress(bytes, { maxOutputLength: limit });
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(limit);
    throw badRequest("", `The body: expected ${encoding}, found other bytes`);
  }
}

function parse(bytes: Uint8Array, { integers = "refuse", unreadStatus = 400 }: BodyReading): unknown {
  if (bytes.length === 0) throw badRequest("", "The body: expected JSON, found nothing");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw badRequest("", "The body: expected UTF-8, found other bytes");
  }
  let parsed: ParsedJson;
  try {
    parsed = parseJson(text, integers);
  } catch (error) {
    throw badRequest("", `The body: expected JSON (${withoutExcerpt((error as Error).message)})`);
  }
  if (parsed.unread === undefined) return parsed.value;
  throw new HttpError(unreadStatus, parsed.unread.map(unreadProblem), {}, parsed.count);
}

function unreadProblem({ place, text }: UnreadInteger): Problem {
  const message = `${place === "" ? "The body" : place}: expected an integer that JavaScript can represent, found ${text}: send it as a string`;
  return { code: "invalid_request", message, ...(place === "" ? {} : { field: place }) };
}

// The engine quotes a part of the text, which may be a secret.
function withoutExcerpt(message: string): string {
  return message
    .replace(/, (?:\.\.\.)?".*$/s, "")
    .replace(/^Unexpected token .*? is not valid JSON$/s, "unexpected token");
}

async function collect(stream: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > limit) {
      reader.cancel().catch(() => undefined);
      throw tooLarge(limit);
    }
    chunks.push(value);
  }
  return Buffer.concat(chunks, length);
}

function checkSize(bytes: Uint8Array, limit: number): Uint8Array {
  if (bytes.length > limit) throw tooLarge(limit);
  return bytes;
}

function tooLarge(limit: number): HttpError {
  return badRequest("", `The body: expected at most ${limit} bytes, found more`, 413);
}

function problemOf(issue: v.BaseIssue<unknown>): Problem {
  const field = v.getDotPath(issue) ?? "";
  const at = field === "" ? "The body" : field;
  const unknown = issue.type === "strict_object" && issue.expected === "never";
  const missing = !unknown && issue.kind === "schema" && issue.path !== undefined && issue.input === undefined;
  const message = unknown
    ? `${at}: there is no such field`
    : missing
      ? `${at}: required, but not given`
      : `${at}: expected ${expectedOf(issue)}, found ${formatValue(issue.input)}`;
  return { code: "invalid_request", message, ...(field === "" ? {} : { field }) };
}

function expectedOf(issue: v.BaseIssue<unknown>): string {
  // Our shapes say what they expect; where one does not, valibot's words serve.
  return issue.message.startsWith("Invalid ") ? String(issue.expected) : issue.message;
}
