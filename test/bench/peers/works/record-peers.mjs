// The job of "records" as the libraries do it that move data in a process: by record, as their guides show it, and over the
// chunks that were read where that is faster.
import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { keep, linesOf, map } from "../ndjson.mjs";

async function* lines(source) {
  let rest = "";
  for await (const chunk of createReadStream(source, { encoding: "utf8", highWaterMark: 262_144 })) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop();
    yield parts;
  }
}

export async function rxjs({ source, out }) {
  const { bufferCount, concatMap, filter, from, lastValueFrom, map: mapped, mergeMap } = await import("rxjs");
  const into = await open(join(out, "copy.ndjson"), "w");
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

export async function effect({ source, out }) {
  const { Effect, Stream } = await import("effect");
  const into = await open(join(out, "copy.ndjson"), "w");
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

export async function streamingIterables({ source, out }) {
  const { batch, filter, flatten, map: mapped, pipeline: piped } = await import("streaming-iterables");
  const into = await open(join(out, "copy.ndjson"), "w");
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

const parsed = (line) => JSON.parse(line);
const moved = (parts) => linesOf(parts.map(parsed).filter(keep).map(map));

export async function streamingChunks({ source, out }) {
  const { map: mapped, pipeline: piped } = await import("streaming-iterables");
  const into = await open(join(out, "copy.ndjson"), "w");
  const chunks = piped(() => lines(source), mapped(moved));
  for await (const text of chunks) await into.appendFile(text);
  await into.close();
}

export async function rxjsChunks({ source, out }) {
  const { concatMap, from, lastValueFrom, map: mapped } = await import("rxjs");
  const into = await open(join(out, "copy.ndjson"), "w");
  await lastValueFrom(
    from(lines(source)).pipe(
      mapped(moved),
      concatMap((text) => into.appendFile(text)),
    ),
  );
  await into.close();
}

export async function effectChunks({ source, out }) {
  const { Effect, Stream } = await import("effect");
  const into = await open(join(out, "copy.ndjson"), "w");
  const stream = Stream.fromAsyncIterable(lines(source), (error) => error).pipe(
    Stream.map(moved),
    Stream.runForEach((text) => Effect.promise(() => into.appendFile(text))),
  );
  await Effect.runPromise(stream);
  await into.close();
}

export async function nodeStreamChunks({ source, out }) {
  await pipeline(
    lines(source),
    async function* (chunks) {
      for await (const parts of chunks) yield moved(parts);
    },
    createWriteStream(join(out, "copy.ndjson"), { highWaterMark: 262_144 }),
  );
}

export async function nodeStream({ source, out }) {
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
    createWriteStream(join(out, "copy.ndjson"), { highWaterMark: 262_144 }),
  );
}

export async function webStreams({ source, out }) {
  const into = await open(join(out, "copy.ndjson"), "w");
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

export async function etl({ source, out }) {
  const { default: lib } = await import("etl");
  const { default: split2 } = await import("split2");
  const into = await open(join(out, "copy.ndjson"), "w");
  await createReadStream(source, { highWaterMark: 262_144 })
    .pipe(split2(JSON.parse))
    .pipe(lib.map((record) => (keep(record) ? map(record) : undefined)))
    .pipe(lib.collect(1_000))
    .pipe(lib.map((records) => into.appendFile(linesOf(records))))
    .promise();
  await into.close();
}
