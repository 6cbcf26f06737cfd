import { ForbiddenError } from "../../errors.ts";

const safeMethods = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Refuses requests by which a page of another site could change something with a visitor's cookie. Requests without
 * `Sec-Fetch-Site` and `Origin`, as from curl and servers, pass; so do bearer tokens, which no browser sends by itself.
 *
 * @param origins Other origins whose pages may change things.
 * @throws `forbidden`
 * @see https://www.w3.org/TR/fetch-metadata/
 */
export function checkCrossSite({ method, headers, url }: Request, origins: ReadonlySet<string>): void {
  if (safeMethods.has(method) || /^bearer\s/i.test(headers.get("authorization") ?? "")) return;
  const site = headers.get("sec-fetch-site");
  if (site === "same-origin" || site === "none") return;
  const origin = headers.get("origin");
  if (origin !== null && origins.has(origin)) return;
  if (site === null && (origin === null || hostOf(origin) === (headers.get("host") ?? hostOf(url)))) return;
  throw new ForbiddenError("Cross-site request: the origin of the page is not allowed to change anything here");
}

/** Undefined for what is not an address, such as the origin `null`. */
function hostOf(address: string): string | undefined {
  return URL.canParse(address) ? new URL(address).host : undefined;
}
