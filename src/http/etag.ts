import type { Flow } from "../model/flow.ts";

/**
 * What stands for a flow as it is now. Its first part is `lastModified`; the rest are times that runs move, which a
 * cache has to heed and a writer has not.
 */
export function etagOf({ lastModified, lastExecutedAt = "", nextRunAt = "" }: Flow): string {
  return `"${lastModified}_${lastExecutedAt}_${nextRunAt}"`;
}

/** `If-None-Match`: whether the client has the flow as it is. */
export function isKnown(header: string, flow: Flow): boolean {
  return header.trim() === "*" || tagsIn(header).includes(etagOf(flow));
}

/** `If-Match`: whether the fields that can be written are as the client has read them. */
export function isCurrent(header: string, { lastModified }: Flow): boolean {
  return header.trim() === "*" || tagsIn(header).some((tag) => tag.startsWith(`"${lastModified}_`));
}

// A proxy that compresses marks tags as weak. The flow behind them is the same.
function tagsIn(header: string): readonly string[] {
  return header.match(/"[^"]*"/g) ?? [];
}
