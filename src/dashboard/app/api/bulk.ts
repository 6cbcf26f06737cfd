import { ApiError, apiPath, call } from "./client.ts";
import { type QueryValues, filled } from "../browser/query-values.ts";
import type { Flow } from "../../../model/flow/flow.ts";
import type { BulkRetry, Cause, Failure, Fault, Run } from "./documents.ts";

/** Which failures an action is for: a filter as of the list, without what was stored after `through`. */
export interface BulkChoice {
  /** Parameters of `GET /failures`. */
  readonly filter: QueryValues;
  /** The newest failure that was there when the number was counted. */
  readonly through: string;
}

/** What a bulk action did. */
export interface BulkResult {
  runs: number;
  resolved: number;
  /** Flows that were left out, and why. */
  readonly refused: BulkRetry["refused"][number][];
}

const nothingYet = (): BulkResult => ({ runs: 0, resolved: 0, refused: [] });

interface BulkPart extends Partial<BulkRetry> {
  readonly resolved?: number;
}

/** Acts on one part of the choice after the other. */
async function actOnAll(method: string, path: string, { filter, through }: BulkChoice): Promise<BulkResult> {
  // Only open failures are acted on, so there is no status.
  const { status: _, ...body } = filled({ ...filter, through });
  const result = nothingYet();
  let after: string | undefined;
  do {
    const { value } = await call<BulkPart>(method, path, { body: { ...body, after } });
    const { runs = [], refused = [], resolved = 0 } = value;
    result.runs += runs.length;
    result.refused.push(...refused);
    result.resolved += resolved;
    after = value.next;
  } while (after !== undefined);
  return result;
}

/** Gives each flow of the choice a retry run. */
export const retryAll = (choice: BulkChoice): Promise<BulkResult> => actOnAll("POST", "/failures/retry", choice);

/** Resolves the failures of the choice. */
export const resolveAll = (choice: BulkChoice): Promise<BulkResult> => actOnAll("PUT", "/failures/resolved", choice);

/** Retries these failures: one run for each of their flows. */
export async function retryChosen(failures: readonly Failure[]): Promise<BulkResult> {
  const result = nothingYet();
  for (const [_flowId, _ids] of byFlow(failures)) {
    try {
      await call<Run>("POST", apiPath(["flows", _flowId, "failures", "retry"]), { body: { _ids } });
      result.runs++;
    } catch (error) {
      const [problem] = error instanceof ApiError ? error.problems : [];
      if (problem === undefined) throw error;
      result.refused.push({ _flowId, code: problem.code });
    }
  }
  return result;
}

/** Resolves these failures. */
export async function resolveChosen(failures: readonly Failure[]): Promise<BulkResult> {
  const result = nothingYet();
  for (const [_flowId, _ids] of byFlow(failures)) {
    const path = apiPath(["flows", _flowId, "failures", "resolved"]);
    result.resolved += (await call<{ _ids: readonly string[] }>("PUT", path, { body: { _ids } })).value._ids.length;
  }
  return result;
}

function byFlow(failures: readonly Failure[]): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const { _flowId, _id } of failures) {
    const group = groups.get(_flowId);
    if (group === undefined) groups.set(_flowId, [_id]);
    else group.push(_id);
  }
  return groups;
}

/** Failures of flows that are disabled: they get no retry run. */
export interface OfDisabled {
  readonly failures: number;
  /** How many flows it is, if that is known. */
  readonly flows: number | undefined;
}

/** How many of these failures are of flows that are disabled. */
export async function disabledOfChosen(failures: readonly Failure[]): Promise<OfDisabled | undefined> {
  return disabledOfFlows(new Map([...byFlow(failures)].map(([_flowId, _ids]) => [_flowId, _ids.length])));
}

/** How many of the open failures of a filter are: one of a flow, an import, a cause and a fault, as only these are counted. */
export async function disabledOfFilter({ cause, fault, _flowId, _importId }: QueryValues): Promise<OfDisabled> {
  const path = apiPath(["causes"], { _flowId, _importId, disabled: "true", limit: "1000" });
  const { value } = await call<readonly Cause[]>("GET", path);
  const rows = value.filter((row) => (cause ?? row.cause) === row.cause && (fault ?? row.fault) === row.fault);
  const [first] = rows;
  return {
    failures: rows.reduce((sum, { open }) => sum + open, 0),
    flows: _flowId === undefined && rows.length !== 1 ? undefined : first?.flows,
  };
}

/** The newest failure of a filter: what is stored later is not acted on. */
export async function newestOf(filter: QueryValues): Promise<MatchingFailure | undefined> {
  const { value } = await call<readonly Failure[]>("GET", apiPath(["failures"], { ...filter, limit: "1" }));
  return value[0];
}

/** What is known of a failure that is counted. */
export type MatchingFailure = Pick<Failure, "_id" | "_flowId" | "createdAt" | "fault">;

/** What a filter means that no counter counts. */
export interface Matching {
  readonly count: number;
  readonly newest: MatchingFailure | undefined;
  readonly faults: readonly Fault[];
  /** How many there are of each flow. */
  readonly byFlow: ReadonlyMap<string, number>;
}

/** Counts open failures one page after the other, newest first: what is stored meanwhile is not among them. `report` is given how many so far. */
export async function countMatching(
  filter: QueryValues,
  { report, signal }: { readonly report: (count: number) => void; readonly signal: AbortSignal },
): Promise<Matching> {
  const byFlow = new Map<string, number>();
  const faults = new Set<Fault>();
  let newest: MatchingFailure | undefined;
  let count = 0;
  let after: string | undefined;
  do {
    const shown = { limit: "1000", include: "_id,_flowId,createdAt,fault" };
    const path = apiPath(["failures"], { ...filter, ...shown, status: "open", after });
    const { value, next } = await call<readonly MatchingFailure[]>("GET", path, { signal });
    newest ??= value[0];
    count += value.length;
    for (const { _flowId, fault } of value) {
      byFlow.set(_flowId, (byFlow.get(_flowId) ?? 0) + 1);
      faults.add(fault);
    }
    report(count);
    after = next;
  } while (after !== undefined);
  return { count, newest, byFlow, faults: [...faults] };
}

/** Flows that are looked up one by one to know which are disabled. */
const mostLookedUp = 50;

/** How many failures of these flows are of disabled ones; undefined: there are too many flows to tell. */
export async function disabledOfFlows(byFlow: ReadonlyMap<string, number>): Promise<OfDisabled | undefined> {
  if (byFlow.size > mostLookedUp) return undefined;
  const found = { failures: 0, flows: 0 };
  for (const [_flowId, failures] of byFlow) {
    const { value } = await call<Flow>("GET", apiPath(["flows", _flowId]));
    if (!value.disabled) continue;
    found.failures += failures;
    found.flows++;
  }
  return found;
}
