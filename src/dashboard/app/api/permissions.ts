import { settings } from "../browser/settings.ts";
import { isSignInNeeded } from "../browser/session.ts";
import { type ReadonlySignal, computed, effect, signal } from "../view.ts";
import { ApiError, call } from "./client.ts";
import type { Permissions } from "./documents.ts";

const loaded = signal<Permissions | undefined>(undefined);
const missing = signal(false);
const known = signal(false);

/** The API has said what may be done, or that it does not know. */
export const arePermissionsKnown: ReadonlySignal<boolean> = known;

/** Nothing is at the address where the API should be. */
export const isApiMissing: ReadonlySignal<boolean> = missing;
/** The tenant whose flows are shown; undefined: all. */
export const tenant: ReadonlySignal<string | undefined> = computed(() => loaded.value?._integrationId);
/** The name of whoever is signed in; undefined: the API does not say. */
export const caller: ReadonlySignal<string | undefined> = computed(() => loaded.value?.caller);

/** Asks what may be done here, each time that someone has signed in. */
export function loadPermissions(): void {
  effect(() => {
    if (!isSignInNeeded.value) void load();
  });
}

async function load(): Promise<void> {
  try {
    const { value } = await call<Permissions>("GET", "/permissions");
    loaded.value = value;
  } catch (error) {
    missing.value = error instanceof ApiError && error.status === 404;
  }
  known.value = true;
}

const reading = /\.(list|read|listen)$/;

/** Whether the API has an action at all: one that is served elsewhere may be older than this page. */
export const has = (action: string): boolean => loaded.value !== undefined && action in loaded.value.actions;

/** Whether the caller may do it. What is not known yet is allowed: a refusal is shown well, too. */
export function can(action: string): boolean {
  if (settings.readOnly && !reading.test(action)) return false;
  return loaded.value?.actions[action] ?? true;
}
