import { connection } from "poundlock/connectors/http";
import { publicFetch } from "poundlock/connectors/public-fetch";
import { describe, expect, test } from "vitest";
import { PublicAddresses } from "../../../src/connectors/http/public-fetch/addresses.ts";
import { errorOf, fateOf } from "./contexts.ts";
import { startServer } from "./server.ts";

const codeOf = async (url: string, fetch = publicFetch()) => {
  const error = await errorOf(fetch(new URL(url), {}));
  return (error.cause as { readonly code?: string } | undefined)?.code;
};

describe("publicFetch refuses", () => {
  test.each([
    "127.0.0.1",
    "127.8.8.8",
    "0x7f.1",
    "2130706433",
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2001:db8::1]",
    "[2001::1]",
    "[2002:7f00:1::]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[ff02::1]",
  ])("the address %s", async (host) => {
    expect(await codeOf(`http://${host}:8080/`)).toBe("ERR_ADDRESS_NOT_PUBLIC");
  });

  test.each(["localhost", "LOCALHOST"])("the name %s, by the address that it has", async (host) => {
    const server = await startServer();

    expect(await codeOf(`http://${host}:${server.port}/`)).toBe("ERR_ADDRESS_NOT_PUBLIC");
    expect(server.seen).toEqual([]);
  });

  test("an address that a redirect leads to, when fetch follows it by itself", async () => {
    const inside = await startServer();
    const server = await startServer(() => ({
      status: 302,
      headers: { location: `http://127.0.0.2:${inside.port}/` },
    }));
    const fetch = publicFetch({ allow: ["127.0.0.1"] });

    const error = await errorOf(fetch(new URL(server.url), {}));

    expect(error.cause).toMatchObject({ code: "ERR_ADDRESS_NOT_PUBLIC" });
    expect([server.seen.length, inside.seen.length]).toEqual([1, 0]);
  });

  test.each([["localhost"], ["10.0.0.0/33"], ["10.0.0.0/x"], [""]])("to allow %j", (entry) => {
    expect(() => publicFetch({ allow: [entry] })).toThrow(
      "publicFetch.allow: expected addresses, or networks such as 10.1.0.0/16",
    );
  });
});

describe("publicFetch reaches", () => {
  test.each(["2606:4700::1111", "8.8.8.8", "172.32.0.1", "100.128.0.1", "11.0.0.0", "2003::1"])(
    "the address %s",
    (address) => {
      expect(new PublicAddresses().has(address)).toBe(true);
    },
  );

  test("what is allowed, by address and by name", async () => {
    const server = await startServer(() => ({ body: { done: true } }));
    const fetch = publicFetch({ allow: ["127.0.0.0/8", "::1"] });

    for (const host of ["127.0.0.1", "localhost"])
      expect(await connection({ baseUrl: `http://${host}:${server.port}`, fetch }).read({})).toEqual({ done: true });
  });

  test("a form", async () => {
    const server = await startServer(() => ({ body: {} }));
    const to = connection({ baseUrl: server.url, fetch: publicFetch({ allow: ["127.0.0.1"] }) });
    const form = new FormData();
    form.set("name", "value");

    await to.send({ body: form });

    expect(server.seen[0]?.headers["content-type"]).toMatch(/^multipart\/form-data; boundary=/);
    expect(server.seen[0]?.body).toContain('name="name"\r\n\r\nvalue');
  });

  test("a body, headers and a method", async () => {
    const server = await startServer(() => ({ body: {} }));
    const to = connection({ baseUrl: server.url, fetch: publicFetch({ allow: ["127.0.0.1"] }) });

    await to.send({ method: "PUT", path: "a", body: { b: 1 }, headers: { "x-c": "d" } });

    expect(server.seen).toMatchObject([{ method: "PUT", path: "/a", body: '{"b":1}', headers: { "x-c": "d" } }]);
  });
});

test("through a connection an address that is not public is an error, or a stop", async () => {
  const to = connection({ baseUrl: "http://169.254.169.254/latest", fetch: publicFetch() });

  expect(await fateOf(to.read({}))).toBe("error");
  expect(await fateOf(to.send({}))).toBe("stop");
  expect((await errorOf(to.read({}))).message).toContain(
    "was not sent: ERR_ADDRESS_NOT_PUBLIC, 169.254.169.254 has an address that is not public",
  );
});

describe("a name is looked up as Node does it", () => {
  const lookup = (hostname: string, options: object) =>
    new Promise<unknown>((resolve) =>
      new PublicAddresses(["127.0.0.1", "::1"]).lookup(hostname, options, (error, address) => {
        resolve(error ?? address);
      }),
    );

  test("for one address, or for all", async () => {
    expect(["127.0.0.1", "::1"]).toContain(await lookup("localhost", {}));
    expect(await lookup("localhost", { all: true, family: 4 })).toEqual([{ address: "127.0.0.1", family: 4 }]);
  });

  test("and fails as there for one that cannot be", async () => {
    expect(await lookup("no such host", {})).toMatchObject({ syscall: "getaddrinfo" });
  });
});
