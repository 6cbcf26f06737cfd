import type { Counts, Failure, Run } from "../../src/index.ts";
import type { PlaceChange } from "../../src/storage/storage.ts";
import type { HostChecks } from "./host-checks.ts";
import { type FlowModel, type ImportModel, type Model, type RunModel, hasSettled } from "./model.ts";
import type { CallOf, Process } from "./process.ts";
import {
  type Cursor,
  isCursor,
  isOriginal,
  isRefused,
  isThrough,
  isUnmappable,
  keeps,
  keyOf,
  nextStep,
  numberOf,
  pagesBefore,
} from "./source.ts";

type PageCommit = CallOf<"commitPage">["args"][1];

/** Records that a commit settles for one import. */
interface Share {
  readonly run: RunModel;
  readonly into: ImportModel;
  readonly numbers: readonly number[];
  readonly isInbox: boolean;
}

const noCounts: Counts = { numSuccess: 0, numIgnore: 0, numError: 0 };

/** What must be true of every commit, and of how runs end. */
export class CommitChecks {
  readonly #model: Model;
  readonly #host: HostChecks;
  readonly #onQueued: (run: Run) => void;

  constructor(model: Model, host: HostChecks, onQueued: (run: Run) => void) {
    this.#model = model;
    this.#host = host;
    this.#onQueued = onQueued;
  }

  committed(process: Process, { args: [lease, page], answer }: CallOf<"commitPage">): void {
    const model = this.#model;
    const run = model.runs.get(lease._runId);
    if (run === undefined) return;
    if (answer === undefined) {
      model.tally.staleCommits++;
      if (run.holder?.token === lease.token)
        model.violate("fence", `the commit of run ${run._id} was refused to its holder`);
      return;
    }
    if (run.holder?.token !== lease.token) model.violate("fence", `a commit of run ${run._id} without its lease`);
    // The same commit again, because its first answer got lost.
    if (page.ordinal === run.commits) return;
    if (page.ordinal !== ++run.commits)
      model.violate("counts", `commit ${page.ordinal} of run ${run._id} came after ${run.commits - 1}`);
    if (page.processed === 0) model.tally.earlyCommits++;
    model.tally.pages += page.processed;
    if (!run.flow.isDeleted) this.#settle(process, run, page, answer.failures);
    this.#checkSums(run, page, answer.run);
  }

  #settle(process: Process, run: RunModel, page: PageCommit, stored: readonly Failure[]): void {
    if (run.trigger === "retry") this.#checkRetried(run, page, stored);
    else
      for (const _importId of Object.keys(page.counts)) {
        const into = run.flow.imports.get(_importId);
        if (into === undefined) continue;
        const share = this.#shareOf(run, into, page);
        // A sample run that waited for one import has nothing left for it.
        if (run.limit !== undefined && sumOf(page.counts[_importId] ?? noCounts) === 0) continue;
        this.#checkSettled(process, share, page);
        this.#checkSuperseded(share, page);
        if (run.limit === undefined) for (const n of share.numbers) into.committed.add(n);
      }
    for (const failure of page.failures) this.#checkFailure(run, failure);
    for (const failure of stored) this.#keep(run, failure);
    this.#move(run, page.places);
    if (page.position !== undefined) run.ahead = page.position.ahead ?? [];
  }

  #shareOf(run: RunModel, into: ImportModel, page: PageCommit): Share {
    const change = page.places.find(({ _importIds }) => _importIds.includes(into.plan._id));
    if (change?.inbox !== undefined) return this.#inboxShare(run, into, Number(change.inbox));
    const pages = run.limit === undefined ? this.#pagesTo(run, into, change) : this.#ownPage(run, into);
    const numbers = pages.flatMap((one) => run.flow.source.numbers(one));
    if (run.limit === undefined) return { run, into, numbers, isInbox: false };
    const { numSuccess, numIgnore, numError } = run.sums.get(into.plan._id) ?? noCounts;
    // After a wait its limit counts what any import got before.
    const left = run.claims > 1 ? sumOf(page.counts[into.plan._id] ?? noCounts) : Infinity;
    const unread = run.limit - numSuccess - numIgnore - numError;
    // A page without a cursor is read again after a wait, by those that have settled it, too.
    const most = run.flow.source.plan.patchy && run.claims > 1 ? left : Math.min(unread, left);
    return { run, into, numbers: numbers.slice(0, most), isInbox: false };
  }

  #inboxShare(run: RunModel, into: ImportModel, through: number): Share {
    const { inbox } = run.flow;
    if (!inbox.some(({ cursor }) => cursor === through))
      this.#model.violate("intake", `run ${run._id} committed the inbox up to ${through}, which it did not read`);
    const settled = inbox.filter(({ cursor }) => cursor > into.inbox && cursor <= through);
    return { run, into, numbers: settled.flatMap(({ numbers }) => numbers), isInbox: true };
  }

  // Which pages a commit settles: those up to its cursor, or, without one, the next.
  #pagesTo(run: RunModel, into: ImportModel, change: PlaceChange | undefined): readonly number[] {
    const { source } = run.flow;
    const from = into.position?.cursor ?? into.checkpoint;
    const to: unknown = change?.position?.checkpoint?.value ?? change?.checkpoint?.value;
    if (isCursor(source.plan, to)) {
      const pages = source.between(from, to).slice(into.loose);
      into.loose = 0;
      return pages;
    }
    const page = this.#pageAfter(run, from, into.loose++);
    return page === undefined ? [] : [page];
  }

  #ownPage(run: RunModel, { plan }: ImportModel): readonly number[] {
    const read = run.own.get(plan._id) ?? 0;
    run.own.set(plan._id, read + 1);
    const page = this.#pageAfter(run, run.base, read);
    return page === undefined ? [] : [page];
  }

  #pageAfter({ _id, end = 0, flow }: RunModel, from: Cursor | undefined, steps: number): number | undefined {
    let step = nextStep(flow.source.plan, from, end);
    for (let nth = 0; nth < steps && step !== undefined; nth++) step = nextStep(flow.source.plan, step.cursor, end);
    if (step === undefined) this.#model.violate("counts", `run ${_id} committed a page that its export did not give`);
    return step?.page;
  }

  #checkSettled(process: Process, share: Share, page: PageCommit): void {
    const { into, numbers, run } = share;
    const { plan } = into;
    const failed = new Map<number, Failure>();
    for (const failure of page.failures)
      if (failure._importId === plan._id) failed.set(numberOf(failure.record) ?? -1, failure);
    const made = { numSuccess: 0, numIgnore: 0, numError: 0 };
    for (const [index, n] of numbers.entries())
      if (failed.has(n)) made.numError++;
      else if (!keeps(plan, n)) made.numIgnore++;
      else if (into.applied.has(n)) made.numSuccess++;
      else if (this.#isOvertaken(run.flow, numbers, index)) {
        made.numError++;
        into.overtaken.add(n);
      } else
        this.#model.violate(
          "conservation",
          `run ${run._id} committed record ${n}, which ${plan._id} neither got nor failed`,
        );
    this.#checkCounts(share, page.counts[plan._id] ?? noCounts, made);
    this.#checkOutage(process, share, [...failed.values()]);
    this.#checkLimit(run, into);
    this.#model.tally.delivered += made.numSuccess;
    this.#model.tally.ignored += made.numIgnore;
  }

  // Another state of the same thing in the same page stands for it: a later one, or, with versions, a newer one.
  #isOvertaken({ source }: FlowModel, numbers: readonly number[], index: number): boolean {
    const { keys, versions } = source.plan;
    if (keys !== "things") return false;
    const n = numbers[index] ?? 0;
    const others = versions ? numbers.filter((other) => other > n) : numbers.slice(index + 1);
    return others.some((other) => keyOf(source.plan, other) === keyOf(source.plan, n));
  }

  #checkCounts({ run, into }: Share, stated: Counts, made: Counts): void {
    const { keys, patchy } = run.flow.source.plan;
    // Which page was tried beside the one that is stuck cannot be seen before the next cursor, also once the pause is over.
    if (patchy && (into.isProbed || (into.pause?.attempts ?? 0) > 2)) {
      into.isProbed = into.loose > 0;
      return;
    }
    // Of several failed states of a thing one is stored, so the others cannot be distinguished from those that were written.
    const sums = (counts: Counts) => [counts.numIgnore, counts.numSuccess + counts.numError];
    const [one, other] = keys === "things" ? [sums(stated), sums(made)] : [valuesOf(stated), valuesOf(made)];
    if (JSON.stringify(one) !== JSON.stringify(other))
      this.#model.violate(
        "counts",
        `run ${run._id} counts ${JSON.stringify(stated)} at ${into.plan._id}, it was ${JSON.stringify(made)}`,
      );
  }

  // A page of which nothing got through is not the records' fault: the import is paused, and nothing of it stored.
  #checkOutage(process: Process, { run, into, numbers, isInbox }: Share, failed: readonly Failure[]): void {
    const { keys, patchy } = run.flow.source.plan;
    // A run that is to end commits what would be sent twice else.
    if (run.isCanceling || process.state !== "started" || isInbox || keys === "things") return;
    const { plan } = into;
    // A page of which nothing can be mapped is refused, too, and shows that the one before it was not an outage.
    if ((into.pause?.attempts ?? 0) > 2 && (patchy || numbers.some((n) => isUnmappable(plan, n)))) return;
    const sent = numbers.filter((n) => keeps(plan, n) && !isUnmappable(plan, n)).length;
    const down = failed.filter(({ fault }) => fault === "retry" || (fault === "unknown" && plan.idempotent)).length;
    if (sent > 0 && down === sent && run.limit === undefined)
      this.#model.violate("outage", `run ${run._id} stored a whole page while ${plan._id} was down`);
  }

  #checkLimit(run: RunModel, { plan }: ImportModel): void {
    const { maxFailures } = this.#model.around.plan.options;
    if (run.limit === undefined && (run.newFailures.get(plan._id) ?? 0) > maxFailures)
      this.#model.violate("outage", `run ${run._id} went on after more than ${maxFailures} failures of ${plan._id}`);
  }

  // A failure is overtaken by what was delivered, or ignored, of the same thing, and by no older state of it.
  #checkSuperseded({ into, numbers, run }: Share, page: PageCommit): void {
    const { plan } = run.flow.source;
    for (const _id of page.superseded) {
      const n = into.open.get(_id);
      if (n === undefined) continue;
      into.open.delete(_id);
      into.closed.add(_id);
      this.#model.tally.superseded++;
      const isNewer = (other: number) => keyOf(plan, other) === keyOf(plan, n) && (!plan.versions || other >= n);
      if (!numbers.some(isNewer))
        this.#model.violate("newest state", `the failure of record ${n} at ${into.plan._id} was overtaken by none`);
    }
  }

  #checkRetried(run: RunModel, page: PageCommit, stored: readonly Failure[]): void {
    for (const _id of page.delivered)
      for (const into of run.flow.imports.values()) {
        const n = into.open.get(_id);
        if (n === undefined) continue;
        into.open.delete(_id);
        this.#model.tally.retried++;
        // A filter that leaves it out settles it, too.
        if (!into.applied.has(n) && keeps(into.plan, n))
          this.#model.violate("conservation", `the failure of record ${n} at ${into.plan._id} is gone, not written`);
      }
    const counts = Object.values(page.counts);
    const numError = counts.reduce((sum, made) => sum + made.numError, 0);
    const rest = counts.reduce((sum, made) => sum + made.numSuccess + made.numIgnore, 0);
    if (counts.length > 1 || numError !== page.failures.length || rest !== page.delivered.length)
      this.#model.violate("counts", `retry run ${run._id} counts ${JSON.stringify(page.counts)}`);
    for (const { _id, _importId, status } of stored)
      if (status === "open" && run.flow.imports.get(_importId)?.closed.has(_id) === true)
        this.#model.violate("conservation", `retry run ${run._id} opened failure ${_id} again, which was resolved`);
  }

  #checkFailure(run: RunModel, failure: Failure): void {
    const { _importId, record, fault, key } = failure;
    const { flow } = run;
    const into = flow.imports.get(_importId);
    const n = numberOf(record) ?? -1;
    const place = `record ${n} at ${_importId}, run ${run._id}`;
    if (into === undefined || !isOriginal(flow.source.plan._id, record)) {
      this.#model.violate("no invention", `a failure has ${JSON.stringify(record)}: ${place}`);
      return;
    }
    this.#model.tally.stored++;
    into.stored.add(n);
    const { plan } = into;
    const isDoomed = isRefused(plan, n) || isUnmappable(plan, n);
    if (fault === "reject" && !into.rejected.has(n) && !isDoomed)
      this.#model.violate("outcome classes", `stored as reject, but it was not: ${place}`);
    if (fault === "unknown" && !into.doubted.has(n))
      this.#model.violate("outcome classes", `stored as unknown, but it was not: ${place}`);
    const isItsOwn =
      flow.source.plan.keys === "none"
        ? (this.#host.ownerOf(flow._id, _importId, key) ?? n) === n
        : key === keyOf(flow.source.plan, n);
    if (!isItsOwn) this.#model.violate("keys", `a failure has the key ${key}: ${place}`);
  }

  // As it is stored now: under the id of the open failure of the same key, if there was one.
  #keep(run: RunModel, { _id, _importId, occurrences, record, status }: Failure): void {
    const into = run.flow.imports.get(_importId);
    if (into === undefined || status !== "open") return;
    const n = numberOf(record) ?? -1;
    into.open.set(_id, n);
    into.resolved.delete(n);
    if (run.trigger !== "retry" && occurrences === 1)
      run.newFailures.set(_importId, (run.newFailures.get(_importId) ?? 0) + 1);
  }

  #checkSums(run: RunModel, page: PageCommit, answer: Run): void {
    const total = { numSuccess: 0, numIgnore: 0, numError: 0 };
    for (const [_importId, made] of Object.entries(page.counts)) {
      const before = run.sums.get(_importId) ?? noCounts;
      run.sums.set(_importId, {
        numSuccess: before.numSuccess + made.numSuccess,
        numIgnore: before.numIgnore + made.numIgnore,
        numError: before.numError + made.numError,
      });
    }
    for (const [_importId, sum] of run.sums) {
      const stated = answer.imports[_importId] ?? noCounts;
      if (JSON.stringify(valuesOf(stated)) !== JSON.stringify(valuesOf(sum)))
        this.#model.violate("counts", `run ${run._id} states ${JSON.stringify(stated)} in all at ${_importId}`);
      total.numSuccess += sum.numSuccess;
      total.numIgnore += sum.numIgnore;
      total.numError += sum.numError;
    }
    if (JSON.stringify(valuesOf(answer)) !== JSON.stringify(valuesOf(total)))
      this.#model.violate("counts", `the totals of run ${run._id} are not its imports' sums`);
  }

  #move(run: RunModel, changes: readonly PlaceChange[]): void {
    for (const change of changes)
      for (const _importId of change._importIds) {
        const into = run.flow.imports.get(_importId);
        if (into !== undefined) this.#moveOne(run, into, change);
      }
  }

  #moveOne(run: RunModel, into: ImportModel, change: PlaceChange): void {
    const { tally } = this.#model;
    if ((run.limit !== undefined || run.trigger === "retry") && !isPauseOfRetries(run, into, change))
      this.#model.violate("cursor", `run ${run._id} (${run.trigger}) moved ${into.plan._id}`);
    if (change.inbox !== undefined) into.inbox = Number(change.inbox);
    if (change.checkpoint !== undefined) this.#moveTo(run, into, change.checkpoint.value);
    if (change.position === null) into.position = undefined;
    else if (change.position !== undefined) {
      const value: unknown = change.position.checkpoint?.value;
      into.position = { cursor: isCursor(run.flow.source.plan, value) ? value : undefined };
    }
    if (change.behind === true) tally.behind++;
    if (change.pause !== undefined) {
      if (change.pause === null && into.pause !== undefined) tally.resumed++;
      if (change.pause !== null && into.pause === undefined) tally.paused++;
      into.pause = change.pause ?? undefined;
    }
    if (into.pause !== undefined && into.pause.until !== "person" && into.pause.resumeAt === undefined)
      this.#model.violate("liveness", `${into.plan._id} of flow ${run.flow._id} is paused, and nothing ends that`);
  }

  // An import's checkpoint says that everything before it is settled for it. So it has to be.
  #moveTo(run: RunModel, into: ImportModel, value: unknown): void {
    const { flow } = run;
    const place = `${into.plan._id} of flow ${flow._id}`;
    if (!isCursor(flow.source.plan, value)) {
      this.#model.violate("cursor", `run ${run._id} moved ${place} to ${JSON.stringify(value)}, none of its export's`);
      return;
    }
    if (run.trigger === "realtime") this.#model.violate("cursor", `run ${run._id} (realtime) moved ${place}`);
    if (pagesBefore(value) < pagesBefore(into.checkpoint))
      this.#model.violate("cursor", `${place} went back to ${JSON.stringify(value)}`);
    into.checkpoint = value;
    for (; into.checked < pagesBefore(value); into.checked++)
      for (const n of flow.source.numbers(into.checked))
        if (!hasSettled(into, n))
          this.#model.violate("conservation", `record ${n} is behind the checkpoint of ${place}, which never got it`);
  }

  ended(process: Process, { args: [lease, ending], answer }: CallOf<"endRun">): void {
    const model = this.#model;
    const run = model.runs.get(lease._runId);
    if (run === undefined) return;
    if (answer === undefined) {
      if (run.holder?.token === lease.token) model.violate("fence", `run ${run._id} was not ended for its holder`);
      return;
    }
    if (run.ended !== undefined) {
      if (run.lastToken !== lease.token) model.violate("fence", `run ${run._id} was ended twice, by different holders`);
      return;
    }
    if (run.holder?.token !== lease.token) model.violate("fence", `run ${run._id} was ended without its lease`);
    this.#leaves(process, run);
    run.ended = answer.run.status;
    if (run.ended === "failed") model.tally.failedRuns++;
    if (run.ended === "canceled") model.tally.canceledRuns++;
    if (!run.flow.isDeleted) {
      this.#move(run, ending.places);
      if (run.ended === "canceled" && run.discards) model.discard(run.flow);
      for (const [_importId, { status }] of Object.entries(ending.imports)) this.#endImport(run, _importId, status);
    }
    if (answer.resume !== undefined) this.#onQueued(answer.resume);
  }

  #endImport(run: RunModel, _importId: string, status: string): void {
    const into = run.flow.imports.get(_importId);
    if (into === undefined) return;
    // Nothing of its last page was committed, and some of it may have been written.
    if (status === "failed" || run.limit !== undefined) this.#model.excuse(into);
    if (status === "completed" && run.ended === "completed") this.#checkRead(run, into);
  }

  #checkRead({ _id, end, flow, limit, trigger }: RunModel, into: ImportModel): void {
    const { order, patchy } = flow.source.plan;
    const isReading = ["schedule", "catch-up", "manual"].includes(trigger) && limit === undefined;
    if (!isReading || patchy || end === undefined) return;
    const { checkpoint } = into;
    const isRead =
      order === "ordered"
        ? pagesBefore(checkpoint) >= end
        : end === 0 || (checkpoint !== undefined && "at" in checkpoint && isThrough(checkpoint));
    if (!isRead)
      this.#model.violate("conservation", `run ${_id} completed for ${into.plan._id} before its export had ended`);
  }

  #leaves(process: Process, run: RunModel): void {
    this.#model.noteSlots(process);
    run.flow.active = undefined;
    run.holder = undefined;
    run.cancelBy = Infinity;
    if (this.#model.callsOf(process).some(({ _runId }) => _runId === run._id))
      this.#model.violate("one running run", `run ${run._id} gave its place up while its code still goes on`);
  }

  released(process: Process, { args: [lease, change], answer }: CallOf<"releaseRun">): void {
    const model = this.#model;
    const run = model.runs.get(lease._runId);
    if (run === undefined || answer === undefined) return;
    if (run.holder?.token !== lease.token) model.violate("fence", `run ${run._id} was released without its lease`);
    model.tally.releasedRuns++;
    if (change?.notBefore !== undefined) model.tally.waitingRuns++;
    this.#leaves(process, run);
    run.flow.queue.unshift(run._id);
  }
}

// A retry run that meets a stop pauses the import, so that no more of them meet it; it moves nothing, and no other pause ends.
function isPauseOfRetries(run: RunModel, into: ImportModel, { _importIds: _, pause, ...moved }: PlaceChange): boolean {
  const isPause = pause?.until === "nextRun" && into.pause === undefined && Object.keys(moved).length === 0;
  return run.trigger === "retry" && isPause;
}

function sumOf({ numSuccess, numIgnore, numError }: Counts): number {
  return numSuccess + numIgnore + numError;
}

function valuesOf({ numSuccess, numIgnore, numError }: Counts): readonly number[] {
  return [numSuccess, numIgnore, numError];
}
