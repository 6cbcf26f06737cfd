import { readFileSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import * as errors from "../src/errors.ts";
import { type ErrorCode, PoundlockError, isPoundlockError } from "../src/errors.ts";

const cause = new Error("connection refused");

/** One of each, by its class. */
const examples: Readonly<Record<string, readonly [error: PoundlockError, code: ErrorCode, message: string]>> = {
  InvalidFlowError: [
    new errors.InvalidFlowError([
      { code: "missing_required_field", field: "name", message: "name: required, but not given" },
      { code: "unknown_field", field: "nmae", message: "nmae: a flow has no such field" },
    ]),
    "invalid_flow",
    "name: required, but not given; nmae: a flow has no such field",
  ],
  InvalidOptionError: [
    new errors.InvalidOptionError("maxAttempts", "a whole number, 1 or more", 0),
    "invalid_option",
    "maxAttempts: expected a whole number, 1 or more, found 0",
  ],
  InvalidRequestError: [
    new errors.InvalidRequestError("limit", "a whole number from 1 to 1000", "10"),
    "invalid_request",
    'limit: expected a whole number from 1 to 1000, found "10"',
  ],
  UnauthorizedError: [new errors.UnauthorizedError("No token"), "unauthorized", "No token"],
  ForbiddenError: [new errors.ForbiddenError("Not you"), "forbidden", "Not you"],
  NotFoundError: [new errors.NotFoundError("flow", "f1"), "not_found", 'There is no flow "f1"'],
  ConflictError: [new errors.ConflictError("It has moved"), "conflict", "It has moved"],
  FlowDisabledError: [new errors.FlowDisabledError("Flow f1 is disabled"), "flow_disabled", "Flow f1 is disabled"],
  BusyError: [new errors.BusyError("Full"), "busy", "Full"],
  ExportFailedError: [
    new errors.ExportFailedError("orders", cause),
    "export_failed",
    'Export "orders" failed: connection refused',
  ],
  ImportUnavailableError: [
    new errors.ImportUnavailableError("ledger", cause),
    "import_unavailable",
    'Import "ledger" is unavailable: connection refused',
  ],
  ImportFailedError: [
    new errors.ImportFailedError("ledger", cause),
    "import_failed",
    'Import "ledger" failed to finish: connection refused',
  ],
  NothingDeliveredError: [
    new errors.NothingDeliveredError(900),
    "nothing_delivered",
    "All 900 records were rejected: the failures say why; a mistake in map, schema or write is likely",
  ],
  ContractViolationError: [
    new errors.ContractViolationError("Import", "ledger", "2 results for 3 records", cause),
    "contract_violation",
    'Import "ledger" broke its contract: 2 results for 3 records',
  ],
  StoppedByImportError: [
    new errors.StoppedByImportError("ledger", cause),
    "stopped_by_import",
    'Import "ledger" stopped the run: connection refused',
  ],
  TooManyFailuresError: [
    new errors.TooManyFailuresError("ledger", 1000, "run", "422"),
    "too_many_failures",
    'Import "ledger" has more than 1000 new failures in one run, the last: 422',
  ],
  CountsMismatchError: [
    new errors.CountsMismatchError("ledger", 3, 2),
    "counts_mismatch",
    'Import "ledger": 3 records read, but 2 accounted for',
  ],
  LeaseLostError: [new errors.LeaseLostError("r1"), "lease_lost", 'Run "r1" was taken over: its lease had expired'],
  StorageFailedError: [
    new errors.StorageFailedError("commitPage", cause),
    "storage_failed",
    "Storage failed in commitPage: connection refused",
  ],
  ExecutorFailedError: [
    new errors.ExecutorFailedError(cause),
    "executor_failed",
    "The executor failed: connection refused",
  ],
  UnexpectedError: [new errors.UnexpectedError(cause), "unexpected_error", "Unexpected error: connection refused"],
};
const names = Object.keys(examples);

test.each(names)("%s has its name, its one code and a message", (name) => {
  const [error, code, message] = examples[name] ?? [];

  expect([error?.name, error?.constructor.name, error?.code, error?.message]).toEqual([name, name, code, message]);
  expect(error).toBeInstanceOf(PoundlockError);
  expect(error).toBeInstanceOf(Error);
});

test("the classes shown here are all that are exported", () => {
  const classes = Object.entries(errors).filter(([name]) => name.endsWith("Error") && !/^(is|Poundlock)/.test(name));

  expect(classes.map(([name]) => name).sort()).toEqual([...names].sort());
});

test("there is one class for each code of the type, and no other", () => {
  const source = readFileSync(new URL("../src/errors.ts", import.meta.url), "utf8");
  const union = /type ErrorCode =([^;]+);/.exec(source)?.[1] ?? "";
  const codes = [...union.matchAll(/"(\w+)"/g)].map(([, code]) => code);

  expect(codes).toHaveLength(21);
  expect(names.map((name) => examples[name]?.[1]).sort()).toEqual([...codes].sort());
});

test.each([
  "ExportFailedError",
  "ContractViolationError",
  "StoppedByImportError",
  "StorageFailedError",
  "ExecutorFailedError",
])("%s keeps the error it is about as its cause", (name) => {
  expect(examples[name]?.[0].cause).toBe(cause);
});

test("an option that is out of range for a reason keeps that as its cause", () => {
  expect(new errors.InvalidOptionError("driver", "one that loads", "libsql", { cause }).cause).toBe(cause);
});

test("an error without a cause has none, rather than an undefined one", () => {
  expect(Object.hasOwn(new errors.InvalidOptionError("clock", "a clock", 1), "cause")).toBe(false);
  expect(Object.hasOwn(new errors.ContractViolationError("Export", "orders", "no"), "cause")).toBe(false);
});

test("what a caller has to act on is a field, not only words", () => {
  const issues = [{ code: "invalid_field", field: "name", message: "name: no" }] as const;

  expect(new errors.InvalidFlowError(issues).issues).toEqual(issues);
  expect(new errors.InvalidOptionError("clock", "a clock", 1).option).toBe("clock");
  expect(new errors.InvalidRequestError("limit", "less", 1).field).toBe("limit");
  expect(new errors.NotFoundError("run", "r1")).toMatchObject({ kind: "run", id: "r1" });
});

describe("isPoundlockError", () => {
  test.each(names)("knows %s", (name) => {
    expect(isPoundlockError(examples[name]?.[0])).toBe(true);
  });

  test("knows the errors of another copy of the library, whose classes differ", async () => {
    vi.resetModules();
    const foreign = await import("../src/errors.ts");
    const error = new foreign.BusyError("Full");

    expect(error).not.toBeInstanceOf(PoundlockError);
    expect(isPoundlockError(error)).toBe(true);
    expect(foreign.isPoundlockError(new errors.BusyError("Full"))).toBe(true);
  });

  test.each<[what: string, error: unknown]>([
    ["an ordinary error", new Error("busy")],
    ["another library's error, though its code is one of ours", Object.assign(new Error("no"), { code: "not_found" })],
    ["an object that only looks like one", { name: "BusyError", code: "busy", message: "Full" }],
    ["a string", "busy"],
    ["null", null],
    ["nothing", undefined],
  ])("does not take %s for one of ours", (_what, error) => {
    expect(isPoundlockError(error)).toBe(false);
  });

  test("leaves no trace on what a log shows of an error", () => {
    const error = new errors.BusyError("Full");

    expect(Object.keys(error).sort()).toEqual(["code", "name"]);
    expect(Object.getOwnPropertySymbols(error)).toEqual([]);
  });
});
