import assert from "node:assert/strict";
import { noStatistics } from "../../../model/statistics.ts";
import type { ProcessHour, Storage } from "../../../storage/storage.ts";
import { type StorageCase, at, on } from "../harness.ts";

const hour = (number: number) => at(number * 3_600);
const counted = (number: number, process: string, numSuccess: number, _integrationId?: string): ProcessHour => ({
  ...noStatistics,
  ...{ hour: hour(number), process, numSuccess, completed: 1, durationMs: 5_000_000_000 },
  ...(_integrationId === undefined ? {} : { _integrationId }),
});

/** Hour and records of each sum. */
async function sums(storage: Storage, _integrationId?: string, from = 0, until = 99): Promise<readonly string[]> {
  const owner = _integrationId === undefined ? {} : { _integrationId };
  const listed = await storage.listStatistics({ from: hour(from), until: hour(until), ...owner });
  return listed.map((one) => `${(one.hour - hour(0)) / 3_600_000}: ${one.numSuccess}`);
}

/** What {@link StatisticsStorage} promises. */
export const statisticsStorageCases: readonly StorageCase[] = [
  on("listStatistics adds up what processes saved, hour by hour, of all or of one integration", async (storage) => {
    await storage.saveStatistics([counted(2, "a", 1), counted(1, "a", 10), counted(2, "a", 100, "acme")]);
    await storage.saveStatistics([counted(2, "b", 1_000, "acme"), counted(3, "b", 10_000)]);

    assert.deepEqual(await sums(storage), ["1: 10", "2: 1101", "3: 10000"]);
    assert.deepEqual(await sums(storage, "acme"), ["2: 1100"]);
    assert.deepEqual(await sums(storage, "nobody"), []);
    assert.deepEqual(await sums(storage, undefined, 2, 3), ["2: 1101"]);
    assert.deepEqual(await storage.listStatistics({ from: hour(2), until: hour(3) }), [
      {
        ...{ hour: hour(2), completed: 3, failed: 0, canceled: 0, numSuccess: 1_101, numError: 0, numIgnore: 0 },
        durationMs: 15_000_000_000,
      },
    ]);
  }),

  on("saveStatistics replaces what the same process saved of the same hour", async (storage) => {
    await storage.saveStatistics([counted(1, "a", 1), counted(1, "b", 10)]);
    await storage.saveStatistics([counted(1, "a", 5)]);
    await storage.saveStatistics([counted(1, "a", 5)]);

    assert.deepEqual(await sums(storage), ["1: 15"]);
  }),

  on("compactStatistics adds up hours that have passed, in portions, and changes no sum", async (storage) => {
    await storage.saveStatistics([1, 2, 3].flatMap((number) => [counted(number, "a", 1), counted(number, "b", 10)]));
    await storage.saveStatistics([counted(1, "a", 100, "acme")]);
    const rule = { foldBefore: hour(3), forgetBefore: 0, limit: 2 };
    const changed: number[] = [];
    do {
      changed.push(await storage.compactStatistics(rule));
      assert.deepEqual(await sums(storage), ["1: 111", "2: 11", "3: 11"]);
    } while (changed.at(-1) !== 0);

    assert.deepEqual(changed, [2, 2, 1, 0]);
    assert.deepEqual(await sums(storage, "acme"), ["1: 100"]);
    // The hour that was not folded can still be saved.
    await storage.saveStatistics([counted(3, "a", 2)]);
    assert.deepEqual(await sums(storage, undefined, 3), ["3: 12"]);
  }),

  on("compactStatistics forgets hours from before an instant, folded or not", async (storage) => {
    await storage.saveStatistics([counted(1, "a", 1), counted(2, "a", 2), counted(3, "a", 3)]);
    await storage.compactStatistics({ foldBefore: hour(2), forgetBefore: 0, limit: 10 });

    assert.equal(await storage.compactStatistics({ foldBefore: 0, forgetBefore: hour(3), limit: 10 }), 2);

    assert.deepEqual(await sums(storage), ["3: 3"]);
  }),
];
