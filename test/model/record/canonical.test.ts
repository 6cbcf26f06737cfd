import { describe, expect, test } from "vitest";
import { canonicalHash } from "../../../src/model/record/canonical.ts";

describe("the hash of a record", () => {
  test.each<[title: string, one: unknown, other: unknown]>([
    ["sets", new Set([1, 2]), new Set([2, 1])],
    ["a set and an array", new Set([1]), [1]],
    ["maps", new Map([["a", 1]]), new Map([["a", 2]])],
    ["buffers", new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
    ["objects of a class", new URL("https://a.example"), new URL("https://b.example")],
  ])("differs for other %s", (_title, one, other) => {
    expect(canonicalHash(one)).toBe(canonicalHash(structured(one)));
    expect(canonicalHash(one)).not.toBe(canonicalHash(other));
  });

  test("goes by what an object of a class without toJSON has", () => {
    class Money {
      readonly cents: number;
      constructor(cents: number) {
        this.cents = cents;
      }
    }

    expect(canonicalHash(new Money(1))).toBe(canonicalHash(new Money(1)));
    expect(canonicalHash(new Money(1))).not.toBe(canonicalHash(new Money(2)));
  });
});

function structured(value: unknown): unknown {
  return value instanceof URL ? new URL(value) : structuredClone(value);
}
