import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-causes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = Date.UTC(2030, 0, 1);
const flows = 1_700;
const flowId = (index: number) => `flow-${String(index).padStart(4, "0")}`;

/** Three causes of {@link flows} flows each, at two imports. The second has most failures. */
async function countedFile(): Promise<string> {
  const file = join(folder, "causes.db");
  await (await SqliteStorage.open(file)).close();
  const database = openDatabase(file);
  database.exec("begin");
  const insert = database.prepare(
    `insert into poundlock_causes
        (flow_id, import_id, integration_id, cause, pattern, fault, code, size, first_at, last_at, sample)
      values (?, ?, '', ?, ?, 'reject', null, ?, ?, ?, ?)`,
  );
  for (const [nth, cause] of ["0a", "0b", "0c"].entries())
    for (let index = 0; index < flows; index++)
      for (const _importId of ["ledger", "mailer"]) {
        const size = cause === "0b" ? 2 : 1;
        const times = [at - (index === 900 ? 1_000 : 0), at + (index === 1_200 ? 5_000 : 0)];
        insert.run(flowId(index), _importId, cause, `pattern ${nth}`, size, ...times, `${cause} ${flowId(index)}`);
      }
  database.exec("commit");
  database.close();
  return file;
}

test("causes that several portions of counts have in common are added up, and each flow counts once", async () => {
  const storage = await SqliteStorage.open(await countedFile());

  const all = await storage.listCauses({ limit: 10 });
  const most = await storage.listCauses({ limit: 2 });
  await storage.close();

  expect(all.items.map(({ cause, flows, open }) => [cause, open, flows])).toEqual([
    ["0b", 4 * flows, flows],
    ["0a", 2 * flows, flows],
    ["0c", 2 * flows, flows],
  ]);
  expect(all.items[0]).toMatchObject({
    pattern: "pattern 1",
    fault: "reject",
    firstAt: new Date(at - 1_000).toISOString(),
    lastAt: new Date(at + 5_000).toISOString(),
    sample: `0b ${flowId(flows - 1)}`,
  });
  expect(most.items).toEqual(all.items.slice(0, 2));
});

test("of more causes than are kept, those with most failures are listed", async () => {
  const file = join(folder, "many.db");
  await (await SqliteStorage.open(file)).close();
  const database = openDatabase(file);
  database.exec("begin");
  const insert = database.prepare(
    `insert into poundlock_causes
        (flow_id, import_id, integration_id, cause, pattern, fault, code, size, first_at, last_at, sample)
      values ('flow', 'ledger', '', ?, 'p', 'reject', null, ?, ?, ?, 's')`,
  );
  for (let index = 0; index < 4_000; index++)
    insert.run(index.toString(16).padStart(16, "0"), 1 + ((index * 7_919) % 4_000), at, at);
  database.exec("commit");
  database.close();
  const storage = await SqliteStorage.open(file);

  const { items } = await storage.listCauses({ limit: 5 });
  await storage.close();

  expect(items.map(({ open }) => open)).toEqual([4_000, 3_999, 3_998, 3_997, 3_996]);
});
