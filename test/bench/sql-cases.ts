import { join } from "node:path";
import Database from "libsql";
import pg from "pg";
import { type SqlDatabase, postgres, sqlExport, sqlImport, sqlite } from "../../src/connectors/sql/index.ts";
import type { Export } from "../../src/index.ts";
import { connectionTo, startPostgres } from "../support/postgres-server.ts";
import { type Took, runOnce, took } from "./connector-cases.ts";
import { inFolder } from "./disk.ts";
import { noOp } from "./hosts.ts";
import type { BenchCase, Figures } from "./measure.ts";

const pageSize = 1_000;

interface Row {
  readonly id: string;
  readonly name: string;
  readonly city: string;
  readonly amount: number;
  readonly at: string;
  readonly tags: readonly string[];
  readonly version: number;
}

const columns = ["id", "name", "city", "amount", "at", "tags", "version"] as const;
const types = ["text", "text", "text", "numeric", "timestamptz", "jsonb", "integer"] as const;

function rowOf(nth: number, version: number): Row {
  return {
    id: `customer-${nth}`,
    name: `customer number ${nth}`,
    city: `Oslo ${nth % 97}`,
    amount: (nth * 7) % 10_000,
    at: new Date(1_767_225_600_000 + nth * 1_000).toISOString(),
    tags: ["a", `b${nth % 7}`],
    version,
  };
}

/** Made anew for each side, as a source does that parses what it reads. */
function pageOf(start: number, version: number): Row[] {
  return Array.from({ length: pageSize }, (_, nth) => rowOf(start + nth, version));
}

function rowsExport(count: number, version: number): Export<Row, number> {
  return {
    order: "ordered",
    key: ({ id }) => id,
    pageSize,
    async *pages({ checkpoint = 0 }) {
      for (let start = checkpoint; start < count; start += pageSize)
        yield { records: pageOf(start, version), checkpoint: start + pageSize };
    },
  };
}

/** Both sides of a job, each done twice: one, other, other, one. */
async function sides(one: () => Promise<Took>, other: () => Promise<Took>): Promise<readonly [Took, Took]> {
  const sum = (a: Took, b: Took) => ({ ms: a.ms + b.ms, cpuMs: a.cpuMs + b.cpuMs });
  const first = await one();
  const others = sum(await other(), await other());
  return [sum(first, await one()), others];
}

type Mode = "insert" | "upsert" | "update" | "delete";
const modes: readonly Mode[] = ["insert", "upsert", "update", "delete"];

/** A database, and how somebody writes a page of rows there by hand. */
interface Place {
  readonly database: SqlDatabase;
  readonly byHand: (table: string, mode: Mode, rows: readonly Row[]) => Promise<unknown>;
  readonly createTable: (table: string) => string;
}

/** A table written in four modes, one after the other, by a flow and by hand; a new pair of tables in each of two rounds. */
async function writeInModes({ database, byHand, createTable }: Place, count: number): Promise<Figures> {
  const totals = new Map(modes.map((mode) => [mode, { ours: { ms: 0, cpuMs: 0 }, hand: { ms: 0, cpuMs: 0 } }]));
  for (let round = 0; round < 3; round++) {
    const [ours, hand] = [`ours_${round}`, `hand_${round}`];
    for (const table of [ours, hand]) await database.query(createTable(table));
    for (const [nth, mode] of modes.entries()) {
      const key = mode === "insert" ? {} : { key: ["id"] };
      const into = sqlImport<Row>({ database, table: ours, mode, ...key });
      const byFlow = () => runOnce(rowsExport(count, nth), into);
      const loop = () =>
        took(async () => {
          for (let start = 0; start < count; start += pageSize) await byHand(hand, mode, pageOf(start, nth));
        });
      // What comes first warms up the database.
      const inOrder = (round + nth) % 2 === 0;
      const one = inOrder ? await byFlow() : await loop();
      const other = inOrder ? await loop() : await byFlow();
      // The first round makes the compiler know the code of both.
      if (round === 0) continue;
      const total = totals.get(mode);
      for (const [to, from] of [[total?.ours, inOrder ? one : other], [total?.hand, inOrder ? other : one]] as const) {
        if (to === undefined) continue;
        to.ms += from.ms;
        to.cpuMs += from.cpuMs;
      } // prettier-ignore
    }
    const left = await database.query(`select (select count(*) from ${ours}) + (select count(*) from ${hand}) as n`);
    if (Number(left[0]?.n) !== 0) throw new Error("a delete has left rows");
  }
  return Object.fromEntries(
    [...totals].flatMap(([mode, { ours, hand }]) => [
      [`${mode}Rate`, (2 * count) / (ours.ms / 1_000)],
      [`${mode}OfRate`, hand.ms / ours.ms],
      [`${mode}OfCpu`, hand.cpuMs / ours.cpuMs],
    ]),
  );
}

const modeUnits = Object.fromEntries(
  modes.flatMap((mode) => [
    [`${mode}Rate`, `rows/s, ${mode}`],
    [`${mode}OfRate`, `× the rate by hand, ${mode}`],
    [`${mode}OfCpu`, `× the rows by hand per CPU second, ${mode}`],
  ]),
);

async function withPostgres<T>(work: (database: SqlDatabase, pool: pg.Pool) => Promise<T>): Promise<T> {
  const server = await startPostgres();
  const pool = new pg.Pool({ ...connectionTo(server.port), max: 4 });
  // The server ends connections that the pool has not heard the end of.
  pool.on("error", () => undefined);
  // A case that takes too long is ended: its server has to end with it.
  const end = () => void server.crash().finally(() => process.exit(1));
  process.once("SIGTERM", end);
  try {
    return await work(postgres(pool), pool);
  } finally {
    // The pool would wait for ever for a client that an error has left without its end: the server ends it instead.
    const ended = pool.end();
    await server.stop();
    await ended;
    process.removeListener("SIGTERM", end);
  }
}

/** One transaction of a client; an error rolls it back, and ends its connection. */
async function withTransaction(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<unknown>): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await work(client);
    await client.query("commit");
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

const createPostgresTable = (table: string) =>
  `create table ${table} (${columns.map((column, nth) => `${column} ${types[nth] ?? ""}${nth === 0 ? " primary key" : ""}`).join(", ")})`;
const valuesOf = ({ id, name, city, amount, at, tags, version }: Row) => [
  ...[id, name, city, amount, at],
  ...[JSON.stringify(tags), version],
];
const places = Array.from(
  { length: pageSize },
  (_, row) => `(${columns.map((_, nth) => `$${row * columns.length + nth + 1}`).join(", ")})`,
).join(", ");
const sets = columns.slice(1).map((column) => `${column} = excluded.${column}`).join(", "); // prettier-ignore
const arrays = columns.map((_, nth) => `$${nth + 1}::${types[nth] ?? ""}[]`).join(", ");

/** One statement of 7,000 parameters; updates by `unnest`, as values would need a cast each. */
function writePostgresByHand(pool: pg.Pool): Place["byHand"] {
  const inTransaction = (text: string, values: unknown[]) => withTransaction(pool, (tx) => tx.query(text, values));
  return (table, mode, rows) => {
    if (mode === "delete") return inTransaction(`delete from ${table} where id = any($1)`, [rows.map(({ id }) => id)]);
    if (mode === "update") {
      const changed = columns.slice(1).map((column) => `${column} = r.${column}`).join(", "); // prettier-ignore
      const text = `update ${table} t set ${changed} from unnest(${arrays}) r(${columns.join(", ")}) where t.id = r.id`;
      return inTransaction(text, arraysOf(rows));
    }
    const conflict = mode === "upsert" ? ` on conflict (id) do update set ${sets}` : "";
    const text = `insert into ${table} (${columns.join(", ")}) values ${places}${conflict}`;
    return inTransaction(text, rows.flatMap(valuesOf));
  };
}

function arraysOf(rows: readonly Row[]): unknown[] {
  const all = rows.map(valuesOf);
  return columns.map((_, nth) => all.map((row) => row[nth]));
}

async function unnestBeside(database: SqlDatabase, pool: pg.Pool, count: number): Promise<Figures> {
  await database.query(createPostgresTable("unnested"));
  const into = sqlImport<Row>({ database, table: "unnested", key: ["id"] });
  const text = `insert into unnested (${columns.join(", ")}) select * from unnest(${arrays}) on conflict (id) do update set ${sets}`;
  const byFlow = () => runOnce(rowsExport(count, 1), into);
  const byHand = () =>
    took(async () => {
      for (let start = 0; start < count; start += pageSize) await pool.query(text, arraysOf(pageOf(start, 2)));
    });
  await byFlow();
  await byHand();
  const [ours, hand] = await sides(byFlow, byHand);
  return { unnestOfRate: hand.ms / ours.ms, unnestOfCpu: hand.cpuMs / ours.cpuMs };
}

/** `keyset` by hand: the same statement, its cursor as text, and nothing kept. */
async function readBeside(database: SqlDatabase, pool: pg.Pool, count: number): Promise<Figures> {
  await database.query(createPostgresTable("readable"));
  await runOnce(rowsExport(count, 0), sqlImport<Row>({ database, table: "readable", key: ["id"] }));
  await database.query("create index on readable (at, id)");
  await database.query("analyze readable");
  const from = sqlExport<Row>({ database, table: "readable", cursor: ["at", "id"], settleMs: 0, pageSize });
  const byHand = async () => {
    let after: readonly string[] | undefined;
    let read = 0;
    for (;;) {
      const where = after === undefined ? "" : "where (at, id) > ($1, $2)";
      const text = `select *, at::text as after from readable ${where} order by at, id limit ${pageSize}`;
      const { rows } = await pool.query<Row & { after: string }>(text, after === undefined ? [] : [...after]);
      read += rows.length;
      const last = rows.at(-1);
      if (last !== undefined) after = [last.after, last.id];
      if (rows.length < pageSize) break;
    }
    if (read !== count) throw new Error(`${read} rows of ${count}`);
  };
  await byHand();
  await runOnce(from, noOp());
  const [ours, hand] = await sides(
    () => runOnce(from, noOp()),
    () => took(byHand),
  );
  return {
    readRate: (2 * count) / (ours.ms / 1_000),
    readOfRate: hand.ms / ours.ms,
    readOfCpu: hand.cpuMs / ours.cpuMs,
  };
}

/** What marks cost: the same statements in a transaction a page, with marks and, by hand, without. */
async function onceBeside(database: SqlDatabase, pool: pg.Pool, count: number): Promise<Figures> {
  await database.query("create table marks (idempotency_key text primary key, applied_at bigint not null)");
  await database.query("create table sums (name text primary key, total bigint not null)");
  await database.query("insert into sums values ('ours', 0), ('hand', 0)");
  const add = "update sums set total = total + $1 where name = $2";
  const total = (rows: readonly Row[]) => rows.reduce((sum, { amount }) => sum + amount, 0);
  const into = sqlImport<Row>({
    database,
    once: "marks",
    async apply(tx, rows) {
      await tx.query(add, [total(rows), "ours"]);
    },
  });
  let version = 0;
  const byFlow = () => {
    const from = rowsExport(count, ++version);
    // With a version, as a source with changes has one, so that a mark is no hash of all that a record holds.
    return runOnce({ ...from, version: () => version }, into);
  };
  const byHand = () =>
    took(async () => {
      for (let start = 0; start < count; start += pageSize) {
        const rows = pageOf(start, ++version);
        const marks = "insert into marks select unnest($1::text[]), 0 on conflict do nothing";
        await withTransaction(pool, async (tx) => {
          await tx.query(marks, [rows.map(({ id }) => `by hand ${version} ${id}`)]);
          await tx.query(add, [total(rows), "hand"]);
        });
      }
    });
  await byFlow();
  const [ours, hand] = await sides(byFlow, byHand);
  const { rows } = await pool.query<{ total: string }>("select total from sums where name = 'ours'");
  const sum = total(Array.from({ length: count }, (_, nth) => rowOf(nth, 0)));
  if (Number(rows[0]?.total) !== 3 * sum) throw new Error("a sum is wrong");
  return {
    onceRate: (2 * count) / (ours.ms / 1_000),
    onceOfRate: hand.ms / ours.ms,
    onceOfCpu: hand.cpuMs / ours.cpuMs,
  };
}

/**
 * Pages with a row each that the table refuses: found by smaller and smaller parts; and one row after the other, by hand in a statement each, and
 * in a write each, as the engine does with a batch that is refused.
 */
async function badRowsBeside({ database, byHand, createTable }: Place, pages: number): Promise<Figures> {
  const bad = (row: Row, nth: number): Row => (nth === 700 ? { ...row, id: null as never } : row);
  const withBad = (start: number) => pageOf(start, 0).map(bad);
  const from: Export<Row> = {
    pageSize,
    async *pages() {
      for (let nth = 0; nth < pages; nth++) yield withBad(nth * pageSize);
    },
  };
  const moveInto = async (table: string, batchSize: number) => {
    await database.query(createTable(table));
    return runOnce(from, { ...sqlImport<Row>({ database, table, mode: "insert" }), batchSize }, pages);
  };
  const insertByHand = async () => {
    await database.query(createTable("bad_hand"));
    return took(async () => {
      for (let nth = 0; nth < pages; nth++)
        for (const row of withBad(nth * pageSize))
          await byHand("bad_hand", "insert", [row]).catch((error: unknown) => {
            if ((row as { id: unknown }).id !== null) throw error;
          });
    });
  };
  await moveInto("bad_first", pageSize);
  const [ours, hand, single] = [
    await moveInto("bad_ours", pageSize),
    await insertByHand(),
    await moveInto("bad_single", 1),
  ];
  const counts = ["bad_ours", "bad_hand", "bad_single"].map((table) => `(select count(*) from ${table})`);
  const [counted] = await database.query(`select concat_ws(' ', ${counts.join(", ")}) as all`);
  const expected = String(pages * (pageSize - 1));
  if (counted?.all !== [expected, expected, expected].join(" "))
    throw new Error(`rows are missing: ${String(counted?.all)}`);
  return { badMs: ours.ms / pages, badOfRate: hand.ms / ours.ms, badOfSingle: single.ms / ours.ms };
}

/** Row by row in a transaction of its own. */
function singleRows(pool: pg.Pool): Place["byHand"] {
  const text = (table: string) =>
    `insert into ${table} (${columns.join(", ")}) values (${columns.map((_, nth) => `$${nth + 1}`).join(", ")})`;
  return async (table, _, [row]) => {
    if (row !== undefined) await pool.query(text(table), valuesOf(row));
  };
}

async function onSqlite(count: number): Promise<Figures> {
  return inFolder(async (folder) => {
    const connection = new Database(join(folder, "target.db"));
    connection.exec("pragma journal_mode = wal; pragma synchronous = normal");
    const placesOf = columns.map(() => "?").join(", ");
    const byHand: Place["byHand"] = async (table, mode, rows) => {
      const changed = columns.slice(1);
      const text = {
        insert: `insert into ${table} values (${placesOf})`,
        upsert: `insert into ${table} values (${placesOf}) on conflict (id) do update set ${sets}`,
        update: `update ${table} set ${changed.map((column) => `${column} = ?`).join(", ")} where id = ?`,
        delete: `delete from ${table} where id = ?`,
      }[mode];
      const statement = connection.prepare(text);
      connection.exec("begin immediate");
      for (const row of rows) {
        const [id, ...others] = valuesOf(row);
        if (mode === "delete") statement.run(id);
        else if (mode === "update") statement.run(...others, id);
        else statement.run(id, ...others);
      }
      connection.exec("commit");
    };
    const createTable = (table: string) =>
      `create table ${table} (id text primary key not null, name text, city text, amount real, at text, tags text, version integer)`;
    const figures = await writeInModes({ database: sqlite(connection), byHand, createTable }, count);
    connection.close();
    return figures;
  });
}

/** Tables beside what somebody would write by hand. The server of PostgreSQL is started for each case, with `fsync` off. */
export const sqlCases: readonly BenchCase[] = [
  {
    title: "SQL: PostgreSQL, 20,000 rows in four modes, beside multi-row statements",
    units: modeUnits,
    measure: () =>
      withPostgres((database, pool) =>
        writeInModes({ database, byHand: writePostgresByHand(pool), createTable: createPostgresTable }, 20_000),
      ),
  },
  {
    title: "SQL: PostgreSQL, unnest, keyset reading, once and bad rows, beside the same by hand",
    units: {
      unnestOfRate: "× the rate of an upsert by unnest",
      unnestOfCpu: "× the rows of an upsert by unnest per CPU second",
      readRate: "rows/s read",
      readOfRate: "× the rate of the same read by hand",
      readOfCpu: "× the rows read by hand per CPU second",
      onceRate: "rows/s applied once",
      onceOfRate: "× the rate of marks by hand",
      onceOfCpu: "× the rows with marks by hand per CPU second",
      badMs: "ms for a page of 1,000 with a bad row",
      badOfRate: "× the rate of a statement a row, by hand",
      badOfSingle: "× the rate of a write a row",
    },
    measure: () =>
      withPostgres(async (database, pool) => ({
        ...(await unnestBeside(database, pool, 40_000)),
        ...(await readBeside(database, pool, 100_000)),
        ...(await onceBeside(database, pool, 20_000)),
        ...(await badRowsBeside({ database, byHand: singleRows(pool), createTable: createPostgresTable }, 5)),
      })),
  },
  {
    title: "SQL: SQLite, 20,000 rows in four modes, beside prepared statements",
    units: modeUnits,
    measure: () => onSqlite(20_000),
  },
];
