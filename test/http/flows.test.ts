import { describe, expect, test } from "vitest";
import type { Flow } from "../../src/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { minute, upTo } from "../stage.ts";
import { arrayExport } from "../../src/testing/index.ts";
import { Door, type DoorSetting } from "./door.ts";

const input = { name: "Orders", schedule: "0 * * * *", _exportId: "orders", _importId: "ledger" };

function opened(setting: DoorSetting = {}): Door {
  return new Door({
    exports: { orders: arrayExport(upTo(3)), refunds: arrayExport([]) },
    imports: { ledger: collectingImport(), mailer: collectingImport() },
    ...setting,
  });
}

async function withFlow(setting: DoorSetting = {}) {
  const door = opened(setting);
  const answered = await door.ask("POST", "/flows", { body: input });
  const flow = answered.json as Flow;
  return { door, flow, path: `/flows/${flow._id}`, etag: answered.headers.get("etag") ?? "" };
}

const codes = (json: unknown) =>
  (json as { errors: { code: string; field?: string }[] }).errors.map(({ code, field }) =>
    field === undefined ? code : `${code} ${field}`,
  );

describe("the endpoints of the contract", () => {
  test("GET /flows answers 200 and an empty array when there are none", async () => {
    expect(await opened().ask("GET", "/flows")).toMatchObject({ status: 200, json: [] });
  });

  test("POST /flows answers 201, the flow and its Location", async () => {
    const door = opened();

    const { status, json, headers } = await door.ask("POST", "/flows", { body: input });

    const { items } = await door.stage.registry.list();
    expect({ status, json: [json] }).toEqual({ status: 201, json: items });
    expect(json).toMatchObject({ ...input, disabled: false, lastModified: expect.any(String) as string });
    expect(headers.get("location")).toBe(`/flows/${items[0]?._id ?? ""}`);
  });

  test("GET /flows/{_id} answers 200 and the flow", async () => {
    const { door, flow, path } = await withFlow();

    expect(await door.ask("GET", path)).toMatchObject({ status: 200, json: flow });
  });

  test("PUT /flows/{_id} answers 200 and the flow; what is left out is taken away", async () => {
    const { door, flow, path } = await withFlow();
    const { schedule, ...rest } = input;

    const { status, json } = await door.ask("PUT", path, { body: { ...rest, name: "Renamed" } });

    expect(status).toBe(200);
    expect(json).toEqual(await door.stage.registry.get(flow._id));
    expect(json).toMatchObject({ name: "Renamed" });
    expect(json).not.toHaveProperty("schedule");
    expect(schedule).toBe(flow.schedule);
  });

  test("PUT takes a whole document back, its read-only fields ignored", async () => {
    const { door, flow, path } = await withFlow();
    const echoed = { ...flow, _id: "another", lastModified: "2001-01-01T00:00:00.000Z", createdAt: 1, name: "Renamed" };

    const { status, json } = await door.ask("PUT", path, { body: echoed });

    expect(status).toBe(200);
    expect(json).toMatchObject({ _id: flow._id, createdAt: flow.createdAt, name: "Renamed" });
  });

  test("DELETE /flows/{_id} answers 204 without a body, and 404 from then on", async () => {
    const { door, path } = await withFlow();

    expect(await door.ask("DELETE", path)).toMatchObject({ status: 204, text: "" });

    for (const method of ["GET", "DELETE", "HEAD"]) expect((await door.ask(method, path)).status).toBe(404);
    expect((await door.ask("PUT", path, { body: input })).status).toBe(404);
  });

  test("HEAD answers the headers of GET without a body", async () => {
    const { door, path, etag } = await withFlow();

    const { status, text, headers } = await door.ask("HEAD", path);

    expect({ status, text, etag: headers.get("etag") }).toEqual({ status: 200, text: "", etag });
  });

  test.each([
    ["/flows", "GET, POST, HEAD, OPTIONS"],
    ["/flows/any", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"],
    ["/flows/any/run", "POST, OPTIONS"],
  ])("OPTIONS %s answers 204, and another method 405, both with Allow: %s", async (path, allow) => {
    const door = opened();

    const options = await door.ask("OPTIONS", path);
    const other = await door.ask("PROPFIND", path);

    expect([options.status, options.headers.get("allow"), options.text]).toEqual([204, allow, ""]);
    expect([other.status, other.headers.get("allow")]).toEqual([405, allow]);
  });

  test.each(["/", "/flow", "/flows/", "/flows/a/b", "/flows/a/run/", "//flows"])("%s is not found", async (path) => {
    expect(await opened().ask("GET", path)).toMatchObject({ status: 404 });
  });

  test("an id that a host chose is found by its text in percent escapes, and Location has it so", async () => {
    const door = opened();
    const ids = ["a/b", "ü %25?#", "%", "a b", "..%2f", "🎈"];
    for (const _id of ids) await door.stage.registry.define(_id, input);

    for (const _id of ids) {
      expect(await door.ask("GET", `/flows/${encodeURIComponent(_id)}`)).toMatchObject({ status: 200, json: { _id } });
    }
    const { headers } = await door.ask("POST", `/flows/${encodeURIComponent("a/b")}/run`);
    expect(headers.get("location")).toMatch(/^\/runs\/[^/]+$/);
  });

  test.each(["%", "%zz", "%E0%A4%A", "%ff", "%00", "x%"])("a path with %s for an id leads to nothing", async (_id) => {
    const door = opened();

    for (const path of [`/flows/${_id}`, `/flows/${_id}/dependencies`, `/flows/${_id}/failures`, `/runs/${_id}`])
      expect((await door.ask("GET", path)).status, path).toBe(404);
    expect((await door.ask("POST", `/flows/${_id}/run`)).status).toBe(404);
    expect((await door.ask("POST", `/exports/${_id}/records`, { body: {} })).status).toBe(404);
    expect((await door.ask("GET", `/integrations/${_id}/flows`)).json).toEqual([]);
  });

  test("every problem of a flow is told at once, and nothing is stored", async () => {
    const door = opened();
    const wrong = {
      name: " ",
      schedule: "often",
      _exportId: "gone",
      _importIds: ["ledger", "gone"],
      extra: 1,
      disabled: 0,
    };

    const { status, json } = await door.ask("POST", "/flows", { body: wrong });

    expect(status).toBe(422);
    expect(codes(json).sort()).toEqual(
      [
        ...["unknown_field extra", "invalid_field name", "invalid_field disabled", "invalid_field schedule"],
        ...["invalid_ref _exportId", "invalid_ref _importIds.1"],
      ].sort(),
    );
    expect((await door.ask("GET", "/flows")).json).toEqual([]);
  });

  test.each([["[]"], ["null"], ['"flow"'], ["12"]])("a body of %s is no flow", async (body) => {
    expect((await opened().ask("POST", "/flows", { body })).status).toBe(422);
  });
});

describe("PATCH", () => {
  test("with a JSON Patch of replacements answers 204, and only what it names has changed", async () => {
    const { door, flow, path } = await withFlow();
    const body = [
      { op: "replace", path: "/name", value: "Renamed" },
      { op: "replace", path: "/disabled", value: true },
      { op: "replace", path: "/schedule", value: null },
    ];

    for (const type of ["application/json", "application/json-patch+json"]) {
      const { status, text } = await door.ask("PATCH", path, { body, headers: { "content-type": type } });
      expect({ status, text }).toEqual({ status: 204, text: "" });
    }

    const { schedule, nextRunAt, ...rest } = flow;
    expect([typeof schedule, typeof nextRunAt]).toEqual(["string", "string"]);
    const lastModified = expect.any(String) as string;
    expect(await door.stage.registry.get(flow._id)).toEqual({ ...rest, name: "Renamed", disabled: true, lastModified });
  });

  test("with a merge patch answers 200 and the flow; null takes a field away", async () => {
    const { door, flow, path } = await withFlow();

    for (const type of ["application/json", "application/merge-patch+json"]) {
      const body = { name: type, schedule: null, _importIds: ["mailer", "ledger"] };
      const { status, json } = await door.ask("PATCH", path, { body, headers: { "content-type": type } });
      expect(status).toBe(200);
      expect(json).toEqual(await door.stage.registry.get(flow._id));
      expect(json).toMatchObject({ name: type, _importId: "mailer", _importIds: ["mailer", "ledger"] });
      expect(json).not.toHaveProperty("schedule");
    }
  });

  test.each<[string, unknown, number, string[]]>([
    ["another operation", [{ op: "add", path: "/name", value: "x" }], 400, ["invalid_request 0.op"]],
    ["no operation", [{}], 400, ["invalid_request 0.op", "invalid_request 0.path", "invalid_request 0.value"]],
    ["a path that is no pointer", [{ op: "replace", path: "name", value: "x" }], 400, ["invalid_request 0.path"]],
    ["what is no object", ["name"], 400, ["invalid_request 0"]],
    ["a path without a value", [{ op: "replace", path: "/name" }], 400, ["invalid_request 0.value"]],
    ["read-only fields", [{ op: "replace", path: "/_id", value: "x" }], 422, ["invalid_field _id"]],
    ["unknown fields", [{ op: "replace", path: "/~1a~0", value: 1 }], 422, ["unknown_field /a~"]],
    ["places in a field", [{ op: "replace", path: "/_importIds/0", value: "x" }], 422, ["unknown_field _importIds/0"]],
    ["a wrong value", [{ op: "replace", path: "/name", value: "" }], 422, ["invalid_field name"]],
    [
      "a wrong value in a merge patch",
      { name: "", _exportId: "gone" },
      422,
      ["invalid_field name", "invalid_ref _exportId"],
    ],
    ["an unknown field in a merge patch", { nmae: "x" }, 422, ["unknown_field nmae"]],
  ])("refuses %s, and changes nothing", async (_what, body, status, problems) => {
    const { door, flow, path } = await withFlow();

    const answered = await door.ask("PATCH", path, { body });

    expect([answered.status, codes(answered.json)]).toEqual([status, problems]);
    expect(await door.stage.registry.get(flow._id)).toEqual(flow);
  });

  test("of nothing changes nothing", async () => {
    const { door, flow, path } = await withFlow();

    expect((await door.ask("PATCH", path, { body: [] })).status).toBe(204);
    expect((await door.ask("PATCH", path, { body: {} })).json).toEqual(flow);
  });
});

describe("a clone", () => {
  test("is a flow of its own with the same fields, disabled, and called a copy", async () => {
    const { door, flow, path } = await withFlow();

    const { status, json, headers } = await door.ask("POST", `${path}/clone`);

    const clone = json as Flow;
    expect(status).toBe(201);
    expect(headers.get("location")).toBe(`/flows/${clone._id}`);
    expect(clone).toMatchObject({ ...input, name: "Copy of Orders", disabled: true });
    expect(clone._id).not.toBe(flow._id);
    expect((await door.ask("GET", "/flows")).json).toEqual([flow, clone]);
  });

  test("has the name, the integration and the state that it is given", async () => {
    const { door, path } = await withFlow();
    const body = { name: "Second", _integrationId: "acme", disabled: false };

    expect(await door.ask("POST", `${path}/clone`, { body })).toMatchObject({ status: 201, json: body });
    expect(codes((await door.ask("POST", `${path}/clone`, { body: { nmae: "x", disabled: 1 } })).json).sort()).toEqual([
      "invalid_request disabled",
      "invalid_request nmae",
    ]);
  });

  test("of a flow with the longest name has a name that holds", async () => {
    const { door, path } = await withFlow();
    await door.ask("PATCH", path, { body: { name: `${"x".repeat(246)}🎈${"y".repeat(7)}` } });

    const { status, json } = await door.ask("POST", `${path}/clone`);

    expect([status, (json as Flow).name]).toEqual([201, `Copy of ${"x".repeat(246)}`]);
  });
});

describe("dependencies", () => {
  test("name what a flow uses, and what goes with it", async () => {
    const { door, flow, path } = await withFlow();
    const before = await door.ask("GET", `${path}/dependencies`);
    const run = await door.stage.scheduler.run(flow._id);

    const after = await door.ask("GET", `${path}/dependencies`);

    const uses = { exports: [{ _id: "orders", registered: true }], imports: [{ _id: "ledger", registered: true }] };
    expect(before.json).toEqual({ uses, usedBy: { runs: [], failures: [] } });
    expect(after.json).toEqual({ uses, usedBy: { runs: [run._id], failures: [] } });
  });
});

describe("a list of flows", () => {
  async function several(count: number, setting: DoorSetting = {}) {
    const door = opened(setting);
    const flows: Flow[] = [];
    for (let index = 0; index < count; index++)
      flows.push(
        await door.stage.registry.create({
          ...input,
          name: `flow ${index}`,
          ...(index % 2 === 0 ? { _integrationId: "acme", _connectorId: "shop" } : { _exportId: "refunds" }),
          ...(index % 3 === 0 ? { _importIds: ["ledger", "mailer"] } : {}),
          disabled: index % 5 === 0,
        }),
      );
    return { door, flows };
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
  ])("by ?%s holds those and no others", async (query, holds) => {
    const { door, flows } = await several(10);

    const { status, json } = await door.ask("GET", `/flows?${query}`);

    expect({ status, json }).toEqual({ status: 200, json: flows.filter(holds) });
  });

  test("of an integration holds its flows", async () => {
    const { door, flows } = await several(6);

    expect((await door.ask("GET", "/integrations/acme/flows")).json).toEqual(
      flows.filter((flow) => flow._integrationId),
    );
    expect((await door.ask("GET", "/integrations/none/flows")).json).toEqual([]);
    expect((await door.ask("GET", "/integrations/acme/flows?disabled=true")).json).toEqual(flows.slice(0, 1));
    expect((await door.ask("GET", "/integrations/acme/flows?_integrationId=acme")).status).toBe(400);
  });

  test.each(["", "/api", "/v1/flows"])(
    "goes on where Link says, until it has none, under the base path %j",
    async (basePath) => {
      const { door, flows } = await several(7, { door: { basePath } });
      const seen: string[][] = [];

      let path: string | undefined = "/flows?limit=3&_connectorId=shop";
      while (path !== undefined) {
        const { json, headers } = await door.ask("GET", path);
        seen.push(names(json));
        const next: string | undefined = /^<([^>]+)>; rel="next"$/.exec(headers.get("link") ?? "")?.[1];
        expect(next ?? basePath).toMatch(new RegExp(`^${basePath}`));
        path = next?.slice(basePath.length);
      }

      const shops = flows.filter(({ _connectorId }) => _connectorId === "shop").map(({ name }) => name);
      expect(seen).toEqual([shops.slice(0, 3), shops.slice(3)]);
    },
  );

  test("shows the fields that are included, or all but those that are excluded", async () => {
    const { door, flows } = await several(2);

    const included = await door.ask("GET", "/flows?include=name,_importIds&include=schedule");
    const excluded = await door.ask("GET", "/flows?exclude=createdAt,lastModified,nextRunAt,_id");

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
    const { status, json } = await opened().ask("GET", `/flows?${query}`);

    expect([status, codes(json)]).toEqual([400, fields.map((field) => `invalid_request ${field}`)]);
  });

  test("that refuses a parameter shows what was given, as it was given", async () => {
    const { text } = await opened().ask("GET", "/flows?include=nmae,_id&limit=1e2&=x");

    for (const found of ['\\"nmae,_id\\"', '\\"1e2\\"', "The query: expected one of"]) expect(text).toContain(found);
  });

  test("goes on after an id that is none's any more", async () => {
    const { door, flows } = await several(4);
    await door.stage.registry.delete(flows[1]?._id ?? "");

    expect(names((await door.ask("GET", `/flows?after=${flows[1]?._id ?? ""}`)).json)).toEqual(["flow 2", "flow 3"]);
  });
});

describe("writing what others write, too", () => {
  test("with the ETag of what was read changes it; with an older one answers 412 and changes nothing", async () => {
    const { door, flow, path, etag } = await withFlow();
    const first = await door.ask("PUT", path, { body: { ...input, name: "first" }, headers: { "if-match": etag } });

    const writes: [string, unknown][] = [
      ["PUT", input],
      ["PATCH", { name: "second" }],
      ["DELETE", undefined],
    ];
    for (const [method, body] of writes) {
      const answered = await door.ask(method, path, { body, headers: { "if-match": etag } });
      expect([answered.status, codes(answered.json)]).toEqual([412, ["conflict if-match"]]);
    }

    expect(await door.stage.registry.get(flow._id)).toEqual(first.json);
    const tag = first.headers.get("etag") ?? "";
    expect((await door.ask("DELETE", path, { headers: { "if-match": `"other", W/${tag}` } })).status).toBe(204);
  });

  test("of two writers with the same ETag one gets 412", async () => {
    const { door, path, etag } = await withFlow();
    const write = (name: string) => door.ask("PATCH", path, { body: { name }, headers: { "if-match": etag } });

    const both = await Promise.all([write("one"), write("other")]);

    expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
  });

  test("a run that starts in between is no reason for 412, but for an answer that is new", async () => {
    const { door, flow, path, etag } = await withFlow();
    await door.stage.scheduler.start();
    await door.stage.clock.advance(minute);
    await door.stage.run(flow._id);

    const known = await door.ask("GET", path, { headers: { "if-none-match": etag } });
    const written = await door.ask("PATCH", path, { body: { name: "new" }, headers: { "if-match": etag } });

    expect([known.status, written.status]).toEqual([200, 200]);
  });

  test.each(["", "x", "W/", '"', '""', '"other"', "2030", '"*"'])(
    "If-Match: %s, which is no tag of the flow, answers 412",
    async (tag) => {
      const { door, flow, path } = await withFlow();

      expect((await door.ask("PATCH", path, { body: { name: "new" }, headers: { "if-match": tag } })).status).toBe(412);
      expect(await door.stage.registry.get(flow._id)).toEqual(flow);
    },
  );

  test("If-Match: * needs a flow, and nothing more", async () => {
    const { door, path } = await withFlow();
    const headers = { "if-match": "*" };

    expect((await door.ask("PATCH", path, { body: { name: "new" }, headers })).status).toBe(200);
    expect((await door.ask("DELETE", "/flows/gone", { headers })).status).toBe(404);
  });

  test("If-None-Match answers 304 without a body as long as nothing has changed", async () => {
    const { door, path, etag } = await withFlow();

    for (const tags of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const { status, text, headers } = await door.ask("GET", path, { headers: { "if-none-match": tags } });
      expect([status, text, headers.get("etag")]).toEqual([304, "", etag]);
    }
    await door.ask("PATCH", path, { body: { name: "new" } });
    expect((await door.ask("GET", path, { headers: { "if-none-match": etag } })).status).toBe(200);
  });

  test("an answer with a flow has the ETag of that flow", async () => {
    const { door, path } = await withFlow();

    const put = await door.ask("PUT", path, { body: { ...input, name: "put" } });
    expect(put.headers.get("etag")).toBe((await door.ask("GET", path)).headers.get("etag"));
    const patched = await door.ask("PATCH", path, { body: [{ op: "replace", path: "/name", value: "patched" }] });
    expect(patched.headers.get("etag")).toBe((await door.ask("GET", path)).headers.get("etag"));
  });
});

describe("under a base path", () => {
  test("only what is below it is answered, and Location begins with it", async () => {
    const { door, path } = await withFlow({ door: { basePath: "/api/v1" } });

    expect((await door.ask("GET", path)).status).toBe(200);
    expect((await door.ask("POST", "/flows", { body: input })).headers.get("location")).toMatch(/^\/api\/v1\/flows\//);
    expect((await door.handler(new Request(`http://door.test${path}`))).status).toBe(404);
    expect((await door.handler(new Request("http://door.test/api/v10/flows"))).status).toBe(404);
  });
});
