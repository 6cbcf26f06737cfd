/** The middle of some numbers. */
export function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

const text = (value) => (Number.isNaN(value) ? "–" : value.toLocaleString("en", { maximumSignificantDigits: 3 }));

/**
 * A Markdown table. `work.columns` are `{ title, value(figures, reference) }`, of each sample's figures; `reference` has, by
 * the contender's `role` (`limit`, `loop`, `peer`), the medians of the best of them.
 */
export function tableOf(work, measured) {
  const medians = measured.map(({ contender, samples }) => ({ contender, figures: mediansOf(samples) }));
  const reference = {};
  for (const { contender, figures } of medians) {
    const best = reference[contender.role];
    if (contender.role && (best === undefined || work.cost(figures) < work.cost(best)))
      reference[contender.role] = figures;
  }
  const head = ["contender", ...work.columns.map(({ title }) => title), "what it guarantees"];
  const rows = medians.map(({ contender, figures }) => [
    contender.name,
    ...work.columns.map(({ value }) => text(value(figures, reference) ?? NaN)),
    contender.guarantee,
  ]);
  return [head, head.map((_, index) => (index > 0 && index < head.length - 1 ? "--:" : "---")), ...rows].map(
    (cells) => `| ${cells.join(" | ")} |`,
  );
}

function mediansOf(samples) {
  const names = Object.keys(samples[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, median(samples.map((figures) => figures[name]))]));
}
