import { can } from "../../api/permissions.ts";
import { useScan } from "../../api/scan.ts";
import { BulkDialog, type BulkQuestion } from "../../parts/bulk-dialog.tsx";
import * as say from "../../strings.ts";
import { ScanResult } from "../../tables/scan-result.tsx";
import { useState } from "../../view.ts";
import { Actions } from "./choice.tsx";
import { type FailureFilter, apiFilter, canMeanAll } from "./filter.ts";
import { ofFilter } from "./list.tsx";

/** Failures whose record or message contains the words: looked for, and retried and resolved together. */
export function TextSearch({ filter }: { readonly filter: FailureFilter }) {
  const scan = useScan(apiFilter(filter));
  const [question, ask] = useState<BulkQuestion | undefined>(undefined);
  const canAct = canMeanAll(filter) && (can("failures.retry") || can("failures.resolve"));
  return (
    <>
      {canAct && scan.found.value.length > 0 && (
        <p class="choice-bar">
          <span>{say.failuresAllThatMatch}</span>
          <Actions start={(kind) => ask(ofFilter(kind, filter, [], undefined))} />
        </p>
      )}
      <ScanResult scan={scan} />
      {question !== undefined && (
        <BulkDialog question={question} close={() => ask(undefined)} done={() => void scan.start(apiFilter(filter))} />
      )}
    </>
  );
}
