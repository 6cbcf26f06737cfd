import { apiPath } from "../api/client.ts";
import type { Failure, ShownRun } from "../api/documents.ts";
import { type LiveEvent, onLive } from "../api/live.ts";
import { can } from "../api/permissions.ts";
import { type Resource, useResource } from "../api/resource.ts";
import { href } from "../browser/address.ts";
import { settings } from "../browser/settings.ts";
import { exact } from "../format/numbers.ts";
import { span } from "../format/times.ts";
import { FailureTable } from "../tables/failure-table.tsx";
import { type Fact, Facts } from "../parts/facts.tsx";
import { FlowLink } from "../frame/links.tsx";
import { Progress, useLiveRun } from "../parts/progress.tsx";
import { Took } from "../tables/run-table.tsx";
import { Part } from "../frame/states.tsx";
import { Badge, RunBadge } from "../parts/status.tsx";
import { type Column, Table } from "../tables/table.tsx";
import { Time } from "../parts/time.tsx";
import { Gone, Section, Title } from "../frame/title.tsx";
import * as say from "../strings.ts";
import { useEffect, useState } from "../view.ts";
import { CancelRun } from "./cancel-run.tsx";

/** One run: when, why, and what became of its records. */
export function RunScreen({ _id }: { readonly _id: string }) {
  const changes = ({ data }: LiveEvent) => data.run?._id === _id;
  const run = useResource<ShownRun>(apiPath(["runs", _id]), changes);
  const value = run.value.value;
  if (run.error.value?.status === 404 && value === undefined) return <Gone name={say.runTitle} words={say.runGone} />;
  const isCancelable = value !== undefined && ["queued", "running"].includes(value.status);
  return (
    <>
      <Title name={say.runTitle} actions={isCancelable && can("runs.cancel") ? <CancelRun _id={_id} /> : null}>
        {value !== undefined && (
          <p class="subtitle">
            <RunBadge status={value.status} />
            <span>
              {say.runOf} <FlowLink _id={value._flowId} />
            </span>
            <span>{say.trigger[value.trigger]}</span>
          </p>
        )}
      </Title>
      <Part of={run}>{(shown) => <RunBody run={shown} />}</Part>
      {value !== undefined && value.numError > 0 && <RunFailures _id={_id} changes={changes} />}
    </>
  );
}

function RunBody({ run: loaded }: { readonly run: ShownRun }) {
  const live = useLiveRun(loaded);
  const { run } = live;
  return (
    <>
      {run.status === "running" && (
        <div class="box">
          <Progress live={live} />
          {live.perMinute !== undefined && <span class="muted">{say.runRate(live.perMinute)}</span>}
        </div>
      )}
      {run.error !== undefined && <RunFault run={run} />}
      <Facts facts={factsOf(run)} />
      <Section title={say.runImports}>
        <Table label={say.runImports} columns={importColumns} rows={importRows(run)} idOf={({ name }) => name} />
      </Section>
      {run.status === "running" && <Retries _id={run._id} />}
    </>
  );
}

function RunFault({ run: { error } }: { readonly run: ShownRun }) {
  if (error === undefined) return null;
  const meaning = say.codes[error.code];
  return (
    <Section title={say.runError}>
      <div class="box bad-box">
        <p>
          <code>{error.code}</code> {error.message}
        </p>
        {meaning !== undefined && <p>{meaning}</p>}
      </div>
    </Section>
  );
}

function factsOf(run: ShownRun): readonly Fact[] {
  const { dueAt, queuedAt, startedAt, endedAt, notBefore, limit, parameters, coalesced } = run;
  const trace = settings.traceUrl?.replace("{runId}", encodeURIComponent(run._id));
  const at = (time: string | undefined) => time !== undefined && <Time at={time} seconds />;
  return [
    [say.runDue, at(dueAt)],
    [say.runQueued, at(queuedAt)],
    [say.runWaitsUntil, run.status === "queued" && at(notBefore)],
    [say.runsStarted, at(startedAt)],
    [say.runEnded, at(endedAt)],
    [say.runsTook, startedAt !== undefined && <Took run={run} />],
    [say.runPages, say.runPagesOf(run.numPagesProcessed, run.numPagesGenerated)],
    [say.runCoalesced, coalesced > 0 && say.runCoalescedWhy(coalesced)],
    [say.runSample, limit !== undefined && say.runSampleOf(limit)],
    [say.runParameters, parameters !== undefined && <code>{JSON.stringify(parameters)}</code>],
    [
      say.runTrace,
      trace !== undefined && (
        <a href={trace} rel="noreferrer">
          {run._id}
        </a>
      ),
    ],
  ];
}

interface ImportRow {
  readonly name: string;
  readonly isTotal: boolean;
  readonly numSuccess: number;
  readonly numError: number;
  readonly numIgnore: number;
  readonly status?: keyof typeof say.importStatus;
  readonly why?: string;
}

function importRows({ imports, numSuccess, numError, numIgnore }: ShownRun): readonly ImportRow[] {
  const rows = Object.entries(imports).map(([name, { status, error, ...counts }]) => ({
    ...{ name, isTotal: false, ...counts },
    ...(status === undefined ? {} : { status }),
    ...(error === undefined ? {} : { why: error.message }),
  }));
  const total = { name: say.runTotal, isTotal: true, numSuccess, numError, numIgnore };
  return rows.length > 1 ? [...rows, total] : rows;
}

const tones = { completed: "good", failed: "bad", paused: "warn", behind: "warn", skipped: "calm" } as const;

const importColumns: readonly Column<ImportRow>[] = [
  { title: say.failuresImport, isName: true, cell: ({ name, isTotal }) => (isTotal ? <strong>{name}</strong> : name) },
  {
    title: say.runRead,
    isNumber: true,
    isMinor: true,
    cell: ({ numSuccess, numError, numIgnore }) => exact(numSuccess + numError + numIgnore),
  },
  { title: say.runsDelivered, isNumber: true, cell: ({ numSuccess }) => exact(numSuccess) },
  {
    title: say.runsFailed,
    isNumber: true,
    cell: ({ numError }) => <span class={numError > 0 ? "bad-text" : ""}>{exact(numError)}</span>,
  },
  { title: say.runsIgnored, isNumber: true, cell: ({ numIgnore }) => exact(numIgnore) },
  {
    title: say.runOutcome,
    cell: ({ status, why }) => (
      <>
        {status !== undefined && <Badge tone={tones[status]}>{say.importStatus[status]}</Badge>}
        {why !== undefined && <span class="muted"> {why}</span>}
      </>
    ),
  },
];

/** Attempts that are repeated, as that happens: no document keeps them. */
function Retries({ _id }: { readonly _id: string }) {
  const [retries, setRetries] = useState<readonly LiveEvent["data"][]>([]);
  useEffect(
    () =>
      onLive(({ name, data }) => {
        if (name === "run:retrying" && data.run?._id === _id) setRetries((known) => [...known.slice(-19), data]);
      }),
    [_id],
  );
  return (
    <Section title={say.runRetries}>
      {retries.length === 0 ? (
        <p class="empty">{say.runNoRetries}</p>
      ) : (
        <ul class="rows">
          {retries.map(({ run, _importId, attempt = 0, delayMs = 0, message = "" }, index) => (
            <li key={index}>{say.runRetry(_importId ?? run?._exportId ?? "", attempt, span(delayMs), message)}</li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function RunFailures({ _id, changes }: { readonly _id: string; readonly changes: (event: LiveEvent) => boolean }) {
  const failures: Resource<readonly Failure[]> = useResource(
    apiPath(["failures"], { _runId: _id, limit: "20" }),
    changes,
  );
  return (
    <Section title={say.runFailures} aside={<a href={href(["failures"], { run: _id, view: "list" })}>{say.all}</a>}>
      <Part of={failures} empty={(rows) => (rows.length === 0 ? say.runNoFailures : undefined)}>
        {(rows) => <FailureTable failures={rows} />}
      </Part>
    </Section>
  );
}
