import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { Storage } from "../../../src/storage/storage.ts";
import { schemaVersion } from "../../../src/storage/sql/schema.ts";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { at, defined, iso, pageOf } from "../../../src/testing/storage/harness.ts";
import { Harness, pagesExport } from "../../support/harness.ts";
import { ManualClock, collectingImport } from "../../../src/testing/index.ts";
import { driversHere } from "./sqlite-here.ts";

/**
 * A file that the second version of the schema wrote (commit d8e0666), with pages of 1 KB. Its flows: `orders` of `acme`, due
 * at second 7200, of whose runs one completed, two failed and a retry run completed; `returns`, which failed and recovered,
 * whose run is active, with failures open and resolved; `stock`, paused; `events`, with an inbox; `closed`, disabled.
 */
const original = fileURLToPath(new URL("files/second-version.db", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "poundlock-second-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function newCopy(): string {
  const file = join(folder, `${++files}.db`);
  copyFileSync(original, file);
  return file;
}

const openOf = async (storage: Storage) =>
  (await storage.listCauses({ limit: 10 })).items.map(({ open, pattern }) => [pattern, open]);

for (const { driver, reason } of driversHere)
  describe.skipIf(reason !== undefined)(`${driver}${reason === undefined ? "" : `: ${reason}`}`, () => {
    const on = (title: string, run: (storage: Storage) => Promise<void>) =>
      test(title, async () => {
        await using storage = await SqliteStorage.open(newCopy(), { driver });
        await run(storage);
      });

    test("a file of the second version has the newest one once it was opened, and is whole", async () => {
      const file = newCopy();
      await (await SqliteStorage.open(file, { driver })).close();

      const database = openDatabase(file, driver);
      const versions = database.prepare("select max(version) as version from poundlock_schema").all();
      const problems = [
        ...database.prepare("pragma integrity_check").all(),
        ...database.prepare("pragma foreign_key_check").all(),
      ];
      database.close();

      expect([versions, problems]).toEqual([[{ version: schemaVersion }], [{ integrity_check: "ok" }]]);
    });

    on("flows fail since the first run that failed after one that completed", async (storage) => {
      const [orders, returns, stock] = await storage.flowActivities({
        ...{ _flowIds: ["orders", "returns", "stock"], now: at(50) },
      });

      expect(orders).toMatchObject({ failingSince: iso(20), lastRun: { _id: "orders 4", status: "completed" } });
      expect(returns?.failingSince).toBeUndefined();
      expect(stock?.paused).toEqual([{ _importId: "ledger", since: iso(3) }]);
      expect(await storage.overview({ now: at(50) })).toEqual({
        ...{ flows: { enabled: 4, disabled: 1 }, runs: { running: 1, queued: 1 }, oldestQueuedAt: iso(1) },
        ...{ failing: 1, overdue: 0, paused: 1, openFailures: 0, inboxPages: 1 },
      });
    });

    on("flows are found by a part of their name", async (storage) => {
      const found = await storage.listFlows({ q: "åles", limit: 10 });

      expect(found.items.map(({ _id }) => _id)).toEqual(["orders"]);
    });

    on(
      "failures are counted by the sweep, portion by portion, and until then counts are not complete",
      async (storage) => {
        await storage.completeCauses(3);
        expect((await storage.listCauses({ limit: 10 })).complete).toBe(false);
        while ((await storage.completeCauses(3)) > 0);

        expect((await storage.listCauses({ limit: 10 })).complete).toBe(true);
        expect(await openOf(storage)).toEqual([
          ["customer # has no VAT number", 2],
          ["customer # has no VAT number", 1],
        ]);
        expect((await storage.overview({ now: at(50) })).openFailures).toBe(3);
      },
    );

    on("its active run goes on", async (storage) => {
      const lease = { _runId: "returns 3", token: "token of returns" };
      const committed = await storage.commitPage(lease, pageOf(2, { delivered: ["f1"], total: 40 }));

      expect(defined(committed).run).toMatchObject({ numPagesProcessed: 2, total: 40 });
      expect(await storage.findFailure("f1")).toBeUndefined();
    });

    on("a scheduler finds the due time that follows, counts what failed, and runs what waits", async (storage) => {
      const exports = { orders: pagesExport([[1]]), events: { listen: () => () => undefined } };
      const imports = { ledger: collectingImport(), mailer: collectingImport() };
      const { clock, scheduler } = new Harness({ exports, imports, storage, clock: new ManualClock(at(50)) });
      await scheduler.start();
      await clock.advance(60_000);

      expect((await scheduler.listCauses()).complete).toBe(true);
      expect((await scheduler.listRuns({ _flowId: "events" })).items[0]?.status).toBe("completed");
      await scheduler.stop();
      expect(await storage.overview({ now: at(7_200 + 86_399) })).toMatchObject({ overdue: 0 });
      expect(await storage.overview({ now: at(7_200 + 86_400) })).toMatchObject({ overdue: 1 });
    });
  });
