import { describe, expect, test } from "vitest";
import {
  type Flow,
  definitionOf,
  namedIds,
  readFlow,
  sameDefinition,
  writtenFields,
} from "../../../src/model/flow/flow.ts";
import { FlowIssues } from "../../../src/model/flow/flow-issues.ts";
import { mergeJson, namedFields, patched } from "../../../src/model/flow/patch.ts";

const good = { name: "Orders", _exportId: "orders", _importId: "ledger" };

function issuesOf(input: unknown) {
  const issues = new FlowIssues();
  const definition = readFlow(input, issues);
  expect(definition === undefined).toBe(issues.count > 0);
  return issues.all;
}

/** `code field` of every problem, in the order they are reported. */
function problemsOf(input: unknown): string[] {
  return issuesOf(input).map(({ code, field }) => `${code} ${field}`);
}

function definedBy(input: unknown) {
  const definition = readFlow(input, new FlowIssues());
  if (definition === undefined) throw new Error("the flow is invalid");
  return definition;
}

const ids = (count: number) => Array.from({ length: count }, (_, index) => `import-${index}`);

describe("a flow is refused for", () => {
  const fiftyOne = ids(51);
  const long = "x".repeat(256);
  test.each<[why: string, changes: object, problem: string]>([
    ["no name", { name: undefined }, "missing_required_field name"],
    ["a name that is null", { name: null }, "invalid_field name"],
    ["a name of another type", { name: 7 }, "invalid_field name"],
    ["an empty name", { name: "" }, "invalid_field name"],
    ["a name of spaces", { name: " \t\n " }, "invalid_field name"],
    ["a name of 256 characters", { name: long }, "invalid_field name"],
    ["a name with a NUL", { name: "a\u0000b" }, "invalid_field name"],
    ["an integration with half of a surrogate pair", { _integrationId: "a\ud800" }, "invalid_field _integrationId"],
    ["an empty schedule", { schedule: "" }, "invalid_field schedule"],
    ["a schedule of spaces", { schedule: "  " }, "invalid_field schedule"],
    ["a schedule of another type", { schedule: 5 }, "invalid_field schedule"],
    ["an empty time zone", { timezone: "" }, "invalid_field timezone"],
    ["a time zone of another type", { timezone: 1 }, "invalid_field timezone"],
    ["no export", { _exportId: undefined }, "missing_required_field _exportId"],
    ["an export that is null", { _exportId: null }, "invalid_field _exportId"],
    ["an export of another type", { _exportId: {} }, "invalid_field _exportId"],
    ["an empty export", { _exportId: "" }, "invalid_field _exportId"],
    ["no import", { _importId: undefined }, "missing_required_field _importId"],
    ["an import that is null", { _importId: null }, "missing_required_field _importId"],
    ["an import of another type", { _importId: 1 }, "invalid_field _importId"],
    ["an empty import", { _importId: " " }, "invalid_field _importId"],
    ["no import in the list", { _importId: null, _importIds: [] }, "invalid_field _importIds"],
    ["imports that are no list", { _importId: null, _importIds: "ledger" }, "invalid_field _importIds"],
    ["51 imports", { _importId: null, _importIds: fiftyOne }, "invalid_field _importIds"],
    ["an import named twice", { _importId: null, _importIds: ["a", "b", "a"] }, "invalid_field _importIds"],
    ["an import named twice but for spaces", { _importId: null, _importIds: ["a", " a "] }, "invalid_field _importIds"],
    ["an empty import in the list", { _importId: null, _importIds: ["a", ""] }, "invalid_field _importIds.1"],
    ["an import of another type in the list", { _importId: null, _importIds: [1] }, "invalid_field _importIds.0"],
    ["a first import that differs from the list's", { _importIds: ["mailer", "ledger"] }, "invalid_field _importId"],
    ["an empty integration", { _integrationId: "" }, "invalid_field _integrationId"],
    ["an integration of another type", { _integrationId: 1 }, "invalid_field _integrationId"],
    ["a connector of 256 characters", { _connectorId: long }, "invalid_field _connectorId"],
    ["settings that are no object", { settings: "table" }, "invalid_field settings"],
    ["settings that are no JSON", { settings: { since: new Date(0) } }, "invalid_field settings"],
    ["flows to run next that are no list", { _runNextFlowIds: "next" }, "invalid_field _runNextFlowIds"],
    ["51 flows to run next", { _runNextFlowIds: fiftyOne }, "invalid_field _runNextFlowIds"],
    ["a flow to run next named twice", { _runNextFlowIds: ["a", " a"] }, "invalid_field _runNextFlowIds"],
    ["an empty flow to run next", { _runNextFlowIds: ["a", ""] }, "invalid_field _runNextFlowIds.1"],
    ["disabled of another type", { disabled: "yes" }, "invalid_field disabled"],
    ["a field that is unknown", { shedule: "* * * * *" }, "unknown_field shedule"],
    ["a field named like an object's own", { toString: 1 }, "unknown_field toString"],
  ])("%s", (_why, changes, problem) => {
    expect(problemsOf({ ...good, ...changes })).toEqual([problem]);
  });

  test.each([undefined, null, 5, "flow", [good]])("being %j", (input) => {
    expect(problemsOf(input)).toEqual(["invalid_field "]);
  });
});

test("every problem is reported at once, with the field and what was found in the message", () => {
  const issues = issuesOf({ schedule: 5, _exportId: "", _importIds: ["a", 2], disabled: 1, nmae: "typo" });

  expect(issues).toEqual([
    { code: "unknown_field", field: "nmae", message: 'nmae: a flow has no such field; did you mean "name"?' },
    { code: "missing_required_field", field: "name", message: "name: required, but not given" },
    {
      code: "invalid_field",
      field: "schedule",
      message: "schedule: expected a cron expression, or null for none, found 5",
    },
    {
      code: "invalid_field",
      field: "_exportId",
      message: '_exportId: expected a string of 1 to 255 characters, found ""',
    },
    {
      code: "invalid_field",
      field: "_importIds.1",
      message: "_importIds.1: expected a string of 1 to 255 characters, found 2",
    },
    { code: "invalid_field", field: "disabled", message: "disabled: expected true or false, found 1" },
  ]);
});

describe("a flow is accepted", () => {
  test.each<[what: string, changes: object]>([
    ["with a name of 255 characters between spaces", { name: ` ${"x".repeat(255)} ` }],
    ["with 50 imports", { _importId: null, _importIds: ids(50) }],
    ["with its first import named both ways", { _importIds: ["ledger", "mailer"] }],
    ["with its first import named both ways, but for spaces", { _importId: " ledger ", _importIds: ["ledger"] }],
    ["with null in every optional field", { schedule: null, timezone: null, _importIds: null, disabled: null }],
    ["with settings", { settings: { table: "orders", filter: { paid: true } } }],
    ["with 50 flows to run next", { _runNextFlowIds: ids(50) }],
    ["with null for what is new", { settings: null, _runNextFlowIds: null }],
    ["with null for integration and connector", { _integrationId: null, _connectorId: null }],
    ["with a schedule of more than 255 characters", { schedule: `${ids(60).join(",")} * * * *` }],
    [
      "with its read-only fields echoed back, whatever they say",
      {
        _id: "other",
        createdAt: 1,
        lastModified: null,
        lastExecutedAt: "never",
        nextRunAt: "soon",
        group: 1,
        disabledBy: 2,
      },
    ],
  ])("%s", (_what, changes) => {
    expect(problemsOf({ ...good, ...changes })).toEqual([]);
  });
});

test("what is read is trimmed, with defaults filled in and one list of imports", () => {
  const definition = definedBy({
    name: "  Orders\n",
    schedule: " 0 2 * * * ",
    timezone: " Europe/Oslo ",
    _exportId: " orders ",
    _importId: " ledger ",
    _integrationId: " acme ",
    _connectorId: " shop ",
    _id: "ignored",
  });

  expect(definition).toEqual({
    name: "Orders",
    schedule: "0 2 * * *",
    timezone: "Europe/Oslo",
    _exportId: "orders",
    _importIds: ["ledger"],
    _integrationId: "acme",
    _connectorId: "shop",
    disabled: false,
  });
});

test("null in an optional field reads as if it were not there", () => {
  const absent = definedBy(good);

  const nulls = definedBy({
    ...good,
    schedule: null,
    timezone: null,
    _importIds: null,
    _integrationId: null,
    _connectorId: null,
    settings: null,
    _runNextFlowIds: null,
    disabled: null,
  });

  expect(nulls).toStrictEqual(absent);
});

test("one import is written as _importId alone, several as both, and the list cannot be changed", () => {
  const one = writtenFields(definedBy({ ...good, _importId: null, _importIds: ["ledger"] }));
  const two = writtenFields(definedBy({ ...good, _importIds: ["ledger", "mailer"] }));

  expect(one).toStrictEqual({ name: "Orders", _exportId: "orders", disabled: false, _importId: "ledger" });
  expect([two._importId, two._importIds]).toEqual(["ledger", ["ledger", "mailer"]]);
  expect(Object.isFrozen(two._importIds)).toBe(true);
});

test("no flow to run next reads as if there were no list, and the list cannot be changed", () => {
  expect(definedBy({ ...good, _runNextFlowIds: [] })).toStrictEqual(definedBy(good));
  expect(writtenFields(definedBy({ ...good, _runNextFlowIds: [" next "] }))._runNextFlowIds).toEqual(["next"]);
  expect(Object.isFrozen(writtenFields(definedBy({ ...good, _runNextFlowIds: ["next"] }))._runNextFlowIds)).toBe(true);
});

describe("two definitions", () => {
  const full = { ...good, schedule: "0 2 * * *", timezone: "UTC", _integrationId: "a", _connectorId: "c" };
  const others = { settings: { table: "orders", rest: 1 }, _runNextFlowIds: ["a", "b"] };

  test("are the same however the flow was written", () => {
    const stored = stand(full);

    expect(sameDefinition(definitionOf(stored), definedBy({ ...full, name: " Orders ", _importIds: ["ledger"] }))).toBe(
      true,
    );
  });

  test.each<[field: string, changes: object]>([
    ["name", { name: "Others" }],
    ["schedule", { schedule: "0 3 * * *" }],
    ["schedule, taken away", { schedule: null }],
    ["timezone", { timezone: "Europe/Oslo" }],
    ["_exportId", { _exportId: "others" }],
    ["_importId", { _importId: "mailer" }],
    ["_importIds", { _importIds: ["ledger", "mailer"] }],
    ["_integrationId", { _integrationId: "b" }],
    ["_connectorId", { _connectorId: null }],
    ["settings", { settings: { table: "others", rest: 1 } }],
    ["settings, taken away", { settings: null }],
    ["_runNextFlowIds", { _runNextFlowIds: ["b", "a"] }],
    ["disabled", { disabled: true }],
  ])("differ by %s", (_field, changes) => {
    expect(
      sameDefinition(definitionOf(stand({ ...full, ...others })), definedBy({ ...full, ...others, ...changes })),
    ).toBe(false);
  });

  test("are the same in whatever order their settings are", () => {
    const stored = stand({ ...good, settings: { table: "orders", filter: { paid: true, open: false } } });
    const settings = { filter: { open: false, paid: true }, table: "orders" };

    expect(sameDefinition(definitionOf(stored), definedBy({ ...good, settings }))).toBe(true);
  });

  test("differ by the order of the imports", () => {
    const stored = stand({ ...good, _importId: null, _importIds: ["a", "b", "c"] });

    expect(
      sameDefinition(definitionOf(stored), definedBy({ ...good, _importId: "a", _importIds: ["a", "c", "b"] })),
    ).toBe(false);
  });
});

describe("a patch", () => {
  const flow = stand({
    ...good,
    schedule: "0 2 * * *",
    _integrationId: "acme",
    _importId: null,
    _importIds: ["ledger", "mailer"],
  });
  const patch = (changes: unknown) => definedBy(patched(flow, changes));
  const before = definitionOf(flow);

  test("changes only the field it names", () => {
    expect(patch({ name: "New" })).toStrictEqual({ ...before, name: "New" });
  });

  test("takes an optional field away by null", () => {
    const { _integrationId, ...rest } = before;

    expect(_integrationId).toBe("acme");
    expect(patch({ _integrationId: null })).toStrictEqual(rest);
  });

  test("leaves a field alone that it names as undefined", () => {
    expect(patch({ schedule: undefined, _importId: undefined, _importIds: undefined, name: undefined })).toStrictEqual(
      before,
    );
  });

  test("replaces all imports by naming one", () => {
    expect(patch({ _importId: "mailer" })._importIds).toEqual(["mailer"]);
  });

  test("replaces all imports by a list", () => {
    expect(patch({ _importIds: ["mailer"] })._importIds).toEqual(["mailer"]);
  });

  test("replaces settings as a whole", () => {
    const { settings } = definedBy(patched(stand({ ...good, settings: { a: 1, b: 2 } }), { settings: { a: 3 } }));

    expect(settings).toEqual({ a: 3 });
  });

  test("names the fields that it has, but for those that are undefined", () => {
    expect([...namedFields({ name: "x", schedule: null, timezone: undefined })]).toEqual(["name", "schedule"]);
    expect([null, 5, undefined].map((changes) => namedFields(changes).size)).toEqual([0, 0, 0]);
  });

  test("reports a field that is unknown", () => {
    expect(problemsOf(patched(flow, { disbled: true }))).toEqual(["unknown_field disbled"]);
  });

  test.each([undefined, null, "disabled", [{ disabled: true }]])("that is %j is refused", (changes) => {
    expect(problemsOf(patched(flow, changes))).toEqual(["invalid_field "]);
  });
});

/** A stored flow made from `input`. */
function stand(input: object): Flow {
  const at = "2030-01-01T00:00:00.000Z";
  return { _id: "flow-1", ...writtenFields(definedBy(input)), createdAt: at, lastModified: at };
}

describe("a JSON merge patch", () => {
  // The test cases of RFC 7396, appendix A.
  test.each<[target: unknown, patch: unknown, result: unknown]>([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("makes of %j by %j %j", (target, patch, result) => {
    expect(mergeJson(target, patch)).toEqual(result);
  });

  test("does not change what it is made of, nor a prototype", () => {
    const patch = JSON.parse('{"__proto__":{"polluted":true}}') as object;

    const merged = mergeJson(Object.freeze({ a: 1 }), patch);

    expect(Object.keys(merged as object)).toEqual(["a", "__proto__"]);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test("goes no deeper than settings may be", () => {
    const deep = Array.from({ length: 50_000 }).reduce<object>((inner) => ({ inner }), {});

    expect(() => mergeJson({}, deep)).not.toThrow();
  });
});

test("the ids in a list are trimmed, and empty in the place of what is none", () => {
  expect(namedIds({ _runNextFlowIds: [" a ", 7, null] }, "_runNextFlowIds")).toEqual(["a", "", ""]);
  expect(namedIds({ _runNextFlowIds: "a" }, "_runNextFlowIds")).toEqual([]);
  expect(namedIds(null, "_runNextFlowIds")).toEqual([]);
});
