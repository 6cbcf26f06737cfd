import { type ReadonlySignal, computed, signal } from "../view.ts";
import { type QueryValues, pathOf } from "./query-values.ts";

/** What the address says is shown: everything that can be put into a ticket. */
export interface Address {
  /** Steps of the path below the base path, decoded; none: the overview. */
  readonly steps: readonly string[];
  readonly query: URLSearchParams;
}

const base = new URL(document.baseURI).pathname;

const current = signal(read());

/** The address of the window. */
export const address: ReadonlySignal<Address> = current;
/** True in a frame of another page: no header is shown. */
export const isEmbedded = computed(() => address.value.query.has("embed"));

function read(): Address {
  const { pathname, search } = location;
  const path = pathname.startsWith(base) ? pathname.slice(base.length) : "";
  return { steps: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(search) };
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

/** The address of a screen, for `href`. */
export function href(steps: readonly string[], values: QueryValues = {}): string {
  const { query } = address.value;
  // They go along to every screen, unless another value is given.
  const kept = { zone: query.get("zone") ?? "", embed: query.has("embed") ? "1" : "" };
  return base + pathOf(steps, { ...values, ...kept, ...values });
}

/** The address of this screen with some parameters changed; the place in a list is left, as it belongs to another list. */
export function hrefWith(values: QueryValues): string {
  const { steps, query } = address.value;
  const given = Object.fromEntries(query);
  delete given.after;
  return href(steps, { ...given, ...values });
}

/** Shows another address. */
export function navigate(to: string, how: "push" | "replace" = "push"): void {
  history[how === "push" ? "pushState" : "replaceState"](null, "", to);
  current.value = read();
}

/** Lets links to screens be followed without loading the page again. */
export function followLinks(): void {
  addEventListener("popstate", () => (current.value = read()));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (link === null || !isPlain || event.defaultPrevented || link.target !== "" || link.hasAttribute("download"))
      return;
    const { origin, pathname } = new URL(link.href);
    if (origin !== location.origin || !pathname.startsWith(base)) return;
    event.preventDefault();
    navigate(link.href);
  });
}
