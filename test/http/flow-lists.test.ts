import { describe, expect, test } from "vitest";
import type { Flow } from "../../src/index.ts";
import { type ApiResponse, type ApiSetting, createApi, errorCodes, flowInput } from "./harness.ts";

describe("a list of flows", () => {
  async function several(count: number, setting: ApiSetting = {}) {
    const api = createApi(setting);
    const flows: Flow[] = [];
    for (let index = 0; index < count; index++)
      flows.push(
        await api.host.registry.create({
          ...flowInput,
          name: `flow ${index}`,
          ...(index % 2 === 0 ? { _integrationId: "acme", _connectorId: "shop" } : { _exportId: "refunds" }),
          ...(index % 3 === 0 ? { _importIds: ["ledger", "mailer"] } : {}),
          disabled: index % 5 === 0,
        }),
      );
    return { api, flows };
  }
  const names = (json: unknown) => (json as Flow[]).map(({ name }) => name);

  test.each<[string, (flow: Flow) => boolean]>([
    ["_integrationId=acme", ({ _integrationId }) => _integrationId === "acme"],
    ["_connectorId=shop", ({ _connectorId }) => _connectorId === "shop"],
    ["_exportId=refunds", ({ _exportId }) => _exportId === "refunds"],
    ["_importId=mailer", ({ _importIds }) => _importIds?.includes("mailer") === true],
    ["disabled=true", ({ disabled }) => disabled],
    ["disabled=false", ({ disabled }) => !disabled],
    ["disabled=false&_integrationId=acme", ({ disabled, _integrationId }) => !disabled && _integrationId === "acme"],
    ["_integrationId=", () => false],
    ["", () => true],
  ])("by ?%s contains those and no others", async (query, holds) => {
    const { api, flows } = await several(10);

    const { status, json } = await api.send("GET", `/flows?${query}`);

    expect({ status, json }).toEqual({ status: 200, json: flows.filter(holds) });
  });

  test("of an integration contains its flows", async () => {
    const { api, flows } = await several(6);

    expect((await api.send("GET", "/integrations/acme/flows")).json).toEqual(
      flows.filter((flow) => flow._integrationId),
    );
    expect((await api.send("GET", "/integrations/none/flows")).json).toEqual([]);
    expect((await api.send("GET", "/integrations/acme/flows?disabled=true")).json).toEqual(flows.slice(0, 1));
    expect((await api.send("GET", "/integrations/acme/flows?_integrationId=acme")).status).toBe(400);
  });

  test.each(["", "/api", "/v1/flows"])(
    "goes on where Link says, until it has none, under the base path %j",
    async (basePath) => {
      const { api, flows } = await several(9, { http: { basePath } });
      const seen: string[][] = [];

      let path: string | undefined = "/flows?limit=2&_connectorId=shop";
      while (path !== undefined && seen.length < 4) {
        const { json, next }: ApiResponse = await api.send("GET", path);
        seen.push(names(json));
        path = next;
      }

      const shops = flows.filter(({ _connectorId }) => _connectorId === "shop").map(({ name }) => name);
      expect(seen).toEqual([shops.slice(0, 2), shops.slice(2, 4), shops.slice(4)]);
    },
  );

  test("shows the fields that are included, or all but those that are excluded", async () => {
    const { api, flows } = await several(2);

    const included = await api.send("GET", "/flows?include=name,_importIds&include=schedule");
    const excluded = await api.send("GET", "/flows?exclude=createdAt,lastModified,nextRunAt,_id");

    const repeated = await api.send("GET", "/flows?include=name&include=_importIds,schedule");

    expect(repeated.json).toEqual(included.json);
    expect(included.json).toEqual(
      flows.map(({ name, _importIds, schedule }) => ({ name, schedule, ...(_importIds && { _importIds }) })),
    );
    expect((excluded.json as object[]).map((flow) => Object.keys(flow).sort())).toEqual(
      flows.map((flow) =>
        Object.keys(flow)
          .filter((name) => !["createdAt", "lastModified", "nextRunAt", "_id"].includes(name))
          .sort(),
      ),
    );
  });

  test.each([
    ["limit=0", ["limit"]],
    ["limit=1001", ["limit"]],
    ["limit=1.5", ["limit"]],
    ["limit=", ["limit"]],
    ["limit=1e2", ["limit"]],
    ["disabled=yes", ["disabled"]],
    ["name=x", ["name"]],
    ["limit=1&limit=2", ["limit"]],
    ["include=nmae", ["include"]],
    ["include=", ["include"]],
    ["include=name&exclude=_id", ["exclude"]],
    ["include=name,,_id", ["include"]],
    ["include=.name", ["include"]],
    ["=x", [""]],
    ["status=open&limit=x&__proto__=1", ["status", "__proto__", "limit"]],
    ["limit=0&limit=1&name=x&disabled=maybe", ["limit", "name", "disabled"]],
  ])("refuses ?%s and names %j", async (query, fields) => {
    const { status, json } = await createApi().send("GET", `/flows?${query}`);

    expect([status, errorCodes(json)]).toEqual([400, fields.map((field) => `invalid_request ${field}`)]);
  });

  test("that refuses a parameter shows what was given, as it was given", async () => {
    const { text } = await createApi().send("GET", "/flows?include=nmae,_id&limit=1e2&=x");

    for (const found of ['\\"nmae,_id\\"', '\\"1e2\\"', "The query: expected one of"]) expect(text).toContain(found);
  });

  test("goes on after an id that is none's any more", async () => {
    const { api, flows } = await several(4);
    await api.host.registry.delete(flows[1]?._id ?? "");

    expect(names((await api.send("GET", `/flows?after=${flows[1]?._id ?? ""}`)).json)).toEqual(["flow 2", "flow 3"]);
  });
});
