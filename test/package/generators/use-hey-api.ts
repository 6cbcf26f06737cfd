import { createFlow, deleteFlow, getFlow, listFailures, listFlows, runFlow } from "./hey-api";
import { client } from "./hey-api/client.gen";
import { baseUrl, token, use } from "./use";

client.setConfig({ baseUrl, auth: () => token });
const throwOnError = true;

await use({
  create: async (body) => (await createFlow({ body, throwOnError })).data,
  run: async (_id) => (await runFlow({ path: { _id }, headers: { prefer: "wait=20" }, throwOnError })).data,
  flows: async () => (await listFlows({ query: { disabled: false, limit: 10 }, throwOnError })).data,
  failures: async (_id) => (await listFailures({ path: { _id }, query: { status: "open" }, throwOnError })).data,
  missing: async (_id) => {
    const { error, response } = await getFlow({ path: { _id } });
    return [response?.status ?? 0, error?.errors[0]?.code];
  },
  remove: (_id) => deleteFlow({ path: { _id }, throwOnError }),
});
