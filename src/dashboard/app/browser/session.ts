import { type ReadonlySignal, signal } from "../view.ts";
import { settings } from "./settings.ts";

const name = "poundlock:token";
const isTokenUsed = settings.signIn === "token";

function stored(): string | undefined {
  try {
    return sessionStorage.getItem(name) ?? undefined;
  } catch {
    // A frame whose storage the browser keeps apart.
    return undefined;
  }
}

const kept = signal(isTokenUsed ? stored() : undefined);
const needed = signal(isTokenUsed && kept.value === undefined);
const refused = signal(false);

/** The bearer token; undefined where the browser sends something by itself. */
export const token: ReadonlySignal<string | undefined> = kept;
/** The API wants to know first who asks. */
export const isSignInNeeded: ReadonlySignal<boolean> = needed;
/** The token that was given was refused. */
export const isTokenRefused: ReadonlySignal<boolean> = refused;

/** Uses a token from now on, until the window is closed or someone signs out. */
export function signIn(given: string): void {
  kept.value = given;
  needed.value = false;
  refused.value = false;
  try {
    sessionStorage.setItem(name, given);
  } catch {
    // It is used as long as the page is open.
  }
}

/** Forgets the token. */
export function signOut(): void {
  kept.value = undefined;
  needed.value = true;
  refused.value = false;
  try {
    sessionStorage.removeItem(name);
  } catch {
    // Then none was stored.
  }
}

/** The API has responded with 401. */
export function signInAgain(): void {
  if (typeof settings.signIn === "object") {
    location.assign(settings.signIn.url.replace("{url}", encodeURIComponent(location.href)));
    return;
  }
  // Several requests may be refused for the same token.
  const wasGiven = kept.value !== undefined;
  if (wasGiven) signOut();
  needed.value = true;
  refused.value ||= wasGiven;
}

/** Takes a token from the page around this one, if that is one of those that may have it in a frame. */
export function acceptTokenOfParent(): void {
  if (!isTokenUsed || parent === window) return;
  const allowed = settings.frameAncestors.map((origin) => (origin === "'self'" ? location.origin : origin));
  addEventListener("message", ({ source, origin, data }: MessageEvent<unknown>) => {
    if (source !== parent || !allowed.includes(origin) || typeof data !== "object" || data === null) return;
    if ("token" in data && typeof data.token === "string") signIn(data.token);
  });
  for (const origin of allowed) parent.postMessage({ poundlock: "ready" }, origin);
}
