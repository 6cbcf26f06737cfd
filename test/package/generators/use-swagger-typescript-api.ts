import { Api, type Errors, type HttpResponse } from "./swagger-typescript-api/api";
import { baseUrl, headers, token, use } from "./use";

const { flows } = new Api<string>({
  baseUrl,
  securityWorker: (given) => ({ headers: { authorization: `Bearer ${given ?? token}` } }),
  baseApiParams: { secure: true, format: "json", headers },
});

await use({
  create: async (flow) => (await flows.createFlow(flow)).data,
  run: async (_id) => (await flows.runFlow(_id, {}, { headers: { prefer: "wait=20" } })).data,
  flows: async () => (await flows.listFlows({ disabled: false, limit: 10 })).data,
  failures: async (_id) => (await flows.listFailures(_id, { status: "open" })).data,
  missing: async (_id) => {
    const { status, error } = (await flows.getFlow(_id).catch((failed: unknown) => failed)) as HttpResponse<
      unknown,
      Errors
    >;
    return [status, error.errors[0]?.code];
  },
  remove: (_id) => flows.deleteFlow(_id),
});
