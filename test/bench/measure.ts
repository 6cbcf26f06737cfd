import { fork } from "node:child_process";

/** What one run of a case measured, by name of the figure. */
export type Figures = Readonly<Record<string, number>>;

/** One thing to measure; runs in a process of its own each time. */
export interface BenchCase {
  readonly title: string;
  /** How each figure is to be read. */
  readonly units: Readonly<Record<string, string>>;
  readonly measure: () => Promise<Figures>;
  /** V8 flags of its process. */
  readonly flags?: readonly string[];
}

/** Runs one case in a new process, with `NODE_ENV=production` as a host in production has it. */
export function measureInChild(file: string, { title, flags = [] }: BenchCase): Promise<Figures> {
  return new Promise((resolve, reject) => {
    const execArgv = [...process.execArgv, "--expose-gc", ...flags];
    // A case that waits for what never comes, such as a record that was lost, has to fail.
    const timeout = 600_000;
    const child = fork(file, [title], { execArgv, timeout, env: { ...process.env, NODE_ENV: "production" } });
    let figures: Figures | undefined;
    child.on("message", (message) => (figures = message as Figures));
    child.on("exit", (code) => {
      if (figures !== undefined && code === 0) resolve(figures);
      else reject(new Error(`${title}: the process ended with ${String(code)} and ${figures ? "" : "no "}figures`));
    });
  });
}

/** The middle of the values, and how far they spread. */
export function summary(values: readonly number[]): {
  readonly median: number;
  readonly min: number;
  readonly max: number;
} {
  const sorted = [...values].sort((one, other) => one - other);
  const at = (index: number) => sorted[index] ?? NaN;
  return { median: at(Math.floor(sorted.length / 2)), min: at(0), max: at(sorted.length - 1) };
}

/** Milliseconds that `work` took by the monotonic clock. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Mean milliseconds of two jobs, each done twice: one, other, other, one. A machine that slows down slows both alike. */
export async function inTurns(
  one: () => Promise<number>,
  other: () => Promise<number>,
): Promise<readonly [oneMs: number, otherMs: number]> {
  const first = await one();
  const otherMs = (await other()) + (await other());
  return [(first + (await one())) / 2, otherMs / 2];
}

/** Bytes of live heap. */
export function liveHeap(): number {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("run with --expose-gc");
  gc();
  gc();
  return process.memoryUsage().heapUsed;
}
