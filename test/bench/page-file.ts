import { causeOf } from "../../src/model/cause.ts";
import type { Failure, Run } from "../../src/index.ts";
import { type SqliteDatabase, openDatabase } from "../../src/storage/sqlite/drivers.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { type KeptFile, keptFile } from "./large-file.ts";

/** What there is of each; of the flows, {@link failedFlows} have failures. */
const sizes = { flows: 100_000, runsPerFlow: 3, failures: 1_000_000, failedFlows: 2_000, tenants: 200, days: 30 };

/** When everything in the file has happened. */
export const pageFileTime = Date.UTC(2030, 0, 1);
const at = new Date(pageFileTime).toISOString();

const flowId = (index: number) => `flow-${String(index).padStart(8, "0")}`;
const tenantOf = (index: number) => `tenant-${index % sizes.tenants}`;
const runId = (index: number) => `run-${String(index).padStart(9, "0")}`;

/** Why records failed. */
const reasons: readonly Pick<Failure, "fault" | "message">[] = [
  { fault: "reject", message: "customer 507 has no VAT number" },
  { fault: "retry", message: "503 POST /orders/1234 answered 503 Service Unavailable" },
  { fault: "unknown", message: "timeout after 30 s" },
  { fault: "reject", message: "article 9 is sold out" },
  { fault: "retry", message: "connect ECONNREFUSED" },
  { fault: "reject", message: "address is missing" },
];

/** A file with 100,000 flows, 300,000 ended runs, 1 million failures, 900,000 of them open, and 30 days of statistics. */
export function pageFile(): Promise<KeptFile> {
  return keptFile([sizes, reasons, "few disabled flows with failures"], async (file) => {
    await (await openedOnce(file)).close();
    const database = openDatabase(file);
    try {
      database.exec("pragma synchronous = off; pragma cache_size = -200000; begin");
      addFlows(database);
      addRuns(database);
      addFailures(database);
      addStatistics(database);
      database.exec("commit");
      database.prepare("pragma wal_checkpoint(truncate)").all();
    } finally {
      database.close();
    }
  });
}

/** Makes the tables. */
async function openedOnce(file: string): Promise<SqliteStorage> {
  const storage = await SqliteStorage.open(file);
  await storage.findFlow("");
  return storage;
}

function insertInto(database: SqliteDatabase, table: string, columns: readonly string[]) {
  const places = columns.map(() => "?").join(", ");
  const insert = database.prepare(`insert into poundlock_${table} (${columns.join(", ")}) values (${places})`);
  return (...values: readonly unknown[]): void => void insert.run(...values);
}

// One of 50 is disabled, and four of those with failures; of 700 fails, of 1,000 is overdue, of 2,000 has a paused import.
function addFlows(database: SqliteDatabase): void {
  const flow = insertInto(database, "flows", [
    ...["id", "doc", "export_id", "integration_id", "disabled", "last_modified", "scheduled", "search_name"],
    ...["due_at", "following_at", "overdue_at", "executed_at", "failing_since"],
  ]);
  const flowImport = insertInto(database, "flow_imports", ["flow_id", "import_id"]);
  const place = insertInto(database, "places", ["flow_id", "import_id", "pause"]);
  const pause = { since: at, until: "person", reason: { code: "unavailable", message: "connect ECONNREFUSED" } };
  const quarterMs = 900_000;
  for (let index = 0; index < sizes.flows; index++) {
    const [_id, _integrationId, name] = [flowId(index), tenantOf(index), `Orders of shop ${index} to ledger`];
    const isDisabled = index % 50 === 1 || index % 25_000 === 100;
    const doc = {
      ...{ _id, name, schedule: "*/15 * * * *", _exportId: "orders", _importId: "ledger", _integrationId },
      ...{ disabled: isDisabled, createdAt: at, lastModified: at },
    };
    flow(
      ...[_id, JSON.stringify(doc), "orders", _integrationId, Number(isDisabled), at, 1, name.toLowerCase()],
      ...(isDisabled ? [null, null] : [pageFileTime + quarterMs, pageFileTime + 2 * quarterMs]),
      ...[pageFileTime + (index % 1_000 === 7 ? -1 : 2 * quarterMs), at, index % 700 === 3 ? pageFileTime : null],
    );
    flowImport(_id, "ledger");
    place(_id, "ledger", index % 2_000 === 9 ? JSON.stringify({ ...pause, attempts: 1 }) : null);
  }
}

function addRuns(database: SqliteDatabase): void {
  const run = insertInto(database, "runs", [
    ...["id", "flow_id", "export_id", "integration_id", "cause", "status", "stage", "ended_at", "doc"],
  ]);
  for (let index = 0; index < sizes.runsPerFlow * sizes.flows; index++) {
    const [_id, _flowId, _integrationId] = [runId(index), flowId(index % sizes.flows), tenantOf(index)];
    const endedAt = pageFileTime + 5_000;
    const counts = { numSuccess: 100, numError: 3, numIgnore: 0 };
    const doc: Run = {
      ...{ _id, _flowId, _exportId: "orders", _integrationId, trigger: "schedule", status: "completed" },
      ...{ queuedAt: at, startedAt: at, endedAt: new Date(endedAt).toISOString() },
      ...{ coalesced: 0, skipped: 0, crashes: 0, numPagesGenerated: 1, numPagesProcessed: 1, ...counts },
      imports: { ledger: { ...counts, status: "completed" } },
    };
    run(_id, _flowId, "orders", _integrationId, "schedule", "completed", 2, endedAt, JSON.stringify(doc));
  }
}

/** A cause of one flow: its row, and how many failures are open. */
interface CauseSize {
  size: number;
  readonly row: readonly unknown[];
}

// One of ten is resolved.
function addFailures(database: SqliteDatabase): void {
  const failure = insertInto(database, "failures", [
    ...["id", "flow_id", "import_id", "run_id", "integration_id", "status", "resolved_at", "doc", "record"],
    ...["export_id", "record_key", "fault", "cause"],
  ]);
  const causes = new Map<string, CauseSize>();
  for (let index = 0; index < sizes.failures; index++) {
    const owner = ((index * 7_919) % sizes.failedFlows) * (sizes.flows / sizes.failedFlows);
    const { fault, message } = reasons[index % reasons.length] ?? { fault: "reject", message: "" };
    const { cause, pattern } = causeOf({ fault, message });
    const [_id, key] = [`failure-${String(index).padStart(9, "0")}`, `o-${index}`];
    const [_flowId, _integrationId, isOpen] = [flowId(owner), tenantOf(owner), index % 10 !== 0];
    const doc = {
      ...{ _id, _flowId, _exportId: "orders", _importId: "ledger", _runId: runId(1), _integrationId, key },
      ...{ fault, message, attempts: 5, occurrences: 1, createdAt: at, lastFailedAt: at },
    };
    const record = JSON.stringify({ id: key, customer: index % 1_000, lines: "x".repeat(220) });
    const state = isOpen ? ["open", null] : ["resolved", pageFileTime];
    failure(
      ...[_id, _flowId, "ledger", runId(1), _integrationId, ...state, JSON.stringify(doc), record],
      ...["orders", key, fault, cause],
    );
    if (isOpen) count(causes, _flowId + cause, [_flowId, "ledger", _integrationId, cause, pattern, fault, _id]);
  }
  addCauses(database, [...causes.values()]);
}

function count(causes: Map<string, CauseSize>, key: string, row: readonly unknown[]): void {
  const known = causes.get(key);
  if (known === undefined) causes.set(key, { size: 1, row });
  else known.size++;
}

function addCauses(database: SqliteDatabase, causes: readonly CauseSize[]): void {
  const cause = insertInto(database, "causes", [
    ...["flow_id", "import_id", "integration_id", "cause", "pattern", "fault", "sample"],
    ...["size", "first_at", "last_at"],
  ]);
  for (const { row, size } of causes) cause(...row, size, pageFileTime, pageFileTime);
}

function addStatistics(database: SqliteDatabase): void {
  const hour = insertInto(database, "statistics", [
    ...["hour", "integration_id", "process", "completed", "failed", "canceled"],
    ...["num_success", "num_error", "num_ignore", "duration_ms"],
  ]);
  for (let ago = 0; ago < 24 * sizes.days; ago++) {
    const time = pageFileTime - ago * 3_600_000;
    const moved = 200 * (14 - Math.abs(((time / 3_600_000) % 24) - 13)) + ((ago * 7_919) % 300);
    for (let tenant = 0; tenant < sizes.tenants; tenant++)
      hour(time, tenantOf(tenant), "", 10, 1, 0, moved, 30, 5, 60_000);
  }
}
