import assert from "node:assert/strict";
import { types } from "node:util";
import { systemClock } from "../clock.ts";
import type { Flow } from "../model/flow/flow.ts";
import { type Run, transitionRun, newRun } from "../model/run.ts";

const firstOfJanuary = "2030-01-01T00:00:00.000Z";

/** The flow that connectors under test are shown. */
export const sampleFlow: Flow = Object.freeze<Flow>({
  _id: "sample-flow",
  name: "Sample flow",
  _exportId: "sample-export",
  _importId: "sample-import",
  disabled: false,
  createdAt: firstOfJanuary,
  lastModified: firstOfJanuary,
});

/** A run of it, going on. */
export function sampleRun(_id = "sample-run", limit?: number): Run {
  const start = { _id, _flowId: sampleFlow._id, trigger: "manual", queuedAt: firstOfJanuary } as const;
  const queued = newRun(limit === undefined ? start : { ...start, limit }, sampleFlow);
  return transitionRun(queued, "running", { startedAt: firstOfJanuary });
}

/** What `work` resolves with, if it does so in time; host code is timed by the system's clock, the only one it uses. */
export async function inTime<T>(what: string, withinMs: number, work: Promise<T>): Promise<T> {
  let cancel: () => void = () => undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `${what} took more than ${withinMs} ms`;
    cancel = systemClock.setTimer(() => reject(new assert.AssertionError({ message })), withinMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    cancel();
  }
}

/** A string that is the same for records that are deeply equal, and differs for others, so that they can be counted. */
export function textOf(record: unknown): string {
  if (typeof record === "string") return JSON.stringify(record);
  if (typeof record === "bigint") return `${record}n`;
  if (typeof record !== "object" || record === null) return Object.is(record, -0) ? "-0" : String(record);
  // Not by `instanceof`: a test runner, or `structuredClone` in it, may have classes of another realm.
  if (types.isDate(record)) return `Date(${record.getTime()})`;
  if (types.isMap(record)) return `Map(${[...record].map(textOf).join()})`;
  if (types.isSet(record)) return `Set(${[...record].map(textOf).join()})`;
  if (Array.isArray(record)) return `[${record.map(textOf).join()}]`;
  const fields = Object.entries(record).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${fields.map(([key, value]) => `${JSON.stringify(key)}:${textOf(value)}`).join()}}`;
}
