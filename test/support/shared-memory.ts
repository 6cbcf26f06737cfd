import { MemoryStorage } from "../../src/index.ts";
import type { Wake, WakeStorage } from "../../src/storage/storage.ts";

/** Wake-ups in memory, for executors that share them as those of several processes do. */
export class MemoryWakes implements WakeStorage {
  readonly pollMs: number;
  readonly onBell: WakeStorage["onBell"];
  readonly #waiting = new Map<string, string>();
  readonly #bells = new Set<() => void>();

  constructor({ pollMs = 10, hasBell = false }: { readonly pollMs?: number; readonly hasBell?: boolean } = {}) {
    this.pollMs = pollMs;
    if (!hasBell) return;
    this.onBell = (ring) => {
      this.#bells.add(ring);
      return () => void this.#bells.delete(ring);
    };
  }

  /** The flows that wait, oldest first. */
  get flowIds(): readonly string[] {
    return [...this.#waiting.keys()];
  }

  async addWakes(wakes: readonly Wake[]): Promise<void> {
    for (const { _exportId, _flowId } of wakes) this.#waiting.set(_flowId, _exportId);
    for (const ring of this.#bells) ring();
  }

  async claimWakes(limit: number, _exportIds: readonly string[]): Promise<readonly Wake[]> {
    const wanted = [...this.#waiting].filter(([, _exportId]) => _exportIds.includes(_exportId)).slice(0, limit);
    for (const [_flowId] of wanted) this.#waiting.delete(_flowId);
    return wanted.map(([_flowId, _exportId]) => ({ _flowId, _exportId }));
  }
}

/** A MemoryStorage with wake-ups, as if several processes shared it. */
export class SharedMemory extends MemoryStorage {
  readonly wakes: MemoryWakes;

  constructor(options: ConstructorParameters<typeof MemoryWakes>[0] = {}) {
    super();
    this.wakes = new MemoryWakes(options);
  }
}

/** The same wake-ups with other methods. */
export function changedWakes(wakes: MemoryWakes, change: Partial<WakeStorage>): WakeStorage {
  return {
    pollMs: wakes.pollMs,
    addWakes: (given) => wakes.addWakes(given),
    claimWakes: (...call) => wakes.claimWakes(...call),
    ...change,
  };
}
