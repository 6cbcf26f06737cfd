import { describe, expect, test } from "vitest";
import { allowAll, createHandler } from "../../src/http/index.ts";
import { type Flow, FlowRegistry, Scheduler } from "../../src/index.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { upTo } from "../support/harness.ts";
import { errorCodes, flowInput, createApi, createApiWithFlow } from "./harness.ts";

describe("the endpoints of the contract", () => {
  test("GET /flows returns 200 and an empty array when there are none", async () => {
    expect(await createApi().send("GET", "/flows")).toMatchObject({ status: 200, json: [] });
  });

  test("POST /flows returns 201, the flow and its Location", async () => {
    const api = createApi();

    const { status, json, location } = await api.send("POST", "/flows", { body: flowInput });

    const { items } = await api.host.registry.list();
    expect({ status, json: [json] }).toEqual({ status: 201, json: items });
    expect(json).toMatchObject({ ...flowInput, disabled: false, lastModified: expect.any(String) as string });
    expect(location).toBe(`/flows/${items[0]?._id ?? ""}`);
  });

  test("GET /flows/{_id} returns 200 and the flow", async () => {
    const { api, flow, path } = await createApiWithFlow();

    expect(await api.send("GET", path)).toMatchObject({ status: 200, json: flow });
  });

  test("PUT /flows/{_id} returns 200 and the flow; fields that are left out are removed", async () => {
    const { api, flow, path } = await createApiWithFlow();
    const { schedule, ...rest } = flowInput;

    const { status, json } = await api.send("PUT", path, { body: { ...rest, name: "Renamed" } });

    expect(status).toBe(200);
    expect(json).toEqual(await api.host.registry.get(flow._id));
    expect(json).toMatchObject({ name: "Renamed" });
    expect(json).not.toHaveProperty("schedule");
    expect(schedule).toBe(flow.schedule);
  });

  test("PUT takes a whole document back, its read-only fields ignored", async () => {
    const { api, flow, path } = await createApiWithFlow();
    const echoed = { ...flow, _id: "another", lastModified: "2001-01-01T00:00:00.000Z", createdAt: 1, name: "Renamed" };

    const { status, json } = await api.send("PUT", path, { body: echoed });

    expect(status).toBe(200);
    expect(json).toMatchObject({ _id: flow._id, createdAt: flow.createdAt, name: "Renamed" });
  });

  test("PATCH by a merge patch merges settings, and by a JSON Patch replaces them", async () => {
    const { api, path } = await createApiWithFlow();
    const settingsAfter = async (body: unknown) => {
      await api.send("PATCH", path, { body });
      return ((await api.send("GET", path)).json as Flow).settings;
    };

    expect(await settingsAfter({ settings: { table: "a", filter: { paid: true, open: true } } })).toEqual({
      table: "a",
      filter: { paid: true, open: true },
    });
    expect(await settingsAfter({ settings: { filter: { open: null } } })).toEqual({
      table: "a",
      filter: { paid: true },
    });
    expect(await settingsAfter([{ op: "replace", path: "/settings", value: { table: "b" } }])).toEqual({ table: "b" });
    expect(await settingsAfter({ settings: null })).toBeUndefined();
  });

  test("DELETE /flows/{_id} returns 204 without a body, and 404 from then on", async () => {
    const { api, path } = await createApiWithFlow();

    expect(await api.send("DELETE", path)).toMatchObject({ status: 204, text: "" });

    for (const method of ["GET", "DELETE", "HEAD"]) expect((await api.send(method, path)).status).toBe(404);
    expect((await api.send("PUT", path, { body: flowInput })).status).toBe(404);
  });

  test("HEAD returns the headers of GET without a body", async () => {
    const { api, path, etag } = await createApiWithFlow();

    const { status, text, headers } = await api.send("HEAD", path);

    expect({ status, text, etag: headers.get("etag") }).toEqual({ status: 200, text: "", etag });
  });

  test.each([
    ["/flows", "GET, POST, HEAD, OPTIONS"],
    ["/flows/any", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"],
    ["/flows/any/run", "POST, OPTIONS"],
  ])("OPTIONS %s returns 204, and another method 405, both with Allow: %s", async (path, allow) => {
    const api = createApi();

    const options = await api.send("OPTIONS", path);
    const other = await api.send("PROPFIND", path);

    expect([options.status, options.headers.get("allow"), options.text]).toEqual([204, allow, ""]);
    expect([other.status, other.headers.get("allow")]).toEqual([405, allow]);
  });

  test.each(["/", "/flow", "/flows/a/b", "/flows/a/runs/", "//flows", "/flows//", "/flows/a//run"])(
    "%s is not found",
    async (path) => {
      expect(await createApi().send("GET", path)).toMatchObject({ status: 404 });
    },
  );

  test("an id that a host chose is found in percent-encoded form", async () => {
    const api = createApi();
    const ids = ["ü %25?#", "%", "a b", "..%2f", "🎈", "a:b;c,d"];
    for (const _id of ids) await api.host.registry.define(_id, flowInput);

    for (const _id of ids) {
      expect(await api.send("GET", `/flows/${encodeURIComponent(_id)}`)).toMatchObject({ status: 200, json: { _id } });
    }
  });

  test("Location leads to what was made, whatever ids the host makes", async () => {
    let made = 0;
    const ends = { exports: { orders: arrayExport(upTo(3)) }, imports: { ledger: collectingImport() } };
    const registry = new FlowRegistry({ ...ends, newId: () => `a:ü %25?#${++made}` });
    const handler = createHandler({ scheduler: new Scheduler(registry), authorize: allowAll() });
    const ask = (method: string, path: string, body?: object) =>
      handler(
        new Request(`http://api.test${path}`, {
          method,
          headers: { "content-type": "application/json" },
          ...(body && { body: JSON.stringify(body) }),
        }),
      );

    const flow = await ask("POST", "/flows", flowInput);
    const flowPath = `/${flow.headers.get("location") ?? ""}`;
    const run = await ask("POST", `${flowPath}/run`);

    expect(await (await ask("GET", flowPath)).json()).toEqual(await flow.json());
    const { pathname } = new URL(run.headers.get("location") ?? "", `http://api.test${flowPath}/run`);
    expect(await (await ask("GET", pathname)).json()).toEqual(await run.json());
  });

  test.each(["%", "%zz", "%E0%A4%A", "%ff", "%00", "x%"])("a path with %s for an id leads to nothing", async (_id) => {
    const api = createApi();

    for (const path of [`/flows/${_id}`, `/flows/${_id}/dependencies`, `/flows/${_id}/failures`, `/runs/${_id}`])
      expect((await api.send("GET", path)).status, path).toBe(404);
    expect((await api.send("POST", `/flows/${_id}/run`)).status).toBe(404);
    expect((await api.send("POST", `/exports/${_id}/records`, { body: {} })).status).toBe(404);
    const listed = await api.send("GET", `/integrations/${_id}/flows`);
    expect(listed.status === 404 || (listed.json as object[]).length === 0).toBe(true);
  });

  test("every problem of a flow is reported at once, and nothing is stored", async () => {
    const api = createApi();
    const wrong = {
      name: " ",
      schedule: "often",
      _exportId: "gone",
      _importIds: ["ledger", "gone"],
      extra: 1,
      disabled: 0,
    };

    const { status, json } = await api.send("POST", "/flows", { body: wrong });

    expect(status).toBe(422);
    expect(errorCodes(json).sort()).toEqual(
      [
        ...["unknown_field extra", "invalid_field name", "invalid_field disabled", "invalid_field schedule"],
        ...["invalid_ref _exportId", "invalid_ref _importIds.1"],
      ].sort(),
    );
    expect((await api.send("GET", "/flows")).json).toEqual([]);
  });

  test.each([["[]"], ["null"], ['"flow"'], ["12"]])("a body of %s is no flow", async (body) => {
    expect((await createApi().send("POST", "/flows", { body })).status).toBe(422);
  });
});

describe("PATCH", () => {
  test("with a JSON Patch of replacements returns 204, and only the named fields have changed", async () => {
    const { api, flow, path } = await createApiWithFlow();
    const body = [
      { op: "replace", path: "/name", value: "Renamed" },
      { op: "replace", path: "/disabled", value: true },
      { op: "replace", path: "/schedule", value: null },
    ];

    for (const type of ["application/json", "application/json-patch+json"]) {
      const { status, text } = await api.send("PATCH", path, { body, headers: { "content-type": type } });
      expect({ status, text }).toEqual({ status: 204, text: "" });
    }

    const { schedule, nextRunAt, ...rest } = flow;
    expect([typeof schedule, typeof nextRunAt]).toEqual(["string", "string"]);
    const lastModified = expect.any(String) as string;
    expect(await api.host.registry.get(flow._id)).toEqual({ ...rest, name: "Renamed", disabled: true, lastModified });
  });

  test("with a merge patch returns 200 and the flow; null removes a field", async () => {
    const { api, flow, path } = await createApiWithFlow();

    for (const type of ["application/json", "application/merge-patch+json"]) {
      const body = { name: type, schedule: null, _importIds: ["mailer", "ledger"] };
      const { status, json } = await api.send("PATCH", path, { body, headers: { "content-type": type } });
      expect(status).toBe(200);
      expect(json).toEqual(await api.host.registry.get(flow._id));
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
    const { api, flow, path } = await createApiWithFlow();

    const received = await api.send("PATCH", path, { body });

    expect([received.status, errorCodes(received.json)]).toEqual([status, problems]);
    expect(await api.host.registry.get(flow._id)).toEqual(flow);
  });

  test("of nothing changes nothing", async () => {
    const { api, flow, path } = await createApiWithFlow();

    expect((await api.send("PATCH", path, { body: [] })).status).toBe(204);
    expect((await api.send("PATCH", path, { body: {} })).json).toEqual(flow);
  });
});

describe("a clone", () => {
  test("is a flow of its own with the same fields, disabled, and called a copy", async () => {
    const { api, flow, path } = await createApiWithFlow();

    const { status, json, location } = await api.send("POST", `${path}/clone`);

    const clone = json as Flow;
    expect(status).toBe(201);
    expect(location).toBe(`/flows/${clone._id}`);
    expect(clone).toMatchObject({ ...flowInput, name: "Copy of Orders", disabled: true });
    expect(clone._id).not.toBe(flow._id);
    expect((await api.send("GET", "/flows")).json).toEqual([flow, clone]);
  });

  test("has the name, the integration and the state that it is given", async () => {
    const { api, path } = await createApiWithFlow();
    const body = { name: "Second", _integrationId: "acme", disabled: false };

    expect(await api.send("POST", `${path}/clone`, { body })).toMatchObject({ status: 201, json: body });
    expect(
      errorCodes((await api.send("POST", `${path}/clone`, { body: { nmae: "x", disabled: 1 } })).json).sort(),
    ).toEqual(["invalid_request disabled", "invalid_request nmae"]);
  });

  test("of a flow with the longest name has a valid name", async () => {
    const { api, path } = await createApiWithFlow();
    await api.send("PATCH", path, { body: { name: `${"x".repeat(246)}🎈${"y".repeat(7)}` } });

    const { status, json } = await api.send("POST", `${path}/clone`);

    expect([status, (json as Flow).name]).toEqual([201, `Copy of ${"x".repeat(246)}`]);
  });
});

describe("dependencies", () => {
  test("name what a flow uses, and what goes with it", async () => {
    const { api, flow, path } = await createApiWithFlow();
    const before = await api.send("GET", `${path}/dependencies`);
    const run = await api.host.scheduler.run(flow._id);

    const after = await api.send("GET", `${path}/dependencies`);

    const uses = { exports: [{ _id: "orders", registered: true }], imports: [{ _id: "ledger", registered: true }] };
    expect(before.json).toEqual({ uses, usedBy: { runs: [], failures: [] } });
    expect(after.json).toEqual({ uses, usedBy: { runs: [run._id], failures: [] } });
  });
});

describe("under a base path", () => {
  test("only what is below it is served, and Location leads there", async () => {
    const { api, path } = await createApiWithFlow({ http: { basePath: "/api/v1" } });

    expect((await api.send("GET", path)).status).toBe(200);
    const created = await api.handler(api.request("POST", "/flows", { body: flowInput }));
    const location = new URL(created.headers.get("location") ?? "", "http://api.test/api/v1/flows");
    expect((await api.handler(new Request(location))).status).toBe(200);
    expect((await api.handler(new Request(`http://api.test${path}`))).status).toBe(404);
    expect((await api.handler(new Request("http://api.test/api/v10/flows"))).status).toBe(404);
  });
});
