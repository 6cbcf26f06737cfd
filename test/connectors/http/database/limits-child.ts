// A process that begins as many requests as limits of a database allow, and writes when each began.
import { sqlLimits } from "../../../../src/connectors/http/index.ts";
import { type Place, openPlace } from "../../../support/shared-database.ts";

interface Plan {
  readonly place: Place;
  readonly requests: number;
  readonly perMs: number;
  /** Asked for after so many requests. */
  readonly pause?: { readonly after: number; readonly ms: number };
}

const plan = JSON.parse(process.argv[2] ?? "") as Plan;
const { database, close } = openPlace(plan.place);
const { requests, perMs } = plan;
const limits = sqlLimits({ database, name: "shop", requests, perMs, concurrency: 4 });
const end = new AbortController();
process.stdin.once("data", () => {
  // Begins with its parent's word, and goes on until its pipe is closed.
  process.stdin.once("end", () => end.abort()).resume();
  void Promise.allSettled(Array.from({ length: 4 }, () => begin())).then(close);
});
let begun = 0;

async function begin(): Promise<void> {
  while (!end.signal.aborted) {
    const leave = await limits.enter(end.signal);
    console.log(JSON.stringify({ at: Date.now() }));
    if (++begun === plan.pause?.after) {
      console.log(JSON.stringify({ pausedAt: Date.now() }));
      limits.pause(plan.pause.ms);
    }
    leave();
    // A request takes a moment.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
console.log(JSON.stringify({ ready: true }));
