import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { type Clock, systemClock } from "../../clock.ts";
import type { Logger } from "../../model/logger.ts";
import { storableText } from "../../model/message.ts";
import { type Shape, duration, objectWith, string, strings, v, wholeNumber } from "../../model/validate.ts";

/** A value of a tap's or target's, or how to get it: read for each process, so that secrets in it can change. */
export type SingerSetting = object | (() => object | Promise<object>);

/** A program that speaks Singer. */
export interface CommandOptions {
  /** Its name on the `PATH`, or its path. No shell is asked. */
  readonly command: string;
  /** Come before those that name files. @default none */
  readonly args?: readonly string[];
  /** Its environment, beside `PATH` and `LANG`: no other variable of this process is there. @default none */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Folder in which it works. @default this process's */
  readonly cwd?: string;
  /** Given as the file of `--config`, which only its owner can read and which is removed when it ends. @default none */
  readonly config?: SingerSetting;
  /** Milliseconds that it has to end by itself once it was asked to, with SIGTERM. @default 5000 */
  readonly graceMs?: number;
  /** Bytes of one line, at most; 1 or more. @default 16777216 */
  readonly maxLineBytes?: number;
  /** @default the system's */
  readonly clock?: Clock;
}

/** What is checked of any setting. */
export const setting = v.custom<SingerSetting>(
  (value) => typeof value === "function" || (typeof value === "object" && value !== null && !Array.isArray(value)),
  "an object, or a function that returns one",
);

/** What is checked of a {@link CommandOptions}. */
export const commandRules: Shape<CommandOptions> = {
  command: v.pipe(string, v.minLength(1, "a command")),
  args: v.optional(strings),
  env: v.optional(v.record(v.string(), v.optional(v.string("strings by their names")), "strings by their names")),
  cwd: v.optional(string),
  config: v.optional(setting),
  graceMs: v.optional(duration),
  maxLineBytes: v.optional(wholeNumber(1)),
  clock: v.optional(objectWith(["now", "setTimer"])),
};

/** How a program is started. */
export interface StartOptions {
  /** What it is, in messages: `tap` or `target`. */
  readonly role: "tap" | "target";
  /** JSON files that it is given, by the names of their options: `{ config, catalog, state }`. */
  readonly files: Readonly<Record<string, SingerSetting | undefined>>;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** A program that could not be started. */
export class CommandNotStartedError extends Error {
  override readonly name = "CommandNotStartedError";
  readonly code: string;

  constructor(program: string, code: string) {
    super(`${program} could not be started: ${code}`);
    this.code = code;
  }
}

/** Lines of the error output that are quoted, and how long each may be. */
const quotedLines = 5;
const longestLine = 400;

/** A program under way, and the folder with the files that it was given. */
export class Command {
  /** `tap tap-github`, say. */
  readonly program: string;
  readonly #child: ChildProcess;
  readonly #output: Readable;
  readonly #options: CommandOptions;
  readonly #start: StartOptions;
  readonly #folder: string;
  readonly #secrets: readonly string[];
  readonly #ended: Promise<void>;
  readonly #stop = () => this.#askToEnd();
  #lastLines: readonly string[] = [];
  #hasEnded = false;
  #notStarted: CommandNotStartedError | undefined;
  #cancelTimer: () => void = () => undefined;

  /** @throws the signal's reason if it has aborted before. */
  static async start(options: CommandOptions, start: StartOptions): Promise<Command> {
    start.signal.throwIfAborted();
    const folder = await mkdtemp(join(tmpdir(), "poundlock-singer-"));
    try {
      const { args, secrets } = await writeFiles(folder, start.files);
      start.signal.throwIfAborted();
      return new Command(options, start, { folder, args, secrets: [...secrets, ...secretsIn(options.env)] });
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(options: CommandOptions, start: StartOptions, given: GivenFiles) {
    const { args = [], command, cwd, env } = options;
    this.program = `${start.role} ${basename(command)}`;
    this.#options = options;
    this.#start = start;
    this.#folder = given.folder;
    this.#secrets = given.secrets;
    this.#child = spawn(command, [...args, ...given.args], {
      env: environmentOf(env),
      stdio: "pipe",
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.#output = this.#child.stdout ?? Readable.from([]);
    this.#ended = this.#watch();
    start.signal.addEventListener("abort", this.#stop);
  }

  /** Lines of its output, pulled: it waits while nobody asks for the next one. */
  lines(): LineReader {
    return new LineReader(this.#output, this.#options.maxLineBytes ?? 16_777_216, this.program);
  }

  /** Resolves once it is written, or will never be: a program that ends early is known by how it ended. */
  async write(chunk: string): Promise<void> {
    const { stdin } = this.#child;
    if (stdin === null || stdin.destroyed || stdin.write(chunk)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        stdin.off("drain", done).off("close", done);
        resolve();
      };
      stdin.on("drain", done).on("close", done);
    });
  }

  /** That was all of its input. */
  endInput(): void {
    this.#child.stdin?.end();
  }

  /** Resolves once it has ended and its files are removed: undefined if it ended well, else why not. */
  async outcome(): Promise<Error | undefined> {
    await this.#ended;
    if (this.#notStarted !== undefined) return this.#notStarted;
    const { exitCode, signalCode } = this.#child;
    if (exitCode === 0) return undefined;
    const how = signalCode === null ? `ended with exit code ${String(exitCode)}` : `was ended by ${signalCode}`;
    const last = this.#lastLines.join(" | ");
    return new Error(`${this.program} ${how}${last === "" ? "" : `: ${last}`}`);
  }

  /** Ends it, whatever it does; resolves once it has ended and its files are removed. */
  async close(): Promise<void> {
    if (!this.#hasEnded) this.#askToEnd();
    await this.#ended;
  }

  #watch(): Promise<void> {
    const { stderr, stdin, stdout } = this.#child;
    // What breaks while it ends says less than how it ended.
    stdin?.on("error", () => undefined);
    stdout?.on("error", () => undefined);
    stderr?.setEncoding("utf8").on("data", (chunk: string) => this.#onError(chunk));
    const ended = new Promise<void>((resolve) => {
      this.#child.once("error", (error: NodeJS.ErrnoException) => {
        this.#notStarted = new CommandNotStartedError(this.program, String(error.code));
        resolve();
      });
      this.#child.once("exit", () => {
        this.#hasEnded = true;
        // A child of its own may keep the pipes open.
        if (this.#isStopping) stdout?.destroy();
      });
      this.#child.once("close", () => resolve());
    });
    return ended.then(() => this.#cleanUp());
  }

  #isStopping = false;

  async #cleanUp(): Promise<void> {
    this.#hasEnded = true;
    this.#cancelTimer();
    this.#start.signal.removeEventListener("abort", this.#stop);
    await rm(this.#folder, { recursive: true, force: true });
  }

  #askToEnd(): void {
    if (this.#isStopping || this.#hasEnded) return;
    this.#isStopping = true;
    const { clock = systemClock, graceMs = 5_000 } = this.#options;
    this.#child.kill("SIGTERM");
    this.#child.stdin?.destroy();
    // It may wait for somebody to read what it wrote.
    this.#child.stdout?.destroy();
    this.#cancelTimer = clock.setTimer(() => {
      this.#child.kill("SIGKILL");
      this.#child.stderr?.destroy();
    }, graceMs);
  }

  #onError(chunk: string): void {
    const text = withoutSecrets(chunk, this.#secrets);
    const lines = text.split("\n").map((line) => line.trim());
    const shown = lines.filter((line) => line !== "").map((line) => storableText(line, longestLine));
    this.#lastLines = [...this.#lastLines, ...shown].slice(-quotedLines);
    if (shown.length > 0)
      this.#start.log.debug({ program: this.program, lines: shown.slice(-50) }, "singer: error output");
  }
}

interface GivenFiles {
  readonly folder: string;
  readonly args: readonly string[];
  readonly secrets: readonly string[];
}

async function writeFiles(
  folder: string,
  files: StartOptions["files"],
): Promise<{ readonly args: readonly string[]; readonly secrets: readonly string[] }> {
  const args: string[] = [];
  const secrets: string[] = [];
  for (const [name, given] of Object.entries(files)) {
    if (given === undefined) continue;
    const value: unknown = typeof given === "function" ? await (given as () => unknown)() : given;
    const path = join(folder, `${name}.json`);
    await writeFile(path, JSON.stringify(value), { mode: 0o600, flag: "wx" });
    args.push(`--${name}`, path);
    if (name === "config") secrets.push(...secretsIn(value));
  }
  return { args, secrets };
}

function environmentOf(env: CommandOptions["env"] = {}): Record<string, string> {
  const { PATH, LANG } = process.env;
  const all = Object.entries({ PATH, LANG, ...env });
  return Object.fromEntries(all.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

const secretName = /token|secret|password|passwd|key|credential|auth|private/i;

/** Strings under names that secrets have. */
function secretsIn(value: unknown, isSecret = false): readonly string[] {
  if (typeof value === "string") return isSecret && value.length >= 4 ? [value] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, part]) => secretsIn(part, isSecret || secretName.test(name)));
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
}

/** Lines, as they come. */
export class LineReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #longest: number;
  readonly #program: string;
  /** Parts of a line that has not ended yet. */
  #parts: Buffer[] = [];
  #partBytes = 0;
  #chunk: Buffer | undefined;
  #start = 0;

  constructor(stream: Readable, longest: number, program: string) {
    this.#chunks = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    this.#longest = longest;
    this.#program = program;
  }

  /** A line that is here already; undefined if one has to be waited for. @throws RangeError for a line that is too long. */
  take(): string | undefined {
    const chunk = this.#chunk;
    if (chunk === undefined) return undefined;
    const end = chunk.indexOf(10, this.#start);
    this.#keep(chunk.subarray(this.#start, end === -1 ? undefined : end));
    this.#start = end + 1;
    if (end !== -1) return this.#line();
    this.#chunk = undefined;
    return undefined;
  }

  /** Waits for more; false at the end, after which there may be one last line. */
  async more(): Promise<boolean> {
    const chunk = await this.#next();
    if (chunk === undefined) return false;
    this.#chunk = chunk;
    this.#start = 0;
    return true;
  }

  // A pipe that breaks is at its end: how the program ended says why.
  async #next(): Promise<Buffer | undefined> {
    try {
      const result = await this.#chunks.next();
      return result.done === true ? undefined : result.value;
    } catch {
      return undefined;
    }
  }

  /** What is left after the last line's end. */
  last(): string {
    return this.#line();
  }

  #keep(part: Buffer): void {
    this.#partBytes += part.length;
    if (this.#partBytes > this.#longest)
      throw new RangeError(`${this.#program} wrote a line of more than maxLineBytes, ${this.#longest}`);
    if (part.length > 0) this.#parts.push(part);
  }

  #line(): string {
    const [only] = this.#parts;
    const bytes = this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#partBytes = 0;
    return bytes.toString();
  }
}
