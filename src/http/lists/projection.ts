/** Which fields of a document are wanted: names, or paths with dots. */
export interface Projection {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

/** The document with the fields that are wanted. Paths that lead nowhere have no effect. */
export function project(document: object, { include, exclude }: Projection): object {
  if (include !== undefined) return pick(document, treeOf(include));
  if (exclude !== undefined) return omit(document, treeOf(exclude));
  return document;
}

/** First step of a path → the rest of the paths that begin with it; "whole": the field itself. */
type Tree = ReadonlyMap<string, string[] | "whole">;

function treeOf(paths: readonly string[]): Tree {
  const tree = new Map<string, string[] | "whole">();
  for (const path of paths) {
    const dot = path.indexOf(".");
    const name = dot === -1 ? path : path.slice(0, dot);
    const known = tree.get(name);
    // A path that names the whole field wins over those that lead below it.
    if (dot === -1) tree.set(name, "whole");
    else if (known === undefined) tree.set(name, [path.slice(dot + 1)]);
    else if (known !== "whole") known.push(path.slice(dot + 1));
  }
  return tree;
}

function pick(document: object, wanted: Tree): object {
  const entries = Object.entries(document).flatMap(([name, value]: [string, unknown]) => {
    const below = wanted.get(name);
    if (below === undefined) return [];
    if (below === "whole") return [[name, value]];
    return isObject(value) ? [[name, pick(value, treeOf(below))]] : [];
  });
  return Object.fromEntries(entries) as object;
}

function omit(document: object, unwanted: Tree): object {
  const entries = Object.entries(document).flatMap(([name, value]: [string, unknown]) => {
    const below = unwanted.get(name);
    if (below === "whole") return [];
    return [[name, below !== undefined && isObject(value) ? omit(value, treeOf(below)) : value]];
  });
  return Object.fromEntries(entries) as object;
}

/** True for what has fields: dates, maps and bytes are values and stay whole. */
function isObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
