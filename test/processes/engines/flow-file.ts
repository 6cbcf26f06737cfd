import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/**
 * What a flow delivered, a line for each record, in a file that one process writes at a time: a process that finds
 * another living one at it notes an overlap. One that was stopped (SIGSTOP) is excepted: it cannot know that it was taken
 * for dead until it has written what it was at.
 */
export class FlowFile {
  readonly #folder: string;
  readonly #lock: string;
  readonly #file: string;

  constructor(folder: string, _flowId: string) {
    this.#folder = folder;
    this.#lock = join(folder, `lock-${_flowId}`);
    this.#file = join(folder, `delivered-${_flowId}`);
  }

  /** As slow as a destination that is near. */
  async add(keys: readonly string[], _runId: string): Promise<void> {
    this.#take(_runId);
    await pause(2);
    appendFileSync(this.#file, keys.map((key) => `${key}\n`).join(""));
    if (contentOf(this.#lock) === String(process.pid)) rmSync(this.#lock, { force: true });
  }

  /** The numbers, in the order in which they were delivered. */
  read(): readonly number[] {
    return linesOf(this.#file).map(Number);
  }

  #take(_runId: string): void {
    for (;;) {
      try {
        writeFileSync(this.#lock, String(process.pid), { flag: "wx" });
        return;
      } catch {
        const other = contentOf(this.#lock);
        if (other === undefined || other === "") continue;
        if (isAlive(Number(other)) && !existsSync(stoppedFile(this.#folder, Number(other))))
          appendFileSync(join(this.#folder, "overlaps"), `${_runId}: ${process.pid} while ${other} was writing\n`);
        rmSync(this.#lock, { force: true });
      }
    }
  }
}

/** Two processes that wrote for one flow at once, a line each. */
export function overlapsIn(folder: string): readonly string[] {
  return linesOf(join(folder, "overlaps"));
}

/** To be called before the process is stopped. */
export function noteStopped(folder: string, pid: number): void {
  writeFileSync(stoppedFile(folder, pid), "");
}

function stoppedFile(folder: string, pid: number): string {
  return join(folder, `stopped-${pid}`);
}

function linesOf(path: string): readonly string[] {
  return (contentOf(path) ?? "").split("\n").filter((line) => line !== "");
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
