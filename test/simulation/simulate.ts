import { createHash } from "node:crypto";
import { MemoryStorage } from "../../src/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { SharedMemory } from "../support/shared-memory.ts";
import type { Tally, Violation } from "./model.ts";
import { type Plan, planOf, planOfMany } from "./plan.ts";
import { Simulation } from "./simulation.ts";

/** Which simulation: of one process or two, or of many that share a storage in memory or in SQLite. */
export type Kind = "few" | "many" | "sqlite";

/** How the simulation of one seed went. */
export interface Outcome {
  readonly seed: number;
  /** The first invariant that was broken; undefined if none was. */
  readonly violation: Violation | undefined;
  /** Everything that happened, in order. */
  readonly trace: readonly string[];
  readonly tally: Tally;
}

/** Adds what happened in one simulation to what happened in all of them. */
export function addTally(totals: Map<string, number>, tally: Tally): void {
  for (const name of Object.keys(tally) as (keyof Tally)[]) totals.set(name, (totals.get(name) ?? 0) + tally[name]);
}

/** A string that differs if anything happened differently. */
export function hashOf({ trace }: Outcome): string {
  return createHash("sha256").update(trace.join("\n")).digest("hex");
}

/**
 * Runs the real engine in chaos, watches it, and waits until all is well again. The same seed gives the same chaos, step
 * by step.
 */
export async function simulate(seed: number, kind: Kind = "few"): Promise<Outcome> {
  const plan = kind === "few" ? planOf(seed) : planOfMany(seed);
  await using storage = await storageOf(kind, plan);
  const simulation = new Simulation(plan, storage);
  const { model, trace } = simulation;
  const rejected = (error: unknown) => model.violate("quiet", `unhandled rejection: ${String(error)}`);
  process.on("unhandledRejection", rejected);
  try {
    await simulation.chaos();
    if (!simulation.isBroken()) await simulation.recover();
  } finally {
    process.off("unhandledRejection", rejected);
    simulation.end();
  }
  return { seed, violation: model.violations[0], trace, tally: model.tally };
}

async function storageOf(kind: Kind, { many }: Plan): Promise<Storage & AsyncDisposable> {
  if (kind === "few") return new MemoryStorage();
  if (kind === "many") return new SharedMemory({ pollMs: 1_000, hasBell: many?.bell === true });
  return SqliteStorage.open(":memory:", { synchronous: "normal" });
}
