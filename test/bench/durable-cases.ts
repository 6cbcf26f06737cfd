import { moveCases } from "./durable-moves.ts";
import { runCases } from "./durable-runs.ts";
import type { BenchCase } from "./measure.ts";

/** Everything measured on `SqliteStorage`, its file synced to disk with each transaction. */
export const durableCases: readonly BenchCase[] = [...moveCases, ...runCases];
