import { createReadStream } from "node:fs";
import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "csv-parse";
import Database from "libsql";
import { type CsvRow, csv, fileExport, fileImport, localFiles, ndjson } from "../../src/connectors/files/index.ts";
import { FoundRecords } from "../../src/connectors/files/format.ts";
import { sqlImport, sqlite } from "../../src/connectors/sql/index.ts";
import { type Export, FlowRegistry, type Import, MemoryStorage, Scheduler } from "../../src/index.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder } from "./disk.ts";
import type { BenchCase, Figures } from "./measure.ts";

const pageSize = 1_000;
const noSettling = { settleMs: 0, maxRecordBytes: 2 ** 20 };

/** Rows with a quoted field, of two lines, in each tenth. */
function rowsOf(count: number): string {
  const rows = ["id,name,city,amount,at"];
  for (let id = 1; id <= count; id++) {
    const city = id % 10 === 0 ? `"Bærum,\nViken ${id % 97}"` : `Oslo ${id % 97}`;
    rows.push(
      `${id},customer number ${id},${city},${(id * 7) % 10_000},2026-11-${String(1 + (id % 28)).padStart(2, "0")}`,
    );
  }
  return `${rows.join("\n")}\n`;
}

/** What something took. */
export interface Took {
  readonly ms: number;
  readonly cpuMs: number;
}

/** By the clock, and of both kinds of CPU time, garbage collection included. */
export async function took(work: () => Promise<void>): Promise<Took> {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { ms: performance.now() - start, cpuMs: (user + system) / 1_000 };
}

/** The flow and the same by hand, with 50,000 rows before, in which the compiler gets to know the code of both. */
async function beside(
  count: number,
  flow: (count: number) => Promise<Took>,
  byHand: (count: number) => Promise<Took>,
): Promise<Figures> {
  for (const work of [flow, byHand]) await work(Math.min(count, 50_000));
  const first = await flow(count);
  const other = await byHand(count);
  return {
    rate: count / (first.ms / 1_000),
    handRate: count / (other.ms / 1_000),
    ofRate: other.ms / first.ms,
    ofCpu: other.cpuMs / first.cpuMs,
    cpuSeconds: first.cpuMs / 1_000,
    handCpuSeconds: other.cpuMs / 1_000,
  };
}

const units = {
  rate: "rows/s",
  handRate: "rows/s by hand",
  ofRate: "× the rate by hand",
  ofCpu: "× the rows by hand per CPU second",
  cpuSeconds: "CPU s",
  handCpuSeconds: "CPU s by hand",
};

/** A run of a new flow, whose state is in memory; `numError`: how many failures it has to end with. */
export function runOnce<In, C>(from: Export<In, C>, into: Import<In>, numError = 0): Promise<Took> {
  return run(new MemoryStorage(), from, into, numError);
}

/** A run of a flow. */
async function run<In, C>(storage: Storage, from: Export<In, C>, into: Import<In>, numError = 0): Promise<Took> {
  const registry = new FlowRegistry({ storage });
  registry.addExport("from", from);
  registry.addImport("into", into);
  const scheduler = new Scheduler(registry);
  const { _id } = await registry.create({ name: "bench", _exportId: "from", _importId: "into" });
  await scheduler.start();
  const figures = await took(async () => {
    const ended = await scheduler.waitFor((await scheduler.run(_id))._id);
    if (ended.status !== "completed" || ended.numError !== numError)
      throw new Error(`${ended.status}, ${ended.numError} failures: ${ended.error?.message ?? ""}`);
  });
  await scheduler.stop();
  await storage.close();
  return figures;
}

const createTable = "create table customers (id text primary key, name text, city text, amount text, at text)";
const upsert = `insert into customers values (?, ?, ?, ?, ?)
  on conflict (id) do update set name = excluded.name, city = excluded.city, amount = excluded.amount, at = excluded.at`;

/** A database with the table, in a file of its own: what is written there is checked. */
async function withTable(count: number, work: (database: Database.Database, folder: string) => Promise<Took>) {
  return inFolder(async (folder) => {
    const database = new Database(join(folder, "target.db"));
    database.exec(`pragma journal_mode = wal; ${createTable}`);
    const figures = await work(database, folder);
    const [row] = database.prepare("select count(*) as count from customers").all() as { count: number }[];
    database.close();
    if (row?.count !== count) throw new Error(`${row?.count} rows of ${count}`);
    return figures;
  });
}

async function csvToSqlite(count: number): Promise<Took> {
  return withTable(count, async (database, folder) => {
    await writeFile(join(folder, "rows.csv"), rowsOf(count));
    const from = fileExport<CsvRow>({
      ...{ files: localFiles(folder), match: "rows.csv", format: csv(), ...noSettling },
      ...{ pageSize, key: (row: CsvRow) => row.id ?? "" },
    });
    // The flow's state is as durable as it is by default.
    const storage = await SqliteStorage.open(join(folder, "flows.db"));
    return run(storage, from, sqlImport<CsvRow>({ database: sqlite(database), table: "customers", key: ["id"] }));
  });
}

async function csvToSqliteByHand(count: number): Promise<Took> {
  return withTable(count, async (database, folder) => {
    const file = join(folder, "rows.csv");
    await writeFile(file, rowsOf(count));
    const statement = database.prepare(upsert);
    return took(async () => {
      let batch: Record<string, string>[] = [];
      const flush = () => {
        database.exec("begin immediate");
        for (const { id, name, city, amount, at } of batch) statement.run(id, name, city, amount, at);
        database.exec("commit");
        batch = [];
      };
      for await (const row of createReadStream(file).pipe(parse({ columns: true })))
        if (batch.push(row as Record<string, string>) === pageSize) flush();
      if (batch.length > 0) flush();
    });
  });
}

/** The reader alone, with bytes in memory in chunks as they come from a disk. */
async function readCsv(count: number): Promise<Took> {
  const bytes = Buffer.from(rowsOf(count));
  return took(async () => {
    const reader = csv().reader({ maxRecordBytes: 2 ** 20 });
    let read = 0;
    for (let at = 0; at < bytes.length; at += 262_144) {
      const found = new FoundRecords<CsvRow>();
      reader.push(bytes.subarray(at, at + 262_144), found);
      read += found.records.length;
    }
    const found = new FoundRecords<CsvRow>();
    reader.end(found);
    read += found.records.length;
    if (read !== count) throw new Error(`${read} rows of ${count}`);
  });
}

async function readCsvByHand(count: number): Promise<Took> {
  const bytes = Buffer.from(rowsOf(count));
  return took(async () => {
    const parser = parse({ columns: true });
    const written = (async () => {
      for (let at = 0; at < bytes.length; at += 262_144)
        if (!parser.write(bytes.subarray(at, at + 262_144)))
          await new Promise((resolve) => parser.once("drain", resolve));
      parser.end();
    })();
    let read = 0;
    for await (const row of parser) if (row !== undefined) read++;
    await written;
    if (read !== count) throw new Error(`${read} rows of ${count}`);
  });
}

interface Line {
  readonly id: number;
  readonly name: string;
}

const linesOf = (count: number) =>
  Array.from({ length: count }, (_, id) => JSON.stringify({ id, name: `customer number ${id}` })).join("\n") + "\n";

async function ndjsonToNdjson(count: number): Promise<Took> {
  return inFolder(async (folder) => {
    await writeFile(join(folder, "in.ndjson"), linesOf(count));
    const files = localFiles(folder);
    const format = ndjson<Line>();
    const from = fileExport<Line>({ ...{ files, match: "in.ndjson", format, ...noSettling }, pageSize });
    // Nothing is durable here, on either side: what is compared is the work.
    return run(new MemoryStorage(), from, fileImport<Line>({ files, format, append: "out.ndjson", sync: "none" }));
  });
}

async function ndjsonToNdjsonByHand(count: number): Promise<Took> {
  return inFolder(async (folder) => {
    await writeFile(join(folder, "in.ndjson"), linesOf(count));
    const to = join(folder, "out.ndjson");
    return took(async () => {
      const lines = (await readFile(join(folder, "in.ndjson"), "utf8")).split("\n");
      lines.pop();
      for (let at = 0; at < lines.length; at += pageSize) {
        const records = lines.slice(at, at + pageSize).map((line) => JSON.parse(line) as Line);
        await appendFile(to, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
      }
      await rm(to);
    });
  });
}

/** Connectors beside what somebody would write by hand. */
export const connectorCases: readonly BenchCase[] = [
  {
    title: "CSV to SQLite, 1 million rows, beside csv-parse and a prepared upsert",
    units,
    measure: () => beside(1_000_000, csvToSqlite, csvToSqliteByHand),
  },
  {
    title: "The CSV reader alone, 500,000 rows, beside csv-parse",
    units,
    measure: () => beside(500_000, readCsv, readCsvByHand),
  },
  {
    title: "NDJSON added to NDJSON, 500,000 lines, not synced, beside a loop",
    units,
    measure: () => beside(500_000, ndjsonToNdjson, ndjsonToNdjsonByHand),
  },
];
