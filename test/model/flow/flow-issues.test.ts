import { describe, expect, test } from "vitest";
import { InvalidFlowError } from "../../../src/index.ts";
import { FlowIssues, addUnknownRefs } from "../../../src/model/flow/flow-issues.ts";
import { readFlow } from "../../../src/model/flow/flow.ts";

function issuesOf(count: number): FlowIssues {
  const issues = new FlowIssues();
  for (let index = 0; index < count; index++) issues.add("invalid_field", `field${index}`, () => "is wrong");
  return issues;
}

function errorOf(issues: FlowIssues): InvalidFlowError {
  return new InvalidFlowError(issues.all, issues.count);
}

describe("a report", () => {
  test("has up to 100 problems in full", () => {
    const { all, count } = issuesOf(100);

    expect([all.length, count]).toEqual([100, 100]);
    expect(all.at(-1)?.message).toBe("field99: is wrong");
  });

  test("of more has 99, and says how many more there are", () => {
    const { all, count } = issuesOf(250_000);

    expect([all.length, count]).toEqual([100, 250_000]);
    expect(all.slice(-2).map(({ message }) => message)).toEqual(["field98: is wrong", "and 249901 more"]);
  });

  test("makes nothing of the problems that it only counts", () => {
    const issues = issuesOf(100);
    let made = 0;

    issues.add("invalid_field", "x", () => String(++made));

    expect([made, issues.count]).toEqual([0, 101]);
  });

  test("cuts the name of a field", () => {
    const issues = new FlowIssues();
    issues.add("unknown_field", "x".repeat(1_000_000), () => "a flow has no such field");

    const [issue] = issues.all;

    expect(issue?.field).toBe(`${"x".repeat(80)}…`);
    expect(issue?.message).toBe(`${"x".repeat(80)}…: a flow has no such field`);
  });

  test("puts the flow before the field, and joins those of several flows", () => {
    const all = new FlowIssues();
    for (const _id of ["a", "b"]) {
      const issues = new FlowIssues(`${_id}.`);
      issues.add("invalid_field", "name", () => "is wrong");
      issues.add("invalid_field", "", () => "is wrong, too");
      all.addAll(issues);
    }

    expect(all.all.map(({ field, message }) => [field, message])).toEqual([
      ["a.name", "a.name: is wrong"],
      ["a", "a: is wrong, too"],
      ["b.name", "b.name: is wrong"],
      ["b", "b: is wrong, too"],
    ]);
  });

  test("counts those of other reports beyond its first 100", () => {
    const all = issuesOf(60);

    all.addAll(issuesOf(70));
    all.addAll(issuesOf(200));

    expect([all.count, all.all.length, all.all.at(-1)?.message]).toEqual([330, 100, "and 231 more"]);
  });
});

describe("the message of the error", () => {
  test("has every problem of a few", () => {
    expect(errorOf(issuesOf(2)).message).toBe("field0: is wrong; field1: is wrong");
  });

  test("has at most 2,000 characters, and says how many more problems there are", () => {
    const { message, issues } = errorOf(issuesOf(250_000));

    expect(message.length).toBeLessThanOrEqual(2_000);
    expect(message).toMatch(/^field0: is wrong; field1: is wrong; .*; field(\d+): is wrong; and \d+ more$/);
    const [, last, more] = /field(\d+): is wrong; and (\d+) more$/.exec(message) ?? [];
    expect(Number(last) + 1 + Number(more)).toBe(250_000);
    expect(issues).toHaveLength(100);
  });
});

describe("an unknown id", () => {
  const known = { exports: new Set(["orders", "people"]), imports: new Set(["ledger", "mailer"]) };

  function messagesOf(refs: object, ids: Parameters<typeof addUnknownRefs>[2] = known): string[] {
    const issues = new FlowIssues();
    addUnknownRefs(issues, refs, ids);
    return issues.all.map(({ message }) => message);
  }

  test("is reported with the known one that it may be a typo of", () => {
    const refs = { _exportId: "order", _importId: "legder", _importIds: ["mailer", "mialer", "index"] };

    expect(messagesOf(refs)).toEqual([
      '_exportId: no export "order" is registered; did you mean "orders"?',
      '_importId: no import "legder" is registered; did you mean "ledger"?',
      '_importIds.1: no import "mialer" is registered; did you mean "mailer"?',
      '_importIds.2: no import "index" is registered',
    ]);
  });

  test("may be any where nothing is said of what is known", () => {
    expect(messagesOf({ _exportId: "any", _importId: "thing" }, {})).toEqual([]);
  });

  test("is shortened", () => {
    expect(messagesOf({ _exportId: "x".repeat(1_000_000) })[0]?.length).toBeLessThan(200);
  });
});

test.each<[what: string, input: object]>([
  ["import ids that nobody knows", { _importIds: Array<string>(250_000).fill("a") }],
  ["import ids that are none", { _importIds: Array<number>(250_000).fill(1) }],
  ["flows to run next", { _runNextFlowIds: Array.from({ length: 250_000 }, String) }],
  ["unknown fields", Object.fromEntries(Array.from({ length: 250_000 }, (_, index) => [`shedule${index}`, 1]))],
])("a flow with 250,000 %s is refused at once, in a small report", (_what, changes) => {
  const input = { name: "x", _exportId: "orders", ...changes };
  const start = performance.now();
  const issues = new FlowIssues();

  readFlow(input, issues);
  addUnknownRefs(issues, input, { exports: new Set(["orders"]), imports: new Set(["ledger"]) });
  const error = errorOf(issues);

  expect(error.issues.length).toBeGreaterThan(0);
  expect(error.issues.length).toBeLessThanOrEqual(100);
  expect(JSON.stringify(error.issues).length + error.message.length).toBeLessThan(20_000);
  expect(performance.now() - start).toBeLessThan(2_000); // milliseconds, on a machine at rest
});
