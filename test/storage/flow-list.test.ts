import { expect, test } from "vitest";
import { ManualClock } from "../../src/testing/index.ts";
import { flowOf } from "../../src/testing/storage/harness.ts";
import { listFlows } from "../../src/storage/flow-list.ts";
import type { Flow, ListResult } from "../../src/index.ts";
import type { FlowQuery } from "../../src/storage/storage.ts";

/** Returns these pages one after the other, and notes how it was asked. */
function portions(...pages: readonly ListResult<Flow>[]) {
  const asked: FlowQuery[] = [];
  const storage = {
    async listFlows(query: FlowQuery) {
      asked.push(query);
      return pages[asked.length - 1] ?? { items: [] };
    },
  };
  return { asked, deps: { clock: new ManualClock(1_000), storage } };
}

test("a page is filled from as many portions as it takes, and no more is asked for than it lacks", async () => {
  const { asked, deps } = portions(
    { items: [flowOf("a")], next: "1" },
    { items: [], next: "2" },
    { items: [flowOf("b"), flowOf("c")], next: "3" },
  );

  const { items, next, unreadable } = await listFlows(deps, { limit: 3, q: "x" });

  expect(items.map(({ _id }) => _id)).toEqual(["a", "b", "c"]);
  expect([next, unreadable]).toEqual(["3", undefined]);
  expect(asked.map(({ after, limit }) => [after, limit])).toEqual([
    [undefined, 3],
    ["1", 2],
    ["2", 2],
  ]);
});

test("the last page ends the list, and names what could not be read in any portion", async () => {
  const { deps } = portions(
    { items: [flowOf("a")], next: "1", unreadable: ["x"] },
    { items: [], next: "2" },
    { items: [flowOf("b")], unreadable: ["y"] },
  );

  expect(await listFlows(deps, { limit: 3 })).toEqual({
    items: [flowOf("a"), flowOf("b")],
    unreadable: ["x", "y"],
  });
});

test("only a search for what is overdue is given the time", async () => {
  const { asked, deps } = portions();

  await listFlows(deps, { limit: 3, state: "overdue" });
  await listFlows(deps, { limit: 3, state: "failing" });

  expect(asked.map(({ now }) => now)).toEqual([1_000, undefined]);
});
