import { systemClock, within } from "../../clock.ts";
import { messageOf } from "../../model/message.ts";
import { CommandError, UsageError } from "../errors.ts";
import { Api, type Send } from "./api.ts";

/** How long a response may take, in milliseconds. */
const patienceMs = 60_000;

/** Where an API is, and what it is asked with. */
export interface WebApiParts {
  readonly address: string;
  /** The name of an environment variable. */
  readonly tokenName: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/**
 * The API at an address. The token leaves this file in one header only, and goes to no other address.
 *
 * @throws UsageError if the address or the token is none.
 */
export function webApi({ address, env, signal, tokenName }: WebApiParts): Api {
  const url = addressOf(address);
  const token = tokenName === undefined ? undefined : tokenIn(env, tokenName);
  const name = url.href.replace(/\/+$/, "");
  const send: Send = async (request) => {
    const response = await respond(request, { name, signal });
    if (response.status !== 401) return response;
    throw new CommandError(
      tokenName === undefined
        ? `${name} asks for a token: name the environment variable that it is in by --token-env`
        : `${name} does not accept the token in ${tokenName}`,
    );
  };
  return new Api({
    ...{ name, send, base: name },
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
  });
}

async function respond(
  request: Request,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<Response> {
  const abort = new AbortController();
  try {
    const fetched = fetch(request, { signal: AbortSignal.any([signal, abort.signal]) });
    if (await within(systemClock, patienceMs, fetched)) return await fetched;
  } catch (error) {
    signal.throwIfAborted();
    throw new CommandError(`${name} cannot be reached: ${messageOf(error)}`);
  }
  abort.abort();
  throw new CommandError(`${name} has not responded within ${patienceMs / 1_000} seconds`);
}

function addressOf(address: string): URL {
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol))
    throw new UsageError(`--url is an address that begins with http:// or https://`);
  const url = new URL(address);
  if (url.username !== "" || url.password !== "")
    throw new UsageError("--url is refused with a password in it: use --token-env");
  if (url.search !== "" || url.hash !== "") throw new UsageError("--url is an address without ? and #");
  return url;
}

// A token is a secret: no message has it, nor any part of it.
function tokenIn(env: WebApiParts["env"], name: string): string {
  const token = env[name];
  if (token === undefined || token === "")
    throw new UsageError(`The environment variable ${name}, which --token-env names, is not set`);
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new UsageError(`The environment variable ${name} has something else in it than a token of visible ASCII`);
  return token;
}
