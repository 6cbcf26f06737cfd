import { appendFileSync } from "node:fs";
import type { Failure, Logger, Scheduler } from "poundlock";

/** How many open failures a flow has, by cause, the most frequent first. */
export async function causesOf(
  scheduler: Scheduler,
  _flowId: string,
): Promise<readonly (readonly [string, Failure[]])[]> {
  const causes = new Map<string, Failure[]>();
  for (const failure of await openFailures(scheduler, _flowId)) {
    const cause = failure.code ?? "other";
    causes.set(cause, [...(causes.get(cause) ?? []), failure]);
  }
  return [...causes].sort(([, one], [, other]) => other.length - one.length);
}

/** Lists come in portions: `next` says where the rest begins. */
export async function openFailures(scheduler: Scheduler, _flowId: string): Promise<readonly Failure[]> {
  const all: Failure[] = [];
  for (let after: string | undefined; ;) {
    const { items, next } = await scheduler.listFailures({
      ...{ _flowId, status: "open" },
      ...(after === undefined ? {} : { after }),
    });
    all.push(...items);
    if (next === undefined) return all;
    after = next;
  }
}

/** Keeps poundlock's own log in a file, since this example says in its own words what happens. */
export function logTo(path: string): Logger {
  const write = (level: string) => (fields: object, message?: string) =>
    appendFileSync(path, `${JSON.stringify({ level, message, ...fields })}\n`);
  return { debug: () => undefined, info: write("info"), warn: write("warn"), error: write("error") };
}
