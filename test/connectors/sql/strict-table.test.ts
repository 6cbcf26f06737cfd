import { expect, test } from "vitest";
import { sqlImport } from "../../../src/connectors/sql/index.ts";
import { importContext } from "../http/contexts.ts";
import { testDatabases } from "./databases.ts";

for (const each of testDatabases.filter(({ name }) => !["PostgreSQL", "MariaDB"].includes(name)))
  test.skipIf(each.skip !== undefined)(`${each.name} refuses a value of another type in a strict table`, async () => {
    const opened = await each.open();
    const { database } = opened;
    await database.query("create table flights (id text primary key, delay integer) strict");
    const into = sqlImport<{ id: string; delay: unknown }>({ database, table: "flights", key: ["id"] });
    const records = [
      { id: "1", delay: 5 },
      { id: "2", delay: "n/a" },
      { id: "3", delay: null },
    ];

    const results = await into.write(records, importContext(3));

    expect(results).toMatchObject([{ ok: true }, { ok: false, fault: "reject" }, { ok: true }]);
    expect(await database.query("select id from flights order by id")).toMatchObject([{ id: "1" }, { id: "3" }]);
    await opened.close();
  });
