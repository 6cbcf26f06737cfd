import {
  type BulkResult,
  type MatchingFailure,
  type OfDisabled,
  countMatching,
  disabledOfChosen,
  disabledOfFilter,
  disabledOfFlows,
  newestOf,
  resolveAll,
  resolveChosen,
  retryAll,
  retryChosen,
} from "../api/bulk.ts";
import type { QueryValues } from "../browser/query-values.ts";
import type { Failure, Fault } from "../api/documents.ts";
import * as say from "../strings.ts";
import { type ComponentChildren, useEffect, useState } from "../view.ts";
import { Dialog } from "./dialog.tsx";
import { Refusal } from "../frame/states.tsx";
import { ApiError, errorOf } from "../api/client.ts";
import { flowName } from "../api/names.ts";
import { notify } from "../frame/notices.tsx";
import { Time } from "./time.tsx";

/** What is to be retried or resolved. */
export interface BulkQuestion {
  readonly kind: "retry" | "resolve";
  /** How many failures it is for; undefined: they have to be counted. */
  readonly count: number | undefined;
  /** In how many flows, if that is known. */
  readonly flows?: number | undefined;
  readonly faults: readonly Fault[];
  readonly what:
    | { readonly chosen: readonly Failure[] }
    /** `pattern`: of its cause. */
    | { readonly filter: QueryValues; readonly pattern?: string | undefined };
}

interface BulkDialogProps {
  readonly question: BulkQuestion;
  readonly close: () => void;
  readonly done: () => void;
}

/** Asks before many failures are retried or resolved: it names their number and acts on exactly that set. */
export function BulkDialog({ question, close, done }: BulkDialogProps) {
  const { meant, counted } = useMeant(question);
  // What is known by now is newer than the question.
  const { kind, what, newest, disabled, error, count, flows, faults }: BulkQuestion & Meant = { ...question, ...meant };
  const isRetry = kind === "retry";
  const left = isRetry ? (disabled?.failures ?? 0) : 0;
  const act = async () => {
    if ("chosen" in what) announce(await (isRetry ? retryChosen : resolveChosen)(what.chosen));
    else if (newest !== undefined)
      announce(await (isRetry ? retryAll : resolveAll)({ filter: what.filter, through: newest._id }));
    done();
  };
  return (
    <Dialog
      title={say.failuresTitle(isRetry, count)}
      confirm={say.failuresConfirm(isRetry, (count ?? counted) - left)}
      isBlocked={meant === undefined || error !== undefined || left === count}
      isDangerous={!isRetry}
      act={act}
      close={close}
    >
      {count === undefined && <p role="status">{say.failuresCountedSoFar(counted)}</p>}
      <WhichOnes what={what} newest={newest} />
      {error !== undefined && <Refusal error={error} />}
      {isRetry && flows !== undefined && left !== count && (
        <p>{say.failuresFlowsGet(flows - (disabled?.flows ?? 0))}</p>
      )}
      {isRetry && meant !== undefined && disabled === undefined && <p class="muted">{say.failuresDisabledLeft}</p>}
      {disabled !== undefined && disabled.failures > 0 && <p>{say.failuresOfDisabled(disabled, isRetry)}</p>}
      {isRetry && faults.includes("reject") && <p>{say.failuresRejected}</p>}
      {!isRetry && <p>{say.failuresResolveWhy}</p>}
    </Dialog>
  );
}

interface WhichOnesProps {
  readonly what: BulkQuestion["what"];
  readonly newest: MatchingFailure | undefined;
}

function WhichOnes({ what, newest }: WhichOnesProps) {
  if ("chosen" in what) return null;
  return (
    <p>
      <strong>{say.failuresFilter}:</strong> {filterInWords(what.filter, what.pattern)}
      {newest !== undefined && (
        <>
          , {say.failuresThrough} <Time at={newest.createdAt} show="absolute" seconds />
        </>
      )}
    </p>
  );
}

function filterInWords(filter: QueryValues, pattern = filter.cause): string {
  const { _flowId, _importId, _runId, fault, key, text } = filter;
  return [
    text && say.failuresOfText(text),
    key && say.failuresOfKey(key),
    _runId && say.failuresOfRun(_runId),
    pattern && say.failuresOfCause(pattern),
    _flowId && say.failuresOfFlow(flowName(_flowId).value),
    _importId && say.failuresOfImport(_importId),
    fault && say.failuresOfFault(fault),
    say.failuresOpenOnes,
  ]
    .filter(Boolean)
    .join(", ");
}

/** What an action is for, as it is when the question is asked. */
interface Meant {
  /** Absent: as the question says. */
  readonly count?: number | undefined;
  readonly flows?: number | undefined;
  readonly faults?: readonly Fault[];
  /** The failure up to which is acted, of a filter. */
  readonly newest?: MatchingFailure;
  /** Absent: the caller may not see that, or the API is older than this page. */
  readonly disabled?: OfDisabled | undefined;
  readonly error?: ApiError;
}

const notKnown = () => undefined;

function useMeant(question: BulkQuestion): { readonly meant: Meant | undefined; readonly counted: number } {
  const [meant, setMeant] = useState<Meant | undefined>(undefined);
  const [counted, setCounted] = useState(0);
  useEffect(() => {
    const counting = new AbortController();
    const { signal } = counting;
    meantBy(question, { report: setCounted, signal }).then(setMeant, (error: unknown) => {
      if (!signal.aborted) setMeant({ error: errorOf(error) });
    });
    return () => counting.abort();
  }, []);
  return { meant, counted };
}

type Counting = Parameters<typeof countMatching>[1];

async function meantBy({ count, what }: BulkQuestion, counting: Counting): Promise<Meant> {
  if ("chosen" in what) return { disabled: await disabledOfChosen(what.chosen).catch(notKnown) };
  if (count === undefined) return counted(what.filter, counting);
  const ofDisabled = disabledOfFilter(what.filter).catch(notKnown);
  const [newest, disabled] = await Promise.all([newestOf(what.filter), ofDisabled]);
  return newest === undefined ? { error: noneLeft } : { newest, disabled };
}

async function counted(filter: QueryValues, counting: Counting): Promise<Meant> {
  const { byFlow, count, faults, newest } = await countMatching(filter, counting);
  if (newest === undefined) return { count, error: noneLeft };
  return { count, faults, newest, flows: byFlow.size, disabled: await disabledOfFlows(byFlow).catch(notKnown) };
}

const noneLeft = new ApiError(404, [{ code: "not_found", message: say.failuresNoneLeft }]);

function announce({ runs, resolved, refused }: BulkResult): void {
  const parts: ComponentChildren[] = [];
  if (runs > 0 || resolved === 0) parts.push(say.failuresRetried(runs));
  if (resolved > 0) parts.push(say.failuresResolved(resolved));
  if (refused.length > 0)
    parts.push(
      `; ${say.failuresRefused(refused.length)}: ${refused
        .slice(0, 3)
        .map(({ _flowId, code }) => `${_flowId} (${code})`)
        .join(", ")}`,
    );
  notify(parts, refused.length > 0);
}
