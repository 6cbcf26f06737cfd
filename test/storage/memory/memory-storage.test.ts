import { describe, expect, test } from "vitest";
import { MemoryStorage } from "../../../src/index.ts";
import { storageCases } from "../../../src/testing/index.ts";

const cases = storageCases(() => new MemoryStorage(), { changes: true });

describe("MemoryStorage", () => {
  for (const { title, run } of cases) test(title, run);

  test("leaves out only what takes a storage that is durable, shared or has wakes", () => {
    expect(new Set(cases.skipped.map(({ reason }) => reason))).toEqual(
      new Set(["the storage has no wakes", "the storage is not durable", "the storage is not shared"]),
    );
    expect(cases.skipped.length).toBe(17);
  });
});
