import { type BulkResult, newestOf, resolveAll, resolveChosen, retryAll, retryChosen } from "../api/bulk.ts";
import type { QueryValues } from "../browser/query-values.ts";
import type { Failure, Fault } from "../api/documents.ts";
import * as say from "../strings.ts";
import { type ComponentChildren, useEffect, useState } from "../view.ts";
import { Dialog, errorOf } from "./dialog.tsx";
import { Refusal } from "../frame/states.tsx";
import { ApiError } from "../api/client.ts";
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
  readonly what: { readonly chosen: readonly Failure[] } | { readonly filter: QueryValues; readonly words: string };
}

interface BulkDialogProps {
  readonly question: BulkQuestion;
  readonly close: () => void;
  readonly done: () => void;
}

/** Asks before many failures are retried or resolved: it names their number and acts on exactly that set. */
export function BulkDialog({ question, close, done }: BulkDialogProps) {
  const { kind, count, flows, faults, what } = question;
  const { newest, error } = useNewest("filter" in what ? what.filter : undefined);
  const isReady = "chosen" in what || newest !== undefined;
  const isRetry = kind === "retry";
  const act = async () => {
    if ("chosen" in what) report(await (isRetry ? retryChosen : resolveChosen)(what.chosen));
    else if (newest !== undefined)
      report(await (isRetry ? retryAll : resolveAll)({ filter: what.filter, through: newest._id }));
    done();
  };
  return (
    <Dialog
      title={isRetry ? say.failuresRetryTitle(count) : say.failuresResolveTitle(count)}
      confirm={isRetry ? say.failuresRetryConfirm(count) : say.failuresResolveConfirm(count)}
      isBlocked={!isReady}
      isDangerous={!isRetry}
      act={act}
      close={close}
    >
      {"filter" in what && (
        <p>
          <strong>{say.failuresFilterIs}</strong> {what.words}
          {newest !== undefined && (
            <>
              , {say.failuresThrough} <Time at={newest.createdAt} show="absolute" seconds />
            </>
          )}
        </p>
      )}
      {error !== undefined && <Refusal error={error} />}
      {isRetry && flows !== undefined && <p>{say.failuresFlowsGet(flows)}</p>}
      {isRetry && <p class="muted">{say.failuresDisabledLeft}</p>}
      {isRetry && faults.includes("reject") && <p>{say.failuresRejected}</p>}
      {!isRetry && <p>{say.failuresResolveWhy}</p>}
    </Dialog>
  );
}

/** The failure up to which is acted; it is looked up once, when the question is asked. */
function useNewest(filter: QueryValues | undefined): { readonly newest?: Failure; readonly error?: ApiError } {
  const [found, setFound] = useState<{ readonly newest?: Failure; readonly error?: ApiError }>({});
  useEffect(() => {
    if (filter === undefined) return;
    newestOf(filter).then(
      (newest) => setFound(newest === undefined ? { error: noneLeft } : { newest }),
      (error: unknown) => setFound({ error: errorOf(error) }),
    );
  }, []);
  return found;
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
