import { createLogUpdate } from "log-update";
import type { WorkerNews } from "./worker.ts";

interface Row {
  /** Flows by the run of theirs that it executes. */
  readonly running: Map<string, string>;
  completed: number;
  isKilled: boolean;
}

// The cursor is left alone: a process that is killed could not show it again.
const update = createLogUpdate(process.stdout, { showCursor: true });
const isTerminal = process.stdout.isTTY && process.env.TERM !== "dumb";

/** Who runs what: drawn again and again on a terminal, and only when something happens anywhere else. */
export class Table {
  readonly #runs: number;
  readonly #rows = new Map<string, Row>();
  /** When and where the runs of a killed worker were. */
  readonly #orphans = new Map<string, { readonly since: number; readonly flowId: string }>();
  #changed: () => void = () => undefined;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(runs: number) {
    this.#runs = runs;
    this.#timer = isTerminal ? setInterval(() => update(this.#drawn()), 100) : undefined;
  }

  get completed(): number {
    return [...this.#rows.values()].reduce((sum, { completed }) => sum + completed, 0);
  }

  add(name: string): void {
    this.#rows.set(name, { running: new Map(), completed: 0, isKilled: false });
  }

  take(name: string, { what, flowId = "", runId = "", already = 0 }: WorkerNews): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    if (what === "began") {
      row.running.set(runId, flowId);
      const orphan = this.#orphans.get(runId);
      if (orphan !== undefined) {
        this.#orphans.delete(runId);
        const seconds = ((performance.now() - orphan.since) / 1_000).toFixed(1);
        this.#say(`${name} goes on with ${flowId} after ${seconds} s, from record ${already + 1} of its run`);
      }
    } else if (what === "ended") {
      row.running.delete(runId);
      row.completed++;
    }
    this.#changed();
  }

  runningIn(name: string): readonly string[] {
    return [...(this.#rows.get(name)?.running.keys() ?? [])];
  }

  /** Notes that a worker is dead, and what it leaves. */
  kill(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    if (!isTerminal) console.log(this.#drawn());
    row.isKilled = true;
    const left = [...row.running];
    for (const [runId, flowId] of left) this.#orphans.set(runId, { since: performance.now(), flowId });
    row.running.clear();
    this.#say(`${name} is killed (kill -9) while it runs ${left.map(([, flowId]) => flowId).join(", ")}`);
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => (this.#changed = resolve));
  }

  /** Leaves the last state; `completed`: what the storage has, as a worker may be killed before it says so. */
  close(completed: number): void {
    clearInterval(this.#timer);
    if (isTerminal) update.clear();
    console.log(this.#drawn(completed));
  }

  #say(text: string): void {
    if (isTerminal) update.clear();
    console.log(text);
  }

  #drawn(completed = this.completed): string {
    const lines = [...this.#rows].map(([name, { running, completed, isKilled }]) => {
      const state = isKilled ? "killed" : [...running.values()].join(", ") || "waits";
      return `  ${name}  ${String(completed).padStart(3)} runs completed   ${state}`;
    });
    return [...lines, `  ${completed} of ${this.#runs} runs completed`].join("\n");
  }
}
