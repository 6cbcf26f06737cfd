import { apiPath } from "../../api/client.ts";
import type { Cause } from "../../api/documents.ts";
import type { LiveEvent } from "../../api/live.ts";
import { type Resource, useResource } from "../../api/resource.ts";
import { address, href, hrefWith } from "../../browser/address.ts";
import { Causes } from "../../tables/causes.tsx";
import { Chip, ChoiceFilter, Filters, WordsFilter } from "../../tables/filters.tsx";
import { FlowFilter } from "../../tables/flow-field.tsx";
import { ImportFilter } from "../../tables/import-filter.tsx";
import { Part } from "../../frame/states.tsx";
import { Title } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { type FailureFilter, filterIn, isByCause, matching } from "./filter.ts";
import { FailureList } from "./list.tsx";
import { TextSearch } from "./text-search.tsx";

/** What may have changed which failures there are. */
export const failuresChange = ({ name }: LiveEvent) =>
  /^(run:(progress|completed|failed|canceled)|flow:deleted)$/.test(name);

/** Records that were not delivered: by cause, or one by one. */
export function FailuresScreen() {
  const filter = filterIn(address.value.query);
  const causes = useResource<readonly Cause[]>(
    apiPath(["causes"], { _flowId: filter.flow, _importId: filter.import, limit: "1000" }),
    failuresChange,
  );
  // An API that is older than this page does not group them.
  const byCause = isByCause(filter) && causes.error.value?.status !== 404;
  return (
    <>
      <Title name={say.navFailures} />
      <FilterBar filter={filter} causes={causes} byCause={byCause} />
      {byCause && <ByCause filter={filter} causes={causes} />}
      {!byCause &&
        (filter.text === undefined ? <FailureList filter={filter} causes={causes} /> : <TextSearch filter={filter} />)}
    </>
  );
}

interface FilteredProps {
  readonly filter: FailureFilter;
  readonly causes: Resource<readonly Cause[]>;
}

function FilterBar({ filter, causes, byCause }: FilteredProps & { readonly byCause: boolean }) {
  const { cause, run } = filter;
  const pattern = causes.value.value?.find((row) => row.cause === cause)?.pattern;
  return (
    <>
      <Grouping filter={filter} byCause={byCause} />
      <Filters label={say.failuresFilter}>
        <ChoiceFilter
          name="fault"
          label={say.failuresFault}
          options={{ "": say.any, retry: "retry", reject: "reject", unknown: "unknown" }}
        />
        <ChoiceFilter
          name="status"
          label={say.runsStatus}
          options={{ "": say.failuresOpenOnes, resolved: say.failuresResolvedOnes }}
        />
        {filter.text === undefined && (
          <ChoiceFilter name="since" label={say.failuresSince} options={{ "": say.any, ...say.failuresPeriods }} />
        )}
        <WordsFilter name="key" label={say.failuresKeyLabel} />
        <WordsFilter name="text" label={say.failuresTextLabel} />
        <FlowFilter />
        <ImportFilter />
        <Chip name="cause" label={say.failuresCause}>
          {pattern ?? cause ?? ""}
        </Chip>
        <Chip name="run" label={say.runTitle}>
          {run ?? ""}
        </Chip>
      </Filters>
    </>
  );
}

interface GroupingProps {
  readonly filter: FailureFilter;
  readonly byCause: boolean;
}

/** By cause or one by one; grouping them gives up the filters that only single ones have. */
function Grouping({ filter: { flow, import: importId, fault }, byCause }: GroupingProps) {
  return (
    <span class="switch" role="group" aria-label={say.failuresGrouping}>
      <a href={href(["failures"], { flow, import: importId, fault })} aria-current={byCause ? "true" : undefined}>
        {say.failuresByCause}
      </a>
      <a href={hrefWith({ view: "list" })} aria-current={byCause ? undefined : "true"}>
        {say.failuresOneByOne}
      </a>
    </span>
  );
}

function ByCause({ filter, causes }: FilteredProps) {
  const isPartial = causes.isPartial.value;
  const empty = (rows: readonly Cause[]) => {
    if (matching(rows, filter).length > 0) return undefined;
    if (isPartial) return say.failuresCounting;
    return [filter.fault, filter.flow, filter.import].every((value) => value === undefined)
      ? say.failuresEmpty
      : say.failuresEmptyFiltered;
  };
  return (
    <Part of={causes} empty={empty}>
      {(rows) => (
        <Causes
          causes={matching(rows, filter)}
          filter={{ _flowId: filter.flow, _importId: filter.import }}
          isPartial={isPartial}
          changed={() => causes.reloadSoon()}
        />
      )}
    </Part>
  );
}
