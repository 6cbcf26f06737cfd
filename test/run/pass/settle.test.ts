import { expect, test } from "vitest";
import { Batch } from "../../../src/run/destination/batch.ts";
import { settle } from "../../../src/run/pass/settle.ts";

test("a page whose records do not add up is not settled, and the error says so", () => {
  const batch = new Batch([1, 2, 3], { keyOf: String });
  const result = { numIgnore: 0, numSuccess: 2, sent: 2, errors: [] };

  expect(() => settle(batch, result, undefined, { _importId: "ledger" } as never)).toThrow(
    expect.objectContaining({ code: "counts_mismatch", message: expect.stringContaining("ledger") as string }) as Error,
  );
});
