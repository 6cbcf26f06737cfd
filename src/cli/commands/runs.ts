import { delay, systemClock } from "../../clock.ts";
import { type Run } from "../../index.ts";
import { pathTo } from "../api/api.ts";
import { CommandError, UsageError } from "../errors.ts";
import { messageOf } from "../../model/message.ts";
import type { ApiCall, ApiCommand } from "./command.ts";
import { showRun } from "./show.ts";
import { withSuggestion } from "./suggestions.ts";

/** How often a run that is waited for is looked at, in milliseconds. */
const lookMs = 250;

const waitOption = { wait: { help: "Wait until the run has ended, and show it. Exit code 1 unless it completed." } };

/** Queues a run. */
export const run: ApiCommand = {
  name: "run",
  operands: ["FLOW"],
  summary: "Queue a run of a flow. A process of the application executes it.",
  options: {
    ...waitOption,
    sample: { value: "N", least: 1, help: "Read so many records for each import at most, and move no checkpoint." },
    parameters: { value: "JSON", help: "Parameters for the export, such as the window of a backfill." },
    "keep-checkpoint": { help: "Read from no checkpoint, and leave all where they are." },
  },
  changes: true,
  async run(call) {
    const { api, operands, values } = call;
    const [_id = ""] = operands;
    const parameters = values.text("parameters");
    const body = {
      limit: values.number("sample"),
      parameters: parameters === undefined ? undefined : jsonIn("--parameters", parameters),
      moveCheckpoint: values.has("keep-checkpoint") ? false : undefined,
    };
    const queued = await withSuggestion(api, "flow", _id, api.send<Run>("POST", pathTo("flows", _id, "/run"), body));
    return showQueued(call, queued);
  },
};

/** Ends pauses. */
export const resume: ApiCommand = {
  name: "resume",
  operands: ["FLOW"],
  summary: "End the pause of an import of a flow, or of all its imports, and queue a run for them.",
  options: { ...waitOption, import: { value: "IMPORT", help: "Only this import." } },
  changes: true,
  async run(call) {
    const { api, operands, output, values } = call;
    const [_id = ""] = operands;
    const body = { _importId: values.text("import") };
    const resuming = api.send<{ readonly run?: Run }>("POST", pathTo("flows", _id, "/resume"), body);
    const resumed = await withSuggestion(api, "flow", _id, resuming);
    if (resumed.run !== undefined) return showQueued(call, resumed.run);
    if (output.json) output.document({});
    else output.line("Nothing was paused.");
    return 0;
  },
};

/** Cancels a run. */
export const cancel: ApiCommand = {
  name: "cancel",
  operands: ["RUN"],
  summary: "Cancel a run: at once if it waits, otherwise as soon as its code reacts.",
  options: { ...waitOption },
  changes: true,
  async run(call) {
    const { api, operands, output, values } = call;
    const [_id = ""] = operands;
    const canceling = api.send<Run>("PUT", pathTo("runs", _id, "/cancel"));
    const canceled = await withSuggestion(api, "run", _id, canceling);
    const ended = values.has("wait") ? await waitForEnd(call, canceled) : canceled;
    if (output.json) output.document(ended);
    else output.line("Run ", { text: ended._id, style: "bold" }, ` is ${ended.status}.`);
    // One that had completed or failed before is what it was.
    return ended.status === "canceled" || ended.status === "canceling" ? 0 : 1;
  },
};

async function showQueued(call: ApiCall, queued: Run): Promise<number> {
  const { file, output, values } = call;
  const isAlone = file !== undefined && (await file.scheduler.processes()).length === 0;
  if (isAlone) output.notice("No process of the application is running on this file: the run waits until one is.");
  if (!values.has("wait")) {
    if (output.json) output.document(queued);
    else output.line("Run ", { text: queued._id, style: "bold" }, ` of flow ${queued._flowId} is ${queued.status}.`);
    return 0;
  }
  const ended = await waitForEnd(call, queued);
  if (output.json) output.document(ended);
  else showRun(output, ended);
  return ended.status === "completed" ? 0 : 1;
}

async function waitForEnd({ api, terminal: { signal } }: ApiCall, begun: Run): Promise<Run> {
  for (let latest = begun; ; latest = await api.get<Run>(pathTo("runs", begun._id))) {
    if (["completed", "failed", "canceled"].includes(latest.status)) return latest;
    await delay(systemClock, lookMs, signal);
    if (signal.aborted) throw new CommandError(`Run ${begun._id} goes on; it is ${latest.status}`);
  }
}

/** @throws UsageError if it is not JSON. */
export function jsonIn(what: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UsageError(`${what} is JSON, such as {"after":17} or "a string": ${messageOf(error)}`);
  }
}
