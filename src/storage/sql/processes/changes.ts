import type { Change, RequeueReason, RunChangeKind } from "../../../model/change.ts";
import { optional } from "../../documents.ts";
import { type FlowRow, flowOf, runOf } from "../rows.ts";
import { readable } from "../values/unreadable.ts";
import type { Run } from "../../../model/run.ts";

/** A change as it is noted, with the run or the flow as it is now. */
export interface ChangeRow {
  /** Of a run: its new status, `ended` for the one that it has ended with, `started`, or why it waits again. */
  readonly change: string;
  readonly run_id: string | null;
  readonly flow_id: string;
  /** A flow as it was before it was changed or deleted. */
  readonly before: string | null;
  readonly before_due_at: number | null;
  readonly before_executed_at: string | null;
  /** Null: the run is gone. */
  readonly status: Run["status"] | null;
  readonly run_doc: string | null;
  /** Null: the flow is gone. */
  readonly doc: string | null;
  readonly due_at: number | null;
  readonly executed_at: string | null;
}

/** The columns of a {@link ChangeRow}: of a change `c`, its run `r` and its flow `f`. */
export const changeColumns = `c.change, c.run_id, c.flow_id, c.doc as before, c.due_at as before_due_at,
  c.executed_at as before_executed_at, r.status, r.doc as run_doc, f.doc, f.due_at, f.executed_at`;

/** After the changes `c`: what they are about. */
export const changeJoins = `left join poundlock_runs r on r.id = c.run_id
  left join poundlock_flows f on f.id = c.flow_id and c.run_id is null`;

/** The change that a row is; undefined if what it is about is gone, or cannot be read. */
export function changeOf(row: ChangeRow): Change | undefined {
  return readable(() => (row.run_id === null ? flowChangeOf(row) : runChangeOf(row, row.run_id)));
}

const requeued: ReadonlySet<string> = new Set<RequeueReason>(["crash", "stop", "wait"]);

function runChangeOf({ change, status, run_doc }: ChangeRow, _id: string): Change | undefined {
  if (status === null || run_doc === null) return undefined;
  const run = runOf({ id: _id, status, doc: run_doc });
  return requeued.has(change)
    ? { change: "requeued", run, reason: change as RequeueReason }
    : { change: (change === "ended" ? status : change) as RunChangeKind, run };
}

function flowChangeOf(row: ChangeRow): Change | undefined {
  const { before, before_due_at, before_executed_at, change, flow_id } = row;
  const previous = flowIn({ id: flow_id, doc: before, due_at: before_due_at, executed_at: before_executed_at });
  if (change === "flow:deleted") return previous && { change, flow: previous };
  const flow = flowIn({ id: flow_id, doc: row.doc, due_at: row.due_at, executed_at: row.executed_at });
  if (flow === undefined) return undefined;
  return change === "flow:created"
    ? { change, flow }
    : { change: "flow:updated", flow, ...optional("previous", previous) };
}

function flowIn({ doc, ...rest }: Omit<FlowRow, "doc"> & { readonly doc: string | null }) {
  return doc === null ? undefined : flowOf({ ...rest, doc });
}
