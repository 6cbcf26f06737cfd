import { formatValue } from "../model/json.ts";
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
}

/** A body that was read and parsed. */
export interface Body {
  /** Undefined if the body is empty and may be. */
  readonly value: unknown;
  /** In lower case, without parameters; "" if the body is empty. */
  readonly mediaType: string;
}

const noBytes = new Uint8Array(0);

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
export function readBody(bytes: Uint8Array, request: Request, spec: BodySpec): Body {
  if (bytes.length === 0 && !spec.required) return { value: undefined, mediaType: "" };
  const mediaType = mediaTypeOf(request, Object.keys(spec.content));
  const value = parse(bytes);
  const schema = spec.content[mediaType];
  return { value: spec.checked && schema !== undefined ? readShape(value, schema) : value, mediaType };
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
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  throw new HttpError(400, parsed.issues.map(problemOf));
}

function mediaTypeOf(request: Request, known: readonly string[]): string {
  const expected = known.join(" or ");
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity")
    throw badRequest("content-encoding", `content-encoding: expected none, found ${formatValue(encoding)}`, 415);
  const contentType = request.headers.get("content-type");
  const [type = "", ...parameters] = (contentType ?? "").toLowerCase().split(";");
  const charset = parameters
    .map((one) => /^\s*charset\s*=\s*"?([^"\s]+)/.exec(one)?.[1])
    .find((one) => one !== undefined);
  if (known.includes(type.trim()) && (charset === undefined || /^utf-?8$/.test(charset))) return type.trim();
  const found = contentType === null ? "nothing" : formatValue(contentType);
  throw badRequest("content-type", `content-type: expected ${expected} in UTF-8, found ${found}`, 415);
}

function parse(bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw badRequest("", "The body: expected JSON, found nothing");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw badRequest("", "The body: expected UTF-8, found other bytes");
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw badRequest("", `The body: expected JSON (${error instanceof Error ? withoutExcerpt(error.message) : ""})`);
  }
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
  return issue.message.startsWith("Invalid ") ? (issue.expected ?? "something else") : issue.message;
}
