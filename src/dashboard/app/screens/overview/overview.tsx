import { useResource } from "../../api/resource.ts";
import { apiPath } from "../../api/client.ts";
import type { Overview, ShownRun } from "../../api/documents.ts";
import type { LiveEvent } from "../../api/live.ts";
import { can, has } from "../../api/permissions.ts";
import { href } from "../../browser/address.ts";
import { exact } from "../../format/numbers.ts";
import { OpenCauses } from "../../tables/causes.tsx";
import { FlowLink } from "../../frame/links.tsx";
import { Progress, useLiveRun } from "../../parts/progress.tsx";
import { Part } from "../../frame/states.tsx";
import { type Tone } from "../../parts/status.tsx";
import { Time } from "../../parts/time.tsx";
import { Section, Title } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { type ComponentChildren } from "../../view.ts";
import { CancelRun } from "../cancel-run.tsx";
import { Attention } from "./attention.tsx";
import { Records } from "./records.tsx";

const changes = ({ name }: LiveEvent) =>
  /^(run:(queued|started|completed|failed|canceled|requeued)|flow:.*)$/.test(name);

/** What is broken, since when, and what goes on. */
export function OverviewScreen() {
  const overview = useResource<Overview>(has("overview.read") ? "/overview" : undefined, changes);
  return (
    <>
      <Title name={say.navOverview} />
      {has("overview.read") && <Part of={overview}>{(value) => <Tiles overview={value} />}</Part>}
      <Attention overview={overview} changes={changes} />
      {has("statistics.read") && <Records />}
      <RunningNow />
      <OpenCauses title={say.overviewCauses} none={say.failuresEmpty} limit="10" changes={changes} />
    </>
  );
}

function Tiles({
  overview: { failing, overdue, paused, openFailures, runs, oldestQueuedAt },
}: {
  readonly overview: Overview;
}) {
  const queued =
    oldestQueuedAt === undefined ? null : (
      <>
        {say.overviewOldest("")}
        <Time at={oldestQueuedAt} show="relative" />
      </>
    );
  return (
    <ul class="tiles">
      <Tile name={say.overviewFailing} value={failing} tone="bad" to={href(["flows"], { state: "failing" })} />
      <Tile name={say.overviewOverdue} value={overdue} tone="warn" to={href(["flows"], { state: "overdue" })} />
      <Tile name={say.overviewPaused} value={paused} tone="warn" to={href(["flows"], { state: "paused" })} />
      <Tile name={say.overviewOpenFailures} value={openFailures} tone="bad" to={href(["failures"])} />
      <Tile name={say.overviewRunning} value={runs.running} tone="busy" to={href(["runs"], { status: "running" })} />
      <Tile
        name={say.overviewQueued}
        value={runs.queued}
        tone="calm"
        to={href(["runs"], { status: "queued" })}
        note={queued}
      />
    </ul>
  );
}

interface TileProps {
  readonly name: string;
  readonly value: number;
  readonly tone: Tone;
  readonly to: string;
  readonly note?: ComponentChildren;
}

function Tile({ name, value, tone, to, note }: TileProps) {
  return (
    <li>
      <a class={value === 0 ? "tile" : `tile ${tone}`} href={to}>
        <span class="tile-name">{name}</span>
        <span>
          <span class="tile-value">{exact(value)}</span> <span class="tile-note">{note}</span>
        </span>
      </a>
    </li>
  );
}

function RunningNow() {
  const running = useResource<readonly ShownRun[]>(apiPath(["runs"], { status: "running", limit: "10" }), changes);
  return (
    <Section title={say.overviewRunningNow} aside={<a href={href(["runs"], { status: "running" })}>{say.all}</a>}>
      <Part of={running} empty={(runs) => (runs.length === 0 ? say.overviewNothingRuns : undefined)}>
        {(runs) => (
          <ul class="rows">
            {[...runs].reverse().map((run) => (
              <RunningRun key={run._id} run={run} />
            ))}
          </ul>
        )}
      </Part>
    </Section>
  );
}

function RunningRun({ run: loaded }: { readonly run: ShownRun }) {
  const live = useLiveRun(loaded);
  const { _id, _flowId, numError, startedAt, status } = live.run;
  return (
    <li class="running-row">
      <span class="row-name">
        <FlowLink _id={_flowId} />
      </span>
      <Progress live={live} />
      <a class="muted" href={href(["runs", _id])}>
        <Time at={startedAt} show="relative" />
      </a>
      <span
        class={numError > 0 ? "number bad-text" : "number muted"}
      >{`${exact(numError)} ${say.overviewFailed}`}</span>
      {can("runs.cancel") && status === "running" && <CancelRun _id={_id} kind="quiet" />}
    </li>
  );
}
