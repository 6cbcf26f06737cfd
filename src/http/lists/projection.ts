/** Which fields of a document are wanted: names, or paths with dots. */
export interface Projection {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

/** Returns a document with the fields that are wanted. Paths that lead nowhere have no effect. */
export function projectionOf({ include, exclude }: Projection): (document: object) => object {
  const tree = treeOf(include ?? exclude ?? []);
  if (include !== undefined) return (document) => pick(document, tree);
  return exclude === undefined ? (document) => document : (document) => omit(document, tree);
}

/** First step of a path → those that follow it; "whole": the field itself. */
type Tree = ReadonlyMap<string, Tree | "whole">;
type Growing = Map<string, Growing | "whole">;

function treeOf(paths: readonly string[]): Tree {
  const tree: Growing = new Map();
  for (const path of paths) add(tree, path.split("."));
  return tree;
}

function add(tree: Growing, path: readonly string[]): void {
  let at = tree;
  for (const [index, name] of path.entries()) {
    const known = at.get(name);
    // A path that names the whole field wins over those that lead below it.
    if (known === "whole") return;
    if (index === path.length - 1) at.set(name, "whole");
    const below: Growing = known ?? new Map<string, Growing | "whole">();
    if (known === undefined && index < path.length - 1) at.set(name, below);
    at = below;
  }
}

function pick(document: object, wanted: Tree): object {
  const entries = Object.entries(document).flatMap(([name, value]: [string, unknown]) => {
    const below = wanted.get(name);
    if (below === undefined) return [];
    if (below === "whole") return [[name, value]];
    return isObject(value) ? [[name, pick(value, below)]] : [];
  });
  return Object.fromEntries(entries) as object;
}

function omit(document: object, unwanted: Tree): object {
  const entries = Object.entries(document).flatMap(([name, value]: [string, unknown]) => {
    const below = unwanted.get(name);
    if (below === "whole") return [];
    return [[name, below !== undefined && isObject(value) ? omit(value, below) : value]];
  });
  return Object.fromEntries(entries) as object;
}

/** True for what has fields: dates, maps and bytes are values and stay whole. */
function isObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
