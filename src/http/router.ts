import { TrieRouter } from "hono/router/trie-router";
import type { Route } from "./routes/route.ts";

/** What a method and a path lead to. */
export type Match =
  | { readonly kind: "route"; readonly route: Route; readonly _id: string }
  /** There is such a path, but not with that method; `allow` lists its methods. */
  | { readonly kind: "method"; readonly allow: string }
  | { readonly kind: "none" };

/** Finds the route of a request. */
export class Router {
  readonly #trie = new TrieRouter<Route>();
  /** Path template → the value of `Allow`. */
  readonly #allow = new Map<string, string>();
  /** Paths without parameters. What is one of them is no parameter of another path, as OpenAPI has it. */
  readonly #fixed: ReadonlySet<string>;
  readonly #basePath: string;

  constructor(routes: readonly Route[], basePath: string) {
    this.#basePath = basePath;
    this.#fixed = new Set(routes.map(({ path }) => path).filter((path) => !path.includes("{")));
    for (const route of routes) this.#trie.add(route.method, route.path.replace(/\{(\w+)\}/g, ":$1"), route);
    for (const { path } of routes) this.#allow.set(path, allowOf(routes.filter((route) => route.path === path)));
  }

  /** Only the canonical spelling of a path leads to a route; a slash at its end makes no difference. */
  match(method: string, url: string): Match {
    const path = pathOf(url);
    if (!path.startsWith(`${this.#basePath}/`) || !isCanonical(path)) return { kind: "none" };
    const below = path.slice(this.#basePath.length, path.endsWith("/") ? -1 : undefined);
    const found = this.#find(method === "HEAD" ? "GET" : method, below);
    if (this.#fixed.has(below) && found?.route.path !== below)
      return { kind: "method", allow: String(this.#allow.get(below)) };
    if (found !== undefined) return found;
    for (const other of methods) {
      const sibling = other === method ? undefined : this.#find(other, below);
      if (sibling !== undefined) return { kind: "method", allow: String(this.#allow.get(sibling.route.path)) };
    }
    return { kind: "none" };
  }

  #find(method: string, path: string): Extract<Match, { kind: "route" }> | undefined {
    // The router looks methods up in plain objects: a method named "constructor" must not get there.
    if (!(methods as readonly string[]).includes(method)) return undefined;
    const [handlers] = this.#trie.match(method, path);
    const [first] = handlers;
    if (first === undefined) return undefined;
    const [route, parameters] = first;
    const { _id = "" } = parameters as Record<string, string>;
    const decoded = decode(_id);
    return decoded === undefined ? undefined : { kind: "route", route, _id: decoded };
  }
}

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

function allowOf(routes: readonly Route[]): string {
  const known = routes.map(({ method }) => method as string);
  return [...known, ...(known.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
}

/** The path of an absolute URL, as it is written there. */
export function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  if (start === -1) return "/";
  const query = url.indexOf("?", start);
  const fragment = url.indexOf("#", start);
  const end = Math.min(query === -1 ? url.length : query, fragment === -1 ? url.length : fragment);
  return url.slice(start, end);
}

/**
 * Whether a path is spelled the one way by which hosts know it when they guard it by its beginning: it has no empty or dot segments,
 * no backslash, and percent-encodes nothing that needs none, nor a slash.
 */
export function isCanonical(path: string): boolean {
  if (!path.startsWith("/") || path.includes("//") || path.includes("\\")) return false;
  if (path.includes("/.") && path.split("/").some((segment) => segment === "." || segment === "..")) return false;
  for (let at = path.indexOf("%"); at !== -1; at = path.indexOf("%", at + 1)) {
    const character = String.fromCharCode(Number.parseInt(path.slice(at + 1, at + 3), 16));
    if (!/^[\da-f]{2}$/i.test(path.slice(at + 1, at + 3)) || /[\w.~/\\-]/.test(character)) return false;
  }
  return true;
}

/** Undefined if it is not percent-encoded UTF-8. */
function decode(segment: string): string | undefined {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
