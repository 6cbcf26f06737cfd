import { faults } from "../../index.ts";
import { type Api, RefusedError, pathTo } from "../api/api.ts";
import { CommandError, UsageError } from "../errors.ts";
import { type Options, yesOption } from "../options.ts";
import { countOf } from "../output/words.ts";
import type { ApiCall, ApiCommand } from "./command.ts";
import { confirmed } from "./confirmation.ts";
import type { ShownFailure } from "./documents.ts";
import { expectFlow, withSuggestion } from "./suggestions.ts";

const filters = {
  flow: "_flowId",
  export: "_exportId",
  import: "_importId",
  run: "_runId",
  integration: "_integrationId",
  connector: "_connectorId",
  cause: "cause",
  key: "key",
  "key-prefix": "keyPrefix",
  text: "text",
  fault: "fault",
} as const;

const filterOptions: Options = {
  flow: { value: "FLOW", help: "Of this flow." },
  export: { value: "EXPORT", help: "Of records of this export." },
  import: { value: "IMPORT", help: "At this import." },
  run: { value: "RUN", help: "Of this run." },
  integration: { value: "ID", help: "Of this integration." },
  connector: { value: "ID", help: "Of this connector." },
  cause: { value: "CAUSE", help: 'With this cause, as "poundlock causes" lists them.' },
  key: { value: "KEY", help: "Of the record with this key." },
  "key-prefix": { value: "TEXT", help: "Of records whose key begins so." },
  text: { value: "TEXT", help: "With this in their message or their record." },
  fault: { value: "FAULT", choices: faults, help: "Whose last attempt ended so." },
};

const chosen =
  "Those that are named, or all open ones that match every option. What fails after they were counted is left alone. " +
  "Several are asked about first; without a terminal --yes is needed.";

/** Sends failures again. */
export const retry: ApiCommand = {
  name: "retry",
  operands: ["[FAILURE…]"],
  summary: "Queue runs that send open failures again, one run for each flow.",
  details: chosen,
  options: { ...filterOptions, ...yesOption },
  changes: true,
  run: (call) => actOn(call, retrying),
};

/** Gives failures up. */
export const resolve: ApiCommand = {
  name: "resolve",
  operands: ["[FAILURE…]"],
  summary: "Mark open failures as resolved: they are not retried any more. This cannot be undone.",
  details: chosen,
  options: { ...filterOptions, ...yesOption },
  changes: true,
  run: (call) => actOn(call, resolving),
};

/** What is done to failures. */
interface Action {
  /** `Retry`, for a question. */
  readonly verb: string;
  /** To failures of one flow, by their ids. */
  one(call: ApiCall, _flowId: string, _ids: readonly string[]): Promise<Outcome>;
  /** To all that match. */
  all(api: Api, filter: object): Promise<Outcome & { readonly next?: string }>;
  show(call: ApiCall, outcomes: readonly Outcome[]): number;
}

/** What the API says was done. */
interface Outcome {
  readonly runs?: readonly string[];
  readonly refused?: readonly { readonly _flowId: string; readonly code: string }[];
  readonly resolved?: number;
}

const retrying: Action = {
  verb: "Retry",
  async one({ api }, _flowId, _ids) {
    const { _id } = await api.send<{ readonly _id: string }>("POST", pathTo("flows", _flowId, "/failures/retry"), {
      _ids,
    });
    return { runs: [_id] };
  },
  all: (api, filter) => api.send("POST", "/failures/retry", filter),
  show({ output }, outcomes) {
    const runs = outcomes.flatMap((outcome) => outcome.runs ?? []);
    const refused = outcomes.flatMap((outcome) => outcome.refused ?? []);
    if (output.json) output.document({ runs, refused });
    else {
      output.line(`${countOf(runs.length, "run")} queued.`);
      for (const _id of runs.slice(0, 10)) output.line(`  ${_id}`);
      if (runs.length > 10) output.line(`  … and ${countOf(runs.length - 10, "more run")}`);
      for (const { _flowId, code } of refused) output.line({ text: `Flow ${_flowId} got none: ${code}`, style: "red" });
    }
    return refused.length > 0 ? 1 : 0;
  },
};

const resolving: Action = {
  verb: "Resolve",
  async one({ api }, _flowId, _ids) {
    const path = pathTo("flows", _flowId, "/failures/resolved");
    const resolved = await api.send<{ readonly _ids: readonly string[] }>("PUT", path, { _ids });
    return { resolved: resolved._ids.length };
  },
  all: (api, filter) => api.send("PUT", "/failures/resolved", filter),
  show({ output }, outcomes) {
    const resolved = outcomes.reduce((sum, outcome) => sum + (outcome.resolved ?? 0), 0);
    if (output.json) output.document({ resolved });
    else output.line(`${countOf(resolved, "failure")} resolved.`);
    return 0;
  },
};

async function actOn(call: ApiCall, action: Action): Promise<number> {
  const { operands, values } = call;
  const filter = values.named(filters);
  const isFiltered = Object.keys(filter).length > 0;
  const verb = action.verb.toLowerCase();
  if (operands.length > 0 && isFiltered)
    throw new UsageError(`Either failures are named, or options say which: not both`);
  if (operands.length === 0 && !isFiltered)
    throw new UsageError(
      `Say which failures to ${verb}: by their ids, or by options such as --flow or --cause. All of them at once is no choice`,
    );
  return isFiltered ? actOnMatching(call, action, filter) : actOnNamed(call, action);
}

async function actOnNamed(call: ApiCall, action: Action): Promise<number> {
  const { api } = call;
  const _ids = [...new Set(call.operands)];
  const byFlow = new Map<string, string[]>();
  for (const _id of _ids) {
    const failure = await withSuggestion(api, "failure", _id, api.get<ShownFailure>(pathTo("failures", _id)));
    if (failure.status !== "open") throw new CommandError(`Failure ${_id} is ${failure.status} already`);
    byFlow.set(failure._flowId, [...(byFlow.get(failure._flowId) ?? []), _id]);
  }
  if (!(await agreed(call, action, { count: _ids.length }))) return 1;
  const outcomes: Outcome[] = [];
  for (const [_flowId, ofFlow] of byFlow) outcomes.push(await oneOrRefused(call, action, _flowId, ofFlow));
  return action.show(call, outcomes);
}

// What one flow refuses does not keep the others from getting theirs.
async function oneOrRefused(call: ApiCall, action: Action, _flowId: string, _ids: readonly string[]): Promise<Outcome> {
  try {
    return await action.one(call, _flowId, _ids);
  } catch (error) {
    if (!(error instanceof RefusedError) || error.code === undefined || action !== retrying) throw error;
    return { refused: [{ _flowId, code: error.code }] };
  }
}

async function actOnMatching(call: ApiCall, action: Action, filter: Record<string, string>): Promise<number> {
  const { api, output } = call;
  const { count, isExact, through } = await countMatching(api, filter);
  if (through === undefined) {
    await expectFlow(api, filter._flowId);
    if (output.json) return action.show(call, []);
    output.line("There are no open failures that match.");
    return 0;
  }
  if (!(await agreed(call, action, { count, isExact, filter }))) return 1;
  const outcomes: Outcome[] = [];
  for (let after: string | undefined; ;) {
    const outcome = await action.all(api, { ...filter, through, ...(after === undefined ? {} : { after }) });
    outcomes.push(outcome);
    after = outcome.next;
    if (after === undefined) return action.show(call, outcomes);
  }
}

interface Extent {
  readonly count: number;
  /** False: there are more. */
  readonly isExact?: boolean;
  readonly filter?: Readonly<Record<string, string>>;
}

async function agreed(
  call: ApiCall,
  { verb }: Action,
  { count, filter = {}, isExact = true }: Extent,
): Promise<boolean> {
  if (count === 1) return true;
  const words = Object.entries(filter).map(([name, value]) => `${name.replace(/^_|Id$/g, "")} ${value}`);
  const which = words.length === 0 ? "" : ` (${words.join(", ")})`;
  return confirmed(call, `${verb} ${isExact ? "" : "more than "}${countOf(count, "failure")}${which}?`);
}

/** Failures are counted up to here. */
const mostCounted = 100_000;

interface MatchingFailures {
  readonly count: number;
  readonly isExact: boolean;
  /** The newest one. */
  readonly through: string | undefined;
}

async function countMatching(api: Api, filter: Record<string, string>): Promise<MatchingFailures> {
  let count = 0;
  let through: string | undefined;
  let isExact = true;
  const query = { ...filter, status: "open", include: "_id" };
  for await (const { items, next } of api.list<{ readonly _id: string }>("/failures", query, { limit: mostCounted })) {
    through ??= items[0]?._id;
    count += items.length;
    isExact = next === undefined;
  }
  return { count, isExact, through };
}
