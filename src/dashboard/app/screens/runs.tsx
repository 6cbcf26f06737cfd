import { apiPath } from "../api/client.ts";
import type { ShownRun } from "../api/documents.ts";
import type { LiveEvent } from "../api/live.ts";
import { flowName } from "../api/names.ts";
import { useList } from "../api/resource.ts";
import { address } from "../browser/address.ts";
import { Chip, ChoiceFilter, Filters } from "../tables/filters.tsx";
import { Fresh } from "../tables/fresh.tsx";
import { Pager } from "../tables/pager.tsx";
import { RunTable } from "../tables/run-table.tsx";
import { Part } from "../frame/states.tsx";
import { Title } from "../frame/title.tsx";
import { say } from "../strings.ts";

const changes = ({ name }: LiveEvent) => name.startsWith("run:") && name !== "run:retrying";

/** Runs, newest first. */
export function RunsScreen() {
  const { flow, status, trigger, after } = Object.fromEntries(address.value.query);
  const list = useList<ShownRun>(apiPath(["runs"], { _flowId: flow, status, trigger, after }), changes);
  const { resource, fresh, gone, showAll } = list;
  const isFiltered = [flow, status, trigger].some((value) => value !== undefined);
  const empty = (rows: readonly ShownRun[]) =>
    rows.length > 0 ? undefined : isFiltered ? say.runs.emptyFiltered : say.runs.empty;
  return (
    <>
      <Title name={say.runs.title} />
      <Filters label={say.failures.filter}>
        <ChoiceFilter name="status" label={say.runs.status} options={{ "": say.any, ...say.runStatus }} />
        <ChoiceFilter name="trigger" label={say.runs.trigger} options={{ "": say.any, ...say.trigger }} />
        <Chip name="flow" label={say.runs.flow}>
          {flow === undefined ? "" : flowName(flow).value}
        </Chip>
        {after === undefined && <Fresh count={fresh.value} words={say.runs.fresh} show={showAll} />}
      </Filters>
      <Part of={resource} empty={empty}>
        {(rows) => (
          <>
            <RunTable label={say.runs.title} runs={rows} gone={gone.value} />
            <Pager next={resource.next.value} />
          </>
        )}
      </Part>
    </>
  );
}
