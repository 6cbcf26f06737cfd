import {
  type BulkResult,
  type OfDisabled,
  disabledOfChosen,
  disabledOfFilter,
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
  /** How many failures it is for. */
  readonly count: number;
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
  const { kind, count, flows, faults, what } = question;
  const meant = useMeant(what);
  const { newest, disabled, error } = meant ?? {};
  const isRetry = kind === "retry";
  const left = isRetry ? (disabled?.failures ?? 0) : 0;
  const act = async () => {
    if ("chosen" in what) report(await (isRetry ? retryChosen : resolveChosen)(what.chosen));
    else if (newest !== undefined)
      report(await (isRetry ? retryAll : resolveAll)({ filter: what.filter, through: newest._id }));
    done();
  };
  return (
    <Dialog
      title={isRetry ? say.failuresRetryTitle(count) : say.failuresResolveTitle(count)}
      confirm={isRetry ? say.failuresRetryConfirm(count - left) : say.failuresResolveConfirm(count)}
      isBlocked={meant === undefined || error !== undefined || left === count}
      isDangerous={!isRetry}
      act={act}
      close={close}
    >
      {"filter" in what && (
        <p>
          <strong>{say.failuresFilter}:</strong> {filterInWords(what.filter, what.pattern)}
          {newest !== undefined && (
            <>
              , {say.failuresThrough} <Time at={newest.createdAt} show="absolute" seconds />
            </>
          )}
        </p>
      )}
      {error !== undefined && <Refusal error={error} />}
      {isRetry && flows !== undefined && left < count && <p>{say.failuresFlowsGet(flows - (disabled?.flows ?? 0))}</p>}
      {isRetry && meant !== undefined && disabled === undefined && <p class="muted">{say.failuresDisabledLeft}</p>}
      {disabled !== undefined && disabled.failures > 0 && <p>{say.failuresOfDisabled(disabled, isRetry)}</p>}
      {isRetry && faults.includes("reject") && <p>{say.failuresRejected}</p>}
      {!isRetry && <p>{say.failuresResolveWhy}</p>}
    </Dialog>
  );
}

function filterInWords({ _flowId, _importId, cause, fault }: QueryValues, pattern = cause): string {
  return [
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
  /** The failure up to which is acted, of a filter. */
  readonly newest?: Failure;
  /** Absent: the caller may not see that, or the API is older than this page. */
  readonly disabled?: OfDisabled | undefined;
  readonly error?: ApiError;
}

const notKnown = () => undefined;

function useMeant(what: BulkQuestion["what"]): Meant | undefined {
  const [meant, setMeant] = useState<Meant | undefined>(undefined);
  useEffect(() => {
    meantBy(what).then(setMeant, (error: unknown) => setMeant({ error: errorOf(error) }));
  }, []);
  return meant;
}

async function meantBy(what: BulkQuestion["what"]): Promise<Meant> {
  if ("chosen" in what) return { disabled: await disabledOfChosen(what.chosen).catch(notKnown) };
  const counting = disabledOfFilter(what.filter).catch(notKnown);
  const [newest, disabled] = await Promise.all([newestOf(what.filter), counting]);
  return newest === undefined ? { error: noneLeft } : { newest, disabled };
}

const noneLeft = new ApiError(404, [{ code: "not_found", message: say.failuresNoneLeft }]);

function report({ runs, resolved, refused }: BulkResult): void {
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
