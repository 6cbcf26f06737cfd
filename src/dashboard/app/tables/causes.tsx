import { apiPath } from "../api/client.ts";
import type { LiveEvent } from "../api/live.ts";
import { can } from "../api/permissions.ts";
import { useResource } from "../api/resource.ts";
import type { QueryValues } from "../browser/query-values.ts";
import type { Cause } from "../api/documents.ts";
import { href } from "../browser/address.ts";
import { exact } from "../format/numbers.ts";
import { Part } from "../frame/states.tsx";
import { Section } from "../frame/title.tsx";
import * as say from "../strings.ts";
import { useState } from "../view.ts";
import { BulkDialog, type BulkQuestion } from "../parts/bulk-dialog.tsx";
import { FaultBadge } from "../parts/status.tsx";
import { type Column, Table } from "./table.tsx";
import { Time } from "../parts/time.tsx";

interface CausesProps {
  readonly causes: readonly Cause[];
  /** What the causes are of, beside their own: a flow. */
  readonly filter?: QueryValues;
  /** Failures of an earlier version are still being counted. */
  readonly isPartial: boolean;
  readonly changed: () => void;
}

/** Open failures grouped by what was wrong, with what can be done about all of them. */
export function Causes({ causes, filter = {}, isPartial, changed }: CausesProps) {
  const [question, ask] = useState<BulkQuestion | undefined>(undefined);
  const isOfFlow = filter._flowId !== undefined;
  return (
    <>
      {isPartial && <p class="empty">{say.failuresCounting}</p>}
      <Table
        label={say.overviewCauses}
        columns={columnsOf(isOfFlow, filter, ask)}
        rows={causes}
        idOf={({ cause, _importId = "" }) => `${cause} ${_importId}`}
      />
      {question !== undefined && <BulkDialog question={question} close={() => ask(undefined)} done={changed} />}
    </>
  );
}

interface OpenCausesProps {
  readonly title: string;
  /** Said where there are none. */
  readonly none: string;
  readonly filter?: QueryValues;
  /** How many are shown. */
  readonly limit: string;
  readonly changes: (event: LiveEvent) => boolean;
}

/** The most frequent causes, as a part of a screen. */
export function OpenCauses({ title, none, filter = {}, limit, changes }: OpenCausesProps) {
  const causes = useResource<readonly Cause[]>(apiPath(["causes"], { ...filter, limit }), changes);
  // An API that is older than this page does not group them.
  if (causes.error.value?.status === 404) return null;
  const isPartial = causes.isPartial.value;
  return (
    <Section title={title} aside={<a href={href(["failures"], addressOf(filter))}>{say.all}</a>}>
      <Part of={causes} empty={(rows) => (rows.length > 0 ? undefined : isPartial ? say.failuresCounting : none)}>
        {(rows) => <Causes causes={rows} filter={filter} isPartial={isPartial} changed={() => causes.reloadSoon()} />}
      </Part>
    </Section>
  );
}

/** The filter of one cause. */
export function filterOf({ cause, _importId }: Cause, filter: QueryValues): QueryValues {
  return { ...filter, cause, ...(_importId === undefined ? {} : { _importId }), status: "open" };
}

function columnsOf(
  isOfFlow: boolean,
  filter: QueryValues,
  ask: (question: BulkQuestion) => void,
): readonly Column<Cause>[] {
  const start = (kind: BulkQuestion["kind"], row: Cause) =>
    ask({
      kind,
      count: row.open,
      flows: isOfFlow ? 1 : row.flows,
      faults: [row.fault],
      what: { filter: filterOf(row, filter), pattern: row.pattern },
    });
  return [
    { title: say.failuresFault, cell: ({ fault }) => <FaultBadge fault={fault} /> },
    {
      title: say.failuresCause,
      isName: true,
      cell: (row) => (
        <a class="pattern" href={href(["failures"], addressOf(filterOf(row, filter)))}>
          {row.code !== undefined && <code>{row.code}</code>} {row.pattern}
        </a>
      ),
    },
    ...(isOfFlow
      ? [{ title: say.failuresImport, cell: ({ _importId = "" }: Cause) => _importId }]
      : [{ title: say.navFlows, isNumber: true, isMinor: true, cell: ({ flows = 0 }: Cause) => exact(flows) }]),
    { title: say.failuresFirst, isMinor: true, cell: ({ firstAt }) => <Time at={firstAt} show="relative" /> },
    { title: say.failuresLast, isMinor: true, cell: ({ lastAt }) => <Time at={lastAt} show="relative" /> },
    { title: say.failuresOpen, isNumber: true, cell: ({ open }) => exact(open) },
    {
      title: "",
      isMinor: true,
      cell: (row) => <RowActions start={(kind) => start(kind, row)} />,
    },
  ];
}

function RowActions({ start }: { readonly start: (kind: BulkQuestion["kind"]) => void }) {
  return (
    <div class="row-actions">
      {can("failures.retry") && (
        <button type="button" class="quiet" onClick={() => start("retry")}>
          {say.failuresRetry}
        </button>
      )}
      {can("failures.resolve") && (
        <button type="button" class="quiet" onClick={() => start("resolve")}>
          {say.failuresResolve}
        </button>
      )}
    </div>
  );
}

/** The parameters of the screen of failures for those of the API. */
export function addressOf({ _flowId, _importId, ...rest }: QueryValues): QueryValues {
  const { status, ...others } = rest;
  return { ...others, flow: _flowId, import: _importId, ...(status === "open" ? {} : { status }) };
}
