import { hash } from "node:crypto";
import type { Failure } from "./failure.ts";

/** What failures have in common that fail for the same reason. */
export interface Cause {
  /** 16 hex digits; the same for the same fault, code and pattern. */
  readonly cause: string;
  /** The message without what differs from record to record, at most 200 characters. */
  readonly pattern: string;
}

/** How much of a message is looked at, and how much of its pattern is kept. */
const longestMessage = 2_000;
const longestPattern = 200;

/** Causes kept for further failures: they come in bunches, and the digest is most of the work. */
const mostKept = 256;
const kept = new Map<string, Cause>();

/**
 * Why a record failed, without what is the record's own: failures with the same cause are listed, retried and resolved
 * together. A stable `code` on the error keeps apart, and holds together, what messages do not.
 *
 * Version 1 of the rule. With another one, failures that are stored keep the cause they have.
 */
export function causeOf({ fault, code = "", message }: Pick<Failure, "fault" | "code" | "message">): Cause {
  const pattern = patternOf(message);
  const text = `${fault}\n${code}\n${pattern}`;
  const known = kept.get(text);
  if (known !== undefined) return known;
  const cause = Object.freeze({ cause: hash("sha256", text, "hex").slice(0, 16), pattern });
  if (kept.size === mostKept) kept.clear();
  kept.set(text, cause);
  return cause;
}

// In this order: what is quoted, UUIDs, e-mail addresses, words with digits in them, numbers. Each match is found in time
// that grows with the message alone. What a match must contain is looked for first: that costs next to nothing.
function patternOf(message: string): string {
  let pattern = message.length > longestMessage ? message.slice(0, longestMessage) : message;
  if (/["`']/.test(pattern)) pattern = pattern.replace(/"[^"]*"|`[^`]*`|(?<!\w)'[^']*'/g, '"…"');
  if (pattern.includes("-"))
    pattern = pattern.replace(/\b[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}\b/gi, "#");
  if (pattern.includes("@")) pattern = pattern.replace(/(?<![\w.+-])[\w.+-]{1,64}@[\w.-]{1,255}/g, "@");
  if (/\d/.test(pattern))
    pattern = pattern.replace(/\b(?=[a-z]*\d)[a-z\d]{6,}\b/gi, "#").replace(/\d+(?:[.,]\d+)*/g, "#");
  // A cut may leave half of a surrogate pair.
  return pattern.length <= longestPattern ? pattern : pattern.slice(0, longestPattern).replace(/\p{Surrogate}$/u, "");
}
