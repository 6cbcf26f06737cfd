import { describe, expect, test } from "vitest";
import type { ImportPlace } from "../../../src/model/place.ts";
import type { Json } from "../../../src/model/record/json.ts";
import { passesOf } from "../../../src/run/pass/passes.ts";
import { day, noon } from "../../support/harness.ts";

const rule = { _runId: "new", now: noon, positionMaxAgeMs: day };
const passes = (places: Readonly<Record<string, ImportPlace>>) => passesOf(new Map(Object.entries(places)), rule);
const at = (value: Json) => ({ value, version: 1 });
const position = { at: noon - day, checkpoint: at(7), pages: 3, _runId: "begun" };

describe("a reading that goes on", () => {
  test("begins at the position, after its pages, under the id of the run that began it", () => {
    expect(passes({ sink: { checkpoint: at(5), position } })).toEqual([
      { _importIds: ["sink"], checkpoint: at(7), pages: 3, _runId: "begun", catchesUp: false },
    ]);
  });

  test("begins at the checkpoint, as a new one, once the position is older than positionMaxAgeMs", () => {
    expect(passes({ sink: { checkpoint: at(5), position: { ...position, at: position.at - 1 } } })).toEqual([
      { _importIds: ["sink"], checkpoint: at(5), pages: 0, _runId: "new", catchesUp: false },
    ]);
  });
});

describe("imports", () => {
  test("at equal checkpoints are read for together, in the order of the flow", () => {
    const starts = passes({ c: { checkpoint: at({ at: 1 }) }, a: {}, b: { checkpoint: at({ at: 1 }) } });

    expect(starts.map(({ _importIds }) => _importIds)).toEqual([["c", "b"], ["a"]]);
  });

  test("at equal checkpoints are read for apart if they are at pages of different runs", () => {
    const starts = passes({ a: { position }, b: { position: { ...position, _runId: "other" } } });

    expect(starts.map(({ _importIds }) => _importIds)).toEqual([["a"], ["b"]]);
  });

  test("that fell behind are read for last, and catch up unless one beside them never fell behind", () => {
    const starts = passes({ late: { behind: true }, other: { checkpoint: at(1) } });
    const together = passes({ late: { behind: true }, other: {} });

    expect(starts.map(({ _importIds, catchesUp }) => [_importIds, catchesUp])).toEqual([
      [["other"], false],
      [["late"], true],
    ]);
    expect(together.map(({ catchesUp }) => catchesUp)).toEqual([false]);
  });
});
