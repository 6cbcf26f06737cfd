/** `instanceof` for what host code threw or returned. Never throws, as it may for a proxy: such an object is none. */
export function isInstance<T>(value: unknown, made: abstract new (...given: never[]) => T): value is T {
  try {
    return value instanceof made;
  } catch {
    return false;
  }
}
