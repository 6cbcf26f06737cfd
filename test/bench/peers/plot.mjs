import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const folder = new URL("../../../docs/benchmarks/", import.meta.url);
const [width, height, left, top, right, bottom] = [720, 380, 60, 24, 190, 40];
/** Whoever sees no colours knows the series by their marks. */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#332288", "#882255"];
const marks = ["circle", "square"];

/** Draws series of points, `{ label, points: [x, y][] }`, into docs/benchmarks/NAME.svg; both axes are logarithmic. */
export async function writePlot(name, unit, series) {
  const drawn = series.filter(({ points }) => points.length > 0);
  const all = drawn.flatMap(({ points }) => points);
  const [x, y] = [0, 1].map((at) => axisOf(all.map((point) => point[at])));
  const place = ([across, up]) => [left + x.part(across) * (width - left - right), height - bottom - y.part(up) * (height - top - bottom)].map((value) => value.toFixed(1)); // prettier-ignore
  const [x0, y0] = [width - right, height - bottom];
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...x.ticks.map((tick) => {
      const [at] = place([tick, 10 ** y.from]);
      return `<path d="M${at} ${top}V${y0}" stroke="#ddd"/><text x="${at}" y="${y0 + 18}" text-anchor="middle">${short(tick)}</text>`;
    }),
    ...y.ticks.map((tick) => {
      const [, at] = place([10 ** x.from, tick]);
      return `<path d="M${left} ${at}H${x0}" stroke="#ddd"/><text x="${left - 6}" y="${at}" dy="4" text-anchor="end">${short(tick)}</text>`;
    }),
    `<text x="${left}" y="${top - 8}">${unit}</text>`,
    ...drawn.flatMap(({ label, points }, index) => {
      const colour = colours[index % colours.length];
      const places = points.map(place);
      const [, end] = [places.at(-1), top + 14 + index * 18];
      return [
        `<polyline points="${places.map((one) => one.join()).join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...places.map((one) => markAt(one, index, colour)),
        markAt([x0 + 16, end - 4], index, colour),
        `<text x="${x0 + 28}" y="${end}">${label}</text>`,
      ];
    }),
    "</svg>",
  ];
  await mkdir(folder, { recursive: true });
  await writeFile(fileURLToPath(new URL(`${name}.svg`, folder)), `${lines.join("\n")}\n`);
}

function axisOf(values) {
  const from = Math.floor(Math.log10(Math.min(...values)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ticks = Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));
  return { from, ticks, part: (value) => (Math.log10(value) - from) / (to - from) };
}

function markAt([x, y], index, colour) {
  return marks[index % marks.length] === "circle"
    ? `<circle cx="${x}" cy="${y}" r="4" fill="${colour}"/>`
    : `<rect x="${x - 4}" y="${y - 4}" width="8" height="8" fill="${colour}"/>`;
}

const short = (value) => value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 2 });
