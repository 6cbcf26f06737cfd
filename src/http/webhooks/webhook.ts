import { createHmac, randomUUID } from "node:crypto";
import { InvalidOptionError, UnauthorizedError, isPoundlockError } from "../../errors.ts";
import { formatValue } from "../../model/record/json.ts";
import { messageOf } from "../../model/message.ts";
import {
  type Shape,
  callable,
  checkObject,
  oneOf,
  unknownField,
  invalidField,
  v,
  wholeNumber,
} from "../../model/validate.ts";
import type { AuthorizeResult } from "../access/authorization.ts";
import { type Sender, fieldOf, senders } from "./senders.ts";
import { type Verify, sameBytes } from "./signature.ts";

/** An application whose way to sign is known. `standard`: every one that follows Standard Webhooks, such as Svix. */
export type WebhookSender = keyof typeof senders;

/** A secret shared with the sender, or several while one replaces another. */
export type WebhookSecret = string | readonly string[];

/** What a webhook carries, and for whom. */
export interface WebhookContent<Body = unknown> {
  /**
   * The records in the body: an array is several, `undefined` none, anything else one. What it throws is a defect: the
   * sender gets 500, and tries again. `request` has headers and address, and no body.
   *
   * @default the body, or the items of an array
   */
  readonly records?: (body: Body, request: Request) => unknown;
  /**
   * The id of the event: a repeated one is dropped. Of a header, of a field of the body (`data.id`), or of each record what
   * the function returns. Several records with one id get `.0`, `.1` and so on. @default the sender's own, if it has one
   */
  readonly id?:
    | { readonly header: string }
    | { readonly field: string }
    | ((record: never, request: Request) => EventId | Promise<EventId>);
  /** Whose flows get the records, of what is signed with that secret. @default what `verify` returns, or everyone's */
  readonly scope?: (request: Request, body: Body) => AuthorizeResult | Promise<AuthorizeResult>;
  /**
   * Responds to what the sender sends to see whether the address is right: with a string, or an object as JSON, and 200.
   * `undefined`: the request carries records. @default the sender's own handshake, if it has one
   */
  readonly challenge?: (body: Body, request: Request) => Challenge | undefined | Promise<Challenge | undefined>;
}

/** `undefined`: there is none. */
type EventId = string | undefined;

/** The body of the response to a challenge. */
export type Challenge = string | Readonly<Record<string, unknown>>;

/** A webhook of an application whose way to sign is known. */
export interface SenderOptions<Body = unknown> extends WebhookContent<Body> {
  readonly sender: WebhookSender;
  /** The secret, or what finds it for a request: that of a tenant, say. `undefined` refuses the request. */
  readonly secret:
    WebhookSecret | ((request: Request) => WebhookSecret | undefined | Promise<WebhookSecret | undefined>);
  /**
   * How far the signed timestamp may be from now, either way, in milliseconds; 1 or more. Not for `github` and `shopify`,
   * which sign none. @default 300000
   */
  readonly toleranceMs?: number;
}

/** A webhook of any other application. */
export interface VerifyOptions<Body = unknown> extends WebhookContent<Body> {
  /** Decides whether the request is accepted, such as `hmacSignature(…)`. */
  readonly verify: Verify;
}

/** How a webhook is verified and read. */
export type WebhookOptions<Body = unknown> = SenderOptions<Body> | VerifyOptions<Body>;

/** A request of a sender. */
export interface WebhookRequest {
  /** Without a body. */
  readonly request: Request;
  /** The body as it was sent. */
  readonly bytes: Uint8Array;
  /** Epoch milliseconds. */
  readonly now: number;
}

/** What a verified request asks for. */
export type WebhookDelivery =
  | { readonly challenge: Challenge }
  | {
      readonly challenge?: undefined;
      /** What the caller is granted. */
      readonly grant: () => AuthorizeResult | Promise<AuthorizeResult>;
      readonly records: readonly unknown[];
      /** One for each record; absent: the event has no id. */
      readonly ids?: readonly string[];
    };

/** Made by {@link webhook}, for the handler's `verify`. */
export interface Webhook {
  /** @throws `unauthorized` if the request is not the sender's. */
  readonly verify: (given: WebhookRequest) => Promise<AuthorizeResult>;
  /** `grant`: what `verify` returned. Absent: the body is that of any other request with records. */
  readonly read?: ((body: unknown, request: Request, grant: AuthorizeResult) => Promise<WebhookDelivery>) | undefined;
}

/** A webhook whose body is that of any other request with records. */
export function verifiedOnly(verify: Verify): Webhook {
  return { verify: async ({ request, bytes }) => verify(withBody(request, bytes)) };
}

/**
 * Verifies the webhooks of an application and reads their records, for an export under the handler's `verify`. Secrets and
 * signatures are compared in constant time, and old requests refused where the sender signs when it sent them.
 *
 * @throws `invalid_option` naming the first option that is invalid.
 */
export function webhook<Body = unknown>(options: WebhookOptions<Body>): Webhook {
  checkOptions(options);
  const content = options as WebhookContent;
  if ("verify" in options) {
    return {
      ...verifiedOnly(options.verify),
      read: (body, request, grant) => delivery(content, undefined, { body, request, grant }),
    };
  }
  const sender: Sender = senders[options.sender];
  return {
    verify: async (given) => verified(sender, options as SenderOptions, given),
    read: (body, request, grant) => delivery(content, sender, { body, request, grant }),
  };
}

/** A copy of the request, for a hook to read as it likes; the bytes that are accepted are those it has seen. */
function withBody({ url, method, headers }: Request, bytes: Uint8Array): Request {
  return new Request(url, { method, headers, body: bytes.slice() });
}

async function verified(
  sender: Sender,
  options: SenderOptions,
  { request, bytes, now }: WebhookRequest,
): Promise<true> {
  const { prefix, signatures, signedAt } = sender.read(request.headers);
  const keys = keysOf(sender, typeof options.secret === "function" ? await options.secret(request) : options.secret);
  // Every key and signature is tried, so that the time does not depend on which one matches.
  let matches = false;
  for (const key of keys) {
    const expected = createHmac("sha256", key).update(prefix).update(bytes).digest();
    for (const signature of signatures) matches = sameBytes(expected, signature) || matches;
  }
  if (!matches) throw new UnauthorizedError("The signature does not match the body");
  const { toleranceMs = 300_000 } = options;
  if (signedAt !== undefined && Math.abs(now - signedAt * 1_000) > toleranceMs)
    throw new UnauthorizedError(`The request was signed more than ${toleranceMs} ms from now`);
  return true;
}

/** @throws `unauthorized` if there is no secret; TypeError if it is invalid, without showing it. */
function keysOf(sender: Sender, secret: unknown): readonly Buffer[] {
  if (secret === undefined) throw new UnauthorizedError("The sender is not known");
  const keys = (Array.isArray(secret) ? (secret as unknown[]) : [secret]).map((one) => keyOf(sender, one));
  if (keys.length > 0 && keys.every((key) => key !== undefined)) return keys;
  throw new TypeError(`webhook.secret: expected ${sender.secretWords}, or several`);
}

function keyOf(sender: Sender, secret: unknown): Buffer | undefined {
  return typeof secret === "string" && secret !== "" ? sender.keyOf(secret) : undefined;
}

interface VerifiedRequest {
  readonly body: unknown;
  readonly request: Request;
  readonly grant: AuthorizeResult;
}

async function delivery(
  content: WebhookContent,
  sender: Sender | undefined,
  { body, request, grant }: VerifiedRequest,
): Promise<WebhookDelivery> {
  const own = await called("challenge", () => content.challenge?.(body, request));
  const challenge = own ?? sender?.challenge?.(request.headers, body);
  if (challenge !== undefined) return { challenge };
  const { scope } = content;
  const given = content.records === undefined ? body : await called("records", () => content.records?.(body, request));
  const records = Array.isArray(given) ? (given as unknown[]) : given === undefined ? [] : [given];
  const ids = await called("id", () => idsOf(records, content.id, sender, { body, request }));
  const granted = () => (scope === undefined ? grant : scope(request, body));
  return { grant: granted, records, ...(ids === undefined ? {} : { ids }) };
}

async function idsOf(
  records: readonly unknown[],
  id: WebhookContent["id"],
  sender: Sender | undefined,
  { body, request }: Pick<VerifiedRequest, "body" | "request">,
): Promise<readonly string[] | undefined> {
  if (typeof id === "function") {
    const ids = await Promise.all(records.map(async (record) => id(record as never, request)));
    // A record without an id is no repeated one.
    return ids.every(isAbsent) ? undefined : ids.map((one) => (isAbsent(one) ? randomUUID() : idText(one)));
  }
  const event = id === undefined ? sender?.eventId(request.headers, body) : eventIdOf(id, body, request);
  if (isAbsent(event)) return undefined;
  const text = idText(event);
  return records.length === 1 ? [text] : records.map((_, index) => `${text}.${index}`);
}

function isAbsent(id: unknown): boolean {
  return id === undefined || id === null || id === "";
}

function eventIdOf(
  id: { readonly header: string } | { readonly field: string },
  body: unknown,
  { headers }: Request,
): unknown {
  return "header" in id ? headers.get(id.header) : fieldOf(body, id.field);
}

function idText(id: unknown): string {
  if (typeof id === "string" || typeof id === "number" || typeof id === "bigint") return String(id);
  throw new TypeError(`expected a string or a number, found ${formatValue(id)}`);
}

/** What a function of the host's returns; an error of its own is named by the option. */
async function called<T>(option: string, call: () => T): Promise<Awaited<T>> {
  try {
    return await call();
  } catch (error) {
    if (isPoundlockError(error)) throw error;
    throw new Error(`webhook.${option} failed: ${messageOf(error)}`, { cause: error });
  }
}

function checkOptions(options: WebhookOptions<never>): void {
  checkObject(options, InvalidOptionError, "webhook");
  const shape = "verify" in options ? verifyShape : senderShape;
  const problem = unknownField(options, shape) ?? invalidField(options, shape);
  if (problem !== undefined) {
    const { field, expected, hint } = problem;
    const found = field === "secret" ? typeof problem.found : problem.found; // a secret is not shown
    throw new InvalidOptionError(`webhook.${field}`, expected, found, { hint });
  }
  if ("verify" in options) return;
  const sender: Sender = senders[options.sender];
  if (options.toleranceMs !== undefined && !sender.hasTimestamp)
    throw new InvalidOptionError(
      "webhook.toleranceMs",
      `nothing, as ${options.sender} signs no timestamp`,
      options.toleranceMs,
    );
  const { secret } = options;
  if (typeof secret === "function") return;
  const secrets = typeof secret === "string" ? [secret] : secret;
  if (secrets.some((one) => keyOf(sender, one) === undefined))
    throw new InvalidOptionError("webhook.secret", `${sender.secretWords}, or several`, "another string");
}

const isSecret = (value: unknown) => typeof value === "string" && value !== "";
const headerName = v.custom(
  (value) => typeof value === "string" && /^[\w!#$%&'*+.^`|~-]+$/.test(value),
  "the name of a header",
);
const idWords = "{ header }, { field } or a function";

const contentShape: Shape<WebhookContent> = {
  records: v.optional(callable),
  id: v.optional(
    v.union(
      [
        v.function(),
        v.strictObject({ header: headerName }),
        v.strictObject({ field: v.pipe(v.string(), v.minLength(1)) }),
      ],
      idWords,
    ),
  ),
  scope: v.optional(callable),
  challenge: v.optional(callable),
};

const senderShape: Shape<SenderOptions> = {
  ...contentShape,
  sender: oneOf(...(Object.keys(senders) as WebhookSender[])),
  secret: v.custom(
    (value) =>
      typeof value === "function" ||
      (Array.isArray(value) ? value.length > 0 && value.every(isSecret) : isSecret(value)),
    "a string that is not empty, several, or a function",
  ),
  toleranceMs: v.optional(wholeNumber(1)),
};

const verifyShape: Shape<VerifyOptions> = { ...contentShape, verify: callable };
