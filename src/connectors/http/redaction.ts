import type { PreparedRequest } from "./request.ts";

/** Headers that say nothing about the caller, and may go to any origin. */
const plainHeaders = new Set(
  "accept accept-encoding accept-language content-encoding content-language content-type if-match if-none-match prefer user-agent".split(
    " ",
  ),
);

/** A shorter string is found everywhere, and is no secret. */
const shortestSecret = 4;

/** A shorter value of a query is a number, a word: it helps to see it in the message of an API that refuses it. */
const shortestValue = 8;

/** Without what may be a credential, for an origin that is not the connection's. */
export function withoutCredentials(headers: Headers, plain: readonly string[] = []): Headers {
  return new Headers([...headers].filter(([name]) => plainHeaders.has(name) || plain.includes(name)));
}

/**
 * Takes out of a string what a server must not be quoted with: the query, its longer values, and whatever in the headers is not known to be
 * harmless.
 *
 * @param bare The request before its credentials were added.
 */
export function redact(text: string, { headers, url }: PreparedRequest, bare: URL): string {
  const values = [...url.searchParams.values()].filter(({ length }) => length >= shortestValue);
  const secrets = [url.search, decoded(url.search.slice(1)), ...values, ...addedTo(url, bare)];
  for (const [name, value] of headers)
    if (!plainHeaders.has(name)) secrets.push(value, ...value.split(/[\s,;:=]+/).slice(1), ...userAndPassword(value));
  return withoutSecrets(text, secrets);
}

/** With `***` in the place of each secret, as it is, as JSON has it, or as a URL has it. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const spellings = secrets
    .filter(({ length }) => length >= shortestSecret)
    .flatMap((secret) => [
      secret,
      JSON.stringify(secret).slice(1, -1),
      new URLSearchParams([["", secret]]).toString().slice(1),
    ]);
  // A longer one first, since it may contain a shorter one.
  const all = [...new Set(spellings)].sort((one, other) => other.length - one.length);
  return all.reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
}

function addedTo(url: URL, bare: URL): readonly string[] {
  return namesAdded(url, bare).flatMap((name) => url.searchParams.getAll(name));
}

/** What the query has, or has otherwise, since credentials were added. */
export function namesAdded(url: URL, bare: URL): readonly string[] {
  if (url.search === bare.search) return [];
  return [...url.searchParams].flatMap(([name, value]) => (bare.searchParams.get(name) === value ? [] : [name]));
}

function userAndPassword(header: string): readonly string[] {
  const [, pair] = /^Basic (\S+)$/i.exec(header) ?? [];
  return pair === undefined ? [] : Buffer.from(pair, "base64").toString().split(":");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
