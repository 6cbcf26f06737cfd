/** Nesting levels that are written; engines give up at about twice as many. */
const maxDepth = 1_000;

/**
 * JSON of anything a record may contain. Values that JSON lacks become the nearest it has: big integers and bytes
 * (base64) become strings, sets and the entries of maps become arrays, a reference to an enclosing value becomes
 * `"[circular]"`, and what is nested more than 1,000 levels deep becomes `"[too deep]"`.
 */
export function jsonText(value: unknown): string {
  // The values that enclose the current one: as they were found, and as they are written.
  const path: object[] = [];
  const writtenPath: object[] = [];
  const enclosing = new Set<unknown>();
  return JSON.stringify(value, function (this: object, key, converted: unknown) {
    const original = (this as Readonly<Record<string, unknown>>)[key];
    // A Buffer has been converted by its own `toJSON`, to an object with an array.
    const found = ArrayBuffer.isView(original) ? original : converted;
    // `this` is the written form of the value that contains `found`.
    while (writtenPath.length > 0 && writtenPath.at(-1) !== this) {
      enclosing.delete(path.pop());
      writtenPath.pop();
    }
    const written = jsonValue(found);
    if (typeof written !== "object" || written === null) return written;
    // A map is written as a new array each time, so it is recognized by what was found.
    if (enclosing.has(found)) return "[circular]";
    if (path.length === maxDepth) return "[too deep]";
    path.push(found as object);
    enclosing.add(found);
    writtenPath.push(written);
    return written;
  });
}

function jsonValue(value: unknown): unknown {
  if (typeof value === "bigint" || value instanceof BigInt) return value.toString();
  if (value instanceof Map || value instanceof Set) return [...(value as Iterable<unknown>)];
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString("base64");
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  if (value instanceof RegExp) return value.toString();
  if (value instanceof Error) return { name: value.name, message: value.message };
  return value;
}
