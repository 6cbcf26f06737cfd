/** JSON as people read it. */
export const pretty = (value: unknown): string => (value === undefined ? "undefined" : JSON.stringify(value, null, 2));

/** A value and the path at which it stands. */
export interface Leaf {
  readonly path: string;
  readonly value: string;
}

/** Places of a value whose path or content contains the words, in any case; at most `most` of them. */
export function findIn(value: unknown, words: string, most: number): readonly Leaf[] {
  const wanted = words.toLowerCase();
  const found: Leaf[] = [];
  const stack: { path: string; value: unknown }[] = [{ path: "", value }];
  for (let at = stack.pop(); at !== undefined && found.length < most; at = stack.pop()) {
    const { path, value: here } = at;
    if (typeof here === "object" && here !== null) {
      const entries = Object.entries(here).reverse();
      for (const [name, below] of entries) stack.push({ path: pathTo(path, name, Array.isArray(here)), value: below });
      continue;
    }
    const text = typeof here === "string" ? here : JSON.stringify(here);
    if (path.toLowerCase().includes(wanted) || text.toLowerCase().includes(wanted)) found.push({ path, value: text });
  }
  return found;
}

function pathTo(path: string, name: string, isIndex: boolean): string {
  if (isIndex) return `${path}[${name}]`;
  return path === "" ? name : `${path}.${name}`;
}
