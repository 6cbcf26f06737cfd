import { describe, expect, test } from "vitest";
import { type Export, type Import, defineExport, defineImport } from "../../../src/index.ts";

describe("what is defined is what was given:", () => {
  test("an export", () => {
    const given: Export<string> = { listen: () => () => undefined };

    expect(defineExport(given)).toBe(given);
  });

  test("an import", () => {
    const given: Import<string> = { idempotent: true, write: async () => undefined };

    expect(defineImport(given)).toBe(given);
  });
});
