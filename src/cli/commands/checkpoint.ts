import type { Delivery } from "../../model/delivery.ts";
import { type Api, pathTo } from "../api/api.ts";
import { CommandError, UsageError } from "../errors.ts";
import { yesOption } from "../options.ts";
import { timeOf } from "../output/words.ts";
import type { ApiCall, ApiCommand } from "./command.ts";
import { confirmed } from "./confirmation.ts";
import { jsonIn } from "./runs.ts";
import { withSuggestion } from "./suggestions.ts";

const importOption = { import: { value: "IMPORT", help: "Only this import. All of the flow if it is left out." } };

/** Shows checkpoints. */
export const checkpointGet: ApiCommand = {
  name: "checkpoint get",
  operands: ["FLOW"],
  summary: "Show where the next run of a flow resumes, for each of its imports.",
  options: importOption,
  changes: false,
  async run(call) {
    const { output } = call;
    const deliveries = await deliveriesOf(call);
    if (!output.json) {
      output.table(deliveries, columns, "The flow has no imports.");
      return 0;
    }
    for (const { _importId, checkpoint, checkpointVersion, movedAt } of deliveries)
      output.document({ _importId, checkpoint, checkpointVersion, movedAt });
    return 0;
  },
};

/** Sets checkpoints. */
export const checkpointSet: ApiCommand = {
  name: "checkpoint set",
  operands: ["FLOW", "[JSON]"],
  summary: "Set where the next run of a flow resumes. Not while a run of it is active.",
  details:
    'JSON is what the flow\'s export understands; compare "poundlock checkpoint get". With --from-start instead everything is read again, which is asked about first.',
  options: {
    ...importOption,
    "from-start": { help: "Forget the checkpoint: everything is read again." },
    ...yesOption,
  },
  changes: true,
  async run(call) {
    const { api, operands, output, values } = call;
    const [_id = "", text] = operands;
    const isReset = values.has("from-start");
    if ((text === undefined) !== isReset) throw new UsageError("Give either the checkpoint as JSON, or --from-start");
    const value = text === undefined ? undefined : jsonIn("A checkpoint", text);
    const before = await deliveriesOf(call);
    const imports = before.map(({ _importId }) => _importId).join(", ");
    if (isReset && !(await confirmed(call, `Read everything of flow ${_id} again, for ${imports}?`))) return 1;
    await api.send("PUT", pathTo("flows", _id, "/checkpoint"), { value, _importId: values.text("import") });
    if (output.json) output.document({ _flowId: _id, _importIds: before.map(({ _importId }) => _importId), value });
    else output.line(isReset ? `The next run reads from the start, for ${imports}.` : `Set for ${imports}.`);
    return 0;
  },
};

const columns = [
  { title: "import", value: ({ _importId }: Delivery) => _importId },
  {
    title: "checkpoint",
    value: ({ checkpoint }: Delivery) => (checkpoint === undefined ? "from the start" : JSON.stringify(checkpoint)),
    least: 14,
  },
  { title: "version", value: ({ checkpointVersion }: Delivery) => checkpointVersion, optional: true },
  { title: "moved (UTC)", value: ({ movedAt }: Delivery) => timeOf(movedAt), optional: true },
] as const;

/** Of the flow that is named, at the imports that are. @throws CommandError if there is no such import. */
async function deliveriesOf({ api, operands, values }: ApiCall): Promise<readonly Delivery[]> {
  const [_id = ""] = operands;
  const all = await withSuggestion(api, "flow", _id, allDeliveries(api, _id));
  const wanted = values.text("import");
  if (wanted === undefined) return all;
  const found = all.filter(({ _importId }) => _importId === wanted);
  const names = all.map(({ _importId }) => _importId).join(", ");
  if (found.length === 0)
    throw new CommandError(`Flow ${_id} has no import ${JSON.stringify(wanted)}; its imports are ${names}`);
  return found;
}

function allDeliveries(api: Api, _flowId: string): Promise<readonly Delivery[]> {
  return api.get<readonly Delivery[]>(pathTo("flows", _flowId, "/deliveries"), { limit: 1_000 });
}
