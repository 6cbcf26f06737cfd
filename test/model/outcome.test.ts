import { describe, expect, test, vi } from "vitest";
import { messageOf, reject, retryLater, stop, outcomeOf } from "../../src/model/outcome.ts";

test.each([
  ["retryLater", retryLater("down"), { kind: "retryLater" }],
  ["retryLater with a delay", retryLater("down", { afterMs: 30_000 }), { kind: "retryLater", afterMs: 30_000 }],
  ["retryLater at once", retryLater("down", { afterMs: 0 }), { kind: "retryLater", afterMs: 0 }],
  ["reject", reject("bad"), { kind: "reject" }],
  ["stop", stop("401"), { kind: "stop" }],
])("%s is read back from the error", (_name, error, outcome) => {
  expect(outcomeOf(error)).toStrictEqual(outcome);
});

test("a outcome is an error that keeps its cause and speaks its words", () => {
  const cause = new Error("connection refused");

  const error = retryLater(cause);

  expect(error).toBeInstanceOf(Error);
  expect([error.message, error.cause]).toEqual(["connection refused", cause]);
});

test.each([undefined, null, "down", 503, {}, new Error("down")])("%j carries no outcome", (error) => {
  expect(outcomeOf(error)).toBeUndefined();
});

test.each([-1, NaN, Infinity, "5", null])("a delay of %j is refused", (afterMs) => {
  expect(() => retryLater("down", { afterMs: afterMs as number })).toThrow(RangeError);
});

test("an undefined delay is none", () => {
  const options = { afterMs: undefined } as unknown as { afterMs: number };

  expect(outcomeOf(retryLater("down", options))).toStrictEqual({ kind: "retryLater" });
});

describe("another copy of the module", () => {
  test("makes outcomes that this one reads, and reads this one's", async () => {
    vi.resetModules();
    const foreign = await import("../../src/model/outcome.ts");

    expect(foreign.reject).not.toBe(reject);
    expect(outcomeOf(foreign.retryLater("down", { afterMs: 5 }))).toEqual({ kind: "retryLater", afterMs: 5 });
    expect(foreign.outcomeOf(stop("401"))).toEqual({ kind: "stop" });
  });
});

test.each<[what: string, thrown: unknown, message: string]>([
  ["an error", new TypeError("no such field"), "no such field"],
  ["an error without a message", new TypeError(), "TypeError"],
  ["a string", "down", "down"],
  ["an object with a message", { message: "down" }, "down"],
  ["a number", 503, "thrown: 503"],
  ["nothing", undefined, "thrown: undefined"],
  ["null", null, "thrown: null"],
])("what is said of %s", (_what, thrown, message) => {
  expect(messageOf(thrown)).toBe(message);
});

test.each([
  ["an object without a prototype", Object.create(null)],
  ["an object whose message is no text", { message: 5 }],
  ["an object that throws when it becomes a string", { toString: () => JSON.parse("}") as string }],
])("something is said even of %s", (_what, thrown) => {
  expect(messageOf(thrown)).toMatch(/^thrown: ./);
});
