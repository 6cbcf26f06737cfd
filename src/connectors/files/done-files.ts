import type { CommittedContext } from "../../model/host/export.ts";
import type { Page } from "../../model/host/page.ts";
import type { Run } from "../../model/run.ts";
import type { FilesCheckpoint } from "./file-state.ts";
import { type FileEntry, type FileSystem, codeOfFileError } from "./file-system.ts";

/** What becomes of a file that is read: it is removed, or moved into a folder, under its own path there. */
export type DoneRule = "remove" | { readonly moveTo: string };

/** Runs whose files are remembered; more than go on at once. */
const mostRuns = 100;

/** Removes or moves files once they are settled. */
export class DoneFiles {
  readonly #files: FileSystem;
  readonly #rule: DoneRule;
  /** Files that were there when a run began, and are neither removed nor moved, by run. */
  readonly #present = new Map<string, Map<string, FileEntry>>();

  constructor(files: FileSystem, rule: DoneRule) {
    this.#files = files;
    this.#rule = rule;
  }

  /** Whether it is where files are moved to: such a file is never read. */
  isMoved(path: string): boolean {
    return this.#rule !== "remove" && path.startsWith(`${trimmed(this.#rule.moveTo)}/`);
  }

  /** These are the files as the run finds them. */
  note({ _id }: Run, files: readonly FileEntry[]): void {
    this.#present.set(_id, new Map(files.map((file) => [file.path, file])));
    const [oldest = ""] = this.#present.keys();
    if (this.#present.size > mostRuns) this.#present.delete(oldest);
  }

  readonly committed = async (page: Page<unknown, FilesCheckpoint>, { run }: CommittedContext): Promise<void> => {
    const present = this.#present.get(run._id);
    if (present === undefined || page.checkpoint === undefined) return;
    for (const [path, [size, modified, , , done]] of Object.entries(page.checkpoint.files)) {
      const file = present.get(path);
      if (done !== 1 || file?.size !== size || file.modified !== modified) continue;
      present.delete(path);
      await this.#settle(path, modified);
    }
  };

  async #settle(path: string, modified: number): Promise<void> {
    try {
      if (this.#rule === "remove") await this.#files.remove?.(path);
      else await this.#move(path, `${trimmed(this.#rule.moveTo)}/${path}`, modified);
    } catch (error) {
      if (codeOfFileError(error) !== "ENOENT") throw error;
    }
  }

  // A file of the same name may have come, and been moved, before.
  async #move(path: string, to: string, modified: number): Promise<void> {
    try {
      await this.#files.move?.(path, to);
    } catch (error) {
      if (codeOfFileError(error) !== "EEXIST") throw error;
      await this.#files.move?.(path, `${to}.${Math.trunc(modified)}`);
    }
  }
}

function trimmed(folder: string): string {
  return folder.replace(/^\/+|\/+$/g, "");
}
