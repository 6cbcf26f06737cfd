import type { Clock } from "../clock.ts";
import { LeaseLostError } from "../errors.ts";
import type { Emit, SchedulerEvents } from "../events.ts";
import type { Failure } from "../model/failure.ts";
import { type ImportPlace, type PlaceChange, changedPlace } from "../model/place.ts";
import { type Counts, type Run, withPage } from "../model/run.ts";
import type {
  ClaimedRun,
  CommitResult,
  FailedCounts,
  ImportLeft,
  LastPage,
  PageCommit,
  RunLease,
  RunPosition,
  Storage,
} from "../storage/storage.ts";
import { type Tracer, refusedCommit } from "./tracer.ts";

/** `run:progress` is emitted for the first page committed, and then not before so many milliseconds have passed. */
const progressIntervalMs = 1_000;

const none: readonly never[] = Object.freeze([]);
const noCounts: Readonly<Record<string, Counts>> = Object.freeze({});
const noneFailed: FailedCounts = Object.freeze({ numNew: 0, numRejected: 0 });

/** What a commit settles; what is left out stays. */
export interface Commit {
  readonly generated?: number;
  readonly processed?: number;
  readonly counts?: Readonly<Record<string, Counts>>;
  readonly places?: readonly PlaceChange[];
  readonly position?: RunPosition | undefined;
  readonly failures?: readonly Failure[];
  readonly delivered?: readonly string[];
  readonly superseded?: readonly string[];
  /** The export's estimate of all its records. */
  readonly total?: number | undefined;
  /** Which page of the run it is of; absent: of none, or of those before. */
  readonly page?: number;
}

/** What a {@link RunProgress} needs. */
export interface ProgressDeps {
  readonly claimed: ClaimedRun;
  readonly lease: RunLease;
  readonly storage: Pick<Storage, "commitPage">;
  readonly clock: Clock;
  readonly emit: Emit<SchedulerEvents>;
  readonly tracer: Tracer | undefined;
}

/** How far a run has got: its document, the places of its flow's imports, and the commits that move them. */
export class RunProgress {
  readonly #deps: ProgressDeps;
  readonly #places: Map<string, ImportPlace>;
  #run: Run;
  #position: RunPosition;
  #commits: number;
  #planned: PlaceChange[] = [];
  /** A commit that waits for the run's end, and the run without it. */
  #lastPage: { readonly commit: Commit; readonly before: Run } | undefined;
  /** What the position says of imports is newer than what is committed. */
  #hasChanged = false;
  #emittedAt = -Infinity;
  /** The newest page that was committed, by what commits said of it. */
  #page = 0;

  constructor(deps: ProgressDeps) {
    this.#deps = deps;
    const { claimed } = deps;
    this.#run = claimed.run;
    this.#places = new Map(Object.entries(claimed.places));
    this.#position = claimed.position ?? { pages: 0 };
    this.#commits = claimed.commits;
  }

  get run(): Run {
    return this.#run;
  }

  /** The run's own position. */
  get position(): RunPosition {
    return this.#position;
  }

  /** Where an import stands, changes that are planned included. */
  placeOf(_importId: string): ImportPlace {
    return this.#places.get(_importId) ?? {};
  }

  /** Changes places with the next commit, or with the run's end. */
  plan(change: PlaceChange): void {
    if (change._importIds.length === 0) return;
    this.#planned.push(change);
    this.#apply([change]);
  }

  /** The changes that no commit has taken along. */
  takePlanned(): readonly PlaceChange[] {
    const planned = merged(this.#planned);
    this.#planned = [];
    return planned;
  }

  /** Failures of this run so far at an import, those before it was resumed included. */
  failedOf(_importId: string): FailedCounts {
    return this.#position.failed?.[_importId] ?? noneFailed;
  }

  /** Counts failures that the next commit stores. */
  addFailed(_importId: string, { numNew, numRejected }: FailedCounts): void {
    if (numNew === 0 && numRejected === 0) return;
    const before = this.failedOf(_importId);
    const failed = { numNew: before.numNew + numNew, numRejected: before.numRejected + numRejected };
    this.#remember({ failed: { ...this.#position.failed, [_importId]: failed } });
  }

  /** An import has left: the run must know when it is resumed. */
  leave(_importId: string, left: ImportLeft): void {
    this.#remember({ left: { ...this.#position.left, [_importId]: left } });
  }

  /**
   * Commits the counts of a page with the run's end, or with the next commit if there is one: for a page after which
   * none is read, and of which nothing else is to be kept.
   */
  leaveToEnd(commit: Commit): void {
    const { counts = noCounts, generated = this.#run.numPagesGenerated, processed = 0, total } = commit;
    if (commit.page !== undefined) this.#page = commit.page;
    this.#lastPage = { commit, before: this.#run };
    this.#run = withPage(this.#run, { counts, generated, processed, ...(total === undefined ? {} : { total }) });
  }

  /** The page that the run's end is to take along, if there is one. */
  takeLastPage(): LastPage | undefined {
    const commit = this.#lastPage?.commit;
    this.#lastPage = undefined;
    if (commit === undefined) return undefined;
    const { counts = noCounts, processed = 0, total } = commit;
    const page = { ordinal: this.#commits + 1, generated: this.#run.numPagesGenerated, processed, counts };
    return total === undefined ? page : { ...page, total };
  }

  // What is planned is committed with it.
  async #commitLastPage(): Promise<void> {
    if (this.#lastPage === undefined) return;
    const { before, commit } = this.#lastPage;
    this.#lastPage = undefined;
    this.#run = before;
    await this.commit(commit);
  }

  /** Commits the page that was left to the end and what is planned, and how imports left, if there is anything. */
  async flush(): Promise<void> {
    await this.#commitLastPage();
    if (this.#planned.length > 0 || this.#hasChanged) await this.commit({});
  }

  #remember(change: Pick<RunPosition, "left" | "failed">): void {
    this.#position = { ...this.#position, ...change };
    this.#hasChanged = true;
  }

  // What is said of imports outlives every position of the reading.
  #positionAfter(position: RunPosition | undefined): RunPosition | undefined {
    if (position === undefined) return this.#hasChanged ? this.#position : undefined;
    const { failed, left } = this.#position;
    return { ...position, ...(failed === undefined ? {} : { failed }), ...(left === undefined ? {} : { left }) };
  }

  /**
   * Commits once; in places, a later change of an import is folded into an earlier one.
   *
   * @throws `lease_lost` if another process took the run over.
   */
  async commit(commit: Commit): Promise<readonly Failure[]> {
    if (this.#lastPage !== undefined) await this.#commitLastPage();
    const { clock, emit, lease, storage, tracer } = this.#deps;
    const { counts = noCounts, delivered = none, failures = none, places = none, superseded = none } = commit;
    const { generated = this.#run.numPagesGenerated, processed = 0, total } = commit;
    const position = this.#positionAfter(commit.position);
    this.#apply(places);
    const whole: { -readonly [Field in keyof PageCommit]: PageCommit[Field] } = {
      ordinal: this.#commits + 1,
      at: clock.now(),
      generated,
      processed,
      counts,
      places: this.#planned.length === 0 ? places : merged([...this.takePlanned(), ...places]),
      failures,
      delivered,
      superseded,
    };
    if (position !== undefined) whole.position = position;
    if (total !== undefined) whole.total = total;
    if (commit.page !== undefined) this.#page = commit.page;
    const committed = await (tracer === undefined ? storage.commitPage(lease, whole) : this.#traced(tracer, whole));
    if (committed === undefined) throw new LeaseLostError(lease._runId);
    this.#commits++;
    this.#run = committed.run;
    if (position !== undefined) this.#position = position;
    this.#hasChanged = false;
    if (processed > 0) this.emitProgress(total);
    if (committed.failures.length > 0) emit("failures:stored", { run: committed.run, failures: committed.failures });
    return committed.failures;
  }

  #traced(tracer: Tracer, page: PageCommit): Promise<CommitResult | undefined> {
    const { lease, storage } = this.#deps;
    const step = { kind: "commit", run: this.#run, page: this.#page } as const;
    return tracer.around(step, () => storage.commitPage(lease, page), {
      returned: (committed) =>
        committed === undefined ? refusedCommit(new LeaseLostError(lease._runId)) : { outcome: "committed" },
      threw: refusedCommit,
    });
  }

  #apply(changes: readonly PlaceChange[]): void {
    for (const change of changes)
      for (const _importId of change._importIds)
        this.#places.set(_importId, changedPlace(this.placeOf(_importId), change));
  }

  /** Reports how far the run is, unless that was reported within the last second. */
  emitProgress(total: number | undefined): void {
    const now = this.#deps.clock.now();
    if (now - this.#emittedAt < progressIntervalMs) return;
    this.#emittedAt = now;
    this.#deps.emit("run:progress", { run: this.#run, ...(total === undefined ? {} : { total }) });
  }
}

// A commit names each import once: changes of the same imports become one.
function merged(changes: readonly PlaceChange[]): readonly PlaceChange[] {
  if (changes.length < 2) return changes;
  const byImport = new Map<string, PlaceChange>();
  for (const change of changes)
    for (const _importId of change._importIds)
      byImport.set(_importId, { ...byImport.get(_importId), ...change, _importIds: [_importId] });
  const grouped = new Map<string, PlaceChange>();
  for (const change of byImport.values()) {
    const { _importIds, ...rest } = change;
    const same = JSON.stringify(rest);
    grouped.set(same, { ...rest, _importIds: [...(grouped.get(same)?._importIds ?? []), ..._importIds] });
  }
  return [...grouped.values()];
}
