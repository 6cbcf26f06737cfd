import { expect, test } from "vitest";
import { type TransactionBody, execute, rowOf, sideBySide } from "../../../src/storage/sql/database.ts";

/** Counts up to a number, one statement each, and then says so. */
function* counting(name: string, count: number): TransactionBody<readonly unknown[]> {
  const rows: unknown[] = [];
  for (let nth = 1; nth <= count; nth++) rows.push(yield* rowOf("select ?, ?", name, nth));
  yield* execute("insert ?", name);
  return rows;
}

test("bodies that go side by side ask together for what is the same at a step, and each gets rows of its own", () => {
  const asked: unknown[] = [];
  const body = sideBySide([counting("a", 2), counting("b", 0), counting("c", 3)]);
  let step = body.next([]);
  while (step.done !== true) {
    const { sql, sets = [] } = step.value;
    asked.push([sql, sets]);
    step = body.next(sql === "insert ?" ? [] : sets.map((values) => [values.join("")]));
  }

  expect(step.value).toEqual([["a1", "a2"], [], ["c1", "c2", "c3"]]);
  expect(asked).toEqual([
    [
      "select ?, ?",
      [
        ["a", 1],
        ["c", 1],
      ],
    ],
    ["insert ?", [["b"]]],
    [
      "select ?, ?",
      [
        ["a", 2],
        ["c", 2],
      ],
    ],
    ["insert ?", [["a"]]],
    ["select ?, ?", [["c", 3]]],
    ["insert ?", [["c"]]],
  ]);
});

test("no bodies ask for nothing", () => {
  expect(sideBySide([]).next([])).toEqual({ done: true, value: [] });
});
