import { InvalidOptionError, retryLater, stop } from "../../errors.ts";
import type { ImportContext, ImportMembers, Result } from "../../model/host/import.ts";
import { formatValue } from "../../model/record/json.ts";
import { outcomeOf } from "../../model/host/outcome.ts";
import { callable, objectWith, oneOf, v, validate } from "../../model/validate.ts";
import { rejected } from "../composed.ts";
import { AppendedFile } from "./appended-file.ts";
import { type FileSystem, codeOfFileError } from "./file-system.ts";
import { type Format, RecordFormatError } from "./format.ts";
import { isAppendable, packed } from "./packed.ts";

/** Where records are written. Exactly one of `path` and `append`. */
export interface FileImportOptions<T> {
  readonly files: FileSystem;
  readonly format: Format<T>;
  /** The file of each page, a new one for each run and page. */
  readonly path?: (context: ImportContext) => string;
  /** The one file that all pages are added to. Only one import of one process at a time writes there. */
  readonly append?: string;
  /** `full`: durable once a page is committed. `none` is faster; a loss of power may take pages. @default "full" */
  readonly sync?: "full" | "none";
}

const optionRules = {
  files: objectWith(["list", "write"], "a file system"),
  format: objectWith(["reader", "write"], "a format"),
  path: v.optional(callable),
  append: v.optional(v.pipe(v.string("the path of a file"), v.minLength(1, "the path of a file"))),
  sync: v.optional(oneOf("full", "none")),
};

/**
 * Writes records into files, one for each page or one for all: each record once within a run and what resumes it, if pages
 * have checkpoints, since a page that comes again replaces what was written of it.
 *
 * @throws `invalid_option` for an option that is missing or out of range, and for a format or name that cannot be added to.
 */
export function fileImport<T>(options: FileImportOptions<T>): ImportMembers<T> {
  validate(options, optionRules, InvalidOptionError, "fileImport.");
  const { files, format, path, append, sync = "full" } = options;
  if ((path === undefined) === (append === undefined))
    throw new InvalidOptionError("fileImport", "exactly one of path and append", path === undefined ? "none" : "both");
  if (format.groups !== undefined)
    throw new InvalidOptionError("fileImport.format", "one that can be written: csv, ndjson or jsonArray", format);
  if (append !== undefined) checkAppend(files, format, append);
  const appended = append === undefined ? undefined : new AppendedFile(files, append, { sync });
  const write = async (records: readonly T[], context: ImportContext) => {
    if (appended !== undefined)
      return appended.write(context, (first) => packed(appended.path, format.write(records, { first })));
    const to = pathOf(path, context);
    await files.write(to, await packed(to, format.write(records, { first: true })), { sync });
  };
  return {
    idempotent: true,
    // A page is one batch: another one of the same page would replace it.
    sameKey: "together",
    async write(records, context) {
      context.signal.throwIfAborted();
      try {
        await write(records, context);
        return undefined;
      } catch (error) {
        if (!(error instanceof RecordFormatError)) throw classified(error);
      }
      const bad = badRecords(records, format);
      const good = records.filter((_, index) => !bad.has(index));
      try {
        await write(good, context);
      } catch (error) {
        throw classified(error);
      }
      return records.map((_, index): Result => bad.get(index) ?? { ok: true });
    },
  };
}

function pathOf(path: FileImportOptions<unknown>["path"], context: ImportContext): string {
  let to: unknown;
  try {
    to = path?.(context);
  } catch (error) {
    throw stop(error);
  }
  if (typeof to === "string") return to;
  throw stop(new TypeError(`fileImport.path: expected the path of a file, found ${formatValue(to)}`));
}

function checkAppend<T>(files: FileSystem, format: Format<T>, path: string): void {
  if (files.append === undefined || files.sizeOf === undefined)
    throw new InvalidOptionError("fileImport.files", "a file system with append and sizeOf", files);
  if (!format.appends)
    throw new InvalidOptionError("fileImport.format", "one that can be added to: ndjson, or csv with columns", format);
  if (!isAppendable(path))
    throw new InvalidOptionError("fileImport.append", "a file that is not packed, or one of .gz", path);
}

// Those that cannot be written. Nothing of the batch has been written when it is asked.
function badRecords<T>(records: readonly T[], format: Format<T>): ReadonlyMap<number, Result> {
  const bad = new Map<number, Result>();
  for (const [index, record] of records.entries())
    try {
      format.write([record], { first: false });
    } catch (error) {
      bad.set(index, rejected(error));
    }
  return bad;
}

/** What somebody has to put right. */
const misconfigured = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "EINVAL", "ELOOP"]);

// What was written of the page is replaced when it comes again, so it counts as not applied.
function classified(error: unknown): unknown {
  if (outcomeOf(error) !== undefined) return error;
  return misconfigured.has(codeOfFileError(error) ?? "") ? stop(error) : retryLater(error);
}
