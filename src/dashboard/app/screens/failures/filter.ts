import type { Cause, Failure } from "../../api/documents.ts";
import type { QueryValues } from "../../browser/query-values.ts";

/** What the address of the screen says is shown. */
export interface FailureFilter {
  readonly view?: string;
  readonly flow?: string;
  readonly import?: string;
  readonly run?: string;
  readonly fault?: string;
  readonly cause?: string;
  readonly status: "open" | "resolved";
  readonly key?: string;
  readonly text?: string;
  /** One of {@link periods}: what was stored in that time. */
  readonly since?: string;
  readonly after?: string;
}

/** How long ago a failure was stored at most, in milliseconds. */
export const periods: Readonly<Record<string, number>> = { hour: 3_600_000, day: 86_400_000, week: 604_800_000 };

/** Whether a failure was stored in the time that the filter names. */
export function isInPeriod({ createdAt }: Pick<Failure, "createdAt">, since: string | undefined, now: number): boolean {
  const period = since === undefined ? undefined : periods[since];
  return period === undefined || Date.parse(createdAt) >= now - period;
}

/** Reads the filter; it is in the address only, so that back, forward and reload keep it. */
export function filterIn(query: URLSearchParams): FailureFilter {
  const given = Object.fromEntries([...query].filter(([, value]) => value !== ""));
  return { ...given, status: given.status === "resolved" ? "resolved" : "open" };
}

/** Whether failures are grouped: as long as nothing asks for single ones. */
export function isByCause({ view, cause, key, text, run, since, status }: FailureFilter): boolean {
  if (view === "list" || status === "resolved") return false;
  return [cause, key, text, run, since].every((value) => value === undefined);
}

/** The parameters of the API. */
export function apiFilter(filter: FailureFilter): QueryValues {
  const { flow, import: importId, run, fault, cause, status, key, text } = filter;
  return { _flowId: flow, _importId: importId, _runId: run, fault, cause, status, key, text };
}

/** Whether it says which failures are meant, by more than their status and time. */
export function isNarrowed(filter: FailureFilter): boolean {
  const { status: _, ...values } = apiFilter(filter);
  return Object.values(values).some(Boolean);
}

/** Whether all open failures of the filter can be acted on: the API knows it as a whole, and it says which are meant. */
export function canMeanAll(filter: FailureFilter): boolean {
  return filter.since === undefined && filter.status === "open" && isNarrowed(filter);
}

/** The causes that the filter lets through; they are of its flow and import already. */
export function matching(causes: readonly Cause[], filter: FailureFilter): readonly Cause[] {
  return causes.filter(
    ({ cause, fault }) =>
      (filter.cause === undefined || cause === filter.cause) && (filter.fault === undefined || fault === filter.fault),
  );
}

/** How many failures the filter means, if the causes say so. */
export function countOf(causes: readonly Cause[] | undefined, filter: FailureFilter): number | undefined {
  const { key, text, run, since, status, flow, import: importId, fault, cause } = filter;
  const isKnown = [key, text, run, since].every((value) => value === undefined);
  const isLimited = [flow, importId, fault, cause].some((value) => value !== undefined);
  if (causes === undefined || !isKnown || !isLimited || status !== "open") return undefined;
  return matching(causes, filter).reduce((sum, { open }) => sum + open, 0);
}
