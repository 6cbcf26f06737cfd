import { expect, test } from "vitest";
import { itemAt } from "../../src/model/item-at.ts";

test("gives what stands at a place, undefined included", () => {
  expect([itemAt(["a", "b"], 1), itemAt<unknown>([undefined], 0), itemAt(new Uint8Array([7]), 0)]).toEqual([
    "b",
    undefined,
    7,
  ]);
});

test.each([-1, 2, 0.5 + 2, NaN])("throws for place %s of two, which says that there is none", (index) => {
  expect(() => itemAt(["a", "b"], index)).toThrow(new RangeError(`there is no item ${index} among 2`));
});
