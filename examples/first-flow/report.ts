import type { Failure, Flow, Run, Scheduler } from "poundlock";

/** A whole number with separators: 30,000. */
export function count(value: number): string {
  return value.toLocaleString("en");
}

/** How many records a run has read. Each import accounts for all of them, so any one tells. */
export function readBy(run: Run): number {
  const [counts = { numSuccess: 0, numIgnore: 0, numError: 0 }] = Object.values(run.imports);
  return counts.numSuccess + counts.numIgnore + counts.numError;
}

/** How long a run took by its scheduler's clock, such as `4.2 s`. */
export function durationOf({ startedAt = "", endedAt = "" }: Run): string {
  const ms = Date.parse(endedAt) - Date.parse(startedAt);
  return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** Tells how far runs are, about once a second each. */
export function printProgress(scheduler: Scheduler): void {
  scheduler.on("run:progress", ({ run, total = 0 }) => {
    console.log(`  ${run._exportId.padEnd(9)} ${count(readBy(run)).padStart(6)} of about ${count(total)} records`);
  });
}

/** What became of a run's records, import by import, and why some were refused. */
export async function printReport(scheduler: Scheduler, flow: Flow, run: Run): Promise<void> {
  const duration = run.endedAt === undefined ? "" : ` in ${durationOf(run)}`;
  const pages = `${count(run.numPagesProcessed)} ${run.numPagesProcessed === 1 ? "page" : "pages"}`;
  console.log(`\n  ${flow.name}: ${run.status}${duration}, ${count(readBy(run))} records in ${pages}`);
  if (run.error !== undefined) console.log(`    ${run.error.message}`);
  printRow("import", "delivered", "ignored", "failed");
  for (const [_importId, { numSuccess, numIgnore, numError }] of Object.entries(run.imports))
    printRow(_importId, count(numSuccess), count(numIgnore), count(numError));

  const causes = new Map<string, Failure[]>();
  for (const failure of await failuresOf(scheduler, run)) {
    const cause = `${failure._importId}: ${failure.code ?? "other"}`;
    causes.set(cause, [...(causes.get(cause) ?? []), failure]);
  }
  if (causes.size > 0) console.log("    why records failed");
  for (const [cause, failures] of [...causes].sort(([, one], [, other]) => other.length - one.length))
    console.log(`    ${count(failures.length).padStart(6)}  ${cause}; for example ${failures[0]?.message ?? ""}`);
}

function printRow(name: string, ...cells: readonly string[]): void {
  console.log(`    ${name.padEnd(14)}${cells.map((cell) => cell.padStart(12)).join("")}`);
}

// Lists come in portions: `next` says where the rest begins.
async function failuresOf(scheduler: Scheduler, run: Run): Promise<readonly Failure[]> {
  const all: Failure[] = [];
  for (let after: string | undefined; ;) {
    const { items, next } = await scheduler.listFailures({
      _runId: run._id,
      ...(after === undefined ? {} : { after }),
    });
    all.push(...items);
    if (next === undefined) return all;
    after = next;
  }
}
