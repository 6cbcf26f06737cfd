import type { Handler } from "../http/handler.ts";
import { assets } from "./assets.ts";
import { type DashboardOptions, type ResolvedDashboardOptions, resolveOptions } from "./options.ts";
import { pageHeaders, pageOf, themeOf } from "./page.ts";

/**
 * The page that people look at, for any server that speaks `Request` and `Response`; `toNodeListener` of
 * `poundlock/http/node` makes it a listener of node:http. It serves everything below `basePath`, and hands what is below
 * `{basePath}/api` to `handler`. Never rejects.
 *
 * @throws `invalid_option` naming the first option that is invalid.
 */
export function createDashboard(options: DashboardOptions): Handler {
  const dashboard = new Dashboard(resolveOptions(options));
  return (request) => dashboard.respond(request);
}

const safeMethods = ["GET", "HEAD", "OPTIONS"];
const plain = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
const immutable = { "x-content-type-options": "nosniff", "cache-control": "public, max-age=31536000, immutable" };

/** First steps of the paths that lead to a screen. */
const screens = new Set(["", "flows", "runs", "failures", "find"]);

/** A file as it is sent, and compressed once somebody asks for that. */
class TextFile {
  readonly #text: string;
  readonly #headers: Readonly<Record<string, string>>;
  #compressed: Promise<ArrayBuffer> | undefined;

  constructor(text: string, headers: Readonly<Record<string, string>>) {
    this.#text = text;
    this.#headers = headers;
  }

  async response(request: Request, status = 200): Promise<Response> {
    const gzip = takesGzip(request);
    const body = gzip ? await (this.#compressed ??= compressed(this.#text)) : this.#text;
    const encoding = gzip ? { "content-encoding": "gzip" } : {};
    return new Response(request.method === "HEAD" ? null : body, {
      status,
      headers: { ...this.#headers, ...encoding },
    });
  }
}

function takesGzip(request: Request): boolean {
  // Next.js compresses by itself, and drops the header which says that something is compressed.
  if ("nextUrl" in request) return false;
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(request.headers.get("accept-encoding") ?? "");
}

function compressed(text: string): Promise<ArrayBuffer> {
  return new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
}

/** Leads each request to the API, a file or the page. */
class Dashboard {
  readonly #options: ResolvedDashboardOptions;
  readonly #page: TextFile;
  readonly #files: ReadonlyMap<string, TextFile>;

  constructor(options: ResolvedDashboardOptions) {
    this.#options = options;
    this.#page = new TextFile(pageOf(options, assets), pageHeaders(options));
    const theme = new TextFile(themeOf(options.theme), { ...typed("theme.css"), "cache-control": "no-cache" });
    const files = Object.entries(assets.files).map(
      ([name, text]) => [`assets/${name}`, new TextFile(text, { ...immutable, ...typed(name) })] as const,
    );
    this.#files = new Map([...files, ["theme.css", theme]]);
  }

  async respond(request: Request): Promise<Response> {
    const { basePath } = this.#options;
    const { pathname } = new URL(request.url);
    // Not redirected to the one with a slash: some hosts, such as Next.js, redirect from that to this one.
    if (pathname !== basePath && !pathname.startsWith(`${basePath}/`)) return notFound();
    const below = pathname.slice(basePath.length + 1);
    if (below === "api" || below.startsWith("api/")) return this.#api(request);
    if (request.method !== "GET" && request.method !== "HEAD")
      return new Response("Only GET and HEAD", { status: 405, headers: { ...plain, allow: "GET, HEAD" } });
    const file = this.#files.get(below);
    if (file !== undefined) return file.response(request);
    const [screen = ""] = below.split("/", 1);
    if (screens.has(screen)) return this.#page.response(request);
    return /\.\w+$/.test(below) ? notFound() : this.#page.response(request, 404);
  }

  async #api(request: Request): Promise<Response> {
    const { handler, readOnly } = this.#options;
    if (handler === undefined) return notFound();
    if (!readOnly || safeMethods.includes(request.method)) return handler(request);
    const message = "This dashboard is read-only";
    return Response.json({ errors: [{ code: "forbidden", message }] }, { status: 403 });
  }
}

function typed(name: string): Readonly<Record<string, string>> {
  const type = name.endsWith(".css") ? "text/css" : "text/javascript";
  return { "content-type": `${type}; charset=utf-8`, "x-content-type-options": "nosniff", vary: "accept-encoding" };
}

function notFound(): Response {
  return new Response("There is no such file", { status: 404, headers: plain });
}
