import { createFlow, deleteFlow, getFlow, listFailures, listFlows, runFlow } from "./orval/api";
import { headers, use } from "./use";

function expected<Status extends number, R extends { status: number }>(status: Status, response: R) {
  if (response.status !== status) throw new Error(JSON.stringify(response));
  return response as Extract<R, { status: Status }>;
}

await use({
  create: async (flow) => expected(201, await createFlow(flow, { headers })).data,
  run: async (_id) => expected(201, await runFlow(_id, {}, { headers: { ...headers, prefer: "wait=20" } })).data,
  flows: async () => expected(200, await listFlows({ disabled: false, limit: 10 }, { headers })).data,
  failures: async (_id) => expected(200, await listFailures(_id, { status: "open" }, { headers })).data,
  missing: async (_id) => {
    const { status, data } = expected(404, await getFlow(_id, { headers }));
    return [status, data.errors[0]?.code];
  },
  remove: async (_id) => expected(204, await deleteFlow(_id, { headers })),
});
