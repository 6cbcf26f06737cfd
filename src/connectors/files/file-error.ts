import { retryLater } from "../../errors.ts";
import { messageOf } from "../../model/message.ts";

/** A file that cannot be read or written as things are; `code` is that of Node's `fs`. */
export class UnusableError extends Error {
  override readonly name = "UnusableError";
  readonly code: string;

  constructor(path: string, code: string, problem: string) {
    super(`${path}: ${problem}`);
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
  return retryLater(`${path}: ${messageOf(error)}`);
}
