import type { ShownRun } from "../../api/documents.ts";
import type { Resource } from "../../api/resource.ts";
import { href } from "../../browser/address.ts";
import { currentTime } from "../../browser/clock.ts";
import { absolute, duration } from "../../format/times.ts";
import { Chart } from "../../parts/chart.tsx";
import { RunTable } from "../../tables/run-table.tsx";
import { Part } from "../../frame/states.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";

interface FlowRunsProps {
  readonly _flowId: string;
  readonly runs: Resource<readonly ShownRun[]>;
}

const inTable = 8;

/** How long a flow's newest runs took and how they ended. */
export function FlowRuns({ _flowId, runs }: FlowRunsProps) {
  return (
    <Section title={say.navRuns} aside={<a href={href(["runs"], { flow: _flowId })}>{say.all}</a>}>
      <Part of={runs} empty={(rows) => (rows.length === 0 ? say.flowNoRuns : undefined)}>
        {(rows) => (
          <>
            <Durations runs={rows} />
            <RunTable label={say.navRuns} runs={rows.slice(0, inTable)} withoutFlow />
          </>
        )}
      </Part>
    </Section>
  );
}

/** How long a run has taken, so far if it is still going on. */
export const tookMs = ({ startedAt, endedAt }: ShownRun): number | undefined =>
  startedAt === undefined
    ? undefined
    : (endedAt === undefined ? currentTime() : Date.parse(endedAt)) - Date.parse(startedAt);

function Durations({ runs }: { readonly runs: readonly ShownRun[] }) {
  const begun = runs.filter(({ startedAt }) => startedAt !== undefined);
  // Bars without a height would be an empty box.
  if (begun.length < 3 || begun.every((run) => tookMs(run) === 0)) return null;
  const failed = begun.filter(({ status }) => status === "failed").length;
  const bars = [...begun].reverse().map((run) => {
    const ms = tookMs(run) ?? 0;
    const words = say.flowRunBar(say.runStatus[run.status], duration(ms));
    return { key: run._id, title: `${absolute(run.queuedAt)}: ${words}`, parts: [[run.status, ms]] as const };
  });
  return (
    <div class="box durations">
      <Chart bars={bars} summary={say.flowRunsSummary(begun.length, failed)} inUnits={(ms) => duration(ms)} />
    </div>
  );
}
