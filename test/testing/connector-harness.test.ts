import { describe, expect, test } from "vitest";
import { textOf } from "../../src/testing/connector-harness.ts";
import { importCases } from "../../src/testing/index.ts";
import type { ImportMembers } from "../../src/model/host/import.ts";
import { expired, retryLater, stop } from "../../src/index.ts";

describe("the string by which records are counted", () => {
  test.each<[one: unknown, other: unknown]>([
    [1n, 1],
    [0, -0],
    [null, undefined],
    [new Map([["a", 1]]), new Map([["a", 2]])],
    [new Set([1]), [1]],
    [new Date(0), new Date(1)],
    [{ a: 1, b: 2 }, { a: 1 }],
  ])("of %o is another one than of %o, and the same each time", (one, other) => {
    expect(textOf(one)).toBe(textOf(structuredClone(one)));
    expect(textOf(one)).not.toBe(textOf(other));
  });

  test("does not depend on the order of fields", () => {
    expect(textOf({ a: 1, b: { c: 2, d: 3 } })).toBe(textOf({ b: { d: 3, c: 2 }, a: 1 }));
  });
});

describe("importCases find an import that", () => {
  /** What the case says of an import that behaves so. */
  async function failure(title: string, into: Partial<ImportMembers<number>>): Promise<string> {
    const cases = importCases<number>(() => ({ idempotent: true, write: async () => undefined, ...into }), {
      record: (nth) => nth,
    });
    const found = cases.find((each) => each.title.startsWith(title)) ?? expect.unreachable(title);
    return (async () => found.run())().then(
      () => "",
      (error: unknown) => (error as Error).message,
    );
  }

  test("stops the run for good records, or does not say what became of them", async () => {
    const title = "it writes good records, one and several";

    expect(await failure(title, { write: () => Promise.reject(stop("no")) })).toContain("write stopped the run: no");
    expect(await failure(title, { write: () => Promise.reject(expired("no")) })).toContain("unknown");
    const at = new Date("2030-01-01T00:00:00Z");
    expect(await failure(title, { write: () => Promise.reject(retryLater("no", { afterMs: at })) })).toContain("retry");
  });

  test("leaves good records out, or refuses them by its own schema", async () => {
    const title = "its filter, map and schema are synchronous";
    const schema = {
      "~standard": { version: 1, vendor: "test", validate: () => ({ issues: [{ message: "too odd" }] }) },
    };

    expect(await failure(title, { filter: () => false })).toContain("filter returned false");
    expect(await failure(title, { schema: schema as never })).toContain("too odd");
  });
});
