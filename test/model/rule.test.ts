import { describe, expect, test } from "vitest";
import { chosenId, firstBreach, firstUnknown, having, oneOf, optional, text, wholeFrom } from "../../src/model/rule.ts";

const rules = { size: optional(wholeFrom(1)), name: text };

describe("the first breach", () => {
  test("is that of the first rule, however the fields are ordered", () => {
    expect(firstBreach({ name: 1, size: 0 }, rules)).toEqual({
      field: "size",
      expected: "a whole number, 1 or more",
      found: 0,
    });
  });

  test("is a missing field, unless that is optional", () => {
    expect(firstBreach({}, rules)).toEqual({ field: "name", expected: "a text", found: undefined });
  });

  test("is none if all hold, whatever else is there", () => {
    expect(firstBreach({ name: "", other: 1 }, rules)).toBeUndefined();
  });
});

describe("the first unknown field", () => {
  test("is the first without a rule", () => {
    expect(firstUnknown({ name: 1, naem: 2, eman: 3 }, rules)).toEqual({
      field: "naem",
      expected: "one of size, name",
      found: "naem",
    });
  });

  test("may be named like a member of every object", () => {
    expect(firstUnknown({ constructor: 1 }, rules)?.field).toBe("constructor");
  });

  test("is none if each has a rule, held or not", () => {
    expect(firstUnknown({ name: 1 }, rules)).toBeUndefined();
  });
});

test("what is expected is said in words", () => {
  const said = [wholeFrom(0), wholeFrom(1, 1_000), oneOf("a"), oneOf("a", "b"), oneOf("a", "b", "c"), having("x", "y")];

  expect(said.map(({ expected }) => expected)).toEqual([
    "a whole number, 0 or more",
    "a whole number from 1 to 1000",
    '"a"',
    '"a" or "b"',
    '"a", "b" or "c"',
    "an object with x and y",
  ]);
});

test("methods count that an object's class gives it, and a function's own", () => {
  class Part {
    act() {
      return this;
    }
  }
  const own = Object.assign(() => undefined, { act: () => undefined });

  expect([new Part(), own].map(having("act").holds)).toEqual([true, true]);
  expect([Part, {}, null, undefined, "act", 5].map(having("act").holds)).not.toContain(true);
});

test("an id has 1 to 255 characters and no spaces around it", () => {
  expect(["a", "a b", "x".repeat(255)].map(chosenId.holds)).toEqual([true, true, true]);
  expect(["", " ", " a", "a\t", "x".repeat(256), 5, null, undefined].map(chosenId.holds)).not.toContain(true);
});
