import { apiPath } from "../api/client.ts";
import type { ShownRun } from "../api/documents.ts";
import type { LiveEvent } from "../api/live.ts";
import { useList } from "../api/resource.ts";
import { address } from "../browser/address.ts";
import { ChoiceFilter, Filters } from "../tables/filters.tsx";
import { FlowFilter } from "../tables/flow-field.tsx";
import { ImportFilter } from "../tables/import-filter.tsx";
import { Fresh } from "../tables/fresh.tsx";
import { Pager } from "../tables/pager.tsx";
import { RunTable } from "../tables/run-table.tsx";
import { Part } from "../frame/states.tsx";
import { Title } from "../frame/title.tsx";
import * as say from "../strings.ts";

const changes = ({ name }: LiveEvent) => name.startsWith("run:") && name !== "run:retrying";

/** Runs, newest first. */
export function RunsScreen() {
  const { flow, import: _importId, status, trigger, after } = Object.fromEntries(address.value.query);
  const list = useList<ShownRun>(apiPath(["runs"], { _flowId: flow, _importId, status, trigger, after }), changes);
  const { resource, fresh, gone, showAll } = list;
  const isFiltered = [flow, _importId, status, trigger].some((value) => value !== undefined);
  const empty = (rows: readonly ShownRun[]) =>
    rows.length > 0 ? undefined : isFiltered ? say.runsEmptyFiltered : say.runsEmpty;
  return (
    <>
      <Title name={say.navRuns} />
      <Filters label={say.failuresFilter}>
        <ChoiceFilter name="status" label={say.runsStatus} options={{ "": say.any, ...say.runStatus }} />
        <ChoiceFilter name="trigger" label={say.runsTrigger} options={{ "": say.any, ...say.trigger }} />
        <FlowFilter />
        <ImportFilter />
        {after === undefined && <Fresh count={fresh.value} words={say.runsFresh} show={showAll} />}
      </Filters>
      <Part of={resource} empty={empty}>
        {(rows) => (
          <>
            <RunTable label={say.navRuns} runs={rows} gone={gone.value} />
            <Pager next={resource.next.value} />
          </>
        )}
      </Part>
    </>
  );
}
