import { retryLater } from "../../errors.ts";
import { messageOf } from "../../model/message.ts";

/** A file that cannot be read or written as things are; `code` is that of Node's `fs`. Has no cause, which would show more. */
export class UnusableError extends Error {
  override readonly name = "UnusableError";
  readonly code: string;

  constructor(path: string, code: string, problem: string) {
    super(`${path}: ${withoutCredentials(problem)}`);
    this.code = code;
  }
}

/** The error of a file that cannot be read or written as things are. */
export function unusable(path: string, code: string, problem: string): Error {
  return new UnusableError(path, code, problem);
}

/** For now: what was to be done may succeed later, and is done again. An abort stays what it is. */
export function outOfReach(path: string, error: unknown): unknown {
  if (error instanceof Error && error.name === "AbortError") return error;
  return retryLater(`${path}: ${withoutCredentials(messageOf(error))}`);
}

const names =
  "password|passwd|passphrase|secret|token|signature|credential|authorization|cookie|(?:access|api|private)[-_]?key(?:[-_]?id)?";

/** What credentials look like, and what stays of it. */
const shapes: readonly (readonly [shape: RegExp, left: string])[] = [
  [/-----BEGIN [^-]*-----[^-]*(?:-----END [^-]*-----)?/g, "***"],
  // User and password of a URL; its query, as of a pre-signed one.
  [/(\w:\/\/)[^\s/@"'<>]+@/g, "$1***@"],
  [/\?[^\s"'<>?]*=[^\s"'<>]*/g, "?***"],
  [/\b(AWS4-HMAC-SHA256) [^"'<>\n]+/g, "$1 ***"],
  [/\b(Basic|Bearer) [\w.~+/=-]+/g, "$1 ***"],
  [/\b(AWS) [\w.~+/=-]+:[\w.~+/=-]+/g, "$1 ***"],
  [
    new RegExp(`((?:${names})(?:\\\\?["']?\\s*[:=>]\\s*|\\s+(?=["'])))(?:\\\\?"[^"]*"?|'[^']*'?|[^\\s,;&"'<>]+)`, "gi"),
    "$1***",
  ],
];

/** A message of a client's or a server's, with `***` where it quotes credentials of a request, a URL or a login. */
export function withoutCredentials(text: string): string {
  return shapes.reduce((rest, [shape, left]) => rest.replace(shape, left), text);
}
