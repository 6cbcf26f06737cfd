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
  readonly gone?: ReadonlySet<string> | undefined;
}

/** Runs, each with how it fared. */
export function RunTable({ label, runs, withoutFlow = false, gone }: RunTableProps) {
  const columns = withoutFlow ? ofOneFlow : ofMany;
  return <Table label={label} columns={columns} rows={runs} idOf={({ _id }) => _id} gone={gone} />;
}

const columnsOf = (withoutFlow: boolean): readonly Column<ShownRun>[] => [
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
  ...(withoutFlow ? [] : [{ title: say.runsFlow, cell: ({ _flowId }: ShownRun) => <FlowLink _id={_flowId} /> }]),
  { title: say.runsTrigger, isMinor: true, cell: ({ trigger }) => say.trigger[trigger] },
  { title: say.runsTook, isNumber: true, isMinor: true, cell: (run) => <Took run={run} /> },
  // The name of the flow needs its room.
  { title: say.runsDelivered, isNumber: true, isMinor: !withoutFlow, cell: ({ numSuccess }) => exact(numSuccess) },
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

const ofMany = columnsOf(false);
const ofOneFlow = columnsOf(true);

/** How long a run took, or has taken so far. */
export function Took({ run: { startedAt, endedAt } }: { readonly run: ShownRun }) {
  if (startedAt === undefined) return <span class="muted">–</span>;
  const end = endedAt === undefined ? Math.max(now.value, Date.parse(startedAt)) : Date.parse(endedAt);
  return <>{duration(end - Date.parse(startedAt))}</>;
}
