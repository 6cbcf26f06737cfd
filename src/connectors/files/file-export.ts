import picomatch from "picomatch";
import { type Clock, isAborted, systemClock } from "../../clock.ts";
import { InvalidOptionError } from "../../errors.ts";
import { type Export, type ExportContext, exportRules } from "../../model/host/export.ts";
import { messageOf } from "../../model/message.ts";
import { outcomeOf } from "../../model/host/outcome.ts";
import type { Page } from "../../model/host/page.ts";
import { boolean, duration, objectWith, oneOf, v, validate, wholeNumber } from "../../model/validate.ts";
import { type DoneRule, DoneFiles } from "./done-files.ts";
import { FileReading } from "./file-reading.ts";
import { FilesState, type FilesCheckpoint, inOrder } from "./file-state.ts";
import { type FileEntry, type FileSystem, codeOfFileError } from "./file-system.ts";
import type { Format } from "./format.ts";
import { isPacked } from "./packed.ts";

/** Which files are read, and how. */
export interface FileExportOptions<T> extends Omit<
  Export<T, FilesCheckpoint>,
  "pages" | "order" | "committed" | "whole" | "migrate" | "checkpointVersion"
> {
  readonly files: FileSystem;
  /** A glob, such as `prices/*.csv.gz`. @see https://github.com/micromatch/picomatch */
  readonly match: string;
  readonly format: Format<T>;
  /** A file that was changed more recently than this, in milliseconds, waits for the next run. @default 1000 */
  readonly settleMs?: number;
  /** True: a file that has become longer is read on from where it ended, and a last line without its end waits. @default false */
  readonly grows?: boolean;
  /** Files that are remembered one by one; of older ones only the newest time of change. 1 or more. @default 1000 */
  readonly remember?: number;
  /** Bytes of one record, at most. @default 1048576 */
  readonly maxRecordBytes?: number;
  /** What becomes of a file once all of it is settled at every import. @default it stays */
  readonly done?: DoneRule;
  /** @default the clock of this computer */
  readonly clock?: Clock;
}

const { pages: _pages, order: _order, committed: _committed, whole: _whole, ...settingRules } = exportRules;
const optionRules = {
  ...settingRules,
  files: objectWith(["list", "read"], "a file system"),
  match: v.pipe(v.string("a glob"), v.minLength(1, "a glob")),
  format: objectWith(["reader", "write"], "a format"),
  settleMs: v.optional(duration),
  grows: v.optional(boolean),
  remember: v.optional(wholeNumber(1)),
  maxRecordBytes: v.optional(wholeNumber(1)),
  done: v.optional(
    v.union(
      [oneOf("remove"), v.strictObject({ moveTo: v.pipe(v.string(), v.minLength(1)) })],
      'a folder as { moveTo }, or "remove"',
    ),
  ),
  clock: v.optional(objectWith(["now", "setTimer"], "a clock")),
};

/** What is read of an option that is not given. */
const defaults = { settleMs: 1_000, grows: false, remember: 1_000, maxRecordBytes: 2 ** 20 };

/**
 * Reads files by the time of their last change, each once, and again after it was changed. A run that was interrupted goes
 * on after the last record that was committed.
 *
 * @throws `invalid_option` for an option that is missing or out of range.
 */
export function fileExport<T>(options: FileExportOptions<T>): Export<T, FilesCheckpoint> {
  validate(options, optionRules, InvalidOptionError, "fileExport.");
  const { files, match, format, settleMs, grows, remember, maxRecordBytes, done, clock, ...settings } = options;
  const rule: ReadRule<T> = {
    ...{ files, match, format, clock: clock ?? systemClock },
    settleMs: settleMs ?? defaults.settleMs,
    grows: grows ?? defaults.grows,
    remember: remember ?? defaults.remember,
    maxRecordBytes: maxRecordBytes ?? defaults.maxRecordBytes,
    done: done === undefined ? undefined : new DoneFiles(files, done),
  };
  return {
    ...settings,
    order: "ordered",
    pages: (context) => new FilesReading(rule, context).pages(),
    ...(rule.done === undefined ? {} : { committed: rule.done.committed }),
  };
}

interface ReadRule<T> {
  readonly files: FileSystem;
  readonly match: string;
  readonly format: Format<T>;
  readonly settleMs: number;
  readonly grows: boolean;
  readonly remember: number;
  readonly maxRecordBytes: number;
  readonly done: DoneFiles | undefined;
  readonly clock: Clock;
}

/** One reading of all files. */
class FilesReading<T> {
  readonly #rule: ReadRule<T>;
  readonly #context: ExportContext<FilesCheckpoint>;
  readonly #state: FilesState;
  readonly #until: FilesState | undefined;

  constructor(rule: ReadRule<T>, context: ExportContext<FilesCheckpoint>) {
    this.#rule = rule;
    this.#context = context;
    this.#state = new FilesState(context.checkpoint, rule.remember);
    if (context.until !== undefined) this.#until = new FilesState(context.until, rule.remember);
  }

  async *pages(): AsyncGenerator<Page<T, FilesCheckpoint>> {
    const { done } = this.#rule;
    const { run, signal, until } = this.#context;
    const files = await this.#list();
    const present = new Set(files.map(({ path }) => path));
    done?.note(run, files);
    let pages = 0;
    for (const file of files) {
      if (isAborted(signal)) return;
      const end = this.#endOf(file);
      if (end === 0) continue;
      for await (const page of this.#read(file, present, end)) {
        pages++;
        yield page;
      }
    }
    if (isAborted(signal)) return;
    if (until !== undefined) yield { records: [], checkpoint: until };
    // What a run before this one could not move is moved when a page is settled. Were it the first one, a page that is read
    // again after a crash would have another number than before.
    else if (pages === 0 && done !== undefined && files.some((file) => this.#state.isDone(file)))
      yield { records: [], checkpoint: this.#state.checkpoint() };
  }

  // How far the others have read the file, in a reading that catches up; undefined: all of it is read.
  #endOf(file: FileEntry): number | undefined {
    return this.#until?.placeIn(file, this.#grows(file))?.read;
  }

  #grows({ path }: FileEntry): boolean {
    const { format, grows } = this.#rule;
    return grows && format.seeks && !isPacked(path);
  }

  async #list(): Promise<readonly FileEntry[]> {
    const { files, match, settleMs, clock, done } = this.#rule;
    const matches = picomatch(match);
    const { base } = picomatch.scan(match);
    const isGlob = base !== match;
    const found = await files.list(isGlob ? base : base.split("/").slice(0, -1).join("/"), this.#context.signal);
    const latest = clock.now() - settleMs;
    return found
      .filter(({ path, modified }) => modified <= latest && matches(path) && done?.isMoved(path) !== true)
      .sort(inOrder);
  }

  async *#read(
    file: FileEntry,
    present: ReadonlySet<string>,
    end: number | undefined,
  ): AsyncGenerator<Page<T, FilesCheckpoint>> {
    const { files, format, grows, maxRecordBytes } = this.#rule;
    const place = this.#state.placeIn(file, this.#grows(file));
    if (place === undefined || (end !== undefined && place.read >= end)) return;
    const reading = new FileReading(files, format, { file, ...place, end, grows, maxRecordBytes });
    try {
      for await (const part of reading.parts(this.#context.pageSize, this.#context.signal)) {
        if (isAborted(this.#context.signal)) return;
        this.#state.set(file, part.read, part.line, part.isLast && end === undefined);
        this.#state.trim(present);
        const unreadable = part.unreadable.length === 0 ? {} : { unreadable: part.unreadable };
        yield { records: part.records, checkpoint: this.#state.checkpoint(), ...unreadable };
      }
    } catch (error) {
      // It has vanished since it was listed.
      if (codeOfFileError(error) === "ENOENT") return;
      if (outcomeOf(error) !== undefined || messageOf(error).startsWith(file.path)) throw error;
      throw new Error(`${file.path}, ${messageOf(error)}`, { cause: error });
    }
  }
}
