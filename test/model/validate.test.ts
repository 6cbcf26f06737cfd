import { describe, expect, test } from "vitest";
import { InvalidOptionError } from "../../src/index.ts";
import {
  chosenId,
  duration,
  expectation,
  invalidField,
  objectWith,
  oneOf,
  string,
  strings,
  unknownField,
  v,
  validate,
  wholeNumber,
} from "../../src/model/validate.ts";

const shape = { size: v.optional(wholeNumber(1)), name: string };

describe("the first invalid field", () => {
  test("is that of the first schema, however the fields are ordered", () => {
    expect(invalidField({ name: 1, size: 0 }, shape)).toMatchObject({
      field: "size",
      expected: "a whole number, 1 or more",
      found: 0,
    });
  });

  test("is a missing field, unless that is optional", () => {
    expect(invalidField({}, shape)).toMatchObject({ field: "name", expected: "a string", found: undefined });
  });

  test("is none if all are valid, whatever else is there", () => {
    expect(invalidField({ name: "", other: 1 }, shape)).toBeUndefined();
  });

  test("is read as a member, so that an instance of a class may be checked", () => {
    class Named {
      readonly #name = "a";
      get name() {
        return this.#name;
      }
    }

    expect(invalidField(new Named(), shape)).toBeUndefined();
  });
});

describe("the first unknown field", () => {
  test("is the first without a schema, with the name it may be a typo of", () => {
    expect(unknownField({ name: 1, naem: 2, eman: 3 }, shape)).toEqual({
      field: "naem",
      expected: "one of size, name",
      found: "naem",
      hint: '; did you mean "name"?',
    });
  });

  test("may be named like a member of every object", () => {
    expect(unknownField({ constructor: 1 }, shape)?.field).toBe("constructor");
  });

  test("is none if each has a schema, valid or not", () => {
    expect(unknownField({ name: 1 }, shape)).toBeUndefined();
  });
});

describe("validate", () => {
  const message = (given: object, place?: string) => {
    try {
      validate(given, shape, InvalidOptionError, place);
      return undefined;
    } catch (error) {
      return error instanceof InvalidOptionError ? `${error.option} | ${error.message}` : error;
    }
  };

  test("says what is expected and what was found, under the name of the place", () => {
    expect(message({ name: 5 })).toBe("name | name: expected a string, found 5");
    expect(message({ name: 5 }, "person.")).toBe("person.name | person.name: expected a string, found 5");
  });

  test("refuses an unknown field before an invalid one, and suggests the one that was meant", () => {
    expect(message({ nmae: 5 })).toBe('nmae | nmae: expected one of size, name, found "nmae"; did you mean "name"?');
    expect(message({ colour: 5 })).toBe('colour | colour: expected one of size, name, found "colour"');
  });

  test("lets pass what is valid, an optional field that is undefined included", () => {
    expect(message({ name: "a", size: undefined })).toBeUndefined();
  });
});

test("what is expected is said in words", () => {
  const schemas = [
    wholeNumber(0),
    wholeNumber(1, 1_000),
    oneOf("a"),
    oneOf("a", "b"),
    oneOf("a", "b", "c"),
    objectWith(["x", "y"]),
    objectWith(["x"], "an x"),
    strings,
    duration,
  ];

  expect(schemas.map((schema) => expectation(null, schema))).toEqual([
    "a whole number, 0 or more",
    "a whole number from 1 to 1000",
    '"a"',
    '"a" or "b"',
    '"a", "b" or "c"',
    "an object with x and y",
    "an x",
    "an array of strings",
    "a number of milliseconds, 0 or more",
  ]);
});

test("the words are the same, whatever of the schema the value breaks", () => {
  const words = (values: readonly unknown[], schema: v.GenericSchema) =>
    new Set(values.map((value) => expectation(value, schema)));

  expect(words([0, 1_001, 1.5, NaN, Infinity, "5", 2 ** 53, undefined], wholeNumber(1, 1_000)).size).toBe(1);
  expect(words([-1, NaN, Infinity, "5", null], duration).size).toBe(1);
  expect(words([5, ["a", 5], [undefined]], strings).size).toBe(1);
});

test("methods count that an object's class gives it, and a function's own", () => {
  class Part {
    act() {
      return this;
    }
  }
  const own = Object.assign(() => undefined, { act: () => undefined });
  const acts = objectWith(["act"]);

  expect([new Part(), own].map((value) => v.is(acts, value))).toEqual([true, true]);
  expect([Part, {}, null, undefined, "act", 5].map((value) => v.is(acts, value))).not.toContain(true);
});

test("an id has 1 to 255 characters and no spaces around it", () => {
  const ids = ["a", "a b", "x".repeat(255)];
  const others = ["", " ", " a", "a\t", "x".repeat(256), "a\0", "\ud800", 5, null, undefined];

  expect(ids.map((id) => v.is(chosenId, id))).toEqual([true, true, true]);
  expect(others.map((id) => v.is(chosenId, id))).not.toContain(true);
});
