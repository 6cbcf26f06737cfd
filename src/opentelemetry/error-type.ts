/** Characters of an error's type. */
const longest = 100;

/** An error's code, else its class, else `_OTHER`: few values, and nothing of what the error says. */
export function errorTypeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "_OTHER";
  try {
    const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
    if (typeof code === "number") return String(code);
    const type = isName(code) ? code : name;
    return isName(type) ? type : "_OTHER";
  } catch {
    return "_OTHER";
  }
}

// A sentence is no name of a kind of errors.
function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= longest && !/\s/.test(value);
}
