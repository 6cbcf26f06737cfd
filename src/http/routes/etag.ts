import type { Flow } from "../../model/flow/flow.ts";

/**
 * The entity tag of a flow. Its first part is `lastModified`; the rest are times that runs change, which matter to a
 * cache but not to a writer.
 */
export function etagOf({ lastModified, lastExecutedAt = "", nextRunAt = "" }: Flow): string {
  return `"${lastModified}_${lastExecutedAt}_${nextRunAt}"`;
}

/** `If-None-Match`: whether the client has the current flow. */
export function isKnown(header: string, flow: Flow): boolean {
  return header.trim() === "*" || tagsIn(header).includes(etagOf(flow));
}

/** `If-Match`: whether the writable fields are as the client has read them. */
export function isCurrent(header: string, { lastModified }: Flow): boolean {
  return header.trim() === "*" || tagsIn(header).some((tag) => tag.startsWith(`"${lastModified}_`));
}

/** The tags in a header. Proxies that compress mark them as weak; the document is the same. */
export function tagsIn(header: string): readonly string[] {
  return header.match(/"[^"]*"/g) ?? [];
}
