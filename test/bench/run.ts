import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { bodyCases } from "./body-cases.ts";
import { cases as memoryCases } from "./cases.ts";
import { connectorCases } from "./connector-cases.ts";
import { dashboardCases } from "./dashboard-cases.ts";
import { durableCases } from "./durable-cases.ts";
import { failureCases } from "./failure-cases.ts";
import { httpCases } from "./http-cases.ts";
import { readCases } from "./http-read-cases.ts";
import { type Figures, measureInChild, summary } from "./measure.ts";
import { pageCases } from "./page-cases.ts";
import { sqlCases } from "./sql-cases.ts";
import { tracingCases } from "./tracing-cases.ts";

// npm run bench:own [-- --rounds 5] [-- part of a title]: every case in a process of its own, round after round, so that
// a machine whose speed drifts slows all of them alike; medians and spread of the rounds.
const file = fileURLToPath(import.meta.url);
const isChild = process.channel !== undefined;
const cases = [
  ...memoryCases,
  ...durableCases,
  ...failureCases,
  ...httpCases,
  ...bodyCases,
  ...dashboardCases,
  ...pageCases,
  ...connectorCases,
  ...readCases,
  ...sqlCases,
  ...tracingCases,
];

if (!isChild) await measureAll(process.argv.slice(2));
else await measureOne(process.argv[2] ?? "");

async function measureOne(title: string): Promise<void> {
  const chosen = cases.find((candidate) => candidate.title === title);
  if (chosen === undefined) throw new Error(`there is no case ${title}`);
  const figures = await chosen.measure();
  // Some packages listen to the channel, which would keep the process.
  process.send?.(figures, () => process.disconnect());
}

async function measureAll(words: readonly string[]): Promise<void> {
  const flag = words.indexOf("--rounds");
  const rounds = flag < 0 ? 5 : Number(words[flag + 1]);
  const part = words.filter((_, index) => flag < 0 || (index !== flag && index !== flag + 1)).join(" ");
  const chosen = cases.filter(({ title }) => title.includes(part));
  const measured = new Map<string, Figures[]>(chosen.map(({ title }) => [title, []]));
  console.log(
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "?"}, median of ${rounds} [min – max]`,
  );
  warnIfBusy();
  for (let round = 0; round < rounds; round++)
    for (const one of chosen) measured.get(one.title)?.push(await measureInChild(file, one));
  for (const { title, units } of chosen) {
    console.log(`\n${title}`);
    for (const [name, unit] of Object.entries(units)) console.log(`  ${line(measured.get(title) ?? [], name)} ${unit}`);
  }
}

function warnIfBusy(): void {
  const [load = 0] = loadavg();
  if (load > cpus().length / 4)
    console.warn(`The load is ${load.toFixed(1)}: others are at work, and the figures suffer`);
}

function line(rounds: readonly Figures[], name: string): string {
  const { median, min, max } = summary(rounds.map((figures) => figures[name] ?? NaN));
  return `${text(median)} [${text(min)} – ${text(max)}]`;
}

function text(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}
