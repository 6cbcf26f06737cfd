import { describe, expect, test, vi } from "vitest";
import { expired, reject, retryAfter, retryLater, stop } from "../../../src/index.ts";
import { outcomeOf } from "../../../src/model/host/outcome.ts";

const tomorrow = new Date("2030-01-02T00:00:00Z");

test.each([
  ["retryLater", retryLater("down"), { kind: "retryLater" }],
  ["retryLater with a delay", retryLater("down", { afterMs: 30_000 }), { kind: "retryLater", afterMs: 30_000 }],
  ["retryLater at once", retryLater("down", { afterMs: 0 }), { kind: "retryLater", afterMs: 0 }],
  ["retryLater with a date", retryLater("down", { afterMs: tomorrow }), { kind: "retryLater", afterMs: tomorrow }],
  ["retryLater without a delay", retryLater("down", { afterMs: undefined }), { kind: "retryLater" }],
  ["retryLater with what a header says", retryLater("down", retryAfter("2")), { kind: "retryLater", afterMs: 2_000 }],
  ["retryLater with no header", retryLater("down", retryAfter(null)), { kind: "retryLater" }],
  ["reject", reject("bad"), { kind: "reject" }],
  ["stop", stop("401"), { kind: "stop" }],
  ["expired", expired("410"), { kind: "expired" }],
])("%s is read back from the error", (_name, error, outcome) => {
  expect(outcomeOf(error)).toStrictEqual(outcome);
});

test("an outcome is an error that keeps its cause and has its message", () => {
  const cause = new Error("connection refused");

  const error = retryLater(cause);

  expect(error).toBeInstanceOf(Error);
  expect([error.message, error.cause]).toEqual(["connection refused", cause]);
});

const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new Error("no");
    },
  },
);

const brand = Symbol.for("poundlock.outcome");

test.each([
  ...[undefined, null, "down", 503, {}, new Error("down"), hostile],
  ...[{ [brand]: hostile }, { [brand]: null }, { [brand]: "stop" }, { [brand]: { kind: "later" } }],
])("value %# carries no outcome", (error) => {
  expect(outcomeOf(error)).toBeUndefined();
});

test.each([-1, NaN, Infinity, "5", null, new Date(NaN)])("a delay of %j breaks nothing", (afterMs) => {
  expect(outcomeOf(retryLater("down", { afterMs: afterMs as number }))?.kind).toBe("retryLater");
});

test("an option that retryLater does not have is refused by name, and does not compile", () => {
  // @ts-expect-error it is `afterMs`
  expect(() => retryLater("down", { aferMs: 5 })).toThrow(
    expect.objectContaining({
      code: "invalid_option",
      message: 'retryLater.aferMs: expected afterMs, found "aferMs"; did you mean "afterMs"?',
    }),
  );
  // @ts-expect-error options are an object
  expect(() => retryLater("down", 5_000)).toThrow("retryLater: expected an object with afterMs, found 5000");
});

describe("another copy of the module", () => {
  test("makes outcomes that this one reads, and reads this one's", async () => {
    vi.resetModules();
    const foreign = await import("../../../src/errors.ts");
    const reading = await import("../../../src/model/host/outcome.ts");

    expect(foreign.reject).not.toBe(reject);
    expect(outcomeOf(foreign.retryLater("down", { afterMs: 5 }))).toEqual({ kind: "retryLater", afterMs: 5 });
    expect(reading.outcomeOf(stop("401"))).toEqual({ kind: "stop" });
  });
});
