import { InvalidOptionError } from "../errors.ts";
import type { Handler } from "../http/handler.ts";
import { type Shape, validate, v } from "../model/validate.ts";

/** Colors of the page, each a CSS color such as `#0f5e8c` or `rgb(15 94 140)`. */
export interface ThemeColors {
  /** Links, main buttons, bars. */
  readonly accent?: string;
  /** Behind everything. */
  readonly background?: string;
  /** Behind tables and boxes. */
  readonly surface?: string;
  /** Between them. */
  readonly border?: string;
  readonly text?: string;
  /** Text that matters less. */
  readonly muted?: string;
}

/** What a dashboard is made of: `handler` or `api`, and how the page is shown. */
export interface DashboardOptions {
  /** The API, made by `createHandler` with `{basePath}/api` as its own `basePath`. This or `api`. */
  readonly handler?: Handler;
  /**
   * Where the API is served by something else: an address such as `https://api.example.com/flows`, whose host then has
   * to allow the page's origin by CORS, or a path such as `/tools/flows`. This or `handler`.
   */
  readonly api?: string;
  /** What precedes every path, such as `/flows`: begins with a slash and does not end with one. @default "" */
  readonly basePath?: string;
  /**
   * `"token"`: a form asks for a bearer token, which is kept in `sessionStorage`. `"none"`: the browser sends a cookie or
   * basic authentication by itself. `{ url }`: where someone is sent that is not signed in; `{url}` in it becomes the
   * address to come back to. @default "token"
   */
  readonly signIn?: "token" | "none" | { readonly url: string };
  /** Shows no actions, and refuses with 403 what would change something through `handler`. @default false */
  readonly readOnly?: boolean;
  /** Origins whose pages may show this one in a frame, such as `https://admin.example.com` or `'self'`. @default none */
  readonly frameAncestors?: readonly string[];
  /** Colors instead of ours. @default ours */
  readonly theme?: { readonly light?: ThemeColors; readonly dark?: ThemeColors };
  /** Name in the header and the title of the window; 1 to 60 characters. @default "poundlock" */
  readonly title?: string;
  /** Address of the traces of a run, with `{runId}` where its id belongs: shown as a link on each run. @default none */
  readonly traceUrl?: string;
}

/** {@link DashboardOptions} with every default filled in. */
export interface ResolvedDashboardOptions {
  readonly handler: Handler | undefined;
  /** What precedes the paths of the API, as the page asks for them. */
  readonly api: string;
  readonly basePath: string;
  readonly signIn: NonNullable<DashboardOptions["signIn"]>;
  readonly readOnly: boolean;
  readonly frameAncestors: readonly string[];
  readonly theme: NonNullable<DashboardOptions["theme"]>;
  readonly title: string;
  readonly traceUrl: string | undefined;
}

/** @throws `invalid_option` naming the first option that is invalid. */
export function resolveOptions(options: DashboardOptions): ResolvedDashboardOptions {
  validate(options, optionShape, InvalidOptionError);
  const { handler, api, basePath = "", signIn = "token", readOnly = false, traceUrl } = options;
  if ((handler === undefined) === (api === undefined))
    throw new InvalidOptionError("handler", "either handler or api", handler === undefined ? "neither" : "both");
  const { frameAncestors = [], theme = {}, title = "poundlock" } = options;
  checkTheme(theme);
  return {
    ...{ handler, api: api ?? `${basePath}/api`, basePath, signIn, readOnly },
    ...{ frameAncestors, theme, title, traceUrl },
  };
}

function checkTheme(theme: NonNullable<DashboardOptions["theme"]>): void {
  for (const [scheme, colors] of Object.entries(theme))
    validate(colors, colorShape, InvalidOptionError, `theme.${scheme}.`);
}

const colorWords = 'a CSS color such as "#0f5e8c"';
const color = v.optional(
  v.custom(
    // Functions of colors only: `url()` would load something, `var()` and `env()` name what is not there.
    (value) =>
      typeof value === "string" &&
      /^(#[\da-f]{3,8}|[a-z]{3,30}|(rgba?|hsla?|hwb|lab|lch|oklab|oklch|color)\([\w\s.,%/+-]{1,80}\))$/i.test(value),
    colorWords,
  ),
);

const colorShape: Shape<ThemeColors> = {
  accent: color,
  background: color,
  surface: color,
  border: color,
  text: color,
  muted: color,
};

const isPath = (value: unknown, pattern: RegExp) => typeof value === "string" && pattern.test(value);
const isWebAddress = (value: unknown) =>
  typeof value === "string" && /^https?:\/\/[^\s"'<>\\;,]+$/.test(value) && URL.canParse(value);
/** Of this site: two slashes, or a slash and a backslash, would lead to another one. */
const isOwnPath = (value: unknown) => isPath(value, /^\/(?![/\\])[^\s"'<>\\;,]*$/);
const isOrigin = (value: unknown) =>
  typeof value === "string" && URL.canParse(value) && new URL(value).origin === value;

const signInWords = '"token", "none" or { url } with an address or a path such as "/login?next={url}"';
const apiWords = 'an address such as "https://api.example.com/flows" or a path, without a slash at its end';
const ancestorWords = 'origins such as "https://admin.example.com", or "\'self\'"';
const schemeOf = v.optional(v.looseObject({}, "an object of colors"));

const optionShape: Shape<DashboardOptions> = {
  handler: v.optional(v.function("what createHandler returns")),
  api: v.optional(
    v.custom((value) => (isWebAddress(value) || isOwnPath(value)) && !/[?#]|\/$/.test(value as string), apiWords),
  ),
  basePath: v.optional(
    v.custom(
      (value) => value === "" || isPath(value, /^(\/[\w.~-]+)+$/),
      'a path such as "/flows", without a slash at its end',
    ),
  ),
  signIn: v.optional(
    v.union(
      [
        v.picklist(["token", "none"]),
        v.strictObject({ url: v.custom((value) => isWebAddress(value) || isOwnPath(value)) }),
      ],
      signInWords,
    ),
  ),
  readOnly: v.optional(v.boolean("true or false")),
  frameAncestors: v.optional(
    v.array(
      v.custom((value) => value === "'self'" || isOrigin(value), ancestorWords),
      ancestorWords,
    ),
  ),
  theme: v.optional(v.strictObject({ light: schemeOf, dark: schemeOf }, "{ light, dark } with colors")),
  title: v.optional(
    v.custom((value) => typeof value === "string" && /^[^\n]{1,60}$/.test(value), "a string of 1 to 60 characters"),
  ),
  traceUrl: v.optional(
    v.custom(
      (value) => isWebAddress(value) && (value as string).includes("{runId}"),
      'an address with {runId}, such as "https://traces.example.com/?run={runId}"',
    ),
  ),
};
