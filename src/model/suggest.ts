import { distance } from "fastest-levenshtein";

/** Names longer than this are not compared. */
const longest = 64;
/** How many names are compared at most. */
const most = 100;

/**
 * The end of a message about a name that is unknown: `; did you mean "schedule"?`, or nothing if no known name is so
 * close that a typo is likely. Upper and lower case count as the same. The first 100 known names are compared, so that
 * the cost does not depend on what a caller sends.
 */
export function didYouMean(given: string, known: Iterable<string>): string {
  const found = closestName(given, known);
  return found === undefined ? "" : `; did you mean ${JSON.stringify(found)}?`;
}

function closestName(given: string, known: Iterable<string>): string | undefined {
  if (given.length > longest) return undefined;
  const name = given.trim().toLowerCase();
  // Two letters that changed places count as two edits, so short names may have two as well.
  let limit = Math.max(2, Math.floor(name.length / 3)) + 1;
  let found: string | undefined;
  let compared = 0;
  for (const candidate of known) {
    if (compared++ === most) break;
    if (candidate.length > longest) continue;
    const edits = distance(name, candidate.toLowerCase());
    if (edits >= limit || edits >= candidate.length) continue;
    limit = edits;
    found = candidate;
  }
  return found;
}
