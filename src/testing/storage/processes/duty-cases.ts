import assert from "node:assert/strict";
import { type StorageCase, at, iso, on } from "../harness.ts";

/** A claim of the duty `timetable`, at one second for ten. */
function claim(holder: string, seconds: number, name = "timetable") {
  return { name, holder, at: at(seconds), until: at(seconds + 10) };
}

/** What a process says of itself, seen at second `seenAt`. */
function processOf(_id: string, seenAt: number) {
  const exportIds = ["orders"];
  const rest = {
    version: "1.2.3",
    roles: ["run" as const],
    exportIds,
    importIds: ["ledger"],
    concurrency: 10,
    running: 0,
  };
  return { _id, ...rest, startedAt: iso(0), seenAt: iso(seenAt) };
}

/** What storages promise of what processes share beside the flows. */
export const dutyStorageCases: readonly StorageCase[] = [
  on("claimDuty gives a duty to one holder at a time, and its holder may keep it", async (storage) => {
    const holders = ["a", "b", "c"];
    const claims = await Promise.all(holders.map((holder) => storage.claimDuty(claim(holder, 0))));
    const [holder = "", ...further] = holders.filter((_, index) => claims[index]);
    const kept = await storage.claimDuty(claim(holder, 9));
    const early = await storage.claimDuty(claim("late", 18));

    assert.deepEqual([further, kept, early], [[], true, false]);
    assert.equal(await storage.claimDuty(claim("late", 19)), true);
    assert.equal(await storage.claimDuty(claim(holder, 19)), false);
  }),

  on("claimDuty of one duty leaves another one to whoever claims it", async (storage) => {
    await storage.claimDuty(claim("a", 0));

    assert.equal(await storage.claimDuty(claim("b", 0, "maintenance")), true);
    assert.equal(await storage.claimDuty(claim("a", 0, "maintenance")), false);
    assert.equal(await storage.claimDuty(claim("a", 5)), true);
  }),

  on(
    "claimDuty takes a duty away that is held for more than twice as long as anybody claims it for",
    async (storage) => {
      await storage.claimDuty(claim("ahead", 11));
      const within = await storage.claimDuty(claim("b", 1));
      await storage.claimDuty(claim("far ahead", 86_400, "maintenance"));

      assert.equal(within, false);
      assert.equal(await storage.claimDuty(claim("b", 0, "maintenance")), true);
    },
  ),

  on("releaseDuty gives a duty up, of its holder alone", async (storage) => {
    await storage.claimDuty(claim("a", 0));
    await storage.releaseDuty({ name: "timetable", holder: "b" });
    const early = await storage.claimDuty(claim("b", 1));

    await storage.releaseDuty({ name: "timetable", holder: "a" });

    assert.deepEqual([early, await storage.claimDuty(claim("b", 1))], [false, true]);
  }),

  on(
    "listProcesses returns, ascending, what processes said last, of those that said it since an instant",
    async (storage) => {
      for (const [_id, seenAt] of [
        ["b", 1],
        ["a", 2],
        ["c", 0],
        ["b", 3],
      ] as const)
        await storage.keepProcess(processOf(_id, seenAt), at(0));

      assert.deepEqual(await storage.listProcesses(at(2)), [processOf("a", 2), processOf("b", 3)]);
      assert.deepEqual(
        (await storage.listProcesses(at(0))).map(({ _id }) => _id),
        ["a", "b", "c"],
      );
    },
  ),

  on(
    "keepProcess forgets processes that said nothing since an instant, and removeProcess the one it names",
    async (storage) => {
      await storage.keepProcess(processOf("old", 1), at(0));
      await storage.keepProcess(processOf("there", 2), at(0));
      await storage.keepProcess(processOf("ends", 3), at(2));
      await storage.removeProcess("ends");
      await storage.removeProcess("nobody");

      assert.deepEqual(await storage.listProcesses(0), [processOf("there", 2)]);
    },
  ),
];
