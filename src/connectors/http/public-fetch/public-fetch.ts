import { isIP } from "node:net";
import { Agent, fetch as fetchOf } from "undici";
import { InvalidOptionError } from "../../../errors.ts";
import { type Shape, string, v, validate } from "../../../model/validate.ts";
import type { Fetch } from "../transport.ts";
import { AddressNotPublicError, PublicAddresses } from "./addresses.ts";

/** What more may be reached. */
export interface PublicFetchOptions {
  /** Addresses, or networks such as `10.1.0.0/16`, that may be reached although they are not public. @default none */
  readonly allow?: readonly string[];
}

const rules: Shape<PublicFetchOptions> = { allow: v.optional(v.array(string, "an array of addresses")) };

/**
 * A `fetch` for addresses that others chose, such as a tenant's webhook: it reaches public addresses only. Names are looked
 * up once, for the connection itself, so that a name cannot have another address by then; each hop of a redirect is checked.
 *
 * @throws `invalid_option` for an address that is none.
 */
export function publicFetch(options: PublicFetchOptions = {}): Fetch {
  validate(options, rules, InvalidOptionError, "publicFetch.");
  const addresses = new PublicAddresses(options.allow);
  const dispatcher = new Agent({ connect: { lookup: addresses.lookup } }).compose((dispatch) => (request, handler) => {
    const { hostname } = new URL(String(request.origin));
    // Addresses in a URL are never looked up.
    const literal = hostname.replace(/^\[(.*)\]$/, "$1");
    if (isIP(literal) !== 0 && !addresses.has(literal)) throw new AddressNotPublicError(hostname);
    return dispatch(request, handler);
  });
  return async (url, init) => {
    // The platform's own fetch and an agent of the package do not go together; their types differ in details.
    const given = { ...(await packed(init)), dispatcher } as unknown as Parameters<typeof fetchOf>[1];
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- the package's class does the same
    return await fetchOf(url, given);
  };
}

// The package does not know the platform's FormData.
async function packed(init: RequestInit): Promise<RequestInit> {
  if (!(init.body instanceof FormData)) return init;
  const form = new Response(init.body);
  const headers = new Headers(init.headers);
  headers.set("content-type", String(form.headers.get("content-type")));
  return { ...init, headers, body: new Uint8Array(await form.arrayBuffer()) };
}
