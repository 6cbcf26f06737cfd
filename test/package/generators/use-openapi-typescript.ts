import createClient from "openapi-fetch";
import type { paths } from "./openapi-typescript/api";
import { baseUrl, headers, use } from "./use";

const client = createClient<paths>({ baseUrl, headers });
const pathOf = (_id: string) => ({ path: { _id } });

function expected<T>({ data, error }: { readonly data?: T; readonly error?: unknown }): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

await use({
  create: async (body) => expected(await client.POST("/flows", { body })),
  run: async (_id) => {
    const params = { ...pathOf(_id), header: { prefer: "wait=20" } };
    return expected(await client.POST("/flows/{_id}/run", { params }));
  },
  flows: async () => expected(await client.GET("/flows", { params: { query: { disabled: false, limit: 10 } } })),
  failures: async (_id) => {
    const params = { ...pathOf(_id), query: { status: "open" as const } };
    return expected(await client.GET("/flows/{_id}/failures", { params }));
  },
  missing: async (_id) => {
    const { error, response } = await client.GET("/flows/{_id}", { params: pathOf(_id) });
    return [response.status, error?.errors[0]?.code];
  },
  remove: (_id) => client.DELETE("/flows/{_id}", { params: pathOf(_id) }),
});
