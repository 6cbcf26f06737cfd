import { describe, expect, test } from "vitest";
import { checkChains } from "../../../src/model/flow/flow-chain.ts";
import { FlowIssues } from "../../../src/model/flow/flow-issues.ts";

/** Flows by their ids, with the ids of those they run next. */
type Graph = Readonly<Record<string, readonly string[]>>;

/** What is wrong with `checked`, as `flow: code field`, and which stored flows were looked at. */
async function check(checked: Graph, stored: Graph = {}) {
  const found: string[] = [];
  const chains = new Map(Object.entries(checked).map(([_id, next]) => [_id, { next, issues: new FlowIssues() }]));
  await checkChains(chains, async (_id) => {
    found.push(_id);
    const next = stored[_id];
    return next && { _runNextFlowIds: next };
  });
  const problems = [...chains].flatMap(([_id, { issues }]) =>
    issues.all.map(({ code, field }) => `${_id}: ${code} ${field}`),
  );
  return { problems, found };
}

describe("the flows that are run next", () => {
  test("may be stored, or defined together, and may meet again", async () => {
    const checked = { a: ["b", "c"], b: ["d"], c: ["d", "stored"], d: [] };

    expect(await check(checked, { stored: ["d", "last"], last: [] })).toEqual({
      problems: [],
      found: ["stored", "last"],
    });
  });

  test("are refused by their places if there are none of these ids", async () => {
    const { problems } = await check({ a: ["b", "gone", "lost"], b: [] });

    expect(problems).toEqual(["a: invalid_ref _runNextFlowIds.1", "a: invalid_ref _runNextFlowIds.2"]);
  });

  test("are refused if they lead back, however far the way", async () => {
    expect((await check({ a: ["a"] })).problems).toEqual(["a: invalid_ref _runNextFlowIds.0"]);
    expect((await check({ a: ["b"], b: ["a"] })).problems).toEqual([
      "a: invalid_ref _runNextFlowIds.0",
      "b: invalid_ref _runNextFlowIds.0",
    ]);
    expect((await check({ a: ["end", "b"] }, { b: ["c"], c: ["a"], end: [] })).problems).toEqual([
      "a: invalid_ref _runNextFlowIds.1",
    ]);
  });

  test("are judged by what is to be stored, not by what is", async () => {
    expect((await check({ a: ["b"], b: [] }, { b: ["a"] })).problems).toEqual([]);
  });

  test("may lead to flows that are gone, since these are passed over", async () => {
    expect((await check({ a: ["b"] }, { b: ["gone"] })).problems).toEqual([]);
  });

  test("are looked for once each, in a graph of thousands of ways", async () => {
    const layers = 200;
    const stored: Record<string, string[]> = {};
    for (let layer = 0; layer < layers; layer++)
      for (const side of ["l", "r"])
        stored[`${layer}${side}`] = layer + 1 === layers ? [] : [`${layer + 1}l`, `${layer + 1}r`];

    const { problems, found } = await check({ a: ["0l", "0r"] }, stored);

    expect(problems).toEqual([]);
    expect(found).toHaveLength(2 * layers);
  });

  test("that are no ids are left to the check of their shape", async () => {
    expect(await check({ "": ["", "b"] }, { b: [] })).toEqual({ problems: [], found: ["b"] });
  });
});
