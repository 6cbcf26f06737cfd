import { apiPath } from "../../api/client.ts";
import type { Cause, Failure } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import { type Resource, useList } from "../../api/resource.ts";
import { now } from "../../browser/clock.ts";
import { BulkDialog, type BulkQuestion } from "../../parts/bulk-dialog.tsx";
import { FailureTable } from "../../tables/failure-table.tsx";
import { Fresh } from "../../tables/fresh.tsx";
import { Pager } from "../../tables/pager.tsx";
import { Part } from "../../frame/states.tsx";
import * as say from "../../strings.ts";
import { useState } from "../../view.ts";
import { ChoiceBar, useChoice } from "./choice.tsx";
import { type FailureFilter, apiFilter, canMeanAll, countOf, isInPeriod, isNarrowed, matching } from "./filter.ts";
import { failuresChange } from "./failures.tsx";

interface FailureListProps {
  readonly filter: FailureFilter;
  readonly causes: Resource<readonly Cause[]>;
}

/** Failures one by one, newest first, to be chosen, retried and resolved. */
export function FailureList({ filter, causes }: FailureListProps) {
  const path = apiPath(["failures"], { ...apiFilter(filter), after: filter.after });
  const { resource, fresh, gone, showAll } = useList<Failure>(path, failuresChange);
  // The newest come first: what follows one that is too old is too old, too.
  const inPeriod = (rows: readonly Failure[]) => rows.filter((row) => isInPeriod(row, filter.since, now.value));
  const choice = useChoice(path);
  const [question, ask] = useState<BulkQuestion | undefined>(undefined);
  const rowsOfCauses = causes.value.value ?? [];
  const total = countOf(causes.value.value, filter);
  const start = (kind: BulkQuestion["kind"]) =>
    ask(choice.isAll ? ofFilter(kind, filter, rowsOfCauses, total) : ofChosen(kind, choice.chosen));
  const done = () => {
    choice.clear();
    resource.reloadSoon();
    causes.reloadSoon();
  };
  const canChoose = filter.status === "open" && (can("failures.retry") || can("failures.resolve"));
  return (
    <>
      <ChoiceBar
        choice={choice}
        failures={inPeriod(resource.value.value ?? [])}
        all={canMeanAll(filter) && (total !== undefined || resource.next.value !== undefined) ? { total } : undefined}
        start={start}
      >
        {filter.after === undefined && <Fresh count={fresh.value} words={say.failuresFresh} show={showAll} />}
      </ChoiceBar>
      <Part of={resource} empty={(rows) => (inPeriod(rows).length === 0 ? emptyWords(filter) : undefined)}>
        {(rows) => (
          <>
            <FailureTable failures={inPeriod(rows)} gone={gone.value} choice={canChoose ? choice : undefined} />
            <Pager next={inPeriod(rows).length < rows.length ? undefined : resource.next.value} />
          </>
        )}
      </Part>
      {question !== undefined && <BulkDialog question={question} close={() => ask(undefined)} done={done} />}
    </>
  );
}

function emptyWords(filter: FailureFilter): string {
  const isFiltered = isNarrowed(filter) || filter.since !== undefined || filter.status === "resolved";
  return isFiltered ? say.failuresEmptyFiltered : say.failuresEmpty;
}

function ofChosen(kind: BulkQuestion["kind"], chosen: readonly Failure[]): BulkQuestion {
  const flows = new Set(chosen.map(({ _flowId }) => _flowId)).size;
  return { kind, count: chosen.length, flows, faults: chosen.map(({ fault }) => fault), what: { chosen } };
}

/** `count`: undefined if it is not known. */
export function ofFilter(
  kind: BulkQuestion["kind"],
  filter: FailureFilter,
  causes: readonly Cause[],
  count: number | undefined,
): BulkQuestion {
  const rows = matching(causes, filter);
  const [only] = rows;
  const flows = filter.flow !== undefined ? 1 : rows.length === 1 ? only?.flows : undefined;
  return {
    ...{ kind, count, flows },
    faults: rows.map(({ fault }) => fault),
    what: { filter: apiFilter(filter), pattern: rows.find(({ cause }) => cause === filter.cause)?.pattern },
  };
}
