/** Which fields of a document are wanted: names, or paths with dots. */
export interface Projection {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

/** The document with the fields that are wanted. Paths that lead nowhere name nothing. */
export function projected(document: object, { include, exclude }: Projection): object {
  if (include !== undefined) return picked(document, groupOf(include));
  if (exclude !== undefined) return left(document, groupOf(exclude));
  return document;
}

/** First step of a path → the rest of the paths that begin with it; an empty list: the field itself. */
type Group = ReadonlyMap<string, readonly string[]>;

function groupOf(paths: readonly string[]): Group {
  const group = new Map<string, readonly string[]>();
  for (const path of paths) {
    const dot = path.indexOf(".");
    const name = dot === -1 ? path : path.slice(0, dot);
    const known = group.get(name);
    // A path that names the whole field wins over those that lead below it.
    if (dot === -1 || known?.length === 0) group.set(name, []);
    else group.set(name, [...(known ?? []), path.slice(dot + 1)]);
  }
  return group;
}

function picked(document: object, wanted: Group): object {
  const entries = Object.entries(document).flatMap(([name, value]: [string, unknown]) => {
    const below = wanted.get(name);
    if (below === undefined) return [];
    if (below.length === 0) return [[name, value]];
    return isObject(value) ? [[name, picked(value, groupOf(below))]] : [];
  });
  return Object.fromEntries(entries) as object;
}

function left(document: object, unwanted: Group): object {
  const entries = Object.entries(document).flatMap(([name, value]: [string, unknown]) => {
    const below = unwanted.get(name);
    if (below?.length === 0) return [];
    return [[name, below !== undefined && isObject(value) ? left(value, groupOf(below)) : value]];
  });
  return Object.fromEntries(entries) as object;
}

/** True for what has fields: dates, maps and bytes are values, and stay whole. */
function isObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
