import { rounded } from "../format/numbers.ts";

/** One bar. */
export interface Bar {
  readonly key: string;
  /** Parts from the bottom up: a class for its color, and how much. */
  readonly parts: readonly (readonly [name: string, amount: number])[];
  /** What is said below the pointer. */
  readonly title: string;
  /** Below the chart, where there is room. */
  readonly label?: string;
}

/** A chart of bars. */
export interface ChartProps {
  readonly bars: readonly Bar[];
  /** What the chart says, in a sentence. */
  readonly summary: string;
  /** How the largest amount is written. @default as a number */
  readonly inUnits?: (amount: number) => string;
}

const height = 100;
const amountOf = ({ parts }: Bar) => parts.reduce((sum, [, amount]) => sum + amount, 0);

/** Bars of SVG; at most a few hundred are drawn. */
export function Chart({ bars, summary, inUnits = rounded }: ChartProps) {
  const most = Math.max(1, ...bars.map(amountOf));
  const labels = bars.flatMap(({ key, label }, index) => (label === undefined ? [] : [{ key, label, index }]));
  return (
    <figure class="chart" style={{ maxWidth: bars.length * 40 }}>
      <span class="chart-most">{most > 1 ? inUnits(most) : ""}</span>
      <svg role="img" aria-label={summary} viewBox={`0 0 ${bars.length * 10} ${height}`} preserveAspectRatio="none">
        {bars.map((bar, index) => (
          <BarOf key={bar.key} bar={bar} x={index * 10} scale={height / most} />
        ))}
      </svg>
      <div class="chart-labels" aria-hidden="true">
        {labels.map(({ key, label, index }) => (
          <span key={key} style={{ left: `${(index / bars.length) * 100}%` }}>
            {label}
          </span>
        ))}
      </div>
    </figure>
  );
}

interface BarOfProps {
  readonly bar: Bar;
  readonly x: number;
  readonly scale: number;
}

function BarOf({ bar, x, scale }: BarOfProps) {
  let y = height;
  return (
    <g>
      <title>{bar.title}</title>
      <rect class="bar-back" x={x} y={0} width={10} height={height} />
      {bar.parts.map(([name, amount]) => {
        // What is not nothing is seen.
        const size = amount === 0 ? 0 : Math.max(1.5, amount * scale);
        y -= size;
        return <rect key={name} class={`bar-${name}`} x={x + 1} y={Math.max(0, y)} width={8} height={size} />;
      })}
    </g>
  );
}
