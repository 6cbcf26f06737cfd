import { retryLater } from "poundlock";
import type { UniqueIndex } from "./unique-index.ts";

/** The index, but once `begins` says so it is down, for `forMs` milliseconds; then `onEnd` is called. */
export function withOutage<T extends { readonly name: string }>(
  index: Pick<UniqueIndex<T>, "put">,
  outage: { readonly begins: () => boolean; readonly forMs: number; readonly onEnd: () => void },
): Pick<UniqueIndex<T>, "put"> {
  let state: "ahead" | "down" | "over" = "ahead";
  return {
    async put(values, keys) {
      if (state === "ahead" && outage.begins()) {
        state = "down";
        setTimeout(() => {
          state = "over";
          outage.onEnd();
        }, outage.forMs);
      }
      // That is longer than the scheduler's `maxWaitMs`: the import is paused, and nobody waits for it.
      if (state === "down") throw retryLater("it is down", { afterMs: outage.forMs });
      return index.put(values, keys);
    },
  };
}
