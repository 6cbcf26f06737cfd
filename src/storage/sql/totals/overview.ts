import type { Overview } from "../../../model/flow/overview.ts";
import type { Run } from "../../../model/run.ts";
import { optional } from "../../documents.ts";
import type { OverviewQuery } from "../../storage.ts";
import { type SqlValue, type Statement, statement } from "../database.ts";
import { type RunRow, runColumns, runOf } from "../rows.ts";
import type { ReadRows } from "../search/failure-list.ts";
import { ofLivingFlow } from "../values/deleted.ts";
import { readable } from "../values/unreadable.ts";

/** Runs that wait, read at once. */
const portion = 100;

/** @see OverviewStorage.overview */
export async function overview(read: ReadRows, query: OverviewQuery): Promise<Overview> {
  const [sizes] = await read<SizesRow>(sizesOf(query));
  if (sizes === undefined) throw new RangeError("no row of a query without a table");
  const { deleted, disabled, failing, flows, inbox_pages, open_failures, overdue, paused, queued, running } = sizes;
  const oldestQueuedAt = queued === 0 ? undefined : await oldestWaiting(read, query);
  return Object.freeze<Overview>({
    flows: Object.freeze({ enabled: flows - disabled, disabled: disabled - deleted }),
    runs: Object.freeze({ running, queued }),
    ...{ failing, overdue, paused, openFailures: open_failures, inboxPages: inbox_pages },
    ...optional("oldestQueuedAt", oldestQueuedAt),
  });
}

interface SizesRow {
  readonly flows: number;
  /** Those that were deleted are among them, until all they had is removed. */
  readonly disabled: number;
  readonly deleted: number;
  readonly failing: number;
  readonly overdue: number;
  readonly paused: number;
  readonly running: number;
  readonly queued: number;
  readonly open_failures: number;
  readonly inbox_pages: number;
}

/**
 * Asks for one row. Something added keeps the index of an integration out where a smaller one is there for the rest, and
 * every id comes after "": what runs and waits is found by the index that has little else in it.
 */
function sizesOf({ _integrationId, now }: OverviewQuery): Statement {
  const ids: readonly SqlValue[] = _integrationId === undefined ? [] : [_integrationId];
  const also = ids.length === 0 ? "" : " and integration_id = ?";
  const checked = ids.length === 0 ? "" : " and integration_id || '' = ?";
  const where = ids.length === 0 ? "" : " where integration_id = ?";
  const counts: readonly (readonly [name: string, from: string, values: readonly SqlValue[]])[] = [
    ["flows", `count(*) from poundlock_flows${where}`, ids],
    ["disabled", `count(*) from poundlock_flows where disabled = 1${also}`, ids],
    ["deleted", `count(*) from poundlock_flows where deleted_at is not null${checked}`, ids],
    ["failing", `count(*) from poundlock_flows where failing_since is not null and disabled = 0${checked}`, ids],
    [
      "overdue",
      `count(*) from poundlock_flows where overdue_at is not null and overdue_at <= ? and disabled = 0${checked}`,
      [now, ...ids],
    ],
    [
      "paused",
      `count(*) from poundlock_places p where p.pause is not null
        and (select f.disabled from poundlock_flows f where f.id = p.flow_id${checked}) = 0`,
      ids,
    ],
    ["running", `count(*) from poundlock_runs where stage = 1 and flow_id > '' and status = 'running'${checked}`, ids],
    ["queued", `count(*) from poundlock_runs where stage = 0 and flow_id > ''${checked}`, ids],
    [
      "open_failures",
      `cast(coalesce(sum(size), 0) as bigint) from poundlock_causes where ${ofLivingFlow("flow_id")}${also}`,
      ids,
    ],
    [
      "inbox_pages",
      `coalesce(sum(inbox_pages), 0) from poundlock_flows where inbox_pages > 0 and deleted_at is null${checked}`,
      ids,
    ],
  ];
  const columns = counts.map(([name, from]) => `(select ${from}) as ${name}`).join(", ");
  return statement(`select ${columns}`, ...counts.flatMap(([, , values]) => values));
}

async function oldestWaiting(read: ReadRows, { _integrationId, now }: OverviewQuery): Promise<string | undefined> {
  const checked = _integrationId === undefined ? "" : " and integration_id || '' = ?";
  const values = _integrationId === undefined ? [] : [_integrationId];
  let after = 0;
  for (let size = portion; size === portion;) {
    const rows = await read<RunRow>(
      statement(
        `select ${runColumns} from poundlock_runs where stage = 0 and flow_id > '' and seq + 0 > ?
          and coalesce(not_before, 0) <= ?${checked} order by seq + 0 limit ?`,
        ...[after, now, ...values, portion],
      ),
    );
    const runs = rows.map((row) => readable(() => runOf(row)));
    const first = runs.find((run): run is Run => run !== undefined && run.startedAt === undefined);
    if (first !== undefined) return first.queuedAt;
    after = rows.at(-1)?.seq ?? after;
    size = rows.length;
  }
  return undefined;
}
