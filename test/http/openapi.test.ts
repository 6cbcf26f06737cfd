import { createConfig, lintFromString } from "@redocly/openapi-core";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import fc from "fast-check";
import openapiTS, { astToString } from "openapi-typescript";
import createClient from "openapi-fetch";
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { beforeAll, describe, expect, test } from "vitest";
import { errorsOf } from "../../src/http/openapi.ts";
import { routes } from "../../src/http/routes/routes.ts";
import type { Flow, Run } from "../../src/index.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { upTo } from "../support/harness.ts";
import { ApiHarness } from "./harness.ts";

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly schema: object;
  readonly description?: string;
}
interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, { schema: object }>> };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Readonly<Record<string, { schema: Shape }>> }>
  >;
}
interface Shape {
  readonly $ref?: string;
  readonly type?: string;
  readonly description?: string;
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
}
interface Document {
  readonly openapi: string;
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly servers: readonly { url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Shape>>;
    readonly securitySchemes: Readonly<Record<string, object>>;
  };
}

function opened(basePath = "") {
  return new ApiHarness({
    exports: { orders: arrayExport(upTo(3)) },
    imports: { ledger: collectingImport(), mailer: collectingImport() },
    http: { basePath },
  });
}

const documentOf = async (api: ApiHarness) => (await api.send("GET", "/openapi.json")).json as Document;
let document: Document;
beforeAll(async () => (document = await documentOf(opened())));

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ route: `${method.toUpperCase()} ${path}`, operation })),
  );

describe("the document", () => {
  test("is OpenAPI 3.1, and each of its shapes is JSON Schema 2020-12", async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document) as never);
    const ajv = new Ajv2020();

    expect([errors, valid, document.openapi]).toEqual([undefined, true, "3.1.0"]);
    for (const [name, shape] of Object.entries(document.components.schemas))
      expect([name, ajv.validateSchema(shape), ajv.errors]).toEqual([name, true, null]);
  });

  test("passes the strict rules of Redocly's linter", async () => {
    const config = await createConfig({ extends: ["recommended-strict"] });

    const problems = await lintFromString({ source: JSON.stringify(document), absoluteRef: "openapi.json", config });

    expect(problems.map(({ ruleId, message }) => `${ruleId}: ${message}`)).toEqual([]);
  });

  test("says how callers authenticate, and groups every operation under a tag that it describes", () => {
    const known = document.tags.map(({ name }) => name);
    const used = new Set(operations().flatMap(({ operation }) => operation.tags));

    expect(document.security.flatMap(Object.keys)).toEqual(Object.keys(document.components.securitySchemes));
    expect([...used].sort()).toEqual([...known].sort());
    for (const { description } of document.tags) expect(description).toMatch(/\.$/);
  });

  test("has the routes there are, each with its parameters, its bodies and every status", () => {
    const shown = operations().map(({ route, operation: { parameters = [], requestBody, responses } }) => ({
      route,
      query: parameters.filter((one) => one.in === "query").map(({ name }) => name),
      headers: parameters.filter((one) => one.in === "header").map(({ name }) => name),
      path: parameters.filter((one) => one.in === "path").map(({ name }) => name),
      body: requestBody === undefined ? undefined : [requestBody.required, Object.keys(requestBody.content)],
      statuses: Object.keys(responses).map(Number).sort(),
    }));

    const there = routes.map((route) => ({
      route: `${route.method} ${route.path}`,
      query: Object.keys(route.query?.entries ?? {}),
      headers: Object.keys(route.headers ?? {}),
      path: route.path.includes("{") ? ["_id"] : [],
      body: route.body === undefined ? undefined : [route.body.required, Object.keys(route.body.content)],
      statuses: [...Object.keys(route.responses).map(Number), ...errorsOf(route)].sort(),
    }));
    const byRoute = (one: { route: string }, other: { route: string }) => (one.route < other.route ? -1 : 1);
    expect(shown.sort(byRoute)).toEqual(there.sort(byRoute));
  });

  test("names each operation once, and says what each is for", () => {
    const ids = operations().map(({ operation }) => operation.operationId);

    expect(new Set(ids).size).toBe(ids.length);
    for (const { operation } of operations()) {
      expect(operation.summary).toMatch(/\.$/);
      expect(operation.description).toMatch(/\.$/);
      expect(operation.description).not.toBe(operation.summary);
      for (const { description } of operation.parameters?.filter((one) => one.in !== "path") ?? [])
        expect(description).toMatch(/\S/);
      for (const { description } of Object.values(operation.responses)) expect(description).toMatch(/\.$/);
    }
  });

  test("refers to shapes by name wherever they are used, and names none that is not", () => {
    const text = JSON.stringify(document);
    const used = new Set([...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name));

    const unused = Object.keys(document.components.schemas).filter((name) => !used.has(name));
    expect(unused).toEqual([]);
    expect(text).not.toContain("$defs");
  });

  test("describes every shape and every field of it", () => {
    const fieldsWithout = (shape: Shape): string[] =>
      Object.entries(shape.properties ?? {}).flatMap(([name, field]) => [
        ...(field.$ref === undefined && field.description === undefined ? [name] : []),
        ...fieldsWithout(field).map((below) => `${name}.${below}`),
      ]);

    for (const [name, shape] of Object.entries(document.components.schemas)) {
      expect([name, shape.description]).toEqual([name, expect.stringMatching(/\.$/)]);
      expect([name, fieldsWithout(shape)]).toEqual([name, []]);
    }
  });

  test("lists documents under the names that single ones have, and names every body of JSON", () => {
    const shapeOf = (route: string) =>
      operations().find((one) => one.route === route)?.operation.responses[200]?.content?.["application/json"]?.schema;
    const lists = operations().filter(({ route }) => shapeOf(route)?.type === "array");
    const bodies = operations().flatMap(({ operation }) => Object.values(operation.requestBody?.content ?? {}));

    expect(lists.map(({ route }) => [route, shapeOf(route)?.items?.$ref?.split("/").at(-1)])).toEqual([
      ["GET /flows", "Flow"],
      ["GET /integrations/{_id}/flows", "Flow"],
      ["GET /statistics", "Statistics"],
      ["GET /flows/{_id}/deliveries", "Delivery"],
      ["GET /flows/{_id}/inbox", "InboxPage"],
      ["GET /runs", "Run"],
      ["GET /failures", "Failure"],
      ["GET /flows/{_id}/failures", "Failure"],
      ["GET /causes", "Cause"],
      ["GET /exports", "Export"],
      ["GET /imports", "Import"],
    ]);
    for (const { schema } of bodies) expect(Object.keys(schema)).toEqual([expect.stringMatching(/^(\$ref|anyOf)$/)]);
  });

  test("says where it is served", async () => {
    expect(document.servers).toEqual([{ url: "." }]);
    expect((await documentOf(opened("/api/v1"))).servers).toEqual([{ url: "." }]);
  });
});

describe("what the document says of requests is what is checked", () => {
  /** Whether the published shape takes the value. */
  function validator(schema: object): (value: unknown) => boolean {
    const ajv = new Ajv2020({ strict: false });
    addFormats.default(ajv);
    ajv.addSchema(document, "api");
    const referring = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"api#/')) as object;
    return ajv.compile(referring);
  }
  const bodyOf = (route: string, type = "application/json") =>
    operations().find((one) => one.route === route)?.operation.requestBody?.content[type]?.schema ?? {};

  const text = fc.oneof(
    fc.constantFrom(
      "",
      "x",
      "orders",
      "ledger",
      "mailer",
      "* * * * *",
      "UTC",
      "acme",
      "x".repeat(255),
      "x".repeat(256),
    ),
    fc.string({ maxLength: 5 }),
  );
  const anything = fc.oneof(
    { weight: 3, arbitrary: text },
    fc.constantFrom<unknown>(null, true, false, 0, 1, 2, -1, 1.5, 1e9),
    fc.array(text, { maxLength: 4 }),
    fc.array(fc.constantFrom("ledger", "mailer"), { maxLength: 51, size: "max" }),
    fc.constant({}),
  );
  const bodies = (names: readonly string[], value: fc.Arbitrary<unknown> = anything) =>
    fc.oneof(
      { weight: 9, arbitrary: fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 6 }) },
      fc.constantFrom<unknown>([], null, "x", 1, [1]),
    );
  const flowNames = [
    "name",
    "schedule",
    "timezone",
    "_exportId",
    "_importId",
    "_importIds",
    "_integrationId",
    "disabled",
  ];
  const valid = { name: "x", _exportId: "orders", _importId: "ledger" };
  const plain = {
    name: fc.constantFrom("x", "x".repeat(255)),
    schedule: fc.constantFrom("* * * * *", "", null),
    timezone: fc.constant("UTC"),
    _exportId: fc.constant("orders"),
    _importId: fc.constant("ledger"),
    _integrationId: fc.constant("acme"),
    disabled: fc.boolean(),
  };

  /**
   * What JSON Schema cannot say, and so only the api knows. Everything else that the published shape refuses is
   * refused as `invalid_field`, `missing_required_field` or `invalid_request`, and the other way round.
   */
  const beyondShape = [
    /no (export|import) .* is registered/, // references
    /^(schedule|timezone): /, // what an expression or a zone means
    /^_importId: expected the first of _importIds/, // one field by another
    /^_importId: required, but not given/, // one of two
    /ids that are all different/,
    /after trimming|of 1 to 255 characters/, // spaces around a string do not count
    /^ids/, // an object of records and ids alone is no record, whatever they are
    /there is no such field|a flow has no such field/, // a later version may know more
  ];
  const isBeyond = (message: string) => beyondShape.some((pattern) => pattern.test(message));
  const messages = (json: unknown) => (json as { errors: { message: string }[] }).errors.map(({ message }) => message);

  const cases: [string, fc.Arbitrary<unknown>][] = [
    [
      "POST /flows",
      fc.oneof(
        fc.record(plain, { requiredKeys: ["name", "_exportId", "_importId"] }),
        bodies(flowNames),
        bodies(flowNames).map((some) => (isObject(some) ? { ...valid, ...some } : some)),
      ),
    ],
    ["PUT /flows/{_id}", bodies(flowNames).map((some) => (isObject(some) ? { ...valid, ...some } : some))],
    ["PATCH /flows/{_id}", bodies(flowNames)],
    [
      "PATCH /flows/{_id}",
      fc.array(
        bodies(["op", "path", "value"], fc.oneof(fc.constantFrom<unknown>("replace", "/name", "x", "add"), anything)),
        { maxLength: 2 },
      ),
    ],
    ["POST /flows/{_id}/clone", bodies(["name", "_integrationId", "disabled"])],
    ["POST /flows/{_id}/run", bodies(["limit"])],
    ["POST /flows/{_id}/failures/retry", bodies(["_importId", "_ids"])],
    ["PUT /flows/{_id}/failures/resolved", bodies(["_ids"])],
    [
      "POST /exports/{_id}/records",
      fc.oneof(
        bodies(["records", "ids", "id"]),
        fc.array(anything, { maxLength: 3 }),
        fc.constantFrom<unknown>(null, "x", 1, true),
      ),
    ],
  ];

  test.each(cases)("the body of %s", async (route, arbitrary) => {
    const [method = "", path = ""] = route.split(" ");
    const published = validator(bodyOf(route));
    const outcomes = { taken: 0, refused: 0 };
    const api = opened();
    await api.host.registry.define("flow", valid);

    await fc.assert(
      fc.asyncProperty(arbitrary, async (body) => {
        const sent = { body: JSON.stringify(body) };
        const { status, json } = await api.send(
          method,
          path.replace("{_id}", path.startsWith("/exports") ? "orders" : "flow"),
          sent,
        );
        const isRefused = status === 400 || status === 422;
        const shapeIsRefused = isRefused && messages(json).some((message) => !isBeyond(message));
        if (isRefused && !shapeIsRefused) return; // for what the shape cannot say
        outcomes[shapeIsRefused ? "refused" : "taken"]++;
        expect([published(body), status, json]).toEqual([!shapeIsRefused, status, json]);
      }),
      { numRuns: 300 },
    );

    expect(Math.min(outcomes.taken, outcomes.refused), JSON.stringify(outcomes)).toBeGreaterThan(20);
  });

  test.each(["/flows", "/integrations/acme/flows", "/runs", "/flows/flow/failures", "/exports", "/imports"])(
    "the query of GET %s",
    async (path) => {
      const api = opened();
      await api.host.registry.define("flow", valid);
      const template = path.replace("acme", "{_id}").replace("/flow/", "/{_id}/");
      const parameters = operations().find(({ route }) => route === `GET ${template}`)?.operation.parameters ?? [];
      const published = parameters
        .filter((one) => one.in === "query")
        .map(({ name, schema }) => ({ name, schema, takes: validator(schema) }));
      const values = fc.constantFrom(
        "1",
        "0",
        "1000",
        "1001",
        "x",
        "true",
        "false",
        "",
        "1.5",
        "-1",
        "queued",
        "open",
        "manual",
        "a,b",
        "007",
      );
      // As a client writes a value of that type.
      const read = (schema: object, value: string): unknown => {
        const type = "type" in schema ? schema.type : "string";
        if (type === "integer") return /^\d+$/.test(value) ? Number(value) : value;
        if (type === "boolean") return value === "true" ? true : value === "false" ? false : value;
        return type === "array" ? value.split(",") : value;
      };

      for (const { name, schema, takes } of published) {
        await fc.assert(
          fc.asyncProperty(values, async (value) => {
            const { status, json } = await api.send("GET", `${path}?${name}=${encodeURIComponent(value)}`);
            // Where a list goes on is what a list has said before; what else is refused is the storage's to know.
            if (name === "after") return;
            // Which fields a document has is said in words: the list would be long, and dots lead below.
            if (name === "include" || name === "exclude") {
              expect(status).toBe(400);
              return;
            }
            expect([takes(read(schema, value)), json]).toEqual([status === 200, json]);
          }),
          { numRuns: 30 },
        );
      }
      expect(published.length).toBeGreaterThan(1);
    },
  );
});

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

describe("a client that is generated from the document", () => {
  const folder = fileURLToPath(new URL("../../.work/openapi-client/", import.meta.url));
  const program = (body: string) => `
    import createClient from "openapi-fetch";
    import type { components, paths } from "./api.js";
    type Flow = components["schemas"]["Flow"];
    const client = createClient<paths>({ baseUrl: "http://api.test" });
    export async function use(): Promise<Flow | undefined> {
      ${body}
    }`;

  /** What the compiler says of programs that use the types, one by one. */
  async function typeErrors(programs: readonly string[]): Promise<string[][]> {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}package.json`, '{ "type": "module" }');
    writeFileSync(`${folder}api.d.ts`, astToString(await openapiTS(structuredClone(document) as never)));
    const files = programs.map((text, index) => {
      writeFileSync(`${folder}client-${index}.ts`, text);
      return `${folder}client-${index}.ts`;
    });
    const compiled = ts.createProgram(files, {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      target: ts.ScriptTarget.ES2022,
      lib: ["lib.es2023.d.ts", "lib.dom.d.ts"],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: [],
    });
    return files.map((file) =>
      ts
        .getPreEmitDiagnostics(compiled, compiled.getSourceFile(file))
        .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " ")),
    );
  }

  const params = 'params: { path: { _id: "x" } }';
  const uses = [
    'await client.GET("/flows", { params: { query: { disabled: true, limit: 10, include: ["name"] } } })',
    'await client.POST("/flows", { body: { name: "x", _exportId: "orders", _importIds: ["ledger"], schedule: null } })',
    `await client.GET("/flows/{_id}", { ${params} })`,
    `await client.PUT("/flows/{_id}", { ${params}, body: { name: "x", _exportId: "orders" } })`,
    `await client.PATCH("/flows/{_id}", { ${params}, body: { disabled: true } })`,
    `await client.DELETE("/flows/{_id}", { ${params} })`,
    `await client.POST("/flows/{_id}/clone", { ${params}, body: { disabled: false } })`,
    `await client.GET("/flows/{_id}/dependencies", { ${params} })`,
    `await client.GET("/integrations/{_id}/flows", { ${params} })`,
    'await client.POST("/flows/{_id}/run", { params: { path: { _id: "x" }, header: { prefer: "wait=1" } } })',
    `await client.GET("/flows/{_id}/jobs/latest", { ${params} })`,
    'await client.GET("/runs", { params: { query: { status: "completed", trigger: "manual" } } })',
    `await client.GET("/runs/{_id}", { ${params} })`,
    `await client.PUT("/runs/{_id}/cancel", { ${params} })`,
    `await client.GET("/flows/{_id}/failures", { ${params} })`,
    `await client.POST("/flows/{_id}/failures/retry", { ${params} })`,
    `await client.PUT("/flows/{_id}/failures/resolved", { ${params}, body: { _ids: ["a"] } })`,
    `await client.GET("/flows/{_id}/deliveries", { ${params} })`,
    `await client.PUT("/flows/{_id}/checkpoint", { ${params}, body: { value: { after: 1 }, _importId: "ledger" } })`,
    `await client.POST("/flows/{_id}/resume", { ${params}, body: { _importId: "ledger" } })`,
    `await client.GET("/flows/{_id}/inbox", { ${params} })`,
    `await client.POST("/flows/{_id}/inbox/drop", { ${params}, body: { _ids: ["a"] } })`,
    'await client.GET("/failures", { params: { query: { key: "o-1", fault: "reject" } } })',
    `await client.GET("/failures/{_id}", { ${params} })`,
    'await client.PATCH("/failures/{_id}", { params: { path: { _id: "x" }, header: { "if-match": "*" } }, body: { record: 1 } })',
    'await client.GET("/exports", { params: { query: { limit: 1 } } })',
    `await client.GET("/exports/{_id}", { ${params} })`,
    'await client.GET("/imports")',
    `await client.GET("/imports/{_id}", { ${params} })`,
    `await client.POST("/exports/{_id}/records", { ${params}, body: [{ id: 1 }] })`,
    'await client.POST("/schedules/preview", { body: { schedule: "H * * * *", count: 3 } })',
    'await client.GET("/permissions")',
    'await client.GET("/overview")',
    'await client.GET("/statistics", { params: { query: { from: "2030-01-01T00:00:00Z", until: "2030-01-02T00:00:00Z" } } })',
    'await client.GET("/causes", { params: { query: { _flowId: "x" } } })',
    'await client.POST("/failures/retry", { body: { cause: "c", through: "x" } })',
    'await client.PUT("/failures/resolved", { body: { cause: "c", through: "x" } })',
    'await client.GET("/events", { parseAs: "stream" })',
    'await client.GET("/health")',
    'await client.GET("/openapi.json")',
  ];
  const misuses = [
    'await client.GET("/flow")',
    'await client.GET("/runs", { params: { query: { status: "done" } } })',
    'await client.GET("/flows", { params: { query: { limit: "10" } } })',
    'await client.POST("/flows", { body: { name: 1, _exportId: "orders" } })',
    'await client.POST("/flows", { body: { _exportId: "orders" } })',
    'await client.GET("/flows/{_id}")',
    `const { data } = await client.GET("/flows/{_id}", { ${params} }); data?.nmae`,
    `const { data } = await client.GET("/runs/{_id}", { ${params} }); const status: "done" | undefined = data?.status`,
    `await client.PUT("/flows/{_id}/failures/resolved", { ${params}, body: { ids: ["a"] } })`,
  ];

  test("compiles with every operation, and not with what the document does not allow", async () => {
    const all = `${uses.join(";\n")}; const { data } = await client.GET("/flows/{_id}", { ${params} }); return data;`;

    const [used = ["?"], ...misused] = await typeErrors([
      program(all),
      ...misuses.map((one) => program(`${one}; return;`)),
    ]);

    expect(used).toEqual([]);
    expect(uses).toHaveLength(routes.length);
    expect(misused.map((errors) => errors.length > 0)).toEqual(misuses.map(() => true));
  });

  test("works", async () => {
    const api = opened("/api");
    // Its types are those that the program above is compiled with; here it only has to run.
    const client = createClient<Record<string, Record<string, never>>>({
      baseUrl: "http://api.test/api",
      fetch: (request: Request) => api.handler(request),
    }) as unknown as Record<
      "GET" | "POST",
      (path: string, init?: object) => Promise<{ data?: unknown; error?: unknown }>
    >;
    await api.host.scheduler.start();
    const path = ({ _id }: { _id: string }) => ({ params: { path: { _id } } });

    const flow = (await client.POST("/flows", { body: valid })).data as Flow;
    const run = (await client.POST("/flows/{_id}/run", path(flow))).data as Run;
    await api.host.end(run);

    expect((await client.GET("/runs/{_id}", path(run))).data).toMatchObject({ status: "completed", numSuccess: 3 });
    const query = { params: { query: { include: ["name", "_id"], disabled: false } } };
    expect((await client.GET("/flows", query)).data).toEqual([{ _id: flow._id, name: "x" }]);
    expect((await client.GET("/flows/{_id}", path({ _id: "a/b" }))).error).toMatchObject({
      errors: [{ code: "not_found" }],
    });
  });
  const valid = { name: "x", _exportId: "orders", _importId: "ledger" };
});
