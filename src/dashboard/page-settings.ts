/** What the script of the page is given, in a `meta` element: an inline script would need an exception of the policy. */
export interface PageSettings {
  /** What precedes the paths of the API. */
  readonly api: string;
  readonly signIn: "token" | "none" | { readonly url: string };
  readonly readOnly: boolean;
  readonly title: string;
  /** Origins that may send a token to the page in a frame; `'self'` is the page's own. */
  readonly frameAncestors: readonly string[];
  readonly traceUrl?: string;
}
