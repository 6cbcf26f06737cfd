import { expect, test } from "vitest";
import type { PlaceChange } from "../../../src/model/place.ts";
import { placeMoves } from "../../../src/storage/sql/places.ts";

const _importIds = ["ledger"];
const checkpoint = { value: { at: 1 }, version: 2 };
const position = { _runId: "run", pages: 3, at: 4 };
const pause = { since: "", until: "time", reason: { code: "a", message: "b" }, attempts: 1 } as const;

function columnsOf(...changes: readonly PlaceChange[]): readonly string[] {
  return placeMoves(changes, 9).map(({ sql }) => Array.from(sql.matchAll(/(\w+) = /g), ([, name]) => name).join(" "));
}

test("a page sets the columns that it moves, and no other", () => {
  expect(
    columnsOf(
      { _importIds, checkpoint, position },
      { _importIds, position },
      { _importIds, inbox: "7" },
      { _importIds },
    ),
  ).toEqual([
    "moved_at checkpoint version position flow_id import_id",
    "moved_at position flow_id import_id",
    "moved_at inbox flow_id import_id",
    "moved_at flow_id import_id",
  ]);
});

test("whatever becomes of pauses is one statement for each of what pages move", () => {
  const changes = [{ pause }, { pause: null }, { behind: true }, { behind: false, pause: null }];

  expect(new Set(columnsOf(...changes.map((change) => ({ _importIds, ...change })))).size).toBe(1);
});

test("a change of no import is none", () => {
  expect(placeMoves([{ _importIds: [], position: null }], 9)).toEqual([]);
});
