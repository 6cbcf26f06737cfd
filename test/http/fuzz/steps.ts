import fc from "fast-check";
import { routes } from "../../../src/http/routes/routes.ts";
import type { RequestInput } from "../harness.ts";
import { type Field, flowFields, someFields } from "./values.ts";

/** One thing that a client does. `place` chooses among what is there; one more than that: something that is not. */
export type Step =
  | { readonly kind: "create"; readonly fields: readonly Field[] }
  | {
      readonly kind: "put" | "merge" | "patch";
      readonly place: number;
      readonly tag: Tag;
      readonly fields: readonly Field[];
    }
  | { readonly kind: "delete"; readonly place: number; readonly tag: Tag }
  | { readonly kind: "clone"; readonly place: number; readonly body: Readonly<Record<string, unknown>> | undefined }
  | { readonly kind: "get"; readonly place: number; readonly known: boolean }
  | {
      readonly kind: "list";
      readonly filter: Readonly<Record<string, string | boolean>> & { readonly _importId?: string };
      readonly limit: number;
      readonly integration: string | undefined;
    }
  | { readonly kind: "run"; readonly place: number; readonly limit: number | undefined }
  | { readonly kind: "cancel"; readonly place: number }
  | {
      readonly kind: "accept";
      readonly _exportId: string;
      readonly records: readonly unknown[];
      readonly ids: string | undefined;
      readonly key: string | undefined;
      readonly envelope: boolean;
    }
  | { readonly kind: "retry"; readonly place: number; readonly _importId: string | undefined }
  | { readonly kind: "resolve"; readonly place: number; readonly count: number }
  | {
      readonly kind: "look";
      readonly place: number;
      readonly what:
        | "latest"
        | "dependencies"
        | "run"
        | "causes"
        | "overview"
        | "statistics"
        | "activity"
        | "permissions"
        | "preview"
        | "exports"
        | "imports"
        | "export"
        | "import"
        | "health"
        | "openapi.json";
    }
  | {
      readonly kind: "nonsense";
      readonly route: string;
      readonly path: string;
      readonly sent: RequestInput;
      readonly status: readonly number[];
    };
type Tag = "none" | "now" | "old" | "any";

const place = fc.nat(40);
const tag = fc.constantFrom<Tag>("none", "none", "now", "now", "old", "any");
const record = fc.oneof(
  fc.constantFrom<unknown>(
    { id: 1 },
    { refuse: true },
    { __proto__: null, a: [null, 1.5, "\ud800"] },
    "text",
    2,
    null,
    [],
  ),
  fc.jsonValue({ maxDepth: 3 }).filter((value) => typeof value !== "number"),
);

const filter = fc.record(
  {
    _integrationId: fc.constantFrom("acme", "other", "none", "a&b=c"),
    _connectorId: fc.constantFrom("shop", "none"),
    _exportId: fc.constantFrom("numbers", "hook", "none"),
    _importId: fc.constantFrom("ledger", "picky", "none"),
    disabled: fc.boolean(),
  },
  { requiredKeys: [] },
);

const sense: readonly fc.WeightedArbitrary<Step>[] = [
  { weight: 6, arbitrary: flowFields.map((fields) => ({ kind: "create", fields })) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("put" as const), place, tag, fields: flowFields }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom("merge" as const, "patch" as const), place, tag, fields: someFields }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), place, tag }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("clone" as const),
      place,
      body: fc.option(
        fc.record(
          {
            name: fc.constantFrom("clone", "x"),
            _integrationId: fc.constantFrom("acme", "other"),
            disabled: fc.boolean(),
          },
          { requiredKeys: [] },
        ),
        { nil: undefined },
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("get" as const), place, known: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc
      .record({
        kind: fc.constant("list" as const),
        filter,
        limit: fc.integer({ min: 1, max: 5 }),
        integration: fc.option(fc.constantFrom("acme", "other", "a&b=c", "none"), { nil: undefined }),
      })
      .map((step) => {
        if (step.integration === undefined) return step;
        const { _integrationId, ...rest } = step.filter;
        return { ...step, filter: rest };
      }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("run" as const),
      place,
      limit: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), place }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("accept" as const),
      _exportId: fc.constantFrom("numbers", "hook", "hook", "none"),
      records: fc.array(record, { maxLength: 3 }),
      ids: fc.option(fc.constantFrom("a", "b"), { nil: undefined }),
      key: fc.option(fc.constantFrom("k", "l"), { nil: undefined }),
      envelope: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("retry" as const),
      place,
      _importId: fc.option(fc.constantFrom("picky", "ledger", "none"), { nil: undefined }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("resolve" as const), place, count: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("look" as const),
      place,
      what: fc.constantFrom(
        "latest",
        "dependencies",
        "run",
        "exports",
        "imports",
        "export",
        "import",
        "health",
        "openapi.json",
        "causes",
        "overview",
        "statistics",
        "activity",
        "permissions",
        "preview",
      ),
    }),
  },
];

const brokenStrings = ["", "{", "[1,", "nul", '{"a":1}}', "\u0000", '"\\x"', "1e", "{'a':1}", "x".repeat(1_000)];
const wickedIds = [
  "%00",
  "%",
  "%E0%A4%A",
  "a%2Fb",
  "..%2f",
  "%2e",
  "x".repeat(3_000),
  "%F0%9F%8E%88",
  "__proto__",
  "constructor",
  "%ED%A0%80",
];
const garbageHeaders = fc.dictionary(
  fc.constantFrom(
    "if-match",
    "if-none-match",
    "prefer",
    "idempotency-key",
    "last-event-id",
    "accept",
    "cookie",
    "content-language",
  ),
  fc.constantFrom("x", "*", '""', '"', "wait=", "W/", ", , ,", "\u00ff", "a".repeat(2_000)),
  { maxKeys: 3 },
);
const route = fc.constantFrom(...routes);
const withBody = fc.constantFrom(...routes.filter(({ body }) => body !== undefined));
const nameOf = ({ method, path }: { method: string; path: string }) => `${method} ${path}`;
const nonsense = (made: Omit<Extract<Step, { kind: "nonsense" }>, "kind">): Step => ({ kind: "nonsense", ...made });

/** Requests that can only be refused, and change nothing. */
const refusals: readonly fc.Arbitrary<Step>[] = [
  fc.tuple(withBody, fc.constantFrom(...brokenStrings), garbageHeaders).map(([one, body, headers]) => {
    const required = one.body?.required === true;
    if (!required && body === "")
      return nonsense({ route: nameOf(one), path: `${one.path}?x=1`, sent: { body, headers }, status: [400] });
    return nonsense({ route: nameOf(one), path: one.path, sent: { body, headers }, status: [400, 404, 412] });
  }),
  fc.tuple(withBody, fc.uint8Array({ minLength: 1, maxLength: 40 })).map(([one, bytes]) =>
    // A first byte that begins no JSON, and no UTF-8.
    nonsense({ route: nameOf(one), path: one.path, sent: { body: new Uint8Array([0xff, ...bytes]) }, status: [400] }),
  ),
  fc
    .tuple(
      withBody,
      fc.constantFrom("text/plain", "application/xml", "application/jsonx", "json", "application/json; charset=latin1"),
    )
    .map(([one, type]) =>
      nonsense({
        route: nameOf(one),
        path: one.path,
        sent: { body: "{}", headers: { "content-type": type } },
        status: [415],
      }),
    ),
  fc
    .tuple(
      fc.constantFrom(...routes.filter(({ method }) => method !== "GET")),
      fc.constantFrom<Record<string, string>>({ "sec-fetch-site": "cross-site" }, { origin: "https://other.example" }),
    )
    .map(([one, headers]) => nonsense({ route: nameOf(one), path: one.path, sent: { headers }, status: [403] })),
  withBody.map((one) =>
    nonsense({ route: nameOf(one), path: one.path, sent: { body: " ".repeat(100_001) }, status: [413] }),
  ),
  fc
    .tuple(
      route,
      fc.constantFrom(
        "nope=1",
        "limit=0",
        "limit=1&limit=2",
        "__proto__=1",
        "include=nope",
        "include=name&exclude=name",
        "a&b",
        "%00=1",
      ),
      garbageHeaders,
    )
    .map(([one, query, headers]) =>
      nonsense({ route: nameOf(one), path: `${one.path}?${query}`, sent: { headers }, status: [400] }),
    ),
  fc
    .tuple(
      route.filter(({ path }) => path.includes("{_id}") && !path.startsWith("/integrations")),
      fc.constantFrom(...wickedIds),
      garbageHeaders,
    )
    .map(([one, _id, headers]) =>
      nonsense({
        route: nameOf(one),
        path: one.path.replace("{_id}", _id),
        sent: {
          headers,
          ...(one.body === undefined
            ? {}
            : { body: one.path.includes("resolved") ? { _ids: ["x"] } : one.path.includes("clone") ? {} : [] }),
        },
        // A path with dots is another path; a body that is no flow may be reported first.
        status: [404, 405, 400, 422, ...(_id === "%2e" ? [200, 201] : [])],
      }),
    ),
  fc
    .tuple(route, fc.constantFrom("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY", "FOO", "get"))
    .filter(([{ path }, method]) => !routes.some((one) => one.path === path && one.method === method.toUpperCase()))
    .map(([{ path }, method]) => nonsense({ route: `${method} ${path}`, path, sent: {}, status: [405] })),
  fc
    .constantFrom(
      "/",
      "//",
      "/flows//",
      "/fl%6Fws",
      "/flow",
      "/runs/a/b",
      "/flows/a/failures/",
      "/%2e%2e/flows",
      "/openapi.yaml",
      "/flows/a/jobs",
    )
    .map((path) =>
      nonsense({ route: `GET ${path}`, path, sent: {}, status: [404, ...(path.includes("%2e") ? [200] : [])] }),
    ),
];

/** What a client does, sense and nonsense. */
export const anyStep: fc.Arbitrary<Step> = fc.oneof(...sense, { weight: 12, arbitrary: fc.oneof(...refusals) });
