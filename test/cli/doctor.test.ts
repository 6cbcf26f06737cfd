import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openDatabase } from "../../src/storage/sqlite/drivers.ts";
import { schemaVersion } from "../../src/storage/sql/schema.ts";
import { documentsIn, hostFile, newFolder, openHost, run, serveApi } from "./harness.ts";

/** Changes a file as nobody should. */
function change(file: string, ...statements: readonly string[]): void {
  const database = openDatabase(file);
  for (const sql of statements) database.exec(sql);
  database.prepare("pragma wal_checkpoint(truncate)").all();
  database.close();
}

async function found(file: string): Promise<readonly string[]> {
  const { out } = await run(["doctor", "--json", "--file", file]);
  return documentsIn(out).map(({ check }) => String(check));
}

/** A file in which all is well but that nobody has it open. */
async function wellFile(): Promise<string> {
  const file = await hostFile();
  await run(["resolve", "--flow", "orders", "--yes", "--file", file]);
  return file;
}

describe("the doctor", () => {
  test("finds nothing while the application is running and all is well", async () => {
    const file = await wellFile();
    const { scheduler, storage } = await openHost(file);
    await scheduler.start();

    expect(await run(["doctor", "--file", file])).toEqual({
      code: 0,
      out: "Nothing was found that deserves attention.\n",
      err: "",
    });
    await scheduler.stop();
    await storage.close();
  });

  test("finds that nobody runs the flows, and open failures, with what to do about each", async () => {
    const { code, out } = await run(["doctor", "--file", await hostFile()]);

    expect(code).toBe(1);
    expect(out).toContain("processes  No process whose scheduler is started has this file open.");
    expect(out).toMatch(
      /failures +2 open failures in 1 flow \(reject\): order o-# has no VAT number\n +Look at them: poundlock failures --cause [\da-f]{16};/,
    );
    expect(out).toContain("2 findings.");
  });

  test.each([
    [
      "leases",
      `insert into poundlock_runs (id, flow_id, export_id, cause, status, stage, lease_until, doc)
        select 'r1', 'orders', 'orders', 'manual', 'running', 1, 1000, replace(replace(doc, id, 'r1'), '"completed"', '"running"') from poundlock_runs limit 1`,
    ],
    [
      "orphans",
      `insert into poundlock_runs (id, flow_id, export_id, cause, status, stage, doc)
        select 'r1', 'gone', 'orders', 'manual', 'queued', 0, replace(replace(doc, id, 'r1'), '"completed"', '"queued"') from poundlock_runs limit 1`,
    ],
    [
      "queue",
      `insert into poundlock_runs (id, flow_id, export_id, cause, status, stage, doc)
        select 'r1', 'orders', 'orders', 'manual', 'queued', 0, '{"queuedAt":"2026-01-01T00:00:00.000Z"}'`,
    ],
    ["inbox", "update poundlock_flows set inbox_pages = 1000 where id = 'orders'"],
    ["overdue", `update poundlock_flows set due_at = 1000, overdue_at = 2000 where id = 'orders'`],
    [
      "failing",
      `update poundlock_flows set failing_since = 1000 where id = 'orders';
        update poundlock_runs set status = 'failed', doc = replace(doc, '"completed"', '"failed"')`,
    ],
    [
      "paused",
      `update poundlock_places set pause = '{"since":"2026-01-01T00:00:00.000Z","until":"person","reason":{"code":"a","message":"b"},"attempts":1}' where flow_id = 'orders'`,
    ],
  ])("finds %s", async (check, sql) => {
    const file = await wellFile();
    change(file, sql);

    expect(await found(file)).toContain(check);
  });

  test("asks for nothing but what is wrong, however many flows there are", async () => {
    const file = await wellFile();
    const { asked, scheduler, url } = await serveApi(file, "secret");
    await scheduler.start();
    await scheduler.registry.patch("stock", { disabled: false, _importIds: ["shop"] });
    const { _id } = await scheduler.run("stock");
    await scheduler.waitFor(_id);

    const { code, out } = await run(["doctor", "--url", url, "--token-env", "T"], { env: { T: "secret" } });

    expect(code).toBe(1);
    expect(out).toMatch(/paused +Import shop of flow stock is paused since/);
    expect(asked.map((one) => one.split("?")[0])).toEqual([
      "GET /api/overview",
      "GET /api/flows",
      "GET /api/flows/stock/deliveries",
      "GET /api/causes",
    ]);
    await scheduler.stop();
  });

  test("looks at a thousand flows one by one, and says how many more there are", async () => {
    const file = await wellFile();
    const copies = Array.from({ length: 1_002 }, (_, n) => `('copy-${String(n)}')`).join();
    change(
      file,
      `insert into poundlock_flows (id, doc, export_id, disabled, last_modified, scheduled, search_name, overdue_at)
        select column1, replace(doc, '"orders"', '"' || column1 || '"'), export_id, 0, last_modified, 0, 'copy', 2000
        from (values ${copies}), poundlock_flows where id = 'orders'`,
    );

    const { out } = await run(["doctor", "--file", file]);

    expect(out).toContain("and 991 more: --json shows all");
    const { out: json } = await run(["doctor", "--json", "--file", file]);
    expect(
      documentsIn(json)
        .filter(({ check }) => check === "overdue")
        .at(-1),
    ).toMatchObject({
      message: "2 more are overdue.",
    });
  });

  test("says of a newer file which versions there are, and leaves it alone", async () => {
    const file = await hostFile();
    change(file, `insert into poundlock_schema values (${schemaVersion + 1})`);
    const before = readFileSync(file);

    const { code, out } = await run(["doctor", "--file", file]);
    const other = await run(["flows", "--file", file]);
    const changing = await run(["run", "orders", "--file", file]);

    expect(code).toBe(1);
    expect(out).toContain(`schema     The file has schema version ${schemaVersion + 1}`);
    expect(out).toContain("Use the version of poundlock that the application has");
    for (const result of [other, changing])
      expect(result).toMatchObject({ code: 1, err: expect.stringContaining("use a newer poundlock") as string });
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test("says of an older file what brings it up to date; no command does", async () => {
    const file = await hostFile();
    change(file, `delete from poundlock_schema where version = ${schemaVersion}`);
    const before = readFileSync(file);

    expect((await run(["doctor", "--file", file])).out).toContain("Start the application with this version once");
    expect((await run(["run", "orders", "--file", file])).err).toContain(
      "start the application with this version once",
    );
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test("says of a database of something else that it is none of ours", async () => {
    const file = join(newFolder(), "other.db");
    change(file, "create table a (b)");

    expect((await run(["doctor", "--file", file])).out).toContain("The file has no tables of poundlock.");
    expect((await run(["flows", "--file", file])).err).toContain("it has no tables of poundlock");
  });

  test("says of a damaged file what SQLite says", async () => {
    const file = await hostFile();
    const bytes = readFileSync(file);
    bytes.fill(0x5a, 5 * 4_096, bytes.length - 4_096);
    writeFileSync(file, bytes);

    const { code, err, out } = await run(["doctor", "--file", file]);

    expect([code, err]).toEqual([1, ""]);
    expect(out).toMatch(/The file is damaged: .+\.\n +Stop the application/);
    expect(out).not.toContain("\\n");
    expect((await run(["failures", "--file", file])).code).toBe(1);
  });

  test("says of a file that was cut what to do about it", async () => {
    const file = await hostFile();
    truncateSync(file, 20_000);

    const { code, out } = await run(["doctor", "--file", file]);

    expect(code).toBe(1);
    expect(out).toMatch(/^damage +The file is damaged: .*malformed/);
  });

  test("says of what is no database that it is none", async () => {
    const file = join(newFolder(), "notes.txt");
    writeFileSync(file, "not a database ".repeat(500));

    expect(await run(["doctor", "--file", file])).toMatchObject({
      code: 1,
      err: expect.stringContaining("not a database") as string,
    });
  });
});
