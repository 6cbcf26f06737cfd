// 1 million lines of JSON → parse → drop one in ten → map four fields → lines of JSON.
import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, readSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { modulesOf, openStorage, runOnce } from "../hosts.mjs";
import { keep, linesOf, map, recordOf, recordPages, writeRecords } from "../ndjson.mjs";
import { postgresServer } from "../servers.mjs";
import * as peers from "./record-peers.mjs";

const total = 1_000_000;
const noLine = () => undefined;
const isRejected = ({ id }) => id.endsWith("51");

/** The physical limit: one thread, synchronous, nothing kept. */
async function limit({ source, out }) {
  const [from, into] = [openSync(source), openSync(join(out, "copy.ndjson"), "w")];
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
  (pageSize, copies = ["copy.ndjson"]) =>
  async ({ source, out }) => {
    const into = await Promise.all(copies.map((name) => open(join(out, name), "w")));
    for await (const { records } of recordPages(source, pageSize))
      for (const copy of into) await copy.appendFile(linesOf(records.filter(keep).map(map)));
    for (const copy of into) await copy.close();
  };

async function loopWithSchema({ source, out }) {
  const { parse } = await import("valibot");
  const schema = await schemaOf();
  const into = await open(join(out, "copy.ndjson"), "w");
  for await (const { records } of recordPages(source, 1_000)) {
    const valid = records.map((record) => parse(schema, record));
    await into.appendFile(linesOf(valid.filter(keep).map(map)));
  }
  await into.close();
}

async function schemaOf() {
  const v = await import("valibot");
  const strings = { id: v.string(), name: v.string(), email: v.pipe(v.string(), v.email()), at: v.string() };
  return v.object({ ...strings, amount: v.number(), open: v.boolean() });
}

/** The host's ends are the loop's own functions. */
const poundlock =
  ({ kind, pageSize, copies = ["copy.ndjson"], rejects = false, schema = false, ...options }) =>
  async (value) => {
    const { source, out } = value;
    const { storage, close } = await openStorage(kind, value);
    const from = {
      order: "ordered",
      key: ({ id }) => id,
      pageSize,
      ...(schema ? { schema: await schemaOf() } : {}),
      async *pages({ checkpoint }) {
        for await (const { records, offset } of recordPages(source, pageSize, checkpoint ?? 0))
          yield { records, checkpoint: offset };
      },
    };
    const handles = await Promise.all(copies.map((name) => open(join(out, name), "w")));
    const imports = handles.map((into, nth) => [`sink${nth}`, sinkInto(into, rejects)]);
    const run = await runOnce({ exports: { from }, imports: Object.fromEntries(imports) }, storage, {
      maxFailures: 1_000_000,
      maxOpenFailures: 1_000_000,
      logger: { debug: noLine, info: noLine, warn: noLine, error: console.error },
      ...options,
    });
    for (const handle of handles) await handle.close();
    await close();
    const failures = rejects ? total / 100 : 0;
    if (run.numError !== failures) throw new Error(`${run.numError} failures of ${failures}`);
  };

function sinkInto(into, rejects) {
  const ends = { idempotent: false, filter: keep };
  if (!rejects) return { ...ends, map, write: (records) => into.appendFile(linesOf(records)) };
  const [ok, refused] = [{ ok: true }, { ok: false, fault: "reject", error: "there is no such customer" }];
  return {
    ...ends,
    async write(records) {
      const results = records.map((record) => (isRejected(record) ? refused : ok));
      await into.appendFile(linesOf(records.filter((_, index) => results[index] === ok).map(map)));
      return results;
    },
  };
}

const connectors =
  (kind, { sync }) =>
  async (value) => {
    const { fileExport, fileImport, localFiles, ndjson } = await import("poundlock/connectors/files");
    const { storage, close } = await openStorage(kind, value);
    const from = fileExport({
      ...{ files: localFiles(dirname(value.source)), match: "source.ndjson", format: ndjson() },
      ...{ key: ({ id }) => id, pageSize: 1_000, settleMs: 0 },
    });
    const files = localFiles(value.out);
    const into = fileImport({ files, format: ndjson(), append: "copy.ndjson", sync });
    const imports = { sink: { ...into, filter: keep, map } };
    await runOnce({ exports: { from }, imports }, storage);
    await close();
  };

/** SHA-256 of what has to arrive. */
function expected(isWanted) {
  const hash = createHash("sha256");
  for (let first = 0; first < total; first += 1_000) {
    const records = Array.from({ length: 1_000 }, (_, index) => recordOf(first + index));
    hash.update(linesOf(records.filter(isWanted).map(map)));
  }
  return hash.digest("hex");
}

async function hashOf(file) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 1_048_576 })) hash.update(chunk);
  return hash.digest("hex");
}

const nothing = "nothing: a failure begins anew or loses";
const once = "at least once, checkpoints, failures kept";
const lost = `${once}; gone with the process`;
const two = ["copy.ndjson", "second.ndjson"];

const ours = (name, options) => ({
  name: `**poundlock**, ${name}`,
  guarantee: options.kind === "memory" ? lost : once,
  modules: [...modulesOf(options.kind), ...(options.schema ? ["valibot"] : [])],
  run: poundlock(options),
  ...(options.copies === undefined ? {} : { copies: options.copies }),
  ...(options.rejects === true ? { rejects: true } : {}),
});
const ownEnds = (name, kind, sync) => ({
  name: `**poundlock**, connectors, ${name}`,
  guarantee: `${kind === "memory" ? lost : once}; each line once in the file`,
  modules: [...modulesOf(kind), "poundlock/connectors/files"],
  run: connectors(kind, { sync }),
});
const peer = (name, run, ...modules) => ({ name, role: "peer", guarantee: nothing, modules, run });
const unfrozen = { freezeRecords: false };

export default {
  title: "Records: 1 million lines of JSON to lines of JSON",
  async prepare(folder) {
    const source = join(folder, "source.ndjson");
    await writeRecords(source, total);
    const hashes = { all: expected(keep), taken: expected((record) => keep(record) && !isRejected(record)) };
    const server = await postgresServer();
    return { value: { source, hashes, ...server.value }, close: server.close };
  },
  contenders: [
    { name: "one thread, synchronous", role: "limit", guarantee: nothing, run: limit },
    { name: "loop by hand, pages of 1,000", role: "loop", guarantee: nothing, run: loop(1_000) },
    { name: "loop by hand, pages of 100", guarantee: nothing, run: loop(100) },
    ours("memory, 1,000", { kind: "memory", pageSize: 1_000 }),
    ours("memory, 1,000, `freezeRecords: false`", { kind: "memory", pageSize: 1_000, ...unfrozen }),
    ours("memory, 100", { kind: "memory", pageSize: 100 }),
    ours("memory, 100, `freezeRecords: false`", { kind: "memory", pageSize: 100, ...unfrozen }),
    ours("SQLite (FULL), 1,000", { kind: "sqlite", pageSize: 1_000 }),
    ours("SQLite (FULL), 100", { kind: "sqlite", pageSize: 100 }),
    ours("PostgreSQL, 1,000", { kind: "postgres", pageSize: 1_000 }),
    ours("PostgreSQL, 100", { kind: "postgres", pageSize: 100 }),
    ownEnds("memory, 1,000, not synced", "memory", "none"),
    ownEnds("SQLite (FULL), 1,000, not synced", "sqlite", "none"),
    { name: "loop by hand, 1,000, two copies", guarantee: nothing, run: loop(1_000, two), copies: two },
    ours("memory, 1,000, two imports", { kind: "memory", pageSize: 1_000, copies: two }),
    ours("memory, 1,000, 1 % rejected", { kind: "memory", pageSize: 1_000, rejects: true }),
    ours("SQLite (FULL), 1,000, 1 % rejected", { kind: "sqlite", pageSize: 1_000, rejects: true }),
    { name: "loop by hand, 1,000, valibot", guarantee: nothing, modules: ["valibot"], run: loopWithSchema },
    ours("memory, 1,000, valibot", { kind: "memory", pageSize: 1_000, schema: true }),
    peer("streaming-iterables, by chunk", peers.streamingChunks, "streaming-iterables"),
    peer("streaming-iterables, by record", peers.streamingIterables, "streaming-iterables"),
    peer("rxjs, by chunk", peers.rxjsChunks, "rxjs"),
    peer("rxjs, by record", peers.rxjs, "rxjs"),
    peer("effect Stream, by chunk", peers.effectChunks, "effect"),
    peer("effect Stream, by record", peers.effect, "effect"),
    peer("node:stream, by chunk", peers.nodeStreamChunks),
    peer("node:stream, by record", peers.nodeStream, "split2"),
    peer("web streams, by record", peers.webStreams),
    peer("etl, by record", peers.etl, "etl", "split2"),
  ],
  async verify({ out, hashes }, { name, copies = ["copy.ndjson"], rejects = false }) {
    for (const copy of copies) {
      const [found, wanted] = [await hashOf(join(out, copy)), rejects ? hashes.taken : hashes.all];
      if (found !== wanted) throw new Error(`${name}: ${copy} is not what was to arrive`);
    }
  },
  cost: ({ cpuMs }) => cpuMs,
  columns: [
    { title: "records per CPU second", value: ({ cpuMs }) => (total / cpuMs) * 1_000 },
    { title: "CPU s", value: ({ cpuMs }) => cpuMs / 1_000, spread: true },
    { title: "wall s", value: ({ wallMs }) => wallMs / 1_000 },
    { title: "× the loop", value: ({ cpuMs }, { loop: by }) => by && by.cpuMs / cpuMs },
    { title: "× the best peer", value: ({ cpuMs }, { peer: by }) => by && by.cpuMs / cpuMs },
    { title: "× the limit", value: ({ cpuMs }, { limit: by }) => by && by.cpuMs / cpuMs },
    { title: "peak MB", value: ({ peakMb }) => peakMb },
  ],
  goals: [
    goal("memory at pages of 1,000, records not frozen, beside the loop", 0.92, [
      "loop by hand, pages of 1,000",
      "**poundlock**, memory, 1,000, `freezeRecords: false`",
    ]),
    goal("the same at pages of 100, beside the loop with pages of 100", 0.85, [
      "loop by hand, pages of 100",
      "**poundlock**, memory, 100, `freezeRecords: false`",
    ]),
    goal("records frozen, pages of 1,000", 0.82, ["loop by hand, pages of 1,000", "**poundlock**, memory, 1,000"]),
    goal("records frozen, pages of 100", 0.75, ["loop by hand, pages of 100", "**poundlock**, memory, 100"]),
    goal("SQLite beside memory, pages of 1,000", 0.8, [
      "**poundlock**, memory, 1,000",
      "**poundlock**, SQLite (FULL), 1,000",
    ]),
    goal("SQLite beside memory, pages of 100", 0.5, [
      "**poundlock**, memory, 100",
      "**poundlock**, SQLite (FULL), 100",
    ]),
    goal(
      "two imports, beside half the rate of one",
      0.8,
      ["**poundlock**, memory, 1,000", "**poundlock**, memory, 1,000, two imports"],
      2,
    ),
    goal("1 % rejected, beside none, in memory", 0.8, [
      "**poundlock**, memory, 1,000",
      "**poundlock**, memory, 1,000, 1 % rejected",
    ]),
    goal("1 % rejected, beside none, in SQLite", 0.8, [
      "**poundlock**, SQLite (FULL), 1,000",
      "**poundlock**, SQLite (FULL), 1,000, 1 % rejected",
    ]),
    goal("every record validated, beside none", 0.6, [
      "**poundlock**, memory, 1,000",
      "**poundlock**, memory, 1,000, valibot",
    ]),
  ],
};

/** How much of the first one's records per CPU second the second one moves, times `factor`. */
function goal(text, atLeast, [base, name], factor = 1) {
  return { text, atLeast, value: (of) => (factor * of(base).cpuMs) / of(name).cpuMs };
}
