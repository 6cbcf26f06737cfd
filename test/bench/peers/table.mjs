import { cpus } from "node:os";
import { packageVersions } from "./versions.mjs";

/** The middle of some numbers. */
export function median(values) {
  const sorted = values.filter((value) => value !== undefined).sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

const text = (value) =>
  value === undefined || Number.isNaN(value) ? "–" : value.toLocaleString("en", { maximumSignificantDigits: 3 });

/**
 * A Markdown table. `work.columns` are `{ title, value(figures, reference) }`, of the medians of each contender's figures;
 * `reference` has, by the contender's `role` (`limit`, `loop`, `peer`), the medians of the best of them. A column with
 * `spread` shows its lowest and highest sample, too.
 */
export function tableOf(work, measured) {
  const reference = referenceOf(work, measured);
  const head = ["contender", ...work.columns.map(({ title }) => title), work.guarantees ?? "what it guarantees"];
  const rows = measured.map(({ contender, samples }) => [
    contender.name,
    ...work.columns.map((column) => cell(column, samples, reference)),
    contender.guarantee,
  ]);
  const rule = head.map((_, index) => (index > 0 && index < head.length - 1 ? "--:" : "---"));
  return [captionOf(work, measured), "", ...[head, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`)];
}

/** What was to be reached, and what was: `work.goals` are `{ text, atLeast? or atMost?, value(medians by name) }`. */
export function goalsOf(work, measured) {
  const by = new Map(measured.map(({ contender, samples }) => [contender.name, mediansOf(samples)]));
  const lines = (work.goals ?? []).map(({ text: title, atLeast, atMost, value }) => {
    const reached = value((name) => by.get(name) ?? {});
    if (reached === undefined || Number.isNaN(reached)) return `- ${title}: not measured.`;
    const isMet = atLeast === undefined ? reached <= atMost : reached >= atLeast;
    const limit = atLeast === undefined ? `at most ${text(atMost)}` : `at least ${text(atLeast)}`;
    return `- ${title}: ${text(reached)}; the goal, ${limit}, is ${isMet ? "met" : "**missed**"}.`;
  });
  return lines.length === 0 ? [] : ["", ...lines];
}

function captionOf(work, measured) {
  const samples = measured.flatMap((each) => each.samples);
  const loads = samples.map(({ load }) => load);
  const counts = measured.map((each) => each.samples.length);
  const [fewest, most] = [Math.min(...counts), Math.max(...counts)];
  const versions = packageVersions(work.packages ?? measured.flatMap(({ contender }) => contender.modules ?? []));
  return (
    `Node ${process.version.slice(1)}, ${cpus().length} cores of ${cpus()[0]?.model ?? "?"}, load ` +
    `${text(Math.min(...loads))} to ${text(Math.max(...loads))}, ${text(median(loads))} at the median; medians of ` +
    `${fewest === most ? fewest : `${fewest} to ${most}`} samples, each a process of its own` +
    `${versions === "" ? "" : `; ${versions}`}.`
  );
}

function cell({ value, spread }, samples, reference) {
  const middle = text(value(mediansOf(samples), reference));
  if (spread !== true || samples.length === 1) return middle;
  const all = samples.map((figures) => value(figures, reference));
  return `${middle} [${text(Math.min(...all))} – ${text(Math.max(...all))}]`;
}

function referenceOf(work, measured) {
  const reference = {};
  for (const { contender, samples } of measured) {
    const figures = mediansOf(samples);
    const best = reference[contender.role];
    if (contender.role && (best === undefined || work.cost(figures) < work.cost(best)))
      reference[contender.role] = figures;
  }
  return reference;
}

function mediansOf(samples) {
  const names = Object.keys(samples[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, median(samples.map((figures) => figures[name]))]));
}
