import type { Clock } from "../clock.ts";
import type { Flow } from "../model/flow/flow.ts";
import type { FlowQuery, ListResult, Storage } from "./storage.ts";

/** A whole page of flows, however many of its portions a storage looks at for it, with a turn for others between. */
export async function listFlows(
  { clock, storage }: { readonly clock: Clock; readonly storage: Pick<Storage, "listFlows"> },
  query: Omit<FlowQuery, "now">,
): Promise<ListResult<Flow>> {
  const asked = query.state === "overdue" ? { ...query, now: clock.now() } : query;
  let page = await storage.listFlows(asked);
  while (page.next !== undefined && page.items.length < query.limit) {
    await clock.yieldToEventLoop();
    const limit = query.limit - page.items.length;
    const { items, next, unreadable = [] } = await storage.listFlows({ ...asked, limit, after: page.next });
    const all = [...(page.unreadable ?? []), ...unreadable];
    page = {
      items: [...page.items, ...items],
      ...(next === undefined ? {} : { next }),
      ...(all.length === 0 ? {} : { unreadable: all }),
    };
  }
  return page;
}
