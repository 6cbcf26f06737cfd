import type { Failure } from "../../api/documents.ts";
import { can } from "../../api/permissions.ts";
import type { BulkQuestion } from "../../parts/bulk-dialog.tsx";
import * as say from "../../strings.ts";
import type { FailureChoice } from "../../tables/failure-table.tsx";
import { type ComponentChildren, useEffect, useState } from "../../view.ts";

/** Which failures of a list are chosen. */
export interface Choice extends FailureChoice {
  readonly chosen: readonly Failure[];
  /** Chooses these, and no others. */
  readonly choose: (failures: readonly Failure[]) => void;
  /** Chooses all that the filter means, also those on other pages. */
  readonly chooseAll: () => void;
  readonly clear: () => void;
}

/** Keeps what is chosen of the list at a path; nothing is when another one is shown. */
export function useChoice(path: string): Choice {
  const [chosen, setChosen] = useState<ReadonlyMap<string, Failure>>(new Map());
  const [isAll, setAll] = useState(false);
  const clear = () => {
    setChosen(new Map());
    setAll(false);
  };
  useEffect(clear, [path]);
  const toggle = (failure: Failure) => {
    const next = new Map(chosen);
    if (!next.delete(failure._id)) next.set(failure._id, failure);
    setChosen(next);
  };
  return {
    chosen: [...chosen.values()],
    isAll,
    has: ({ _id }) => chosen.has(_id),
    toggle,
    choose: (failures) => setChosen(new Map(failures.map((failure) => [failure._id, failure]))),
    chooseAll: () => setAll(true),
    clear,
  };
}

interface ChoiceBarProps {
  readonly choice: Choice;
  /** Those of the page that is shown. */
  readonly failures: readonly Failure[];
  /** How many the filter means, if that is known; undefined: nothing but single ones can be chosen. */
  readonly all: { readonly total: number | undefined } | undefined;
  readonly start: (kind: BulkQuestion["kind"]) => void;
  readonly children: ComponentChildren;
}

/** Chooses a page or all, says how many are chosen, and begins what can be done about them. */
export function ChoiceBar({ choice, failures, all, start, children }: ChoiceBarProps) {
  const { chosen, isAll, choose, chooseAll, clear } = choice;
  const open = failures.filter(({ status }) => status === "open");
  return (
    <div class="choice-bar">
      {open.length > 0 && (
        <button type="button" class="quiet" onClick={() => choose(open)}>
          {say.failuresChoosePage}
        </button>
      )}
      {chosen.length > 0 && !isAll && all !== undefined && (all.total ?? Infinity) > chosen.length && (
        <button type="button" class="quiet" onClick={chooseAll}>
          {say.failuresChooseAll(all.total)}
        </button>
      )}
      <span role="status">{choiceInWords(choice, all?.total)}</span>
      {(chosen.length > 0 || isAll) && (
        <>
          <Actions start={start} />
          <button type="button" class="quiet" onClick={clear}>
            {say.failuresClear}
          </button>
        </>
      )}
      {children}
    </div>
  );
}

function choiceInWords({ chosen, isAll }: Choice, total: number | undefined): string {
  if (isAll) return say.failuresAllChosen(total);
  return chosen.length > 0 ? say.failuresChosen(chosen.length) : "";
}

interface ActionsProps {
  readonly start: (kind: BulkQuestion["kind"]) => void;
}

/** What can be done about what is chosen, as far as the caller may. */
export function Actions({ start }: ActionsProps) {
  return (
    <>
      {can("failures.retry") && (
        <button type="button" class="main" onClick={() => start("retry")}>
          {say.failuresRetry}
        </button>
      )}
      {can("failures.resolve") && (
        <button type="button" onClick={() => start("resolve")}>
          {say.failuresResolve}
        </button>
      )}
    </>
  );
}
