// 500,000 rows of CSV, one in ten with a quoted field of two lines → upsert into a table of SQLite, 1,000 rows a transaction.
import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { DatabaseSync } from "node:sqlite";
import { modulesOf, openStorage, runOnce } from "../hosts.mjs";

const total = 500_000;
const pageSize = 1_000;
const columns = ["id", "name", "city", "amount", "at"];

function rowOf(id) {
  const city = id % 10 === 0 ? `Bærum,\nViken ${id % 97}` : `Oslo ${id % 97}`;
  const at = `2026-11-${String(1 + (id % 28)).padStart(2, "0")}`;
  return [String(id), `customer number ${id}`, city, String((id * 7) % 10_000), at];
}

const lineOf = (row) => `${row.map((field) => (field.includes("\n") ? `"${field}"` : field)).join(",")}\n`;

/** The table of a new file, as a host opens it: its log of changes is synced at checkpoints. */
function openTable({ out }) {
  const database = new DatabaseSync(join(out, "target.db"));
  database.exec("pragma journal_mode = wal; pragma synchronous = normal");
  database.exec("create table customers (id text primary key, name text, city text, amount text, at text)");
  return database;
}

/** `write(rows)` upserts rows, arrays of the columns, in one transaction. */
function writerInto(database) {
  const sets = columns.slice(1).map((column) => `${column} = excluded.${column}`);
  const statement = database.prepare(
    `insert into customers values (?, ?, ?, ?, ?) on conflict (id) do update set ${sets.join(", ")}`,
  );
  return (rows) => {
    database.exec("begin immediate");
    for (const [id, name, city, amount, at] of rows) statement.run(id, name, city, amount, at);
    database.exec("commit");
  };
}

const withTable = (work) => async (value) => {
  const database = openTable(value);
  await work(value, writerInto(database), database);
  database.close();
};

/** Rows out of a string that begins with a row; what follows the last whole row is left. Quotes within quotes are not read. */
function parseRows(text, push) {
  let start = 0;
  for (;;) {
    let end = text.indexOf("\n", start);
    let quote = text.indexOf('"', start);
    if (quote < 0 || quote > end) {
      if (end < 0) return start;
      push(text.slice(start, end).split(","));
      start = end + 1;
      continue;
    }
    const row = [];
    for (let at = start; ;) {
      if (text[at] === '"') {
        quote = text.indexOf('"', at + 1);
        if (quote < 0) return start;
        row.push(text.slice(at + 1, quote));
        at = quote + 1;
      } else {
        const comma = text.indexOf(",", at);
        end = text.indexOf("\n", at);
        if (end < 0) return start;
        const stop = comma < 0 || comma > end ? end : comma;
        row.push(text.slice(at, stop));
        at = stop;
      }
      if (text[at] === undefined) return start;
      if (text[at] === "\n") {
        start = at + 1;
        break;
      }
      at++;
    }
    push(row);
  }
}

/** One thread, synchronous; reads just what this file needs of CSV. */
async function limit({ source }, write) {
  const from = openSync(source);
  const decoder = new TextDecoder();
  const buffer = Buffer.allocUnsafe(1_048_576);
  let [rest, rows, isHead] = ["", [], true];
  const push = (row) => {
    if (isHead) isHead = false;
    else if (rows.push(row) === pageSize) {
      write(rows);
      rows = [];
    }
  };
  for (let read = readSync(from, buffer); read > 0; read = readSync(from, buffer)) {
    const text = rest + decoder.decode(buffer.subarray(0, read), { stream: true });
    rest = text.slice(parseRows(text, push));
  }
  if (rows.length > 0) write(rows);
  closeSync(from);
}

/** Batches of what an asynchronous iterable yields. */
async function inBatches(rows, write) {
  let batch = [];
  for await (const row of rows) {
    if (batch.push(row) < pageSize) continue;
    write(batch);
    batch = [];
  }
  if (batch.length > 0) write(batch);
}

const fields = (row) => columns.map((column) => row[column]);

async function csvParseLoop({ source }, write) {
  const { parse } = await import("csv-parse");
  await inBatches(createReadStream(source).pipe(parse({ columns: true })), (rows) => write(rows.map(fields)));
}

/** Without objects: its faster way. */
async function csvParseArrays({ source }, write) {
  const { parse } = await import("csv-parse");
  await inBatches(createReadStream(source).pipe(parse({ from_line: 2 })), write);
}

async function csvParsePipeline({ source }, write) {
  const { parse } = await import("csv-parse");
  let batch = [];
  const flush = () => {
    if (batch.length > 0) write(batch);
    batch = [];
  };
  await pipeline(
    createReadStream(source, { highWaterMark: 262_144 }),
    parse({ from_line: 2 }),
    new Writable({
      objectMode: true,
      highWaterMark: pageSize,
      write(row, _, done) {
        if (batch.push(row) === pageSize) flush();
        done();
      },
      final(done) {
        flush();
        done();
      },
    }),
  );
}

/** The whole file at once. */
async function csvParseSync({ source }, write) {
  const { parse } = await import("csv-parse/sync");
  const file = await open(source);
  const rows = parse(await file.readFile(), { from_line: 2 });
  await file.close();
  for (let first = 0; first < rows.length; first += pageSize) write(rows.slice(first, first + pageSize));
}

async function etl({ source }, write) {
  const { default: lib } = await import("etl");
  // Given bytes, it breaks a letter of two bytes at the end of a chunk.
  await createReadStream(source, { encoding: "utf8", highWaterMark: 262_144 })
    .pipe(lib.csv())
    .pipe(lib.collect(pageSize))
    .pipe(lib.map((rows) => write(rows.map(fields))))
    .promise();
}

async function rxjs({ source }, write) {
  const [{ bufferCount, from, lastValueFrom, map }, { parse }] = await Promise.all([
    import("rxjs"),
    import("csv-parse"),
  ]);
  const rows = createReadStream(source).pipe(parse({ from_line: 2 }));
  await lastValueFrom(from(rows).pipe(bufferCount(pageSize), map(write)));
}

const poundlock = (kind) => async (value, _, database) => {
  const [{ csv, fileExport, localFiles }, { sqlImport, sqlite }] = await Promise.all([
    import("poundlock/connectors/files"),
    import("poundlock/connectors/sql"),
  ]);
  const { storage, close } = await openStorage(kind, value);
  const from = fileExport({
    ...{ files: localFiles(dirname(value.source)), match: "source.csv", format: csv(), settleMs: 0 },
    ...{ pageSize, key: ({ id }) => id },
  });
  const into = sqlImport({ database: sqlite(database), table: "customers", key: ["id"] });
  await runOnce({ exports: { from }, imports: { into } }, storage);
  await close();
};

const nothing = "nothing: a failure begins anew or loses";
const once = "at least once, which upserts make once; checkpoints, failures kept";
const peer = (name, run, ...modules) => ({ name, role: "peer", guarantee: nothing, modules, run: withTable(run) });
const ours = (name, kind, guarantee) => ({
  name: `**poundlock**, connectors, ${name}`,
  guarantee,
  modules: [...modulesOf(kind), "poundlock/connectors/files", "poundlock/connectors/sql"],
  run: withTable(poundlock(kind)),
});

export default {
  title: "CSV to SQLite: 500,000 rows",
  async prepare(folder) {
    const source = join(folder, "source.csv");
    const file = await open(source, "w");
    const hash = createHash("sha256");
    let lines = lineOf(columns);
    for (let id = 1; id <= total; id++) {
      lines += lineOf(rowOf(id));
      hash.update(JSON.stringify(rowOf(id)));
      if (id % 10_000 > 0 && id < total) continue;
      await file.appendFile(lines);
      lines = "";
    }
    await file.sync();
    await file.close();
    return { value: { source, expected: hash.digest("hex") } };
  },
  contenders: [
    { name: "one thread, synchronous", role: "limit", guarantee: nothing, run: withTable(limit) },
    {
      name: "loop by hand over csv-parse, objects",
      role: "loop",
      guarantee: nothing,
      modules: ["csv-parse"],
      run: withTable(csvParseLoop),
    },
    ours("memory", "memory", `${once}; gone with the process`),
    ours("SQLite (FULL)", "sqlite", once),
    peer("csv-parse, arrays", csvParseArrays, "csv-parse"),
    peer("csv-parse, arrays, `pipeline`", csvParsePipeline, "csv-parse"),
    peer("csv-parse/sync, arrays, the whole file at once", csvParseSync, "csv-parse/sync"),
    peer("rxjs over csv-parse, arrays", rxjs, "csv-parse", "rxjs"),
    peer("etl", etl, "etl"),
  ],
  async verify({ out, expected }, { name }) {
    const database = new DatabaseSync(join(out, "target.db"));
    const hash = createHash("sha256");
    const rows = database.prepare("select * from customers order by cast(id as integer)").iterate();
    for (const row of rows) hash.update(JSON.stringify(fields(row)));
    database.close();
    if (hash.digest("hex") !== expected) throw new Error(`${name}: the table is not what it was to be`);
  },
  cost: ({ cpuMs }) => cpuMs,
  columns: [
    { title: "rows per CPU second", value: ({ cpuMs }) => (total / cpuMs) * 1_000 },
    { title: "CPU s", value: ({ cpuMs }) => cpuMs / 1_000, spread: true },
    { title: "wall s", value: ({ wallMs }) => wallMs / 1_000 },
    { title: "× the loop", value: ({ cpuMs }, { loop: by }) => by && by.cpuMs / cpuMs },
    { title: "× the best peer", value: ({ cpuMs }, { peer: by }) => by && by.cpuMs / cpuMs },
    { title: "× the limit", value: ({ cpuMs }, { limit: by }) => by && by.cpuMs / cpuMs },
    { title: "peak MB", value: ({ peakMb }) => peakMb },
  ],
};
