import { lookup as lookUpHost } from "node:dns";
import { BlockList, type LookupFunction, isIP } from "node:net";
import { InvalidOptionError } from "../../../errors.ts";

/** An address that is not public. The request was not sent. */
export class AddressNotPublicError extends Error {
  override readonly name = "AddressNotPublicError";
  readonly code = "ERR_ADDRESS_NOT_PUBLIC";

  constructor(host: string) {
    super(`${host} has an address that is not public`);
  }
}

/**
 * Which addresses are public, and which others are allowed.
 *
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry
 */
export class PublicAddresses {
  readonly #allowed = new BlockList();

  /** @throws `invalid_option` for an address, or a network, that is none. */
  constructor(allow: readonly string[] = []) {
    for (const entry of allow) add(this.#allowed, entry);
  }

  has(address: string): boolean {
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (this.#allowed.check(address, family)) return true;
    if (family === "ipv4") return !reserved.check(address, "ipv4");
    // Other addresses of version 6 have not been given to anybody yet, or embed one of version 4.
    return global.check(address, "ipv6") && !reserved.check(address, "ipv6");
  }

  /** As of `dns.lookup`; fails for a host of which any address is not public, since the name was made for that one. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    lookUpHost(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        callback(error, "", 0);
        return;
      }
      const [first] = found;
      if (first === undefined || !found.every(({ address }) => this.has(address)))
        callback(new AddressNotPublicError(hostname), "", 0);
      else if (options.all === true) callback(null, found);
      else callback(null, first.address, first.family);
    });
  };
}

/** What is reserved of the addresses of version 4, and of the global ones of version 6. */
const reserved = listOf(
  "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24",
  "192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24",
  "203.0.113.0/24 224.0.0.0/4 240.0.0.0/4",
  "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20",
);

const global = listOf("2000::/3");

function listOf(...networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks.join(" ").split(" ")) add(list, network);
  return list;
}

function add(list: BlockList, entry: string): void {
  const [address = "", bits] = entry.split("/", 2);
  const version = isIP(address);
  const most = version === 6 ? 128 : 32;
  const prefix = bits === undefined ? most : /^\d+$/.test(bits) ? Number(bits) : -1;
  if (version === 0 || prefix < 0 || prefix > most)
    throw new InvalidOptionError("publicFetch.allow", "addresses, or networks such as 10.1.0.0/16", entry);
  list.addSubnet(address, prefix, version === 6 ? "ipv6" : "ipv4");
}
