import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CommitUnknownError,
  type SqlDatabase,
  type SqlExportOptions,
  type SqlQueries,
  type SqlTableOptions,
  sqlExport,
  sqlImport,
} from "../../../src/connectors/sql/index.ts";
import {
  type Export,
  type Exports,
  FlowRegistry,
  type Import,
  type Imports,
  type Run,
  Scheduler,
} from "../../../src/index.ts";
import { silentLogger } from "../../../src/model/logger.ts";
import { exportCases, importCases } from "../../../src/testing/index.ts";
import { type OpenDatabase, testDatabases } from "./databases.ts";

interface Item {
  readonly id: string;
  readonly at: string;
}

interface Order {
  readonly id: string;
  readonly total?: number;
  readonly note?: unknown;
}

/** Runs a flow, on the real clock: databases do not wait for a manual one. */
async function move<T, C>(from: Export<T, C>, into: Import<T>): Promise<Run> {
  const exports: Exports = { from };
  const imports = { into } as unknown as Imports;
  const registry = new FlowRegistry({ exports, imports });
  await using scheduler = new Scheduler(registry, { retryDelayMs: 1, logger: silentLogger });
  await scheduler.start();
  const flow = await registry.create({ name: "sql", _exportId: "from", _importId: "into" });
  return await scheduler.waitFor((await scheduler.run(flow._id))._id);
}

function pagesOf<T>(pages: () => readonly (readonly T[])[], settings: Partial<Export<T>> = {}): Export<T> {
  return {
    async *pages() {
      yield* pages();
    },
    ...settings,
  };
}

for (const { name, skip, open } of testDatabases) {
  if (skip !== undefined) {
    test.skip(`${name}: ${skip}`, () => undefined);
    continue;
  }
  describe(name, () => {
    let opened: OpenDatabase | undefined;
    let database: SqlDatabase;
    let types: OpenDatabase["types"];
    let tables = 0;
    const isPostgres = name === "PostgreSQL";
    const isMariadb = name === "MariaDB";
    /** A time of a test, with its zone if the database's type has one. */
    const timeOf = (time: string) => (isPostgres ? time : time.replace("+00", isMariadb ? "" : "Z"));

    beforeAll(async () => {
      opened = await open();
      ({ database, types } = opened);
    });
    afterAll(() => opened?.close());

    const create = async (columns: string): Promise<string> => {
      const table = `t${++tables}`;
      await database.query(`create table ${table} (${columns})`);
      return table;
    };
    const rowsOf = async (table: string, columns = "*") =>
      [...(await database.query(`select ${columns} from ${table} order by 1`))].map((row) => ({ ...row }));

    describe("sqlExport", () => {
      // Five rows within a microsecond, and some around them.
      const times = ["00.000001", "00.000002", "00.000002", "00.000002", "00.000002", "00.000002", "00.000003", "01.5"];
      const items = times.map((time, nth): Item => ({ id: `id ${nth}`, at: `2026-01-01 00:00:${time}+00` }));
      const fill = async (rows: readonly Item[]) => {
        const table = await create(`id ${types.key} primary key, at ${types.time} not null`);
        for (const { id, at } of rows)
          await database.query(`insert into ${table} values (${database.dialect.place(1)}, ${database.dialect.place(2)})`, [id, timeOf(at)]); // prettier-ignore
        return table;
      };
      const sources = new WeakMap<object, string>();
      const exportOf = (table: string, options: Partial<SqlExportOptions<Item>> = {}) => {
        const from = sqlExport<Item>({ database, table, cursor: ["at", "id"], settleMs: 1_000, ...options });
        sources.set(from, table);
        return from;
      };
      const records = async (from: object) =>
        (await database.query(`select * from ${sources.get(from) ?? ""}`)) as never;

      for (const read of ["changes", "all"] as const) {
        const cases = exportCases<Item, never>(async () => exportOf(await fill(items), { read }) as never, {
          pageSize: 2,
          records,
          empty: async () => exportOf(await fill([]), { read }) as never,
          ...(read === "all"
            ? {}
            : {
                // Within the microsecond of the newest row, with an id that comes after its own.
                async addLate(from: object) {
                  const table = sources.get(from) ?? "";
                  await database.query(`insert into ${table} select 'id 9', at from ${table} where id = 'id 7'`);
                  return (await database.query(`select * from ${table} where id = 'id 9'`))[0] as never;
                },
              }),
        });
        describe(read, () => {
          for (const { title, run } of cases) test(title, run);
        });
      }

      test("leaves rows for the next run that are younger than settleMs by the database's clock", async () => {
        const table = await fill(items.slice(0, 2));
        const now = isPostgres || isMariadb ? "now()" : "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
        await database.query(`insert into ${table} select 'young', ${now}`);
        const seen: string[] = [];
        const into: Import<Item> = {
          idempotent: true,
          write: async (read) => void seen.push(...read.map(({ id }) => id)),
        };

        await move(exportOf(table, { settleMs: 60_000 }), into);
        expect(seen).toEqual(["id 0", "id 1"]);
        await move(exportOf(table, { settled: "1 = 1" }), into);
        expect(seen.slice(2)).toEqual(["id 0", "id 1", "young"]);
      });

      test("reads columns and rows that are asked for, and says why it cannot", async () => {
        const table = await create(`id integer primary key, at ${types.time}, more text`);
        await database.query(
          `insert into ${table} values (1, '${timeOf("2026-01-01 00:00:00+00")}', 'a'), (2, null, 'b')`,
        );
        const options = { database, table, cursor: ["at", "id"], settleMs: 0, columns: ["id"] };
        const records: unknown[] = [];
        const into: Import<object> = { idempotent: true, write: async (read) => void records.push(...read) };

        await move(sqlExport<object>({ ...options, where: "more = 'a'" }), into);
        const failed = await move(sqlExport<object>(options), into);

        expect(records).toEqual([{ id: 1 }]);
        expect(failed.error?.message).toContain(`${table}.at is null in a row: such rows can be neither ordered nor found again`); // prettier-ignore
      });

      test("in a pass that catches up ends where the others are", async () => {
        const from = exportOf(await fill(items));
        const until = { after: [timeOf("2026-01-01 00:00:00.000002+00"), "id 4"] };
        const pages: unknown[] = [];
        const context = { until, checkpoint: undefined, pageSize: 3, signal: new AbortController().signal, run: { _id: "run" } }; // prettier-ignore
        for await (const page of from.pages?.(context as never) ?? []) pages.push(page);

        const read = pages.flatMap((page) => (page as { records: readonly Item[] }).records.map(({ id }) => id));
        expect(read).toEqual(["id 0", "id 1", "id 2", "id 3", "id 4"]);
        expect(pages.at(-1)).toEqual({ records: [], checkpoint: until });
      });
    });

    describe("sqlImport", () => {
      const destinations = new WeakMap<object, string>();
      const importInto = (table: string, options: Partial<SqlTableOptions> = {}): Import<Order> => {
        const into = sqlImport<Order>({ database, table, key: ["id"], ...options });
        destinations.set(into, table);
        return into;
      };
      const orders = () => create(`id ${types.key} primary key, total integer check (total < 1000), note text, event_key ${types.key} unique, run text`); // prettier-ignore
      const read = (into: object) => rowsOf(destinations.get(into) ?? "", "id, total, note");
      const record = (nth: number): Order => ({ id: `order ${nth}`, total: nth });
      const poison = (nth: number): Order => ({ id: `poison ${nth}`, total: 1000 });

      const modes: Readonly<Record<string, Partial<SqlTableOptions>>> = {
        upsert: {},
        "insert with keyColumn": { mode: "insert", keyColumn: "event_key" },
        "upsert with sweep": { sweep: { column: "run", atMost: 1 } },
      };
      for (const [mode, options] of Object.entries(modes)) {
        const cases = importCases(async () => importInto(await orders(), options), {
          record,
          ...(mode.startsWith("insert") ? { changed: (nth: number) => ({ id: `order ${nth + 50}`, total: nth }) } : {}),
          ...(mode.startsWith("insert")
            ? {}
            : { changed: (nth: number) => ({ id: `order ${nth}`, total: 500 + nth }) }),
          poison,
          read,
          finish: mode.endsWith("sweep"),
        });
        describe(mode, () => {
          for (const { title, run } of cases) test(title, run);
        });
      }

      test("groups rows by their columns, so that an absent field stays as it is", async () => {
        const table = await orders();
        const into = importInto(table);
        await move(pagesOf<Order>(() => [[{ id: "a", total: 1, note: "x" }, { id: "b", note: "y" }]]), into); // prettier-ignore

        await move(pagesOf<Order>(() => [[{ id: "a", total: 2 }, { id: "b", total: 3 }, { id: "b", note: "z", total: 4 }]]), into); // prettier-ignore

        expect(await rowsOf(table, "id, total, note")).toEqual([
          { id: "a", total: 2, note: "x" },
          { id: "b", total: 4, note: "z" },
        ]);
      });

      test("updates and deletes only rows that are there", async () => {
        const table = await orders();
        await move(pagesOf<Order>(() => [[{ id: "a", total: 1 }, { id: "b", total: 1 }]]), importInto(table)); // prettier-ignore

        await move(pagesOf<Order>(() => [[{ id: "a", total: 2 }, { id: "c", total: 2 }]]), importInto(table, { mode: "update" })); // prettier-ignore
        expect(await rowsOf(table, "id, total")).toEqual([{ id: "a", total: 2 }, { id: "b", total: 1 }]); // prettier-ignore
        await move(
          pagesOf<Order>(() => [[{ id: "a" }, { id: "c" }]]),
          importInto(table, { mode: "delete" }),
        );
        expect(await rowsOf(table, "id")).toEqual([{ id: "b" }]);
      });

      test("keeps what values mean, and rejects those that it would change", async () => {
        const table = await create(`id ${types.key} primary key, big bigint, at ${types.time}, more ${types.json}, raw ${types.bytes}, yes boolean`); // prettier-ignore
        const into = sqlImport<object>({ database, table, key: ["id"] });
        const row = {
          id: "a",
          big: 2n ** 62n,
          at: new Date(0),
          more: { deep: [1] },
          raw: Buffer.from([0, 255]),
          yes: true,
        };

        const run = await move(
          pagesOf<object>(() => [[row, { id: "b", big: Number.NaN }, { big: 1 }, { id: "c", at: new Date(NaN) }]]),
          into,
        );

        expect(run).toMatchObject({ numSuccess: 1, numError: 3 });
        const [kept] = await database.query(
          `select ${isMariadb ? "cast(big as char)" : "cast(big as text)"} as big, more, raw, yes from ${table}`,
        );
        expect(kept?.big).toBe(String(2n ** 62n));
        expect(Buffer.from(kept?.raw as Uint8Array)).toEqual(Buffer.from([0, 255]));
        expect(typeof kept?.more === "string" ? JSON.parse(kept.more) : kept?.more).toEqual({ deep: [1] });
      });

      test("finds one bad row among a thousand, and writes all others in one transaction", async () => {
        const table = await orders();
        const thousand = Array.from({ length: 1_000 }, (_, nth) => (nth === 700 ? poison(nth) : record(nth % 500 === nth ? nth : nth))); // prettier-ignore
        const good = thousand.map((each) =>
          each.total !== undefined && each.total > 999 ? each : { ...each, total: 1 },
        );

        const run = await move(
          pagesOf<Order>(() => [good]),
          importInto(table),
        );

        expect(run).toMatchObject({ numSuccess: 999, numError: 1 });
        expect(await database.query(`select count(*) as n from ${table}`)).toMatchObject([
          { n: isPostgres ? "999" : 999 },
        ]);
      });

      test("stops for a column that there is not, or drops it", async () => {
        const table = await orders();
        const from = pagesOf<Order & { readonly typo: number }>(() => [[{ id: "a", typo: 1 }]]);

        const stopped = await move(from, importInto(table) as Import<Order & { readonly typo: number }>);
        const dropped = await move(
          from,
          importInto(table, { extra: "drop" }) as Import<Order & { readonly typo: number }>,
        );

        expect([stopped.error?.code, dropped.numSuccess]).toEqual(["stopped_by_import", 1]);
        expect(await rowsOf(table, "id")).toEqual([{ id: "a" }]);
      });

      test("sweeps what a whole run of its own flow did not write, and no more than it may", async () => {
        const table = await orders();
        let ids = ["a", "b", "c", "d", "e"];
        await move(pagesOf<Order>(() => [[{ id: "of another flow" }]], { whole: true }), importInto(table, modes["upsert with sweep"])); // prettier-ignore
        const from = pagesOf<Order>(() => [ids.map((id) => ({ id }))], { whole: true });
        const registry = new FlowRegistry({ exports: { from }, imports: { into: importInto(table, { sweep: { column: "run" } }) } }); // prettier-ignore
        await using scheduler = new Scheduler(registry, { logger: silentLogger });
        await scheduler.start();
        const { _id } = await registry.create({ name: "sweep", _exportId: "from", _importId: "into" });
        const run = async () => scheduler.waitFor((await scheduler.run(_id))._id);

        await run();
        ids = ["a", "b", "c", "d"];
        expect((await run()).status).toBe("completed");
        expect((await rowsOf(table, "id")).map(({ id }) => id)).toEqual(["a", "b", "c", "d", "of another flow"]);
        ids = ["a", "b"];
        expect((await run()).error).toMatchObject({
          code: "import_failed",
          message: expect.stringContaining("sweep would delete 2 of the 4 rows of this flow, more than 20 %") as string,
        });
        expect(await rowsOf(table, "id")).toHaveLength(5);
      });

      describe("with apply and once", () => {
        /** A database in which the process dies at a step: before a statement, or around a commit. */
        const dyingAt = (step: number, counted = { steps: 0 }): SqlDatabase => {
          const die = () => {
            if (++counted.steps === step) throw Object.assign(new Error("the process died"), { code: "ECONNRESET" });
          };
          return {
            ...database,
            transaction: async (work, signal) => {
              die();
              const result = await database.transaction(async (tx) => {
                const dying: SqlQueries = { query: async (...call) => (die(), tx.query(...call)) };
                const result = await work(dying);
                die();
                return result;
              }, signal);
              try {
                die();
              } catch (error) {
                throw new CommitUnknownError(error);
              }
              return result;
            },
          };
        };

        test("each record adds up once, wherever a write is interrupted", async () => {
          const marks = await create(`idempotency_key ${types.key} primary key, applied_at bigint`);
          for (let step = 1; step <= 8; step++) {
            const table = await create(`id ${types.key} primary key, total integer`);
            await database.query(`insert into ${table} values ('sum', 0)`);
            const counted = { steps: 0 };
            const into = sqlImport<Order>({
              database: dyingAt(step, counted),
              once: marks,
              async apply(tx, records) {
                for (const { total = 0 } of records)
                  await tx.query(`update ${table} set total = total + ${database.dialect.place(1)}`, [total]);
              },
            });
            const from = pagesOf<Order>(() => [[1, 2].map(record), [2, 3].map(record)], {
              key: ({ id }) => `${step} ${id}`,
            });

            const run = await move(from, into);

            expect(run).toMatchObject({ status: "completed", numSuccess: 4 });
            expect(await rowsOf(table)).toEqual([{ id: "sum", total: 6 }]);
          }
        });

        test("is not idempotent without it, and forgets marks that are old", async () => {
          const marks = await create(`idempotency_key ${types.key} primary key, applied_at bigint`);
          await database.query(`insert into ${marks} values ('old', 0)`);
          const apply = async () => undefined;

          await move(
            pagesOf<Order>(() => [[record(1)]]),
            sqlImport<Order>({ database, once: { table: marks }, apply }),
          );

          expect(await rowsOf(marks)).toHaveLength(1);
          expect(sqlImport<Order>({ database, apply }).idempotent).toBe(false);
        });
      });
    });
  });
}

test.each([
  [{ key: undefined }, "sqlImport.key: expected the columns that identify a row"],
  [{ mode: "merge" }, "sqlImport.mode"],
  [{ keyColumn: "k" }, 'sqlImport.keyColumn: expected none, but for mode "insert"'],
  [{ sweep: { column: "run", atMost: 2 } }, "sqlImport.sweep"],
  [{ database: {} }, "sqlImport.database"],
  [{ tabel: "x" }, "tabel"],
])("sqlImport refuses %o", (options, message) => {
  const database = { query: () => undefined, transaction: () => undefined };

  expect(() => sqlImport({ database, table: "t", key: ["id"], ...options } as never)).toThrow(message);
});

test.each([
  [{ settleMs: undefined }, "sqlExport.settleMs: expected how old a row has to be"],
  [{ cursor: [] }, "sqlExport.cursor"],
  [{ read: "some" }, "sqlExport.read"],
])("sqlExport refuses %o", (options, message) => {
  const database = { query: () => undefined, transaction: () => undefined };

  expect(() => sqlExport({ database, table: "t", cursor: ["id"], settleMs: 1, ...options } as never)).toThrow(message);
});
