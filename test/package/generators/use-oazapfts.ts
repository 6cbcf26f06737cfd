import { ok } from "@oazapfts/runtime";
import { createFlow, defaults, deleteFlow, getFlow, listFailures, listFlows, runFlow } from "./oazapfts";
import { baseUrl, headers, use } from "./use";

Object.assign(defaults, { baseUrl, headers });

await use({
  create: (flow) => ok(createFlow(flow)),
  run: (_id) => ok(runFlow(_id, {}, { prefer: "wait=20" })),
  flows: () => ok(listFlows({ disabled: false, limit: 10 })),
  failures: (_id) => ok(listFailures(_id, { status: "open" })),
  missing: async (_id) => {
    const response = await getFlow(_id);
    return [response.status, response.status === 404 ? response.data.errors[0]?.code : undefined];
  },
  remove: (_id) => ok(deleteFlow(_id)),
});
