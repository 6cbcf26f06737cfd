import type { FlowActivity } from "../../../model/flow/activity.ts";
import type { Overview } from "../../../model/flow/overview.ts";
import type {
  ActivityQuery,
  CauseList,
  CauseQuery,
  CauseStorage,
  CompactRule,
  FailedFlows,
  HourStatistics,
  OpenFailureQuery,
  OverviewQuery,
  OverviewStorage,
  ProcessHour,
  StatisticsQuery,
  StatisticsStorage,
} from "../../storage.ts";
import type { SqlDatabase } from "../database.ts";
import { type SharedParts, SqlProcessStorage, guarded } from "../processes/process-storage.ts";
import type { ReadRows } from "../search/failure-list.ts";
import { flowActivities } from "./activities.ts";
import { flowsOfFailures, listCauses } from "./cause-lists.ts";
import { completeCauses } from "./completion.ts";
import { overview } from "./overview.ts";
import { type HourRow, compactStatistics, hourOf, hoursMatching, saveStatistics } from "./statistics.ts";

/** What is counted in an SQL database, and what processes share in it. */
export class SqlTotalsStorage extends SqlProcessStorage implements CauseStorage, OverviewStorage, StatisticsStorage {
  readonly #database: SqlDatabase;

  constructor(database: SqlDatabase, shared: SharedParts) {
    super(database, shared);
    this.#database = database;
  }

  listCauses(query: CauseQuery): Promise<CauseList> {
    return listCauses(this.#reads("listCauses"), query);
  }

  flowsOfFailures(query: OpenFailureQuery): Promise<FailedFlows> {
    return flowsOfFailures(this.#reads("flowsOfFailures"), query);
  }

  completeCauses(limit: number): Promise<number> {
    return guarded("completeCauses", () => this.#database.runTransaction(completeCauses(limit)));
  }

  overview(query: OverviewQuery): Promise<Overview> {
    return overview(this.#reads("overview"), query);
  }

  flowActivities(query: ActivityQuery): Promise<readonly (FlowActivity | undefined)[]> {
    return flowActivities(this.#reads("flowActivities"), query);
  }

  saveStatistics(hours: readonly ProcessHour[]): Promise<void> {
    const transaction = saveStatistics(hours);
    return guarded("saveStatistics", () => this.#database.runTransaction(transaction));
  }

  async listStatistics(query: StatisticsQuery): Promise<readonly HourStatistics[]> {
    return (await this.#reads("listStatistics")<HourRow>(hoursMatching(query))).map(hourOf);
  }

  compactStatistics(rule: CompactRule): Promise<number> {
    return guarded("compactStatistics", () => this.#database.runTransaction(compactStatistics({ ...rule })));
  }

  #reads(operation: string): ReadRows {
    return async <Row>(query: Parameters<ReadRows>[0]) =>
      (await guarded(operation, () => this.#database.query(query))) as readonly Row[];
  }
}
