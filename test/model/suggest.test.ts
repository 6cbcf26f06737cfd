import { describe, expect, test } from "vitest";
import { didYouMean } from "../../src/model/suggest.ts";

const fields = ["name", "schedule", "timezone", "_exportId", "_importId", "_importIds", "disabled"];

describe("a name that is unknown", () => {
  test.each([
    ["shedule", "schedule"],
    ["disbaled", "disabled"],
    ["exportId", "_exportId"],
    ["_EXPORTID", "_exportId"],
    ["timeZone", "timezone"],
    ["nmae", "name"],
    ["_importsIds", "_importIds"],
  ])("%s is taken for a typo of %s", (given, meant) => {
    expect(didYouMean(given, fields)).toBe(`; did you mean "${meant}"?`);
  });

  test.each(["priority", "cron", "", "x", "toString"])("%j is close to none", (given) => {
    expect(didYouMean(given, fields)).toBe("");
  });

  test("is not taken for a known name of which it has no letter", () => {
    expect(didYouMean("ab", ["cd", "x"])).toBe("");
  });

  test("is taken for the first of those that are equally close", () => {
    expect(didYouMean("order", ["orders", "border"])).toBe(`; did you mean "orders"?`);
  });
});

describe("what a comparison costs does not depend on what is given:", () => {
  test("a long name is compared with none", () => {
    expect(didYouMean("x".repeat(65), ["x".repeat(64)])).toBe("");
    expect(didYouMean("x".repeat(64), ["x".repeat(65), "x".repeat(63)])).toBe(`; did you mean "${"x".repeat(63)}"?`);
  });

  test("a hundred names are compared, and no more", () => {
    const many = Array.from({ length: 99 }, () => "something else");

    expect(didYouMean("shedule", [...many, "schedule"])).toBe(`; did you mean "schedule"?`);
    expect(didYouMean("shedule", [...many, "another", "schedule"])).toBe("");
  });
});
