import { ApiError, apiPath, call } from "./client.ts";
import type { QueryValues } from "../browser/query-values.ts";
import type { Flow } from "../../../model/flow/flow.ts";
import type { BulkRetry, Cause, Failure, Run } from "./documents.ts";

/** Which failures an action is for: a filter as of the list, without what was stored after `through`. */
export interface BulkChoice {
  /** Parameters of `GET /failures`. */
  readonly filter: QueryValues;
  /** The newest failure that was there when the number was counted. */
  readonly through: string;
}

/** What a bulk action did. */
export interface BulkResult {
  readonly runs: number;
  readonly resolved: number;
  /** Flows that were left out, and why. */
  readonly refused: BulkRetry["refused"];
}

const nothing: BulkResult = { runs: 0, resolved: 0, refused: [] };

/** Gives each flow of the choice a retry run. */
export async function retryAll({ filter, through }: BulkChoice): Promise<BulkResult> {
  let result = nothing;
  let after: string | undefined;
  do {
    const body = { ...filled(filter), through, ...(after === undefined ? {} : { after }) };
    const { value } = await call<BulkRetry>("POST", "/failures/retry", { body });
    const { runs, refused, next } = value;
    result = { ...result, runs: result.runs + runs.length, refused: [...result.refused, ...refused] };
    after = next;
  } while (after !== undefined);
  return result;
}

/** Resolves the failures of the choice. */
export async function resolveAll({ filter, through }: BulkChoice): Promise<BulkResult> {
  let result = nothing;
  let after: string | undefined;
  do {
    const body = { ...filled(filter), through, ...(after === undefined ? {} : { after }) };
    const { value } = await call<{ resolved: number; next?: string }>("PUT", "/failures/resolved", { body });
    result = { ...result, resolved: result.resolved + value.resolved };
    after = value.next;
  } while (after !== undefined);
  return result;
}

/** Only open failures are acted on, so a bulk action has no status. */
const filled = ({ status: _, ...filter }: QueryValues) =>
  Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined && value !== ""));

/** Retries these failures: one run for each of their flows. */
export async function retryChosen(failures: readonly Failure[]): Promise<BulkResult> {
  let result = nothing;
  for (const [_flowId, _ids] of byFlow(failures)) {
    try {
      await call<Run>("POST", apiPath(["flows", _flowId, "failures", "retry"]), { body: { _ids } });
      result = { ...result, runs: result.runs + 1 };
    } catch (error) {
      const [problem] = error instanceof ApiError ? error.problems : [];
      if (problem === undefined) throw error;
      result = { ...result, refused: [...result.refused, { _flowId, code: problem.code }] };
    }
  }
  return result;
}

/** Resolves these failures. */
export async function resolveChosen(failures: readonly Failure[]): Promise<BulkResult> {
  let result = nothing;
  for (const [_flowId, _ids] of byFlow(failures)) {
    const path = apiPath(["flows", _flowId, "failures", "resolved"]);
    const { value } = await call<{ _ids: readonly string[] }>("PUT", path, { body: { _ids } });
    result = { ...result, resolved: result.resolved + value._ids.length };
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
export async function disabledOfChosen(failures: readonly Failure[]): Promise<OfDisabled> {
  const found = { failures: 0, flows: 0 };
  for (const [_flowId, _ids] of byFlow(failures)) {
    const { value } = await call<Flow>("GET", apiPath(["flows", _flowId]));
    if (!value.disabled) continue;
    found.failures += _ids.length;
    found.flows++;
  }
  return found;
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
export async function newestOf(filter: QueryValues): Promise<Failure | undefined> {
  const { value } = await call<readonly Failure[]>("GET", apiPath(["failures"], { ...filter, limit: "1" }));
  return value[0];
}
