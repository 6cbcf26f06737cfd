import { retryAfter } from "../../model/host/retry-after.ts";

/** A wait that an answer asks for is measured from here: by the server's own clock, where it says what time it has. */
function nowOf(headers: Headers, now: number): number {
  const date = retryAfter(headers.get("date")).afterMs;
  return date instanceof Date ? date.getTime() : now;
}

/** Headers of quotas, in the spellings that are in use: GitHub's, Twitter's, that of the IETF drafts. */
const resetNames = ["x-ratelimit-", "ratelimit-", "x-rate-limit-"].map((prefix) => ({
  remaining: `${prefix}remaining`,
  reset: `${prefix}reset`,
}));

/**
 * Milliseconds that an answer asks to wait, or undefined: `retry-after-ms`, `x-ms-retry-after-ms` and `retry-after` of a
 * status of 400 or more, then the quota's reset with 429, with 403 unless some of the quota remains, and with any status
 * if none of it does. What cannot be read is no wish.
 *
 * @param now Epoch milliseconds, for an answer without a `date`.
 */
export function askedWaitMs(status: number, headers: Headers, now: number): number | undefined {
  const asked = status >= 400 ? retryAfterMs(headers, now) : undefined;
  return asked ?? quotaWaitMs(status, headers, now);
}

function retryAfterMs(headers: Headers, now: number): number | undefined {
  for (const name of ["retry-after-ms", "x-ms-retry-after-ms"]) {
    const ms = numberIn(headers.get(name));
    if (ms !== undefined) return ms;
  }
  const value = headers.get("retry-after");
  // A header that was sent twice: the longer wait is right for both.
  if (value !== null && /^\s*\d+(\.\d+)?(\s*,\s*\d+(\.\d+)?)+\s*$/.test(value))
    return Math.max(...value.split(",").map(Number)) * 1_000;
  const { afterMs } = retryAfter(value);
  return afterMs instanceof Date ? Math.max(0, afterMs.getTime() - nowOf(headers, now)) : afterMs;
}

function quotaWaitMs(status: number, headers: Headers, now: number): number | undefined {
  for (const { remaining, reset } of resetNames) {
    // Most responses have none of these headers, and each look at one costs.
    if (!asksToWait(status, numberIn(headers.get(remaining)))) continue;
    const value = numberIn(headers.get(reset));
    if (value !== undefined) return untilReset(value, nowOf(headers, now));
  }
  for (const { remaining, reset } of policiesIn(headers.get("ratelimit") ?? ""))
    if (reset !== undefined && asksToWait(status, remaining)) return untilReset(reset, nowOf(headers, now));
  return undefined;
}

function asksToWait(status: number, remaining: number | undefined): boolean {
  const isSpent = remaining !== undefined && remaining <= 0;
  return isSpent || status === 429 || (status === 403 && remaining === undefined);
}

interface Quota {
  readonly remaining: number | undefined;
  readonly reset: number | undefined;
}

/** `"minute";r=0;t=30, "day";r=500;t=3600`, the newest form. */
function policiesIn(header: string): readonly Quota[] {
  if (!header.includes("r=")) return [];
  const policies = header.split(",").map((policy) => {
    const field = (name: string) => new RegExp(`;\\s*${name}=(\\d+)`).exec(policy)?.[1];
    return { remaining: numberIn(field("r")), reset: numberIn(field("t")) };
  });
  // Of several that are spent the one that takes longest.
  return policies.sort((one, other) => (other.reset ?? 0) - (one.reset ?? 0));
}

// Epoch milliseconds, epoch seconds or seconds: no quota is reset in thirty years.
function untilReset(reset: number, now: number): number {
  if (reset > 1e12) return Math.max(0, reset - now);
  return reset > 1e9 ? Math.max(0, reset * 1_000 - now) : reset * 1_000;
}

function numberIn(value: string | null | undefined): number | undefined {
  if (value === null || value === undefined) return undefined;
  const text = value.trim();
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/** A duration in words, as it stands in messages. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)} ms`;
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
