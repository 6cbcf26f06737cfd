/** Characters of an error's type. */
const longest = 100;

/** An error's code, else its class, else `_OTHER`: few values, and nothing of what the error says. */
export function errorTypeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "_OTHER";
  try {
    const { code } = error as { readonly code?: unknown };
    if (typeof code === "number") return String(code);
    const type = isName(code) ? code : classOf(error);
    return isName(type) ? type : "_OTHER";
  } catch {
    return "_OTHER";
  }
}

// Most classes of errors give themselves no name, and would all go by that of the class they extend.
function classOf(error: object): unknown {
  const { name, constructor } = error as { readonly name?: unknown; readonly constructor?: unknown };
  if (name === undefined || Object.hasOwn(error, "name")) return name;
  const isInherited = !Object.hasOwn(Object.getPrototypeOf(error) as object, "name");
  return isInherited && typeof constructor === "function" && constructor.name !== "" ? constructor.name : name;
}

// A sentence is no name of a kind of errors.
function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= longest && !/\s/.test(value);
}
