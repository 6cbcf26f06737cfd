import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One record that one import received. */
export interface Delivery {
  readonly key: string;
  readonly _runId: string;
  /** The process that wrote it. */
  readonly by: string;
}

/** What one import received, in order. */
export interface Deliveries {
  /** All of them are received at once. */
  add(keys: readonly string[], _runId: string, by: string): void;
  /** In the order in which they were added. */
  read(): readonly Delivery[];
}

/** In a file that outlives its process: the system keeps what a process has appended when that is killed. */
export class DeliveryFile implements Deliveries {
  readonly #path: string;

  constructor(folder: string, _importId: string) {
    this.#path = join(folder, `deliveries-${_importId}`);
  }

  add(keys: readonly string[], _runId: string, by: string): void {
    appendFileSync(this.#path, keys.map((key) => `${key} ${_runId} ${by}\n`).join(""));
  }

  read(): readonly Delivery[] {
    return linesOf(this.#path).map((line) => {
      const [key = "", _runId = "", by = ""] = line.split(" ");
      return { key, _runId, by };
    });
  }
}

/** In memory, with the number of times that each key came. */
export class DeliveryList implements Deliveries {
  readonly #deliveries: Delivery[] = [];
  readonly #times = new Map<string, number>();

  add(keys: readonly string[], _runId: string, by: string): void {
    for (const key of keys) {
      this.#deliveries.push({ key, _runId, by });
      this.#times.set(key, this.times(key) + 1);
    }
  }

  read(): readonly Delivery[] {
    return this.#deliveries;
  }

  /** How often this key came. */
  times(key: string): number {
    return this.#times.get(key) ?? 0;
  }

  /** Each key that came, and how often. */
  entries(): Iterable<[string, number]> {
    return this.#times;
  }

  /** How many keys came. */
  get size(): number {
    return this.#times.size;
  }
}

/** The complete lines of a file; none if it does not exist. */
export function linesOf(path: string): readonly string[] {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
}

/** What an import received, compared with what it was to receive. */
export interface DeliveryCheck {
  /** Expected keys that never came. */
  readonly lost: readonly string[];
  /** Keys that came though they were never sent. */
  readonly invented: readonly string[];
  /** How many came more than once, each counted as often as it came again. */
  readonly repeated: number;
}

export function checkDeliveries(deliveries: Deliveries, expected: readonly string[]): DeliveryCheck {
  const received = deliveries.read();
  const came = new Set(received.map(({ key }) => key));
  const wanted = new Set(expected);
  return {
    lost: expected.filter((key) => !came.has(key)),
    invented: [...came].filter((key) => !wanted.has(key)),
    repeated: received.length - came.size,
  };
}
