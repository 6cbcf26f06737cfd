import { apiPath } from "../api/client.ts";
import type { FlowActivity, ListedFlow } from "../api/documents.ts";
import type { LiveEvent } from "../api/live.ts";
import { knowFlow } from "../api/names.ts";
import { has } from "../api/permissions.ts";
import { useList } from "../api/resource.ts";
import { address, href } from "../browser/address.ts";
import { exact } from "../format/numbers.ts";
import { scheduleInWords } from "../format/schedule.ts";
import { Chip, ChoiceFilter, Filters, WordsFilter } from "../tables/filters.tsx";
import { Pager } from "../tables/pager.tsx";
import { Part } from "../frame/states.tsx";
import { Badge, RunBadge } from "../parts/status.tsx";
import { type Column, Table } from "../tables/table.tsx";
import { Time } from "../parts/time.tsx";
import { Title } from "../frame/title.tsx";
import * as say from "../strings.ts";

const changes = ({ name }: LiveEvent) => /^(run:(started|completed|failed|canceled)|flow:.*)$/.test(name);
const filters = ["q", "state", "integration"];
const fields = "_id,name,schedule,timezone,disabled,nextRunAt,_exportId,_importId,_importIds";

/** Every flow, or those that match. */
export function FlowsScreen() {
  const query = Object.fromEntries(address.value.query);
  const isWatched = has("overview.read");
  const path = apiPath(["flows"], {
    ...(isWatched ? { q: query.q, state: query.state } : {}),
    _integrationId: query.integration,
    after: query.after,
    include: isWatched ? `${fields},activity` : fields,
  });
  const { resource, gone } = useList<ListedFlow>(path, changes);
  const isFiltered = filters.some((name) => query[name] !== undefined);
  const empty = (rows: readonly ListedFlow[]) =>
    rows.length > 0 ? undefined : isFiltered ? say.flowsEmptyFiltered : say.flowsEmpty;
  return (
    <>
      <Title name={say.navFlows} />
      <FlowFilters isWatched={isWatched} integration={query.integration ?? ""} />
      <Part of={resource} empty={empty}>
        {(rows) => {
          for (const flow of rows) knowFlow(flow);
          return (
            <>
              <Table
                label={say.navFlows}
                columns={isWatched ? columns : columns.slice(0, -2)}
                rows={rows}
                idOf={({ _id }) => _id}
                gone={gone.value}
              />
              <Pager next={resource.next.value} />
            </>
          );
        }}
      </Part>
    </>
  );
}

interface FlowFiltersProps {
  /** Whether the API says how flows fare. */
  readonly isWatched: boolean;
  readonly integration: string;
}

function FlowFilters({ isWatched, integration }: FlowFiltersProps) {
  return (
    <Filters label={say.failuresFilter}>
      {isWatched && (
        <>
          <WordsFilter name="q" label={say.flowsSearch} />
          <ChoiceFilter name="state" label={say.flowsState} options={{ "": say.any, ...say.flowsStates }} />
        </>
      )}
      <Chip name="integration" label={say.flowsIntegration}>
        {integration}
      </Chip>
    </Filters>
  );
}

const columns: readonly Column<ListedFlow>[] = [
  {
    title: say.flowsName,
    isName: true,
    cell: ({ _id, name, disabled, activity }) => (
      <>
        <a href={href(["flows", _id])}>{name}</a>
        {disabled && <Badge tone="calm">{say.flowsDisabled}</Badge>}
        {activity?.failingSince !== undefined && (
          <Badge tone="bad" icon="failed">
            {say.flowsStates.failing}
          </Badge>
        )}
        {(activity?.paused.length ?? 0) > 0 && (
          <Badge tone="warn" icon="paused">
            {say.flowsStates.paused}
          </Badge>
        )}
        {activity?.overdueSince !== undefined && (
          <Badge tone="warn" icon="overdue">
            {say.flowsStates.overdue}
          </Badge>
        )}
      </>
    ),
  },
  { title: say.flowsPath, isMinor: true, cell: (flow) => <Ends flow={flow} /> },
  {
    title: say.flowsSchedule,
    isMinor: true,
    cell: ({ schedule, timezone }) =>
      schedule === undefined ? (
        <span class="muted">{say.flowsOnDemand}</span>
      ) : (
        <span title={`${schedule}${timezone === undefined ? "" : ` · ${timezone}`}`}>{scheduleInWords(schedule)}</span>
      ),
  },
  { title: say.flowsNext, isMinor: true, cell: ({ nextRunAt }) => <Time at={nextRunAt} show="relative" /> },
  { title: say.flowsLastRun, cell: ({ activity }) => <LastRun lastRun={activity?.lastRun} /> },
  {
    title: say.flowsOpen,
    isNumber: true,
    cell: ({ _id, activity }) => {
      const open = activity?.openFailures ?? 0;
      return open === 0 ? <span class="muted">0</span> : <a href={href(["failures"], { flow: _id })}>{exact(open)}</a>;
    },
  },
];

function Ends({ flow: { _exportId, _importId, _importIds = [_importId] } }: { readonly flow: ListedFlow }) {
  const [first = "", ...others] = _importIds;
  return (
    <span title={_importIds.join(", ")}>
      {_exportId} → {first}
      {others.length > 0 && <span class="muted"> +{others.length}</span>}
    </span>
  );
}

function LastRun({ lastRun }: { readonly lastRun: FlowActivity["lastRun"] | undefined }) {
  if (lastRun === undefined) return <span class="muted">{say.flowsNeverRan}</span>;
  return (
    <a class="plain" href={href(["runs", lastRun._id])}>
      <RunBadge status={lastRun.status} />
      {lastRun.endedAt !== undefined && (
        <span class="muted">
          <Time at={lastRun.endedAt} show="relative" />
        </span>
      )}
    </a>
  );
}
