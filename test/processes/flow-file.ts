import { appendFileSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Delivery, DeliveryFile } from "../support/deliveries.ts";

/**
 * What a flow delivered, written by one process at a time: one that finds another living process writing for the same flow
 * notes an overlap. A process that was ever stopped (SIGSTOP) is excepted, since it cannot know that it was taken
 * for dead until it has written what it was at.
 */
export class FlowFile {
  readonly #folder: string;
  readonly #lock: string;
  readonly #deliveries: DeliveryFile;

  constructor(folder: string, _flowId: string) {
    this.#folder = folder;
    this.#lock = join(folder, `lock-${_flowId}`);
    this.#deliveries = new DeliveryFile(folder, _flowId);
  }

  /** As slow as a destination that is near. */
  async add(keys: readonly string[], _runId: string, by: string): Promise<void> {
    this.#take(_runId);
    try {
      await pause(1);
      this.#deliveries.add(keys, _runId, by);
    } finally {
      if (this.#holder() === process.pid) rmSync(this.#lock, { force: true });
    }
  }

  /** In the order in which they were delivered. */
  read(): readonly Delivery[] {
    return this.#deliveries.read();
  }

  #take(_runId: string): void {
    while (!written(this.#lock, String(process.pid))) {
      const holder = this.#holder();
      if (holder === undefined) continue;
      const isExcepted = wasStopped(this.#folder, holder) || wasStopped(this.#folder, process.pid);
      if (isAlive(holder) && !isExcepted)
        appendFileSync(join(this.#folder, "overlaps"), `${_runId}: ${process.pid} while ${holder} was writing\n`);
      rmSync(this.#lock, { force: true });
    }
  }

  #holder(): number | undefined {
    const text = contentOf(this.#lock);
    return text === undefined ? undefined : Number(text);
  }
}

/** Two processes that wrote for one flow at once, a line each. */
export function overlapsIn(folder: string): readonly string[] {
  return (contentOf(join(folder, "overlaps")) ?? "").split("\n").filter((line) => line !== "");
}

/** To be called before the process is stopped. */
export function noteStopped(folder: string, pid: number): void {
  writeFileSync(join(folder, `stopped-${pid}`), "");
}

function wasStopped(folder: string, pid: number): boolean {
  return contentOf(join(folder, `stopped-${pid}`)) !== undefined;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** False if the file is there. At no moment it is there without its text, wherever the process is stopped. */
function written(path: string, text: string): boolean {
  const draft = `${path}-${process.pid}`;
  writeFileSync(draft, text);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft);
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
