import type { Failure } from "../api/documents.ts";
import { href } from "../browser/address.ts";
import { exact } from "../format/numbers.ts";
import * as say from "../strings.ts";
import { FlowLink } from "../frame/links.tsx";
import { Badge, FaultBadge } from "../parts/status.tsx";
import { type Column, Table } from "./table.tsx";
import { Time } from "../parts/time.tsx";

interface FailureTableProps {
  readonly failures: readonly Failure[];
  readonly gone?: ReadonlySet<string> | undefined;
  /** Which are chosen, and how to choose; without it none can be. */
  readonly choice?: FailureChoice | undefined;
}

/** Which failures are chosen. */
export interface FailureChoice {
  readonly has: (failure: Failure) => boolean;
  readonly toggle: (failure: Failure) => void;
  /** All of them are chosen, whatever the boxes say. */
  readonly isAll: boolean;
}

/** Failures, each with what was wrong. */
export function FailureTable({ failures, gone, choice }: FailureTableProps) {
  const shown = choice === undefined ? columns : [choiceColumn(choice), ...columns];
  return <Table label={say.navFailures} columns={shown} rows={failures} idOf={({ _id }) => _id} gone={gone} />;
}

function choiceColumn({ has, toggle, isAll }: FailureChoice): Column<Failure> {
  return {
    title: say.failuresChoose,
    cell: (failure) =>
      failure.status === "open" && (
        <label class="check">
          <input
            type="checkbox"
            aria-label={say.failuresChooseOne(failure.key)}
            checked={isAll || has(failure)}
            disabled={isAll}
            onChange={() => toggle(failure)}
          />
        </label>
      ),
  };
}

const columns: readonly Column<Failure>[] = [
  {
    title: say.failuresKey,
    isName: true,
    cell: ({ _id, key, status }) => (
      <>
        <a class="key-link" href={href(["failures", _id])}>
          {key}
        </a>
        {status === "resolved" && <Badge tone="calm">{say.failuresResolvedOnes}</Badge>}
      </>
    ),
  },
  {
    title: say.runsFlow,
    isMinor: true,
    cell: ({ _flowId, _importId }) => (
      <>
        <FlowLink _id={_flowId} /> → {_importId}
      </>
    ),
  },
  { title: say.failuresFault, cell: ({ fault }) => <FaultBadge fault={fault} /> },
  { title: say.failuresMessage, cell: ({ message }) => <span class="message">{message}</span> },
  { title: say.failuresLast, isMinor: true, cell: ({ lastFailedAt }) => <Time at={lastFailedAt} show="relative" /> },
  { title: say.failuresAttempts, isNumber: true, isMinor: true, cell: ({ attempts }) => exact(attempts) },
];
