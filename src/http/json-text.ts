/**
 * The text of anything that records may hold. What JSON has not becomes the nearest it has: big integers and bytes
 * (base64) a text, sets and the entries of maps an array, what contains itself `"[circular]"` where it does.
 */
export function jsonText(value: unknown): string {
  const above: object[] = [];
  return JSON.stringify(value, function (this: object, _key, found: unknown) {
    // `this` holds `found`: what is above it is all that leads here, and nothing else.
    while (above.length > 0 && above.at(-1) !== this) above.pop();
    const shown = jsonOf(found);
    if (typeof shown !== "object" || shown === null) return shown;
    if (above.includes(shown)) return "[circular]";
    above.push(shown);
    return shown;
  });
}

function jsonOf(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Map || value instanceof Set) return [...(value as Iterable<unknown>)];
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString("base64");
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  if (value instanceof RegExp) return value.toString();
  if (value instanceof Error) return { name: value.name, message: value.message };
  return value;
}
