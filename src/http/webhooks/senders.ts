import { UnauthorizedError } from "../../errors.ts";

/** What a request says of its own signature. */
export interface SignedRequest {
  /** Precedes the body in what is signed. */
  readonly prefix: string;
  /** Any of them may be the signature: senders send one for each secret while one replaces another. */
  readonly signatures: readonly Buffer[];
  /** When it was signed, in epoch seconds, if that is signed as well. */
  readonly signedAt?: number;
}

/** How an application signs its webhooks, and what it says about events. */
export interface Sender {
  /** True if the instant of signing is signed, too, so that old requests can be refused. */
  readonly hasTimestamp: boolean;
  /** @throws `unauthorized` if a header is missing or malformed. */
  readonly read: (headers: Headers) => SignedRequest;
  /** The key that a secret stands for; undefined if it is none. */
  readonly keyOf: (secret: string) => Buffer | undefined;
  /** In words, to follow "expected". */
  readonly secretWords: string;
  /** The id of the event; undefined if the sender gives none. */
  readonly eventId: (headers: Headers, body: unknown) => unknown;
  /** What a request is to be responded with that carries no event; undefined if it carries one. */
  readonly challenge?: (headers: Headers, body: unknown) => string | undefined;
}

const anySecret = { keyOf: (secret: string) => Buffer.from(secret), secretWords: "a string that is not empty" };

/** By name: every scheme is HMAC-SHA256 over the body, byte for byte, with something before it. */
export const senders = {
  /** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
  standard: {
    hasTimestamp: true,
    read(headers) {
      // Svix, where the standard comes from, still sends its own names.
      const names = headers.has("svix-id") && !headers.has("webhook-id") ? "svix" : "webhook";
      const id = required(headers, `${names}-id`);
      const timestamp = required(headers, `${names}-timestamp`);
      const versions = required(headers, `${names}-signature`).split(" ");
      const signatures = versions
        .filter((one) => one.startsWith("v1,"))
        .map((one) => Buffer.from(one.slice(3), "base64"));
      return { prefix: `${id}.${timestamp}.`, signatures, signedAt: secondsOf(timestamp) };
    },
    keyOf(secret) {
      const encoded = secret.startsWith("whsec_") ? secret.slice("whsec_".length) : secret;
      return /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) ? Buffer.from(encoded, "base64") : undefined;
    },
    secretWords: 'a secret in base64, such as "whsec_…"',
    eventId: (headers) => headers.get("webhook-id") ?? headers.get("svix-id"),
  },
  /** https://docs.stripe.com/webhooks#verify-manually */
  stripe: {
    hasTimestamp: true,
    read(headers) {
      const parts = required(headers, "stripe-signature").split(",");
      const valuesOf = (name: string) =>
        parts.filter((part) => part.trim().startsWith(`${name}=`)).map((part) => part.trim().slice(name.length + 1));
      const [timestamp = ""] = valuesOf("t");
      const signatures = valuesOf("v1").map((one) => Buffer.from(one, "hex"));
      return { prefix: `${timestamp}.`, signatures, signedAt: secondsOf(timestamp) };
    },
    ...anySecret,
    eventId: (_headers, body) => fieldOf(body, "id"),
  },
  /** https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries */
  github: {
    hasTimestamp: false,
    read(headers) {
      const [, hex = ""] = /^sha256=([\da-f]+)$/i.exec(required(headers, "x-hub-signature-256")) ?? [];
      return { prefix: "", signatures: [Buffer.from(hex, "hex")] };
    },
    ...anySecret,
    eventId: (headers) => headers.get("x-github-delivery"),
    challenge: (headers) => (headers.get("x-github-event") === "ping" ? "pong" : undefined),
  },
  /** https://shopify.dev/docs/apps/build/webhooks/verify-deliveries */
  shopify: {
    hasTimestamp: false,
    read: (headers) => ({
      prefix: "",
      signatures: [Buffer.from(required(headers, "x-shopify-hmac-sha256"), "base64")],
    }),
    ...anySecret,
    eventId(headers) {
      const id = headers.get("x-shopify-event-id");
      // One event may be reported under several topics, each with a body of its own.
      return id === null ? undefined : `${headers.get("x-shopify-topic") ?? ""} ${id}`;
    },
  },
  /** https://docs.slack.dev/authentication/verifying-requests-from-slack */
  slack: {
    hasTimestamp: true,
    read(headers) {
      const timestamp = required(headers, "x-slack-request-timestamp");
      const [, hex = ""] = /^v0=([\da-f]+)$/i.exec(required(headers, "x-slack-signature")) ?? [];
      return { prefix: `v0:${timestamp}:`, signatures: [Buffer.from(hex, "hex")], signedAt: secondsOf(timestamp) };
    },
    ...anySecret,
    eventId: (_headers, body) => fieldOf(body, "event_id"),
    challenge(_headers, body) {
      const challenge = fieldOf(body, "type") === "url_verification" ? fieldOf(body, "challenge") : undefined;
      return typeof challenge === "string" ? challenge : undefined;
    },
  },
} as const satisfies Readonly<Record<string, Sender>>;

/** The value below an object's own fields: `path` has dots between their names. Undefined if there is none. */
export function fieldOf(value: unknown, path: string): unknown {
  let found = value;
  for (const name of path.split(".")) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}

function required(headers: Headers, name: string): string {
  const value = headers.get(name);
  if (value === null) throw new UnauthorizedError(`The header ${name} is required`);
  return value;
}

function secondsOf(timestamp: string): number {
  if (/^\d{1,12}$/.test(timestamp)) return Number(timestamp);
  throw new UnauthorizedError("The timestamp of the signature is missing or malformed");
}
