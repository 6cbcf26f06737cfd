import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { itemAt } from "../../../src/model/item-at.ts";
import { flowStates } from "../../../src/model/flow/activity.ts";
import type { PostgresPool, PostgresQuery } from "../../../src/storage/postgres/pool.ts";
import { begin, beginTogether, typesOfValues } from "../../../src/storage/postgres/postgres-database.ts";
import { joinedStatement } from "../../../src/storage/postgres/joined-statement.ts";
import { PostgresStorage } from "../../../src/storage/postgres/postgres-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { connectionTo } from "../../support/postgres-server.ts";
import { calls } from "../sql/calls.ts";

// What PostgreSQL plans depends on its statistics, and a plan that was made for empty tables is kept while they grow. So
// each statement is looked at in a schema whose tables were empty when they were analyzed, and in one with many rows.

const pool = new pg.Pool({ ...connectionTo(inject("postgresPort")), max: 4 });
afterAll(() => pool.end());

/** A step of a plan. */
interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Index Cond"?: string;
  readonly Filter?: string;
  readonly "Join Filter"?: string;
  readonly Plans?: readonly PlanNode[];
}

/** A statement, and what the transaction began with that it was executed in: most make the planner go by indexes. */
interface PlannedStatement {
  readonly text: string;
  readonly begin?: string | undefined;
}

/** A pool that notes the statements it is given. */
function recording(noted: PlannedStatement[]): PostgresPool {
  const note = ({ text, values }: PostgresQuery, first?: string) => {
    if (values !== undefined) noted.push({ text, begin: first });
  };
  return {
    query(query) {
      note(query);
      return pool.query(query);
    },
    async connect() {
      const client = await pool.connect();
      let first: string | undefined;
      return {
        query(query) {
          if (query.text.startsWith("begin")) first = query.text;
          note(query, first);
          return client.query(query);
        },
        release: (error) => client.release(error),
      };
    },
  };
}

async function planOf({ text, begin: first = "begin" }: PlannedStatement, isEmpty: boolean): Promise<PlanNode> {
  const client = await pool.connect();
  try {
    await client.query(first);
    // A table without rows is read as a whole, whatever indexes it has.
    if (isEmpty) await client.query("set local enable_seqscan = off; set local jit = off");
    const { rows } = await client.query<{ "QUERY PLAN": readonly [{ readonly Plan: PlanNode }] }>(
      `explain (generic_plan, format json) ${text}`,
    );
    return rows[0]?.["QUERY PLAN"][0].Plan ?? { "Node Type": "None" };
  } finally {
    await client.query("rollback");
    client.release();
  }
}

/** What stands before a change of many rows. */
const withoutLoops = "set local enable_nestloop = off";

/** The statement as it is executed for many sets of values, if it can be. */
async function joinedOf({ text, begin: first }: PlannedStatement): Promise<readonly PlannedStatement[]> {
  if (text.includes("for no key update")) return [];
  const joined = joinedStatement(text, await typesOfValues(pool, text));
  if (joined === undefined) return [];
  return [
    { text: joined.text, begin: first && (joined.isByHash ? `${beginTogether}; ${withoutLoops}` : beginTogether) },
  ];
}

/** Whether it has a plan, in a partition that is there for longer than the call. */
function isPlanned({ text }: PlannedStatement): boolean {
  return /^\s*(select|insert|update|delete|with)\b/.test(text) && !/"runs_ended_\d/.test(text);
}

function isChange({ text }: PlannedStatement): boolean {
  return /^\s*(update|delete)\b/.test(text);
}

/** Whether it finds one value of a column, or a range that begins and ends at the same one. */
function isBounded(condition: string): boolean {
  return /[^<>]=/.test(condition) || /\((ROW\()?(\w+)\b.* [<>]= .*\) AND \((ROW\()?\2\b/.test(condition);
}

/** The steps in which it walks a table or an index from one end or a place in it. */
function walks(node: PlanNode): readonly string[] {
  const { "Node Type": type, "Relation Name": table, "Index Name": index, "Index Cond": condition } = node;
  const below = (node.Plans ?? []).flatMap(walks);
  if (type === "Seq Scan") return [`walks ${table}`, ...below];
  if (/^(Index|Index Only|Bitmap Index) Scan$/.test(type) && !isBounded(condition ?? ""))
    return [`walks ${index} ${condition ?? ""}`.trim(), ...below];
  return below;
}

function typesIn(node: PlanNode): readonly string[] {
  return [node["Node Type"], ...(node.Plans ?? []).flatMap(typesIn)];
}

// A list without a filter walks along what is in its order, and stops at its limit; so does a look for what is due. The
// index of what waits, or runs, has little in it.
const inOrder: Readonly<Record<string, RegExp>> = {
  "listFlows of an import": /^walks flows_(pkey|names) \(id >/,
  listFlows: /^walks flows_(pkey|names) \(id >/,
  listRuns: /^walks runs_(live_seq|ended_\w+_seq_idx) \(seq </,
  ...Object.fromEntries(
    Object.keys(calls)
      .filter((title) => /^listRuns .*(failed|canceled)$/.test(title))
      .map((title) => [title, /^walks runs_ended_\w+_seq_idx[12]\b/]),
  ),
  listFailures: /^walks failures_pkey \(\(?seq >/,
  // A portion of 2,000 of them.
  "listFailures by what they say, newest first": /^walks failures_pkey( \(seq >= |$)/,
  // Partitions, which are few.
  prune: /^walks pg_inherits$/,
  // The first one, if there is any.
  "listFailures of a cause and an integration": /^walks failures_id_key \(id <= /,
  listFailureIds: /^walks failures_id_key \(id <= /,
  flowsOfFailures: /^walks (causes$|failures_id_key \(id <= |failures(_uncounted)?$)/,
  "listFailureIds by what they say": /^walks failures_id_key \(id <= /,
  "flowsOfFailures of a key": /^walks (causes(_\w+)?|failures(_uncounted)?)$/,
  "flowsOfFailures of a run": /^walks (causes(_\w+)?|failures(_uncounted)?)$/,
  // Those that are not well, and counts, which are few; and how many flows there are.
  // A portion of 6,000 names, or of 1,000 flows.
  "listFlows by a part of their name": /^walks flows(_names|_pkey)?\b/,
  "listFlows of an integration by a part of their name": /^walks flows(_names|_pkey|_of_integration)?\b/,
  ...Object.fromEntries(
    flowStates.map((state) => [`listFlows that are ${state}`, /^walks (flows(_pkey)?|causes(_\w+)?)\b/]),
  ),
  // Hours, which are few.
  listStatistics: /^walks statistics/,
  "listStatistics of an integration": /^walks statistics/,
  flowActivities: /^walks causes$/,
  compactStatistics: /^walks statistics/,
  overview: /^walks (flows(_\w+)?|causes(_\w+)?)$/,
  "overview of an integration": /^walks (flows|causes(_\w+)?)$/,
  "overview while a run waits": /^walks (flows(_\w+)?|causes(_\w+)?)$/,
  completeCauses: /^walks failures(_uncounted)?$/,
  // Counts, which are few.
  listCauses: /^walks (causes(_\w+)?|failures(_uncounted)?)$/,
  "listCauses of an integration": /^walks (causes(_\w+)?|failures(_uncounted)?)$/,
  "listCauses of disabled flows": /^walks (causes(_\w+)?|failures(_uncounted)?)$/,
  "listCauses of a flow": /^walks (causes(_\w+)?|failures(_uncounted)?)$/,
  "flowsOfFailures of an import": /^walks (causes(_\w+)?|failures(_uncounted)?)$/,
  // The newest one, and what came after it.
  "commitPage of many failures": /^walks failures_pkey( \(seq > |$)/,
  "commitPage that folds many": /^walks failures_pkey( \(seq > |$)/,
  // What came after a place, up to the oldest transaction that goes on.
  changesSince: /^walks (feed$|changes_[01]$|changes_[01]_pkey \(\(ROW\(xid, seq\) > .* AND \(xid < )/,
  // At most 2,000 keys begin so; if there are more, a portion of 1,000 failures.
  "listFailures by the beginning of a key": /^walks failures_(by_key|pkey)\b/,
};
/** What is asked without values is about a table's age, or nothing. */
const withoutValues: readonly string[] = ["forgetChanges", "unfollowChanges"];
const few =
  /^walks (flows_(deleted|due|scheduled|unread|failing|overdue|disabled)|runs_live(_\w+)?|places_(resumable|paused|held)|failures_(retries|resolved)|histories_by_runs|removals_pkey|runs_ended_other_by_age|processes_seen|processes)\b/;

async function fill(schema: string): Promise<void> {
  await pool.query(`set local search_path to ${schema};
    insert into flows (id, doc, export_id, integration_id, connector_id, disabled, last_modified, flow_group, scheduled, due_at, inbox_pages)
      select 'flow ' || n, '{}', 'export ' || n % 50, 'integration ' || n % 40, 'connector ' || n % 30, (n % 20 = 0)::int, '', 'group ' || n % 5, 1, n, n % 10
      from generate_series(1, 2000) n;
    insert into flow_imports select 'flow ' || n, 'import ' || m from generate_series(1, 2000) n, generate_series(1, 3) m;
    insert into places (flow_id, import_id, resume_at) select 'flow ' || n, 'import ' || m, case when n % 50 = 0 then n end
      from generate_series(1, 2000) n, generate_series(1, 3) m;
    insert into runs (id, flow_id, export_id, integration_id, connector_id, cause, status, stage, ended_at, due_at, doc)
      select 'run ' || n, 'flow ' || n % 2000 + 1, 'export ' || n % 50, 'integration ' || n % 40, 'connector ' || n % 30,
        (array['schedule', 'manual', 'realtime', 'retry'])[n % 4 + 1], case when n % 100 = 0 then 'failed' else 'completed' end, 2, n, n, '{"imports":{}}'
      from generate_series(1, 40000) n;
    insert into runs (id, flow_id, export_id, integration_id, connector_id, cause, status, stage, lease_until, token, doc)
      select 'active ' || n, 'flow ' || n, 'export 1', 'integration 1', 'connector 1', 'schedule', 'running', 1, n, 'token ' || n, '{"status":"running","crashes":0,"imports":{}}'
      from generate_series(1, 200) n;
    insert into runs (id, flow_id, export_id, integration_id, connector_id, cause, status, stage, doc)
      select 'waiting ' || n, 'flow ' || n % 500 + 1, 'export 1', 'integration 1', 'connector 1', 'schedule', 'queued', 0, '{}'
      from generate_series(1, 2000) n;
    insert into run_imports select 'import ' || m, seq from runs, generate_series(1, 3) m;
    insert into histories select 'flow ' || n, 20 from generate_series(1, 2000) n;
    insert into failures (id, flow_id, import_id, export_id, run_id, integration_id, connector_id, record_key, fault, status, resolved_at, retry_at, doc)
      select 'failure ' || n, 'flow ' || n % 200 + 1, 'import ' || n % 3, 'export ' || n % 200 % 50, 'run ' || n, 'integration ' || n % 40, 'connector ' || n % 30,
        'key ' || n, 'retry', case when n % 4 = 0 then 'resolved' else 'open' end, case when n % 4 = 0 then n end, case when n % 4 = 1 then n end, '{}'
      from generate_series(1, 20000) n;
    insert into inbox (flow_id, arrival_id, size) select 'flow ' || n % 100 + 1, 'arrival ' || n, 1 from generate_series(1, 5000) n;
    insert into events select 'flow ' || n % 100 + 1, 'event ' || n, n from generate_series(1, 20000) n;
    insert into drops select 'flow ' || n % 100 + 1, n, 'import 1' from generate_series(1, 1000) n;`);
}

describe.each([
  ["empty", "plans_empty"],
  ["full", "plans_full"],
])("while the statistics are of %s tables", (state, schema) => {
  const noted: PlannedStatement[] = [];
  /** All changes of rows so far. */
  const changing = new Map<string, PlannedStatement>();
  let storage: Storage;
  beforeAll(async () => {
    storage = await PostgresStorage.open(recording(noted), { schema });
    if (state === "full") await fill(schema);
    const { rows } = await pool.query<{ name: string }>(
      `select c.relname as name from pg_class c where c.relkind = 'r' and c.relnamespace = $1::regnamespace`,
      [schema],
    );
    // Autovacuum looks at no table of partitions, nor at a partition in which no run has ended yet.
    const some = state === "full" ? rows.filter(({ name }) => !/^runs_ended_\d/.test(name)) : rows;
    for (const { name } of some) await pool.query(`analyze ${schema}.${name}`);
  });

  for (const [title, call] of Object.entries(calls).filter(([name]) => !withoutValues.includes(name)))
    test(`${title} finds all it needs by an index`, async () => {
      noted.length = 0;
      await call(storage);

      const statements = [...new Map(noted.map((one) => [one.text, one])).values()].filter(isPlanned);
      const found: string[] = [];
      const joined = (await Promise.all(statements.map(joinedOf))).flat();
      for (const statement of [...statements, ...joined])
        for (const step of walks(await planOf(statement, state === "empty")))
          if (!few.test(step) && inOrder[title]?.test(step) !== true)
            found.push(`${step} in: ${statement.text.replace(/\s+/g, " ")}`);

      for (const one of statements) if (isChange(one)) changing.set(one.text, one);
      expect(statements.length).toBeGreaterThan(0);
      expect(found).toEqual([]);
    });

  test.each(["queueRun", "claimRun"])("%s passes what is dead of a flow's runs by plain looks", async (title) => {
    noted.length = 0;
    await calls[title]?.(storage);

    const statements = noted.filter(isPlanned);
    const joined = (await Promise.all(statements.map(joinedOf))).flat();
    const plans = await Promise.all(joined.map((statement) => planOf(statement, state === "empty")));
    expect(joined).not.toEqual([]);
    expect(plans.flatMap(typesIn).filter((type) => type.startsWith("Bitmap"))).toEqual([]);
  });

  test("what changes many rows finds them by their hash, and does not compare each with each", async () => {
    // Where this test is executed alone, nothing has been asked before.
    if (changing.size === 0) for (const call of Object.values(calls)) await call(storage);
    for (const one of noted) if (isChange(one)) changing.set(one.text, one);
    const changes = [...changing.values()].filter(isPlanned);
    const isJoined = ({ text }: PlannedStatement) => text.includes("value_sets");
    const asked = changes.filter((one) => !isJoined(one) && one.begin !== undefined);
    const own = changes.filter(isJoined).map(({ text }) => ({ text, begin: `${beginTogether}; ${withoutLoops}` }));
    const joined = [...(await Promise.all(asked.map(joinedOf))).flat(), ...own];
    const plans = await Promise.all(joined.map((one) => planOf(one, state === "empty")));

    expect(joined.filter(({ text }) => /update .*(runs|flows|places)"/.test(text)).length).toBeGreaterThan(10);
    const others = joined.filter(({ text }, nth) => {
      // One value after the other is looked up in a query of its own.
      if (/ in \(\s*select /.test(text)) return false;
      const [below] = itemAt(plans, nth).Plans ?? [];
      return below?.["Node Type"] === "Nested Loop" && below["Join Filter"] !== undefined;
    });
    expect(others.map(({ text }) => text)).toEqual([]);
  });

  test("a walk through a table, or an index, would be seen", async () => {
    const plan = (condition: string) =>
      planOf({ text: `select seq from ${schema}.runs_live where ${condition}`, begin }, true).then(walks);

    expect(await plan("token = 'x'")).toHaveLength(1);
    expect(await plan("id > 'x'")).toEqual([expect.stringContaining("walks runs_live_id")]);
    expect(await plan("id = 'x'")).toEqual([]);
  });
});
