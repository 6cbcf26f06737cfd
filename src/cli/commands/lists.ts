import { type Flow, type Run, failureStatuses, faults, runStatuses, triggers } from "../../index.ts";
import type { Query } from "../api/api.ts";
import { listOptions } from "../options.ts";
import type { Column } from "../output/table.ts";
import type { ApiCall, ApiCommand } from "./command.ts";
import {
  type ShownCause,
  type ShownFailure,
  causeColumns,
  failureColumns,
  flowColumns,
  runColumns,
} from "./documents.ts";
import { expectFlow } from "./suggestions.ts";

const ofFlow = { value: "FLOW", help: "Of this flow." };
const ofExport = { value: "EXPORT", help: "That read from this export." };
const ofImport = { value: "IMPORT", help: "At this import." };
const ofIntegration = { value: "ID", help: "Of this integration." };
const ofConnector = { value: "ID", help: "Of this connector." };

/** What options are called in the API. */
const filters = {
  flow: "_flowId",
  export: "_exportId",
  import: "_importId",
  run: "_runId",
  integration: "_integrationId",
  connector: "_connectorId",
  status: "status",
  trigger: "trigger",
  fault: "fault",
  cause: "cause",
  key: "key",
  "key-prefix": "keyPrefix",
  text: "text",
} as const;

/** Lists flows. */
export const flows: ApiCommand = {
  name: "flows",
  operands: [],
  summary: "List flows, in the order of their ids.",
  options: {
    ...listOptions,
    export: ofExport,
    import: ofImport,
    integration: ofIntegration,
    connector: ofConnector,
    enabled: { help: "Only enabled ones." },
    disabled: { help: "Only disabled ones." },
  },
  changes: false,
  run: (call) => {
    const { values } = call;
    const disabled = values.has("disabled") ? true : values.has("enabled") ? false : undefined;
    const query = { ...values.named(filters), disabled };
    return showList<Flow>(call, { path: "/flows", query, columns: flowColumns, empty: "There are no such flows." });
  },
};

/** Lists runs. */
export const runs: ApiCommand = {
  name: "runs",
  operands: [],
  summary: "List runs, newest first.",
  options: {
    ...listOptions,
    flow: ofFlow,
    export: ofExport,
    import: ofImport,
    integration: ofIntegration,
    connector: ofConnector,
    status: { value: "STATUS", choices: runStatuses, help: "In this state." },
    trigger: { value: "TRIGGER", choices: triggers, help: "That exist for this reason." },
  },
  changes: false,
  run: (call) => {
    const query = call.values.named(filters);
    return showList<Run>(call, { path: "/runs", query, columns: runColumns, empty: "There are no such runs." });
  },
};

/** Lists failures, or looks for some. */
export const failures: ApiCommand = {
  name: "failures",
  operands: [],
  summary: "List failures, newest first, or look for some.",
  details:
    "Without --status only open ones are listed. --text is looked for in messages and records, in all failures that match the other options; " +
    "what was looked at is shown while it goes on.",
  options: {
    ...listOptions,
    flow: ofFlow,
    export: { value: "EXPORT", help: "Of records of this export." },
    import: ofImport,
    run: { value: "RUN", help: "Of this run." },
    integration: ofIntegration,
    connector: ofConnector,
    cause: { value: "CAUSE", help: 'With this cause, as "poundlock causes" lists them.' },
    key: { value: "KEY", help: "Of the record with this key." },
    "key-prefix": { value: "TEXT", help: "Of records whose key begins so." },
    text: { value: "TEXT", help: "With this in their message or their record." },
    fault: { value: "FAULT", choices: faults, help: "Whose last attempt ended so." },
    status: { value: "STATUS", choices: [...failureStatuses, "all"], help: "In this state. open if it is left out." },
    oldest: { help: "The oldest first." },
  },
  changes: false,
  run: (call) => {
    const { values } = call;
    const { status = "open", ...query } = values.named(filters);
    return showList<ShownFailure>(call, {
      ...{ path: "/failures", columns: failureColumns, empty: "There are no such failures." },
      query: {
        ...query,
        ...(status === "all" ? {} : { status }),
        ...(values.has("oldest") ? { order: "oldest" } : {}),
      },
    });
  },
};

/** Groups failures by what they have in common. */
export const causes: ApiCommand = {
  name: "causes",
  operands: [],
  summary: "List the causes of open failures, the most frequent first.",
  options: {
    limit: listOptions.limit,
    flow: { value: "FLOW", help: "Of this flow, by import." },
    import: ofImport,
    integration: ofIntegration,
  },
  changes: false,
  run: async ({ api, output, values }) => {
    const limit = Math.min(values.number("limit") ?? 100, 1_000);
    const query: Query = { ...values.named(filters), limit };
    const found = await api.get<readonly ShownCause[]>("/causes", query);
    if (found.length === 0) await expectFlow(api, query._flowId);
    if (output.json) for (const cause of found) output.document(cause);
    else output.table(found, causeColumns, "There are no open failures.");
    return 0;
  },
};

interface ListView<Item> {
  readonly path: string;
  readonly query: Query;
  readonly columns: readonly Column<Item>[];
  readonly empty: string;
}

async function showList<Item>(call: ApiCall, { columns, empty, path, query }: ListView<Item>): Promise<number> {
  const { api, output, terminal, values } = call;
  const range = { limit: values.number("limit") ?? 100, after: values.text("after") };
  const shown: Item[] = [];
  let next: string | undefined;
  let [examined, found] = [0, 0];
  for await (const part of api.list<Item>(path, query, range)) {
    terminal.signal.throwIfAborted();
    next = part.next;
    examined += part.examined;
    found += part.items.length;
    if (query.text !== undefined) output.progress(`looked at ${examined.toLocaleString("en")} failures`);
    if (output.json) for (const item of part.items) output.document(item);
    else shown.push(...part.items);
  }
  if (query.text !== undefined) output.progress("");
  if (found === 0) await expectFlow(api, query._flowId);
  if (!output.json) output.table(shown, columns, empty);
  if (next !== undefined) output.notice(`There are more: --after ${next}`);
  return 0;
}
