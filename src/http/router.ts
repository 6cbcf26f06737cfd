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
  readonly #basePath: string;

  constructor(routes: readonly Route[], basePath: string) {
    this.#basePath = basePath;
    for (const route of routes) this.#trie.add(route.method, route.path.replace(/\{(\w+)\}/g, ":$1"), route);
    for (const { path } of routes) this.#allow.set(path, allowOf(routes.filter((route) => route.path === path)));
  }

  match(method: string, url: string): Match {
    const path = pathOf(url);
    if (!path.startsWith(this.#basePath)) return { kind: "none" };
    const below = path.slice(this.#basePath.length);
    const found = this.#find(method === "HEAD" ? "GET" : method, below);
    if (found !== undefined) return found;
    for (const other of methods) {
      const sibling = other === method ? undefined : this.#find(other, below);
      if (sibling !== undefined) return { kind: "method", allow: this.#allow.get(sibling.route.path) ?? "" };
    }
    return { kind: "none" };
  }

  #find(method: string, path: string): Extract<Match, { kind: "route" }> | undefined {
    const [handlers] = this.#trie.match(method, path);
    const [first] = handlers;
    if (first === undefined) return undefined;
    const [route, parameters] = first;
    const { _id = "" } = parameters as Record<string, string>;
    return { kind: "route", route, _id: decoded(_id) };
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
  const end = url.slice(start).search(/[?#]/);
  return end === -1 ? url.slice(start) : url.slice(start, start + end);
}

function decoded(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
