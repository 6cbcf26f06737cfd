import { apiPath } from "../../api/client.ts";
import type { StatisticsBucket } from "../../api/documents.ts";
import { useResource } from "../../api/resource.ts";
import { address, hrefWith } from "../../browser/address.ts";
import { now } from "../../browser/clock.ts";
import { exact } from "../../format/numbers.ts";
import { absolute, clockOf, dayOf } from "../../format/times.ts";
import { type Bar, Chart } from "../../parts/chart.tsx";
import { Part } from "../../frame/states.tsx";
import { type Column, Table } from "../../tables/table.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { useMemo } from "../../view.ts";

const hourMs = 3_600_000;
const steps = { hour: { ms: hourMs, bars: 48 }, day: { ms: 24 * hourMs, bars: 30 } } as const;

/** How many records were moved, by hour or by day. */
export function Records() {
  const step = address.value.query.get("by") === "day" ? "day" : "hour";
  const { ms, bars } = steps[step];
  // The address changes once in a step, so that it is one resource.
  const end = Math.floor(now.value / ms) * ms + ms;
  const from = useMemo(() => new Date(end - bars * ms).toISOString(), [end, bars]);
  const until = new Date(end).toISOString();
  const statistics = useResource<readonly StatisticsBucket[]>(apiPath(["statistics"], { from, until, step }));
  const words = step === "hour" ? say.overviewByHour : say.overviewByDay;
  return (
    <Section title={say.runImports} aside={<Steps step={step} />}>
      <Part of={statistics}>
        {(buckets) => <Buckets buckets={filled(buckets, Date.parse(from), steps[step])} step={step} words={words} />}
      </Part>
    </Section>
  );
}

function Steps({ step }: { readonly step: "hour" | "day" }) {
  return (
    <span class="switch">
      <a href={hrefWith({ by: undefined })} aria-current={step === "hour" ? "true" : undefined}>
        {say.overviewByHour}
      </a>
      <a href={hrefWith({ by: "day" })} aria-current={step === "day" ? "true" : undefined}>
        {say.overviewByDay}
      </a>
    </span>
  );
}

const none = { completed: 0, failed: 0, canceled: 0, numSuccess: 0, numError: 0, numIgnore: 0, durationMs: 0 };

/** With the hours in which nothing happened, so that time goes on evenly. */
function filled(
  buckets: readonly StatisticsBucket[],
  from: number,
  { ms, bars }: { readonly ms: number; readonly bars: number },
): readonly StatisticsBucket[] {
  const known = new Map(buckets.map((bucket) => [Math.floor((Date.parse(bucket.from) - from) / ms), bucket]));
  return Array.from(
    { length: bars },
    (_, index) => known.get(index) ?? { ...none, from: new Date(from + index * ms).toISOString() },
  );
}

interface BucketsProps {
  readonly buckets: readonly StatisticsBucket[];
  readonly step: "hour" | "day";
  readonly words: string;
}

function Buckets({ buckets, step, words }: BucketsProps) {
  const sum = (field: "numSuccess" | "numError" | "numIgnore") =>
    buckets.reduce((all, bucket) => all + bucket[field], 0);
  const [delivered, failed, ignored] = [sum("numSuccess"), sum("numError"), sum("numIgnore")];
  if (delivered + failed + ignored === 0) return <p class="empty">{say.overviewNoRecords}</p>;
  return (
    <div class="box">
      <p class="legend">
        <span>
          <i class="key key-delivered" /> {say.overviewDelivered} <b>{exact(delivered)}</b>
        </span>
        <span>
          <i class="key key-failed" /> {say.overviewFailed} <b>{exact(failed)}</b>
        </span>
        <span>
          {say.overviewIgnored} <b>{exact(ignored)}</b>
        </span>
      </p>
      <Chart
        bars={buckets.map((bucket, index) => barOf(bucket, index, step))}
        summary={say.overviewChart(delivered, failed, words)}
      />
      <details>
        <summary>{say.overviewAsTable}</summary>
        <BucketTable buckets={buckets} />
      </details>
    </div>
  );
}

/** What the chart shows, newest first, without the times at which nothing happened. */
function BucketTable({ buckets }: { readonly buckets: readonly StatisticsBucket[] }) {
  const rows = buckets.filter(({ numSuccess, numError, numIgnore }) => numSuccess + numError + numIgnore > 0);
  return <Table label={say.runImports} rows={rows.reverse()} idOf={({ from }) => from} columns={columns} />;
}

const columns: readonly Column<StatisticsBucket>[] = [
  { title: say.overviewFrom, isName: true, cell: ({ from }) => absolute(from) },
  { title: say.overviewDelivered, isNumber: true, cell: ({ numSuccess }) => exact(numSuccess) },
  { title: say.overviewFailed, isNumber: true, cell: ({ numError }) => exact(numError) },
  { title: say.overviewIgnored, isNumber: true, cell: ({ numIgnore }) => exact(numIgnore) },
];

function barOf({ from, numSuccess, numError }: StatisticsBucket, index: number, step: "hour" | "day"): Bar {
  const title = `${absolute(from)}: ${exact(numSuccess)} ${say.overviewDelivered}, ${exact(numError)} ${say.overviewFailed}`;
  const every = step === "hour" ? 12 : 7;
  const label = index % every === 0 ? (step === "hour" ? `${dayOf(from)} ${clockOf(from)}` : dayOf(from)) : undefined;
  return {
    key: from,
    title,
    parts: [
      ["delivered", numSuccess],
      ["failed", numError],
    ],
    ...(label === undefined ? {} : { label }),
  };
}
