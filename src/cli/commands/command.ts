import type { Api } from "../api/api.ts";
import type { OpenedFile } from "../api/file-api.ts";
import type { Options, Values } from "../options.ts";
import type { Output } from "../output/output.ts";
import type { Terminal } from "../terminal.ts";

/** What can be done from a terminal. */
export type Command = ApiCommand | OwnCommand;

/** What every command has. */
interface CommandDescription {
  /** One word, or two. */
  readonly name: string;
  /** What follows the name: `FLOW`; `[ID]` may be left out, `[ID…]` may be several. */
  readonly operands: readonly string[];
  /** One sentence. */
  readonly summary: string;
  /** More of them, for its own help. */
  readonly details?: string;
  readonly options: Options;
}

/** A command that speaks to an API, which a file is given one of. */
export interface ApiCommand extends CommandDescription {
  /** Whether it changes something, so that a file is opened for writing. */
  readonly changes: boolean;
  /** Resolves with the exit code. */
  run(call: ApiCall): Promise<number>;
}

/** A command that opens a file by itself. */
export interface OwnCommand extends CommandDescription {
  /** Resolves with the exit code. */
  runOn(place: Place, call: Call): Promise<number>;
}

/** Where flows are. */
export type Place = { readonly file: string } | { readonly api: Api };

/** One use of a command. */
export interface Call {
  readonly operands: readonly string[];
  readonly values: Values;
  readonly terminal: Terminal;
  readonly output: Output;
}

/** One use of a command that speaks to an API. */
export interface ApiCall extends Call {
  readonly api: Api;
  /** Absent: the API is at an address. */
  readonly file?: OpenedFile;
}
