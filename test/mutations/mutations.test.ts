import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Mutation, mutations } from "./mutations.ts";
import { mutate, root } from "./scratch-tree.ts";

describe("every mutation", () => {
  test.each(mutations.map((row) => [row.promise, row] as const))("stands once in its file: %s", (_, row) => {
    const contents = readFileSync(join(root, row.file), "utf8");

    expect(mutate(contents, row)).not.toBe(contents);
    for (const file of row.tests) expect(existsSync(join(root, file)), file).toBe(true);
  });

  test("breaks a promise of its own", () => {
    const promises = mutations.map(({ promise }) => promise);

    expect(new Set(promises).size).toBe(promises.length);
  });
});

describe("a mutation whose text", () => {
  const row: Mutation = { promise: "one is one", file: "src/one.ts", find: "one", replace: "$& two", tests: [] };

  test.each([
    ["is gone", "nothing here", 0],
    ["stands there twice", "one and one", 2],
  ])("%s is refused by name", (_, contents, times) => {
    expect(() => mutate(contents, row)).toThrow(
      `mutation "one is one": expected this once in src/one.ts, found it ${times} times`,
    );
  });

  test("stands there once is replaced as it is written", () => {
    expect(mutate("only one!", row)).toBe("only $& two!");
  });
});
