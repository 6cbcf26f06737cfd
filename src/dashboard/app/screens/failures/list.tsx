import { apiPath } from "../../api/client.ts";
import type { Cause, Failure } from "../../api/documents.ts";
import { flowName } from "../../api/names.ts";
import { can } from "../../api/permissions.ts";
import { type Resource, useList } from "../../api/resource.ts";
import { BulkDialog, type BulkQuestion } from "../../parts/bulk-dialog.tsx";
import { FailureTable } from "../../tables/failure-table.tsx";
import { Fresh } from "../../tables/fresh.tsx";
import { Pager } from "../../tables/pager.tsx";
import { Part } from "../../frame/states.tsx";
import { say } from "../../strings.ts";
import { useEffect, useState } from "../../view.ts";
import { type FailureFilter, apiFilter, countOf, filterInWords, matching } from "./filter.ts";
import { failuresChange } from "./failures.tsx";

interface FailureListProps {
  readonly filter: FailureFilter;
  readonly causes: Resource<readonly Cause[]>;
}

/** Failures one by one, newest first, to be chosen, retried and resolved. */
export function FailureList({ filter, causes }: FailureListProps) {
  const path = apiPath(["failures"], { ...apiFilter(filter), after: filter.after });
  const { resource, fresh, gone, showAll } = useList<Failure>(path, failuresChange);
  const [chosen, setChosen] = useState<ReadonlyMap<string, Failure>>(new Map());
  const [isAll, setAll] = useState(false);
  const [question, ask] = useState<BulkQuestion | undefined>(undefined);
  const clear = () => {
    setChosen(new Map());
    setAll(false);
  };
  useEffect(clear, [path]);
  const toggle = (failure: Failure) => {
    const next = new Map(chosen);
    if (!next.delete(failure._id)) next.set(failure._id, failure);
    setChosen(next);
  };
  const choice = { has: ({ _id }: Failure) => chosen.has(_id), toggle, isAll };
  const rowsOfCauses = causes.value.value ?? [];
  const total = countOf(causes.value.value, filter);
  const start = (kind: BulkQuestion["kind"]) =>
    ask(isAll ? ofFilter(kind, filter, rowsOfCauses, total ?? 0) : ofChosen(kind, [...chosen.values()]));
  const choosePage = () => setChosen(new Map(openIn(resource.value.value).map((failure) => [failure._id, failure])));
  return (
    <>
      <div class="choice-bar">
        <button type="button" class="quiet" disabled={openIn(resource.value.value).length === 0} onClick={choosePage}>
          {say.failures.choosePage}
        </button>
        {chosen.size > 0 && !isAll && total !== undefined && total > chosen.size && (
          <button type="button" class="quiet" onClick={() => setAll(true)}>
            {say.failures.chooseAll(total)}
          </button>
        )}
        <span role="status">
          {isAll && total !== undefined
            ? say.failures.allChosen(total)
            : chosen.size > 0
              ? say.failures.chosen(chosen.size)
              : ""}
        </span>
        {(chosen.size > 0 || isAll) && <Actions start={start} clear={clear} />}
        {filter.after === undefined && <Fresh count={fresh.value} words={say.failures.fresh} show={showAll} />}
      </div>
      <Part of={resource} empty={(rows) => (rows.length === 0 ? emptyWords(filter) : undefined)}>
        {(rows) => (
          <>
            <FailureTable
              failures={rows}
              gone={gone.value}
              {...(filter.status === "open" && (can("failures.retry") || can("failures.resolve")) ? { choice } : {})}
            />
            <Pager next={resource.next.value} />
          </>
        )}
      </Part>
      {question !== undefined && (
        <BulkDialog
          question={question}
          close={() => ask(undefined)}
          done={() => {
            clear();
            resource.reloadSoon();
            causes.reloadSoon();
          }}
        />
      )}
    </>
  );
}

const openIn = (failures: readonly Failure[] | undefined) => (failures ?? []).filter(({ status }) => status === "open");

function emptyWords({ flow, fault, cause, key, run, status }: FailureFilter): string {
  const isFiltered = [flow, fault, cause, key, run].some((value) => value !== undefined) || status === "resolved";
  return isFiltered ? say.failures.emptyFiltered : say.failures.empty;
}

function Actions({
  start,
  clear,
}: {
  readonly start: (kind: BulkQuestion["kind"]) => void;
  readonly clear: () => void;
}) {
  return (
    <>
      {can("failures.retry") && (
        <button type="button" class="main" onClick={() => start("retry")}>
          {say.failures.retry}
        </button>
      )}
      {can("failures.resolve") && (
        <button type="button" onClick={() => start("resolve")}>
          {say.failures.resolve}
        </button>
      )}
      <button type="button" class="quiet" onClick={clear}>
        {say.failures.clear}
      </button>
    </>
  );
}

function ofChosen(kind: BulkQuestion["kind"], chosen: readonly Failure[]): BulkQuestion {
  const flows = new Set(chosen.map(({ _flowId }) => _flowId)).size;
  return { kind, count: chosen.length, flows, faults: chosen.map(({ fault }) => fault), what: { chosen } };
}

function ofFilter(
  kind: BulkQuestion["kind"],
  filter: FailureFilter,
  causes: readonly Cause[],
  count: number,
): BulkQuestion {
  const rows = matching(causes, filter);
  const [only] = rows;
  const flows = filter.flow !== undefined ? 1 : rows.length === 1 ? only?.flows : undefined;
  return {
    ...{ kind, count, flows },
    faults: rows.map(({ fault }) => fault),
    what: { filter: apiFilter(filter), words: filterInWords(filter, causes, (_id) => flowName(_id).value) },
  };
}
