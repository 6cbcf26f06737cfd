import assert from "node:assert/strict";
import type { Storage, Wake, WakeStorage } from "../../../storage/storage.ts";
import { type StorageCase, defined } from "../harness.ts";

/** Wake-ups of flows for the export `orders`. */
function wakesOf(...flowIds: readonly string[]): readonly Wake[] {
  return flowIds.map((_flowId) => ({ _flowId, _exportId: "orders" }));
}

function on(title: string, run: (wakes: WakeStorage, other: WakeStorage) => Promise<void>): StorageCase {
  const of = ({ wakes }: Storage) => defined(wakes);
  return { title, needs: "wakes", run: ({ storage, other }) => run(of(storage), of(other)) };
}

const flowIdsOf = (wakes: readonly Wake[]) => wakes.map(({ _flowId }) => _flowId);

/** What a storage with `wakes` promises of them. */
export const wakeStorageCases: readonly StorageCase[] = [
  on("claimWakes returns wake-ups oldest first, at most so many, each once", async (wakes, other) => {
    for (const flowId of ["c", "a", "b"]) await wakes.addWakes(wakesOf(flowId));

    const first = await other.claimWakes(2, ["orders"]);

    assert.deepEqual(first, wakesOf("c", "a"));
    assert.deepEqual(await wakes.claimWakes(2, ["orders"]), wakesOf("b"));
    assert.deepEqual(await wakes.claimWakes(2, ["orders"]), []);
  }),

  on(
    "addWakes leaves a flow that waits already where it is, and takes the export that it names last",
    async (wakes) => {
      await wakes.addWakes(wakesOf("a"));
      await wakes.addWakes(wakesOf("b"));
      await wakes.addWakes([{ _flowId: "a", _exportId: "parcels" }, ...wakesOf("b")]);

      const claimed = await wakes.claimWakes(10, ["orders", "parcels"]);

      assert.deepEqual(claimed, [{ _flowId: "a", _exportId: "parcels" }, ...wakesOf("b")]);
    },
  ),

  on("claimWakes leaves wake-ups of other exports where they are", async (wakes) => {
    const parcels = { _flowId: "parcels", _exportId: "parcels" };
    await wakes.addWakes([parcels]);
    await wakes.addWakes(wakesOf("a"));

    const [none, some] = [await wakes.claimWakes(10, []), await wakes.claimWakes(10, ["orders", "returns"])];

    assert.deepEqual([none, some], [[], wakesOf("a")]);
    assert.deepEqual(await wakes.claimWakes(10, ["parcels"]), [parcels]);
  }),

  on("a flow that was claimed can be woken again", async (wakes) => {
    await wakes.addWakes(wakesOf("a"));
    await wakes.claimWakes(1, ["orders"]);

    await wakes.addWakes(wakesOf("a"));

    assert.deepEqual(await wakes.claimWakes(1, ["orders"]), wakesOf("a"));
  }),

  on("addWakes of none adds nothing, and leaves what waits where it is", async (wakes) => {
    await wakes.addWakes(wakesOf("a"));

    await wakes.addWakes([]);

    assert.deepEqual(await wakes.claimWakes(10, ["orders"]), wakesOf("a"));
  }),

  on("many that add the same wake-ups and claim them at once get each of them once", async (wakes, other) => {
    const flowIds = Array.from({ length: 100 }, (_, index) => `flow ${index}`);
    await Promise.all([wakes.addWakes(wakesOf(...flowIds)), other.addWakes(wakesOf(...flowIds.toReversed()))]);

    const claims = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? wakes : other).claimWakes(10, ["orders"])),
    );
    const rest = await wakes.claimWakes(100, ["orders"]);

    assert.deepEqual([...claims.flatMap(flowIdsOf), ...flowIdsOf(rest)].sort(), flowIds.toSorted());
  }),
];
