import type { ShownRun } from "../api/documents.ts";
import { href } from "../browser/address.ts";
import { now } from "../browser/clock.ts";
import { exact } from "../format/numbers.ts";
import { duration } from "../format/times.ts";
import * as say from "../strings.ts";
import { FlowLink } from "../frame/links.tsx";
import { RunBadge } from "../parts/status.tsx";
import { type Column, Table } from "./table.tsx";
import { Time } from "../parts/time.tsx";

interface RunTableProps {
  readonly label: string;
  readonly runs: readonly ShownRun[];
  readonly withoutFlow?: boolean;
  readonly gone?: ReadonlySet<string>;
}

/** Runs, each with how it fared. */
export function RunTable({ label, runs, withoutFlow = false, gone }: RunTableProps) {
  const shown = withoutFlow ? columns.filter((column) => column !== flowColumn) : columns;
  return (
    <Table
      label={label}
      columns={shown}
      rows={runs}
      idOf={({ _id }) => _id}
      {...(gone === undefined ? {} : { gone })}
    />
  );
}

const flowColumn: Column<ShownRun> = { title: say.runsFlow, cell: ({ _flowId }) => <FlowLink _id={_flowId} /> };

const columns: readonly Column<ShownRun>[] = [
  { title: say.runsStatus, cell: ({ status }) => <RunBadge status={status} /> },
  {
    title: say.runsStarted,
    isName: true,
    cell: ({ _id, startedAt, queuedAt }) => (
      <a href={href(["runs", _id])}>
        <Time at={startedAt ?? queuedAt} show="absolute" />
      </a>
    ),
  },
  flowColumn,
  { title: say.runsTrigger, isMinor: true, cell: ({ trigger }) => say.trigger[trigger] },
  { title: say.runsTook, isNumber: true, isMinor: true, cell: (run) => <Took run={run} /> },
  { title: say.runsDelivered, isNumber: true, cell: ({ numSuccess }) => exact(numSuccess) },
  {
    title: say.runsFailed,
    isNumber: true,
    cell: ({ numError }) => <span class={numError > 0 ? "bad-text" : "muted"}>{exact(numError)}</span>,
  },
  {
    title: say.runsIgnored,
    isNumber: true,
    isMinor: true,
    cell: ({ numIgnore }) => <span class="muted">{exact(numIgnore)}</span>,
  },
];

/** How long a run took, or has taken so far. */
export function Took({ run: { startedAt, endedAt } }: { readonly run: ShownRun }) {
  if (startedAt === undefined) return <span class="muted">–</span>;
  const end = endedAt === undefined ? Math.max(now.value, Date.parse(startedAt)) : Date.parse(endedAt);
  return <>{duration(end - Date.parse(startedAt))}</>;
}
