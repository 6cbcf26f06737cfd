import type { Export } from "../index.ts";
import type { Alert, AlertCheckpoint } from "./alert.ts";
import { type AlertOptions, type AlertSource, checkSource, rulesOf } from "./options.ts";
import { alertPages } from "./pages.ts";
import { Prompt } from "./prompt.ts";

/**
 * An export that reads how the flows of a scheduler do: its records are alerts. A flow from it to imports that send them
 * needs a schedule, such as `* * * * *`; what happens in this process is read within seconds. That flow itself is left out.
 *
 * @throws `invalid_option` naming the first option that is unknown, or out of range.
 */
export function alerts(scheduler: AlertSource, options: AlertOptions = {}): Export<Alert, AlertCheckpoint> {
  checkSource(scheduler);
  const rules = rulesOf(options);
  const source: Export<Alert, AlertCheckpoint> = {
    order: "ordered",
    key: ({ _id }) => _id,
    pages: (context) => alertPages(scheduler, rules, context),
  };
  const isOwn = (_exportId: string) => scheduler.registry.findExport(_exportId) === (source as unknown);
  new Prompt(scheduler, isOwn).listen();
  return source;
}
