import type { Assets } from "./assets.ts";
import type { ResolvedDashboardOptions, ThemeColors } from "./options.ts";
import type { PageSettings } from "./page-settings.ts";

/** The one page that every screen begins with. */
export function pageOf(options: ResolvedDashboardOptions, { script, style }: Assets): string {
  const { basePath, title, theme } = options;
  const themed = Object.keys(theme).length === 0 ? "" : '<link rel="stylesheet" href="theme.css">';
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><base href="${escape(`${basePath}/`)}"><title>${escape(title)}</title><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><meta name="poundlock" content="${escape(JSON.stringify(settingsOf(options)))}"><link rel="icon" href="data:,"><link rel="stylesheet" href="assets/${style}">${themed}<script type="module" src="assets/${script}"></script></head><body><div id="app"></div><noscript>This page needs JavaScript.</noscript></body></html>`;
}

function settingsOf(options: ResolvedDashboardOptions): PageSettings {
  const { api, signIn, readOnly, title, frameAncestors, traceUrl } = options;
  return { api, signIn, readOnly, title, frameAncestors, ...(traceUrl === undefined ? {} : { traceUrl }) };
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => String(entities[character]));
}

/** The colors of the host as a style sheet. */
export function themeOf({ light = {}, dark = {} }: ResolvedDashboardOptions["theme"]): string {
  return rule("light", light) + rule("dark", dark);
}

// Those of one scheme beside ours of the other could not be read.
function rule(scheme: "light" | "dark", colors: ThemeColors): string {
  const lines = Object.entries(colors).map(([name, color]) => `--${name}:${String(color)};`);
  return `@media (prefers-color-scheme: ${scheme}){:root{${lines.join("")}}}`;
}

/** Headers of the page: it runs and loads what is its own and nothing else, and makes no markup of strings. */
export function pageHeaders({ api, frameAncestors }: ResolvedDashboardOptions): Readonly<Record<string, string>> {
  const elsewhere = api.startsWith("/") ? "" : ` ${new URL(api).origin}`;
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `connect-src 'self'${elsewhere}`,
    "img-src data:",
    "base-uri 'self'",
    "form-action 'none'",
    `frame-ancestors ${frameAncestors.length === 0 ? "'none'" : frameAncestors.join(" ")}`,
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  return {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy.join("; "),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
    vary: "accept-encoding",
  };
}
