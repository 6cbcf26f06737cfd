// 1 million lines of JSON → parse → drop one in ten → map four fields → lines of JSON.
import { closeSync, createReadStream, createWriteStream, openSync, readSync, writeSync } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { keep, map, recordOf, recordPages, writeRecords } from "../ndjson.mjs";
import { openStorage, runOnce } from "../hosts.mjs";
import { startPostgres } from "../../../support/postgres-server.ts";

const total = 1_000_000;
const linesOf = (records) => {
  let text = "";
  for (const record of records) text += `${JSON.stringify(record)}\n`;
  return text;
};

/** The physical limit: one thread, synchronous, nothing kept. */
function limit({ source, copy }) {
  const [from, into] = [openSync(source), openSync(copy, "w")];
  const buffer = Buffer.allocUnsafe(1_048_576);
  for (let kept = 0; ;) {
    const end = kept + readSync(from, buffer, kept, buffer.length - kept, null);
    if (end === kept) break;
    const last = buffer.lastIndexOf(10, end - 1);
    let text = "";
    for (const line of buffer.toString("utf8", 0, last).split("\n")) {
      const record = JSON.parse(line);
      if (keep(record)) text += `${JSON.stringify(map(record))}\n`;
    }
    writeSync(into, text);
    buffer.copy(buffer, 0, last + 1, end);
    kept = end - last - 1;
  }
  closeSync(from);
  closeSync(into);
}

const loop =
  (pageSize) =>
  async ({ source, copy }) => {
    const into = await open(copy, "w");
    for await (const { records } of recordPages(source, pageSize))
      await into.appendFile(linesOf(records.filter(keep).map(map)));
    await into.close();
  };

/** The host's ends are the loop's own functions. */
const poundlock =
  ({ kind, pageSize, freezeRecords = true }) =>
  async (value) => {
    const { source, copy } = value;
    const { storage, close } = await openStorage(kind, value);
    const into = await open(copy, "w");
    const from = {
      order: "ordered",
      key: ({ id }) => id,
      pageSize,
      async *pages({ checkpoint }) {
        for await (const { records, offset } of recordPages(source, pageSize, checkpoint ?? 0))
          yield { records, checkpoint: offset };
      },
    };
    const sink = {
      ...{ idempotent: false, filter: keep, map },
      write: (records) => into.appendFile(linesOf(records)),
    };
    await runOnce({ exports: { from }, imports: { sink } }, storage, { freezeRecords });
    await into.close();
    await close();
  };

const connectors = (kind) => async (value) => {
  const { fileExport, fileImport, localFiles, ndjson } = await import("poundlock/connectors/files");
  const { storage, close } = await openStorage(kind, value);
  const from = fileExport({
    ...{ files: localFiles(dirname(value.source)), match: "source.ndjson", format: ndjson() },
    ...{ key: ({ id }) => id, pageSize: 1_000, settleMs: 0 },
  });
  const files = localFiles(dirname(value.copy));
  const sink = { ...fileImport({ files, format: ndjson(), append: "copy.ndjson", sync: "none" }), filter: keep, map };
  await runOnce({ exports: { from }, imports: { sink } }, storage);
  await close();
};

async function* lines(source) {
  let rest = "";
  for await (const chunk of createReadStream(source, { encoding: "utf8", highWaterMark: 262_144 })) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop();
    yield parts;
  }
}

async function rxjs({ source, copy }) {
  const { bufferCount, concatMap, filter, from, lastValueFrom, map: mapped, mergeMap } = await import("rxjs");
  const into = await open(copy, "w");
  await lastValueFrom(
    from(lines(source)).pipe(
      mergeMap((parts) => from(parts)),
      mapped((line) => JSON.parse(line)),
      filter(keep),
      mapped(map),
      bufferCount(1_000),
      concatMap((records) => into.appendFile(linesOf(records))),
    ),
  );
  await into.close();
}

async function effect({ source, copy }) {
  const { Effect, Stream } = await import("effect");
  const into = await open(copy, "w");
  const stream = Stream.fromAsyncIterable(lines(source), (error) => error).pipe(
    Stream.flatMap((parts) => Stream.fromArray(parts)),
    Stream.map((line) => JSON.parse(line)),
    Stream.filter(keep),
    Stream.map(map),
    Stream.rechunk(1_000),
    Stream.runForEachArray((records) => Effect.promise(() => into.appendFile(linesOf(records)))),
  );
  await Effect.runPromise(stream);
  await into.close();
}

async function streamingIterables({ source, copy }) {
  const { batch, filter, flatten, map: mapped, pipeline: piped } = await import("streaming-iterables");
  const into = await open(copy, "w");
  const records = piped(
    () => lines(source),
    flatten,
    mapped((line) => JSON.parse(line)),
    filter(keep),
    mapped(map),
    batch(1_000),
  );
  for await (const page of records) await into.appendFile(linesOf(page));
  await into.close();
}

async function streamingPages({ source, copy }) {
  const { map: mapped, pipeline: piped } = await import("streaming-iterables");
  const into = await open(copy, "w");
  const pages = piped(
    () => lines(source),
    mapped((parts) =>
      parts
        .map((line) => JSON.parse(line))
        .filter(keep)
        .map(map),
    ),
  );
  for await (const page of pages) await into.appendFile(linesOf(page));
  await into.close();
}

async function nodeStream({ source, copy }) {
  const { default: split2 } = await import("split2");
  const objects = (transform) => new Transform({ objectMode: true, transform });
  await pipeline(
    createReadStream(source, { highWaterMark: 262_144 }),
    split2(JSON.parse),
    objects((record, _, done) => done(null, keep(record) ? record : undefined)),
    objects((record, _, done) => done(null, map(record))),
    new Transform({
      ...{ writableObjectMode: true, writableHighWaterMark: 1_000 },
      transform: (record, _, done) => done(null, `${JSON.stringify(record)}\n`),
    }),
    createWriteStream(copy, { highWaterMark: 262_144 }),
  );
}

async function webStreams({ source, copy }) {
  const into = await open(copy, "w");
  const each = (transform) => new TransformStream({ transform });
  await ReadableStream.from(lines(source))
    .pipeThrough(each((parts, out) => parts.forEach((line) => out.enqueue(JSON.parse(line)))))
    .pipeThrough(each((record, out) => void (keep(record) && out.enqueue(record))))
    .pipeThrough(each((record, out) => out.enqueue(map(record))))
    .pipeTo(new WritableStream(batches(1_000, (records) => into.appendFile(linesOf(records)))));
  await into.close();
}

function batches(size, write) {
  let waiting = [];
  const flush = () => {
    const full = waiting;
    waiting = [];
    return write(full);
  };
  return {
    write: (record) => (waiting.push(record) < size ? undefined : flush()),
    close: () => (waiting.length > 0 ? flush() : undefined),
  };
}

async function etl({ source, copy }) {
  const { default: lib } = await import("etl");
  const { default: split2 } = await import("split2");
  const into = await open(copy, "w");
  await createReadStream(source, { highWaterMark: 262_144 })
    .pipe(split2(JSON.parse))
    .pipe(lib.map((record) => (keep(record) ? map(record) : undefined)))
    .pipe(lib.collect(1_000))
    .pipe(lib.map((records) => into.appendFile(linesOf(records))))
    .promise();
  await into.close();
}

const nothing = "nothing: a failure begins anew or loses";
const once = "at least once, checkpoints, failures kept";
const lost = `${once}; gone with the process`;

export default {
  title: "Records: 1 million lines of JSON to lines of JSON",
  async prepare(folder) {
    const source = join(folder, "source.ndjson");
    await writeRecords(source, total);
    let length = 0;
    for (let number = 0; number < total; number++)
      if (keep(recordOf(number))) length += Buffer.byteLength(linesOf([map(recordOf(number))]));
    const server = await startPostgres([]);
    const postgres = `postgres://postgres:postgres@127.0.0.1:${server.port}/postgres`;
    return {
      value: { folder, source, copy: join(folder, "copy.ndjson"), length, postgres },
      close: () => server.stop(),
    };
  },
  contenders: [
    { name: "one thread, synchronous", role: "limit", guarantee: nothing, run: async (value) => limit(value) },
    { name: "loop by hand, pages of 1,000", role: "loop", guarantee: nothing, run: loop(1_000) },
    { name: "loop by hand, pages of 100", guarantee: nothing, run: loop(100) },
    { name: "**poundlock**, memory, 1,000", guarantee: lost, run: poundlock({ kind: "memory", pageSize: 1_000 }) },
    {
      name: "**poundlock**, memory, 1,000, `freezeRecords: false`",
      guarantee: lost,
      run: poundlock({ kind: "memory", pageSize: 1_000, freezeRecords: false }),
    },
    { name: "**poundlock**, memory, 100", guarantee: lost, run: poundlock({ kind: "memory", pageSize: 100 }) },
    {
      name: "**poundlock**, memory, 100, `freezeRecords: false`",
      guarantee: lost,
      run: poundlock({ kind: "memory", pageSize: 100, freezeRecords: false }),
    },
    {
      name: "**poundlock**, SQLite (FULL), 1,000",
      guarantee: once,
      run: poundlock({ kind: "sqlite", pageSize: 1_000 }),
    },
    { name: "**poundlock**, SQLite (FULL), 100", guarantee: once, run: poundlock({ kind: "sqlite", pageSize: 100 }) },
    {
      name: "**poundlock**, PostgreSQL, 1,000",
      guarantee: once,
      run: poundlock({ kind: "postgres", pageSize: 1_000 }),
    },
    {
      name: "**poundlock**, connectors, SQLite (FULL), 1,000",
      guarantee: `${once}; once into the file`,
      run: connectors("sqlite"),
    },
    { name: "streaming-iterables over chunks", role: "peer", guarantee: nothing, run: streamingPages },
    { name: "streaming-iterables by record", role: "peer", guarantee: nothing, run: streamingIterables },
    { name: "rxjs", role: "peer", guarantee: nothing, run: rxjs },
    { name: "effect Stream", role: "peer", guarantee: nothing, run: effect },
    { name: "node:stream", role: "peer", guarantee: nothing, run: nodeStream },
    { name: "web streams", role: "peer", guarantee: nothing, run: webStreams },
    { name: "etl", role: "peer", guarantee: nothing, run: etl },
  ],
  async verify({ copy, length }, { name }) {
    const { size } = await stat(copy);
    if (size !== length) throw new Error(`${name}: ${size} bytes of ${length} arrived`);
    await rm(copy);
  },
  cost: ({ cpuMs }) => cpuMs,
  columns: [
    { title: "records per CPU second", value: ({ cpuMs }) => (total / cpuMs) * 1_000 },
    { title: "CPU s", value: ({ cpuMs }) => cpuMs / 1_000 },
    { title: "wall s", value: ({ wallMs }) => wallMs / 1_000 },
    { title: "× the loop", value: ({ cpuMs }, { loop: by }) => by && by.cpuMs / cpuMs },
    { title: "× the best peer", value: ({ cpuMs }, { peer }) => peer && peer.cpuMs / cpuMs },
    { title: "× the limit", value: ({ cpuMs }, { limit: by }) => by && by.cpuMs / cpuMs },
    { title: "peak MB", value: ({ peakMb }) => peakMb },
  ],
};
