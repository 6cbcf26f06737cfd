import { type Clock, within } from "../../clock.ts";
import type { CommittedContext, Export } from "../../model/host/export.ts";
import { messageOf } from "../../model/message.ts";
import { omitUndefined } from "../../model/record/json.ts";
import { defaultReadTimeoutMs } from "./export-source.ts";
import type { CommittedPage } from "./source.ts";

/** Calls the export's `committed`; nothing that it does harms the run. */
export async function callCommitted(
  from: Export<unknown>,
  page: CommittedPage,
  { clock, ...context }: CommittedContext & { readonly clock: Clock },
): Promise<void> {
  const { readTimeoutMs = defaultReadTimeoutMs } = from;
  try {
    const called = (async () => from.committed?.(Object.freeze(omitUndefined(page)), context))();
    if (await within(clock, readTimeoutMs, called, context.signal)) return;
    called.catch(() => undefined);
    if (!context.signal.aborted)
      context.log.warn({ timeoutMs: readTimeoutMs }, "committed did not return in time, and is left behind");
  } catch (error) {
    context.log.warn({ error: messageOf(error), err: error }, "committed failed: the export has to make up for it");
  }
}
