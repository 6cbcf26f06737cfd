import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { reject } from "../../src/index.ts";
import { codeOf, messageOf } from "../../src/model/message.ts";

const throwing = () => {
  throw new Error("hostile");
};
const allTraps = (target: object) =>
  new Proxy(target, { get: throwing, has: throwing, ownKeys: throwing, getPrototypeOf: throwing });
const withMessage = (message: unknown) => Object.assign(new Error("x"), { message });
const withGetter = (name: string) => Object.defineProperty(new Error("own"), name, { get: throwing });

function cyclic(): Error {
  const error: Error = new Error("first");
  error.cause = new Error("second", { cause: error });
  return error;
}

function ofItself(): Error {
  const errors: unknown[] = [];
  const error = new AggregateError(errors, "all failed");
  error.errors = [error, new Error("one", { cause: error })];
  return error;
}

function nested(depth: number): Error {
  let error = new Error("deepest");
  for (let level = 0; level < depth; level++) error = new Error(`level ${level}`, { cause: error });
  return error;
}

describe("the message of what was thrown", () => {
  test.each<[what: string, thrown: unknown, message: string]>([
    ["an error", new TypeError("no such field"), "no such field"],
    ["an error without a message", new TypeError(), "TypeError"],
    ["a string", "down", "down"],
    ["an empty string", "", 'thrown: ""'],
    ["an object with a message", { message: "down" }, "down"],
    ["an object without one", { status: 422, body: "" }, "thrown: an object (status, body)"],
    ["a number", 503, "thrown: 503"],
    ["nothing", undefined, "thrown: undefined"],
    ["null", null, "thrown: null"],
    ["a symbol", Symbol("s"), "thrown: Symbol(s)"],
    ["a function", () => 1, "thrown: a function"],
    ["an object without a prototype", Object.create(null), "thrown: an object ()"],
    ["a frozen error", Object.freeze(new Error("frozen")), "frozen"],
    [
      "an error of another realm",
      runInNewContext("new RangeError('elsewhere', { cause: new Error('why') })"),
      "elsewhere: why",
    ],
    [
      "an error whose message is an object",
      withMessage({ code: "BAD", field: "email" }),
      "Error: { code: 'BAD', field: 'email' }",
    ],
    ["an error whose message is a number", withMessage(42), "Error: 42"],
    ["an error whose message is a symbol", withMessage(Symbol("s")), "Error: Symbol(s)"],
    ["an error whose message is null", withMessage(null), "Error"],
    ["an error whose message contains itself", withMessage(cyclic()), "Error: "],
    ["an error with a getter that throws for its message", withGetter("message"), "Error"],
    ["an error with a getter that throws for its cause", withGetter("cause"), "own"],
    ["an error with a getter that throws for its errors", withGetter("errors"), "own"],
    ["an error with a name that is no string", Object.assign(new Error(""), { name: 5 }), "thrown: an object (name)"],
    ["a proxy that refuses everything", allTraps({}), "thrown: an object"],
    ["an outcome", reject(new Error("400", { cause: "bad email" })), "400: bad email"],
  ])("%s", (_what, thrown, message) => {
    const found = messageOf(thrown);

    expect(message.endsWith(": ") ? found.slice(0, message.length) : found).toBe(message);
  });

  test("joins the chain of causes, each once", () => {
    const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
    const failed = new TypeError("fetch failed", { cause: refused });

    expect(messageOf(failed)).toBe("fetch failed: connect ECONNREFUSED 127.0.0.1:1");
    expect(messageOf(new Error(`ledger: ${messageOf(failed)}`, { cause: failed }))).toBe(
      "ledger: fetch failed: connect ECONNREFUSED 127.0.0.1:1",
    );
  });

  test("quotes the errors of an aggregate, the first five of many", () => {
    const each = ["::1", "127.0.0.1"].map((address) => new Error(`connect ECONNREFUSED ${address}:1`));

    expect(messageOf(new AggregateError(each))).toBe(
      "AggregateError: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1",
    );
    expect(
      messageOf(
        new AggregateError(
          [1, 2, 3, 4, 5, 6, 7].map((n) => new Error(`no. ${n}`)),
          "all failed",
        ),
      ),
    ).toBe("all failed (no. 1; no. 2; no. 3; no. 4; no. 5; and 2 more)");
  });

  test("ends for causes and aggregates that contain themselves, and for chains of any length", () => {
    expect(messageOf(cyclic())).toBe("first: second");
    expect(messageOf(ofItself())).toBe("all failed (one)");
    expect(messageOf(nested(100_000)).length).toBeLessThanOrEqual(2_000);
  });

  test("has at most 2,000 characters, and is never cut inside a character", () => {
    for (const pad of ["", "x"]) {
      const message = messageOf(new Error(`${pad}${"🚚".repeat(2_000)}`));

      expect(message.length).toBeLessThanOrEqual(2_000);
      expect(message.length).toBeGreaterThan(1_990);
      expect(message).toMatch(/🚚…$/u);
      expect(message).not.toMatch(/\p{Surrogate}/u);
    }
  });

  test("has nothing that a storage could not keep", () => {
    expect(messageOf("a\0b\uD800c\uDC00d 🚚")).toBe("a\uFFFDb\uFFFDc\uFFFDd 🚚");
  });

  test("of 100 MB costs no more than of 10 kB", () => {
    const error = new Error("x".repeat(100_000_000), { cause: new Error("y".repeat(100_000_000)) });

    const start = process.cpuUsage();
    for (let time = 0; time < 100; time++) expect(messageOf(error)).toHaveLength(2_000);

    expect(process.cpuUsage(start).user / 1_000).toBeLessThan(500);
  });

  test("is a string that can be kept, whatever is thrown", () => {
    fc.assert(
      fc.property(
        fc.anything({ withDate: true, withMap: true, withNullPrototype: true, withSymbol: true } as object),
        fc.anything(),
        (thrown, cause) => {
          for (const error of [
            thrown,
            { message: thrown, cause },
            Object.assign(new Error(), { message: cause, cause: thrown }),
          ]) {
            const message = messageOf(error);

            expect(message).not.toBe("");
            expect(message.length).toBeLessThanOrEqual(2_000);
            expect(message).not.toMatch(/[\0\p{Surrogate}]/u);
          }
        },
      ),
    );
  });
});

describe("the code of what was thrown", () => {
  test.each<[what: string, thrown: unknown, code: string | undefined]>([
    ["an error's own", Object.assign(new Error("x"), { code: "EPIPE" }), "EPIPE"],
    ["a number", { code: 23505 }, "23505"],
    [
      "the first of its causes that has one",
      new Error("a", { cause: new Error("b", { cause: { code: "DEEP" } }) }),
      "DEEP",
    ],
    ["the name of an exception of the platform", new DOMException("gone", "AbortError"), "AbortError"],
    ["of an outcome that of its cause", reject({ code: "E_BAD", message: "bad" }), "E_BAD"],
    ["none if it is an object", { code: { a: 1 } }, undefined],
    ["none if it is empty", { code: "" }, undefined],
    ["none if its getter throws", withGetter("code"), undefined],
    ["none of a proxy that refuses everything", allTraps({}), undefined],
    ["none of a string", "EPIPE", undefined],
    ["none of nothing", undefined, undefined],
    ["at most 100 characters", { code: "x".repeat(5_000_000) }, `${"x".repeat(99)}…`],
    ["without what no storage keeps", { code: "a\0\uD800" }, "a\uFFFD\uFFFD"],
  ])("is %s", (_what, thrown, code) => {
    expect(codeOf(thrown)).toBe(code);
  });
});
