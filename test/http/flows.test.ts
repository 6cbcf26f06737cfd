import { describe, expect, test } from "vitest";
import { allowAll, createHandler } from "../../src/http/index.ts";
import { type Flow, FlowRegistry, Scheduler } from "../../src/index.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { upTo } from "../support/harness.ts";
import { codes, input, opened, withFlow } from "./flow-door.ts";

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

  test("an id that a host chose is found by its text in percent escapes", async () => {
    const door = opened();
    const ids = ["a/b", "ü %25?#", "%", "a b", "..%2f", "🎈"];
    for (const _id of ids) await door.stage.registry.define(_id, input);

    for (const _id of ids) {
      expect(await door.ask("GET", `/flows/${encodeURIComponent(_id)}`)).toMatchObject({ status: 200, json: { _id } });
    }
  });

  test("Location leads to what was made, whatever ids the host makes", async () => {
    let made = 0;
    const ends = { exports: { orders: arrayExport(upTo(3)) }, imports: { ledger: collectingImport() } };
    const registry = new FlowRegistry({ ...ends, newId: () => `a/ü %25?#${++made}` });
    const handler = createHandler({ registry, scheduler: new Scheduler(registry), authorize: allowAll() });
    const ask = (method: string, path: string, body?: object) =>
      handler(
        new Request(`http://door.test${path}`, {
          method,
          headers: { "content-type": "application/json" },
          ...(body && { body: JSON.stringify(body) }),
        }),
      );

    const flow = await ask("POST", "/flows", input);
    const flowPath = flow.headers.get("location") ?? "";
    const run = await ask("POST", `${flowPath}/run`);

    expect(await (await ask("GET", flowPath)).json()).toEqual(await flow.json());
    expect(await (await ask("GET", run.headers.get("location") ?? "")).json()).toEqual(await run.json());
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

describe("under a base path", () => {
  test("only what is below it is answered, and Location begins with it", async () => {
    const { door, path } = await withFlow({ door: { basePath: "/api/v1" } });

    expect((await door.ask("GET", path)).status).toBe(200);
    expect((await door.ask("POST", "/flows", { body: input })).headers.get("location")).toMatch(/^\/api\/v1\/flows\//);
    expect((await door.handler(new Request(`http://door.test${path}`))).status).toBe(404);
    expect((await door.handler(new Request("http://door.test/api/v10/flows"))).status).toBe(404);
  });
});
