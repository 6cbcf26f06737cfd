import { createHmac, timingSafeEqual } from "node:crypto";
import { InvalidOptionError, UnauthorizedError } from "../../errors.ts";
import { type Shape, checkObject, invalidField, oneOf, string, unknownField, v } from "../../model/validate.ts";
import type { AuthorizeResult } from "../access/authorization.ts";

/**
 * Decides by the request itself, body included, whether its records are accepted; called instead of `authorize`, with
 * the same results and errors.
 */
export type Verify = (request: Request) => AuthorizeResult | Promise<AuthorizeResult>;

/** How a sender signs. */
export interface SignatureOptions {
  /** The secret shared with the sender, or several while one replaces another. */
  readonly secret: string | readonly string[];
  /** The header that carries the signature, such as `x-hub-signature-256`. */
  readonly header: string;
  /** @default "sha256" */
  readonly algorithm?: "sha256" | "sha512" | "sha1";
  /** @default "hex" */
  readonly encoding?: "hex" | "base64";
  /** What precedes the signature in the header, such as `sha256=`. @default "" */
  readonly prefix?: string;
}

/**
 * Accepts requests whose body, byte for byte, was signed with the secret (HMAC); compared in constant time.
 *
 * @throws `invalid_option` naming the first option that is invalid.
 */
export function hmacSignature(options: SignatureOptions): Verify {
  checkObject(options, InvalidOptionError, "hmacSignature");
  const problem = unknownField(options, optionShape) ?? invalidField(options, optionShape);
  if (problem !== undefined) {
    const { field, expected, hint } = problem;
    const found = field === "secret" ? typeof problem.found : problem.found; // a secret is not shown
    throw new InvalidOptionError(`hmacSignature.${field}`, expected, found, { hint });
  }
  const { secret, header, algorithm = "sha256", encoding = "hex", prefix = "" } = options;
  const secrets: readonly string[] = typeof secret === "string" ? [secret] : secret;
  return async (request) => {
    const given = request.headers.get(header);
    if (given === null) throw new UnauthorizedError(`The header ${header} is required`);
    if (!given.startsWith(prefix)) throw new UnauthorizedError(`The header ${header} does not begin as expected`);
    const signature = Buffer.from(given.slice(prefix.length), encoding);
    const body = new Uint8Array(await request.arrayBuffer());
    // Every secret is tried, so that the time does not depend on which one matches.
    const matches = secrets.filter((one) => sameBytes(createHmac(algorithm, one).update(body).digest(), signature));
    if (matches.length === 0) throw new UnauthorizedError("The signature does not match the body");
    return true;
  };
}

/** In constant time. */
export function sameBytes(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

const isSecret = (value: unknown) => typeof value === "string" && value !== "";

const optionShape: Shape<SignatureOptions> = {
  secret: v.custom(
    (value) => (Array.isArray(value) ? value.length > 0 && value.every(isSecret) : isSecret(value)),
    "a string that is not empty, or several",
  ),
  header: v.custom((value) => typeof value === "string" && /^[\w!#$%&'*+.^`|~-]+$/.test(value), "the name of a header"),
  algorithm: v.optional(oneOf("sha256", "sha512", "sha1")),
  encoding: v.optional(oneOf("hex", "base64")),
  prefix: v.optional(string),
};
