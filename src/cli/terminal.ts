import type { Readable, Writable } from "node:stream";

/** What a program is given by the system that started it; a test gives its own. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts when the person at the terminal, or the system, ends the program. */
  readonly signal: AbortSignal;
}

/** Where text goes. */
export interface OutputStream extends Writable {
  /** Whether a person looks at it. */
  readonly isTTY?: boolean;
  /** Width, in columns. */
  readonly columns?: number;
}
