/** Levels that are shown; engines give up at about twice as many. */
const deepest = 1_000;

/**
 * The text of anything that records may hold. What JSON has not becomes the nearest it has: big integers and bytes
 * (base64) a text, sets and the entries of maps an array, what contains itself `"[circular]"` where it does, and what is
 * more than 1,000 levels down `"[too deep]"`.
 */
export function jsonText(value: unknown): string {
  // All that leads to where it is: as it was found, and as it is shown.
  const above: unknown[] = [];
  const shownAbove: object[] = [];
  return JSON.stringify(value, function (this: object, _key, found: unknown) {
    // `this` holds `found`, as it is shown.
    while (shownAbove.length > 0 && shownAbove.at(-1) !== this) {
      above.pop();
      shownAbove.pop();
    }
    const shown = jsonOf(found);
    if (typeof shown !== "object" || shown === null) return shown;
    // A map is shown as a new array each time: only as it was found it is known again.
    if (above.includes(found)) return "[circular]";
    if (above.length === deepest) return "[too deep]";
    above.push(found);
    shownAbove.push(shown);
    return shown;
  });
}

function jsonOf(value: unknown): unknown {
  if (typeof value === "bigint" || value instanceof BigInt) return value.toString();
  if (value instanceof Map || value instanceof Set) return [...(value as Iterable<unknown>)];
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString("base64");
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  if (value instanceof RegExp) return value.toString();
  if (value instanceof Error) return { name: value.name, message: value.message };
  return value;
}
