import type { Flow, Run } from "../../index.ts";
import type { Delivery } from "../../model/delivery.ts";
import { pathTo } from "../api/api.ts";
import { CommandError } from "../errors.ts";
import type { Output } from "../output/output.ts";
import { statusOf, timeOf } from "../output/words.ts";
import type { ApiCall, ApiCommand } from "./command.ts";
import { type ShownCause, type ShownFailure, causeColumns, importsOf, runColumns, tookOf } from "./documents.ts";
import { unknownId } from "./suggestions.ts";

/** Characters of a record that a person is shown. */
const mostOfRecord = 20_000;

/** Shows one document, whatever it is. */
export const show: ApiCommand = {
  name: "show",
  operands: ["ID"],
  summary: "Show a flow, a run or a failure.",
  details: "Of a flow also how each of its imports stands, its newest runs and the causes of its open failures.",
  options: {},
  changes: false,
  async run(call) {
    const { api, operands, output } = call;
    const [_id = ""] = operands;
    const [flow, run, failure] = await Promise.all([
      api.find<Flow>(pathTo("flows", _id)),
      api.find<Run>(pathTo("runs", _id)),
      api.find<ShownFailure>(pathTo("failures", _id)),
    ]);
    const found = flow ?? run ?? failure;
    if (found === undefined) throw new CommandError(await unknownId(api, ["flow", "run", "failure"], _id));
    if (output.json) output.document(found);
    else if (flow !== undefined) await showFlow(call, flow);
    else if (run !== undefined) showRun(output, run);
    else if (failure !== undefined) showFailure(output, failure);
    return 0;
  },
};

async function showFlow({ api, output }: ApiCall, flow: Flow): Promise<void> {
  const path = (below: string) => pathTo("flows", flow._id, below);
  const [deliveries, runs, causes] = await Promise.all([
    api.get<readonly Delivery[]>(path("/deliveries")),
    api.get<readonly Run[]>(path("/jobs/latest"), { limit: 5 }),
    api.get<readonly ShownCause[]>("/causes", { _flowId: flow._id, limit: 10 }),
  ]);
  output.fields([
    ["flow", flow._id],
    ["name", { text: flow.name, style: "bold" }],
    ["state", flow.disabled ? "disabled" : "enabled"],
    ["export", flow._exportId],
    ["imports", importsOf(flow)],
    ["schedule", flow.schedule === undefined ? "none" : `${flow.schedule} ${flow.timezone ?? ""}`.trim()],
    ["next run (UTC)", timeOf(flow.nextRunAt)],
    ["last run (UTC)", timeOf(flow.lastExecutedAt)],
    ["integration", flow._integrationId],
    ["connector", flow._connectorId],
    ["settings", flow.settings === undefined ? undefined : JSON.stringify(flow.settings)],
  ]);
  output.line();
  output.table(deliveries, deliveryColumns, "The flow has no imports.");
  output.line();
  output.table(runs, runColumns, "The flow has had no runs.");
  if (causes.length > 0) output.line();
  if (causes.length > 0) output.table(causes, causeColumns, "");
}

const deliveryColumns = [
  { title: "import", value: ({ _importId }: Delivery) => _importId },
  { title: "state", value: (delivery: Delivery) => statusOf(stateOf(delivery)) },
  { title: "open failures", value: ({ openFailures }: Delivery) => openFailures },
  { title: "moved (UTC)", value: ({ movedAt }: Delivery) => timeOf(movedAt), optional: true },
  {
    title: "checkpoint",
    value: ({ checkpoint }: Delivery) => (checkpoint === undefined ? "from the start" : JSON.stringify(checkpoint)),
    least: 14,
  },
  { title: "paused because", value: ({ paused }: Delivery) => paused?.reason.message, least: 14, optional: true },
  { title: "resumes (UTC)", value: ({ paused }: Delivery) => resumeOf(paused), optional: true },
] as const;

function stateOf({ behind, paused }: Delivery): string {
  if (paused !== undefined) return "paused";
  return behind ? "behind" : "up to date";
}

/** What ends a pause. */
export function resumeOf(paused: Delivery["paused"]): string | undefined {
  if (paused === undefined) return undefined;
  return paused.resumeAt === undefined ? "by hand" : timeOf(paused.resumeAt);
}

/** One run, for a person. */
export function showRun(output: Output, run: Run): void {
  output.fields([
    ["run", run._id],
    ["flow", run._flowId],
    ["status", statusOf(run.status)],
    ["trigger", run.trigger],
    ["due (UTC)", timeOf(run.dueAt)],
    ["queued (UTC)", timeOf(run.queuedAt)],
    ["waits until (UTC)", timeOf(run.notBefore)],
    ["started (UTC)", timeOf(run.startedAt)],
    ["ended (UTC)", timeOf(run.endedAt)],
    ["took", tookOf(run)],
    ["pages", `${run.numPagesProcessed} of ${run.numPagesGenerated} read`],
    ["sample of", run.limit],
    ["parameters", run.parameters === undefined ? undefined : JSON.stringify(run.parameters)],
    ["crashes", run.crashes === 0 ? undefined : run.crashes],
    ["error", run.error === undefined ? undefined : `${run.error.code}: ${run.error.message}`],
  ]);
  output.line();
  const { numError, numIgnore, numSuccess } = run;
  const imports: ShownImport[] = Object.entries(run.imports).map(([_id, counts]) => ({ ...counts, _id }));
  if (imports.length > 1) imports.push({ _id: "all", numError, numIgnore, numSuccess });
  output.table(imports, importColumns, "The flow has no imports.");
}

type ShownImport = Run["imports"][string] & { readonly _id: string };

const importColumns = [
  { title: "import", value: ({ _id }: ShownImport) => _id },
  { title: "ok", value: ({ numSuccess }: ShownImport) => numSuccess },
  { title: "failed", value: ({ numError }: ShownImport) => numError },
  { title: "ignored", value: ({ numIgnore }: ShownImport) => numIgnore },
  { title: "status", value: ({ status }: ShownImport) => (status === undefined ? undefined : statusOf(status)) },
  { title: "error", value: ({ error }: ShownImport) => error?.message, least: 20 },
] as const;

function showFailure(output: Output, failure: ShownFailure): void {
  output.fields([
    ["failure", failure._id],
    ["key", { text: failure.key, style: "bold" }],
    ["status", statusOf(failure.status)],
    ["flow", failure._flowId],
    ["import", failure._importId],
    ["run", failure._runId],
    ["fault", `${failure.fault}: ${faultWords[failure.fault] ?? ""}`],
    ["code", failure.code],
    ["message", failure.message],
    ["cause", failure.cause],
    ["attempts", failure.attempts],
    ["failed first (UTC)", timeOf(failure.createdAt)],
    ["failed last (UTC)", timeOf(failure.lastFailedAt)],
    ["is retried (UTC)", failure.status === "open" ? (timeOf(failure.retryAt) ?? "on request only") : undefined],
    ["edited (UTC)", timeOf(failure.editedAt)],
    ["resolved (UTC)", timeOf(failure.resolvedAt)],
    ["resolved by", failure.resolvedBy],
  ]);
  output.line();
  if (failure.record === undefined) output.line("The record could not be kept, so it cannot be sent again.");
  else output.block(failure.record, mostOfRecord);
}

const faultWords: Readonly<Record<string, string>> = {
  retry: "certainly not applied; another attempt may succeed",
  reject: "certainly not applied, and as it is it will be rejected again",
  unknown: "it may have been applied",
};
