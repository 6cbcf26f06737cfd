import type { Scan } from "../api/scan.ts";
import * as say from "../strings.ts";
import { FailureTable } from "./failure-table.tsx";
import { Time } from "../parts/time.tsx";
import { Refusal } from "../frame/states.tsx";

/** What a search has found so far, and how far it has looked. */
export function ScanResult({ scan }: { readonly scan: Scan }) {
  const [found, isSearching, error] = [scan.found.value, scan.isSearching.value, scan.error.value];
  const backTo = scan.backTo.value;
  return (
    <>
      <p class="choice-bar">
        <span role="status">
          {isSearching && `${say.findSearching} `}
          {say.findLooked(scan.examined.value)}
          {backTo !== undefined && (
            <>
              , {say.findBackTo} <Time at={backTo} show="absolute" />
            </>
          )}
        </span>
        {isSearching && (
          <button type="button" class="quiet" onClick={() => scan.stop()}>
            {say.findStop}
          </button>
        )}
      </p>
      {error !== undefined && <Refusal error={error} />}
      {found.length > 0 && <FailureTable failures={found} />}
      {found.length === 0 && !isSearching && error === undefined && <p class="empty">{say.findNothingIn}</p>}
    </>
  );
}
