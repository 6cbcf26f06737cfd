import { inspect, types } from "node:util";
import { formatValue } from "./record/json.ts";
import { isStorable } from "./validate.ts";

/** Characters of a message, at most. */
export const longestMessage = 2_000;
/** Characters of a code, at most. */
const longestCode = 100;
/** Errors of a chain of causes that are looked at. */
const longestChain = 10;
/** Errors that are looked at in all, those of aggregates included. */
const mostErrors = 50;
/** Errors of an aggregate that are quoted. */
const mostQuoted = 5;

/**
 * What anything that was thrown says in words: its own message and those of its causes ("fetch failed: connect
 * ECONNREFUSED 127.0.0.1:1") and of the errors it aggregates. At most 2,000 characters, without what no database keeps.
 * Never throws, whatever the error's properties do.
 */
export function messageOf(error: unknown): string {
  // Results carry strings.
  if (typeof error === "string" && error !== "") return storableText(error, longestMessage);
  return storableText(describe(error, new Set(), 0), longestMessage);
}

/**
 * The `code` of an error (`ECONNREFUSED`, say), or else of the first of its causes that has one; at most 100
 * characters. Never throws.
 */
export function codeOf(error: unknown): string | undefined {
  if (!isObject(error)) return undefined;
  for (const link of chainOf(error)) {
    const code = ownCode(link);
    if (code !== undefined) return storableText(code, longestCode);
  }
  return undefined;
}

/** The string without NUL and halves of surrogate pairs, cut so that it has at most `longest` characters. */
export function storableText(text: string, longest: number): string {
  if (text.length <= longest) return isStorable(text) ? text : text.replace(/[\0\p{Surrogate}]/gu, "\uFFFD");
  const cut = `${text.slice(0, longest - 1).replace(/[\uD800-\uDBFF]$/, "")}…`.replace(/[\0\p{Surrogate}]/gu, "\uFFFD");
  // A slice keeps the whole string alive, which may be megabytes that a destination sent.
  return Buffer.from(cut).toString();
}

function describe(error: unknown, seen: Set<unknown>, depth: number): string {
  let message = "";
  for (const link of chainOf(error)) {
    if (seen.has(link) || seen.size >= mostErrors) break;
    if (isObject(link)) seen.add(link);
    const own = ownMessage(link, seen, depth);
    // Wrappers often quote the error they wrap.
    if (message === "") message = own;
    else if (!message.includes(own)) message = `${message}: ${own}`;
    if (message.length > longestMessage) break;
  }
  return message;
}

// The error, its cause, the cause of that and so on.
function chainOf(error: unknown): readonly unknown[] {
  const chain = [error];
  for (let cause = field(error, "cause"); chain.length < longestChain; cause = field(cause, "cause")) {
    if (cause === undefined || cause === null || chain.includes(cause)) break;
    chain.push(cause);
  }
  return chain;
}

function ownMessage(error: unknown, seen: Set<unknown>, depth: number): string {
  if (typeof error === "string" && error !== "") return bounded(error);
  if (!isObject(error)) return `thrown: ${formatValue(error)}`;
  const message = field(error, "message");
  const quoted = quoteErrors(field(error, "errors"), seen, depth);
  if (typeof message === "string" && message !== "")
    return quoted === "" ? bounded(message) : `${bounded(message)} (${quoted})`;
  const content = message === undefined || message === null || message === "" ? "" : summaryOf(message);
  return nameAndContent(error, content === "" ? quoted : content);
}

function nameAndContent(error: object, content: string): string {
  const name = field(error, "name");
  if (typeof name !== "string" || name === "") return `thrown: ${content === "" ? formatValue(error) : content}`;
  return content === "" ? bounded(name) : `${bounded(name)}: ${content}`;
}

// `AggregateError`, as `Promise.any` and a connection attempt to several addresses throw it.
function quoteErrors(errors: unknown, seen: Set<unknown>, depth: number): string {
  const count = isObject(errors) && isArray(errors) ? errors.length : 0;
  if (count === 0 || depth > 2) return "";
  const quoted: string[] = [];
  for (let index = 0; index < Math.min(count, mostQuoted); index++) {
    const error = field(errors, index);
    if (!seen.has(error)) quoted.push(describe(error, seen, depth + 1));
  }
  return quoted.join("; ") + (count > mostQuoted ? `; and ${count - mostQuoted} more` : "");
}

// Some clients put the response's body in the place of a message.
function summaryOf(value: unknown): string {
  if (isObject(value) && sizeOf(value) > 100) return formatValue(value);
  try {
    return bounded(
      inspect(value, { depth: 2, breakLength: Infinity, compact: true, customInspect: false, getters: false }),
    );
  } catch {
    return "";
  }
}

function sizeOf(value: object): number {
  try {
    return Object.keys(value).length;
  } catch {
    return 0;
  }
}

function ownCode(error: unknown): string | undefined {
  const code = field(error, "code");
  if (typeof code === "string" && code !== "") return bounded(code);
  if (typeof code !== "number") return undefined;
  // The numbers of these are history; their names are what the platform goes by.
  const name = isDomException(error) ? field(error, "name") : undefined;
  return typeof name === "string" ? bounded(name) : String(code);
}

function isDomException(error: unknown): boolean {
  try {
    return error instanceof DOMException;
  } catch {
    return false;
  }
}

// Reading a property may run foreign code.
function field(value: unknown, name: string | number): unknown {
  if (!isObject(value)) return undefined;
  try {
    return (value as Record<string | number, unknown>)[name];
  } catch {
    return undefined;
  }
}

function isArray(value: object): value is unknown[] {
  return !types.isProxy(value) && Array.isArray(value);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

// More than this is never shown, and need not be searched either.
function bounded(text: string): string {
  return text.length > longestMessage ? text.slice(0, longestMessage + 1) : text;
}
