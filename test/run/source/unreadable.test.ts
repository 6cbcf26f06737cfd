import { describe, expect, test } from "vitest";
import type { Export } from "../../../src/index.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { collectingImport } from "../../../src/testing/index.ts";
import { Harness } from "../../support/harness.ts";

/** Two lines, of which the second is none. */
const lines: Export<string> = {
  async *pages() {
    yield {
      records: ["good"],
      unreadable: [{ raw: "b;ad", error: new Error("line 2: a quote is never closed"), key: "a.csv, line 2" }],
    };
  },
};

describe("what an export finds that is no record", () => {
  test("is one failure for each import, and no import is given it", async () => {
    const one = collectingImport<string>({ filter: (line) => line !== "b;ad", map: (line) => line.toUpperCase() });
    const other = collectingImport<string>();
    const harness = new Harness({ exports: { lines }, imports: { one, other } });

    const run = await harness.move();

    expect(run.imports).toMatchObject({
      one: { numSuccess: 1, numIgnore: 0, numError: 1 },
      other: { numSuccess: 1, numIgnore: 0, numError: 1 },
    });
    expect([one.written, other.written]).toEqual([["GOOD"], ["good"]]);
    expect(await harness.failures()).toMatchObject(
      ["one", "other"].map((_importId) => ({
        ...{ _importId, key: "a.csv, line 2", record: "b;ad", unreadable: true, fault: "reject", attempts: 0 },
        message: "line 2: a quote is never closed",
      })),
    );
  });

  test("is stored again by a retry, and sent once somebody has made a record of it", async () => {
    const into = collectingImport<string>();
    const storage = await SqliteStorage.open(":memory:");
    const harness = new Harness({ exports: { lines }, imports: { into }, storage });
    const { _flowId } = await harness.move();
    into.written.length = 0;

    const again = await harness.scheduler.retryFailures(_flowId);
    const retried = await harness.end(again);
    const [failure] = await harness.failures();
    await harness.scheduler.editFailure(failure?._id ?? "", "bad");
    const sent = await harness.end(await harness.scheduler.retryFailures(_flowId));

    expect([retried.numError, retried.numSuccess, sent.numError, sent.numSuccess]).toEqual([1, 0, 0, 1]);
    expect(failure).toMatchObject({ unreadable: true, record: "b;ad", message: "line 2: a quote is never closed" });
    expect(into.written).toEqual(["bad"]);
    expect(await harness.failures()).toEqual([]);
  });

  test("goes by run, page and place if it has no key", async () => {
    const from: Export<string> = {
      async *pages() {
        yield {
          records: ["good"],
          unreadable: [
            { raw: 1, error: "no text" },
            { raw: 2, error: "none either" },
          ],
        };
      },
    };
    const harness = new Harness({ exports: { from }, imports: { into: collectingImport<string>() } });

    const { _id } = await harness.move();

    expect((await harness.failures()).map(({ key, record, message }) => [key, record, message])).toEqual([
      [`${_id}/1/1`, 1, "no text"],
      [`${_id}/1/2`, 2, "none either"],
    ]);
  });

  test.each([
    [{}, "expected page.unreadable to be an array, found an object ()"],
    [["raw"], 'expected page.unreadable.0 to be an object with raw and error, found "raw"'],
    [
      [{ raw: 1, key: "" }],
      'expected page.unreadable.0.key to be a string of 1 to 1000 characters, without NUL and halves of surrogate pairs, found ""',
    ],
  ])("breaks the contract as %o", async (unreadable, message) => {
    const from = {
      async *pages() {
        yield { records: [], unreadable };
      },
    } as unknown as Export<string>;
    const harness = new Harness({ exports: { from }, imports: { into: collectingImport<string>() } });

    const run = await harness.move();

    expect(run.error?.code).toBe("contract_violation");
    expect(run.error?.message).toContain(message);
  });
});
