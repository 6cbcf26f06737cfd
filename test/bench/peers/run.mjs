// npm run bench:peers [-- --rounds 5] [-- --write] [-- part of a title]: poundlock beside its peers, on the same work in the
// same run. Every sample is a process of its own; the rounds are interleaved, so that a machine whose speed drifts slows
// all alike. Prints a table for each piece of work; with --write puts it into docs/benchmarks.md, between its marks.
import { fork } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { allWorks, workNamed } from "./works.mjs";
import { tableOf } from "./table.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "5" }, write: { type: "boolean", default: false } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new RangeError(`--rounds is ${values.rounds}: expected 1 or more`);
const part = positionals.join(" ");
const document = fileURLToPath(new URL("../../../docs/benchmarks.md", import.meta.url));

for (const name of allWorks.filter((candidate) => candidate.includes(part))) await measure(name);

async function measure(name) {
  const work = await workNamed(name);
  const folder = await mkdtemp(join(tmpdir(), "poundlock-peers-"));
  const context = await work.prepare(folder);
  try {
    const contenders = [];
    for (const contender of work.contenders) {
      const missing = await contender.missing?.(context.value);
      if (missing === undefined) contenders.push({ contender, samples: [] });
      else console.log(`left out: ${contender.name}: ${missing}`);
    }
    for (let round = 0; round < rounds; round++)
      for (const { contender, samples } of contenders)
        samples.push(await sample({ work: name, contender: contender.name, value: context.value }));
    const text = [
      `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "?"}, load ${loadavg()[0].toFixed(1)} at the end; ` +
        `medians of ${rounds}, each sample a process of its own.`,
      "",
      ...tableOf(work, contenders),
    ].join("\n");
    console.log(`\n## ${work.title}\n\n${text}\n`);
    if (values.write) await replace(name, work.title, text);
  } finally {
    await context.close?.();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The figures of one process that did the work once. */
function sample(job) {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL("child.mjs", import.meta.url)), [JSON.stringify(job)], {
      execArgv: ["--expose-gc"],
      env: { ...process.env, NODE_ENV: "production" },
      timeout: 900_000,
    });
    let figures;
    child.on("message", (message) => (figures = message));
    child.on("exit", (code) => {
      if (code === 0 && figures !== undefined) resolve(figures);
      else reject(new Error(`${job.work}, ${job.contender}: the process ended with ${code}`));
    });
  });
}

/** Puts a table between its marks, or at the end of the document if it has none yet. */
async function replace(name, title, text) {
  const before = await readFile(document, "utf8");
  const [begin, end] = [`<!-- ${name}: measured -->`, `<!-- ${name}: end -->`];
  const [first, last] = [before.indexOf(begin), before.indexOf(end)];
  const after =
    first < 0
      ? `${before}\n## ${title}\n\n${begin}\n\n${text}\n\n${end}\n`
      : `${before.slice(0, first + begin.length)}\n\n${text}\n\n${before.slice(last)}`;
  await writeFile(document, after);
}
