import { expect, test } from "vitest";
import type { Failure } from "../../../src/model/failure.ts";
import { UnreadableRowError } from "../../../src/storage/sql/values/unreadable.ts";
import { type FailureRow, failureOf, failureValues, writtenFailureColumns } from "../../../src/storage/sql/rows.ts";
import { failureOf as newFailure, iso } from "../../../src/testing/storage/harness.ts";

const plain = newFailure("1");
const full: Failure = {
  ...newFailure("2", { version: 7, code: "E", fault: "retry", retryAt: iso(9), unstorable: true, unreadable: true }),
  ...{ _integrationId: "acme", _connectorId: "shop", original: { first: true }, editedAt: iso(2), occurrences: 3 },
};
const resolved: Failure = { ...newFailure("3"), status: "resolved", resolvedAt: iso(5), resolvedBy: "person" };

function rowOf(failure: Failure, change: Partial<FailureRow> = {}): FailureRow {
  const values = failureValues(failure, "cause");
  const row = Object.fromEntries(writtenFailureColumns.map((name, index) => [name, values[index]]));
  return { seq: 1, ...row, ...change } as unknown as FailureRow;
}

test.each([plain, full, resolved])("a failure is read from its row as it was stored ($_id)", (failure) => {
  expect(failureOf(rowOf(failure))).toEqual(failure);
});

test("a failure's document has nothing that has a column", () => {
  expect(Object.keys(JSON.parse(rowOf(full).doc) as object).toSorted()).toEqual([
    ...["attempts", "code", "createdAt", "editedAt", "lastFailedAt", "message", "occurrences", "unreadable"],
    "unstorable",
  ]);
});

test.each([plain, full, resolved])(
  "a failure whose document has all of it, as before, is the same ($_id)",
  (failure) => {
    const {
      record: _,
      original: __,
      status: ___,
      resolvedAt: ____,
      resolvedBy: _____,
      retryAt: ______,
      ...doc
    } = failure;

    expect(failureOf(rowOf(failure, { doc: JSON.stringify(doc) }))).toEqual(failure);
  },
);

test.each([
  ["of another failure", JSON.stringify({ ...plain, _id: "9" })],
  ["of none", "{}"],
])("a document %s is no failure's", (_, doc) => {
  expect(() => failureOf(rowOf(plain, { doc }))).toThrow(UnreadableRowError);
});

test("a failure whose version cannot be read has none, which is reported", () => {
  const reported: string[] = [];

  const read = failureOf(rowOf(full, { version: "{" }), ({ _id }) => reported.push(_id));

  expect([read.version, read.key, reported]).toEqual([undefined, full.key, ["2"]]);
});
