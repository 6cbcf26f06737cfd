import type { ExportContext, Page } from "../index.ts";
import { type Alert, type AlertCheckpoint, type Incident, subjectKey } from "./alert.ts";
import { Description } from "./description.ts";
import { type Change, Look } from "./look.ts";
import type { AlertRules, AlertSource } from "./options.ts";

/**
 * What has happened since the checkpoint. Each page of alerts comes after an empty one whose checkpoint has them: once
 * one of them may have been sent, all of them are, however flows do when they are read again.
 */
export async function* alertPages(
  scheduler: AlertSource,
  rules: AlertRules,
  { checkpoint, flow, pageSize, signal }: ExportContext<AlertCheckpoint>,
): AsyncGenerator<Page<Alert, AlertCheckpoint>> {
  const { incidents = [], pending = [] } = checkpoint ?? {};
  if (pending.length > 0) yield { records: pending, checkpoint: { incidents } };
  const now = scheduler.registry.clock.now();
  const changes = await new Look({ scheduler, rules, _flowId: flow._id, now, signal }).changes(incidents);
  const description = new Description(scheduler, rules, now);
  const open = new Map(incidents.map((incident) => [subjectKey(incident), incident]));
  for (let start = 0; start < changes.length; start += pageSize) {
    signal.throwIfAborted();
    const some = changes.slice(start, start + pageSize);
    const records: Alert[] = [];
    for (const change of some) {
      records.push(await description.alertOf(change));
      apply(change, open);
    }
    const after = [...open.values()];
    yield { records: [], checkpoint: { incidents: after, pending: records } };
    yield { records, checkpoint: { incidents: after } };
  }
}

function apply({ incident, state }: Change, open: Map<string, Incident>): void {
  if (state === "resolved") open.delete(subjectKey(incident));
  else open.set(subjectKey(incident), incident);
}
