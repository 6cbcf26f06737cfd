// npm run bench [-- --rounds 5] [--minutes 8] [--only words] [--fresh] [--write] [work…]: poundlock beside its peers, on the
// same work in the same run. Every sample is a process of its own; the rounds are interleaved, so that a machine whose
// speed drifts slows all alike. Prints a table for each piece of work, and puts it into docs/benchmarks.md once each
// contender has five samples. Samples of the same build, Node and machine are kept: what `--minutes` ended goes on.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { replaceTable } from "./document.mjs";
import { samplesOf } from "./sample.mjs";
import { keptSamples } from "./samples.mjs";
import { goalsOf, tableOf } from "./table.mjs";
import { allWorks, workNamed } from "./works.mjs";

const enough = 5;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: String(enough) },
    minutes: { type: "string", default: "Infinity" },
    only: { type: "string", default: "" },
    fresh: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 0) throw new RangeError(`--rounds is ${values.rounds}: expected 0 or more`);
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new RangeError(`--minutes is ${values.minutes}: expected more than 0`);
const unknown = positionals.find((name) => !allWorks.includes(name));
if (unknown !== undefined) throw new RangeError(`there is no work ${unknown}: expected ${allWorks.join(", ")}`);
const endsAt = performance.now() + minutes * 60_000;

for (const name of positionals.length > 0 ? positionals : allWorks) await measure(name);

async function measure(name) {
  const work = await workNamed(name);
  const kept = await keptSamples(name, values.fresh);
  // Its tables are to be made from what is kept.
  if (rounds > 0) await takeSamples(name, work, kept);
  const measured = work.contenders
    .map((contender) => ({ contender, samples: kept.of(contender.name) }))
    .filter(({ samples }) => samples.length > 0);
  if (measured.length === 0) return;
  const text = [...tableOf(work, measured), ...goalsOf(work, measured)].join("\n");
  console.log(`\n## ${work.title}\n\n${text}\n`);
  const fewest = Math.min(...measured.map(({ samples }) => samples.length));
  if (!values.write && fewest < enough) return console.log(`not written: some have ${fewest} samples of ${enough}`);
  const plots = (await work.plots?.(measured)) ?? [];
  await replaceTable(name, work.title, [text, ...plots].join("\n\n"));
}

async function takeSamples(name, work, kept) {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-peers-"));
  const context = await work.prepare(folder);
  try {
    const contenders = [];
    for (const contender of work.contenders.filter((candidate) => candidate.name.includes(values.only))) {
      const missing = await contender.missing?.(context.value);
      if (missing === undefined) contenders.push(contender);
      else console.log(`left out: ${contender.name}: ${missing}`);
    }
    for (;;) {
      // Who has fewest, the first of them: round after round, and on where the last one ended.
      const fewest = Math.min(...contenders.map((contender) => kept.of(contender.name).length));
      const next = contenders.find((contender) => kept.of(contender.name).length === fewest);
      if (next === undefined || fewest >= rounds || performance.now() > endsAt) break;
      const out = join(folder, "out");
      await mkdir(out);
      const round = work.inTurns ? contenders.filter((one) => kept.of(one.name).length === fewest) : [next];
      const figures = await samplesOf(name, round, { ...context.value, out });
      for (const [index, { name: contender }] of round.entries()) await kept.add(contender, figures[index]);
      await rm(out, { recursive: true });
    }
  } finally {
    await context.close?.();
    await rm(folder, { recursive: true, force: true });
  }
}
