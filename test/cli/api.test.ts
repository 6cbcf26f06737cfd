import { once } from "node:events";
import { type RequestListener, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { documentsIn, hostFile, openHost, run, serveApi } from "./harness.ts";

const token = "s3cret-t0ken-of-the-test";
const env = { FLOWS_TOKEN: token };

/** Something that is no API of ours. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("an API behind a token", () => {
  test("does all that a file does", async () => {
    const { url } = await serveApi(await hostFile(), token);
    const at = ["--url", `${url}/`, "--token-env", "FLOWS_TOKEN"];
    const json = async (...args: readonly string[]) =>
      documentsIn((await run([...args, "--json", ...at], { env })).out);

    expect(await json("flows")).toHaveLength(2);
    expect(await json("failures", "--text", "vat")).toHaveLength(2);
    expect(await json("run", "orders")).toMatchObject([{ status: "queued" }]);
    const [queued] = await json("runs", "--status", "queued");
    expect(await json("cancel", String(queued?._id))).toMatchObject([{ status: "canceled" }]);
    expect(await json("checkpoint", "set", "orders", '{"after":1}')).toMatchObject([{ value: { after: 1 } }]);
    expect(await json("resolve", "--flow", "orders", "--yes")).toEqual([{ resolved: 2 }]);
  });

  test("is given the token in a header alone: no address, no output and no error has it", async () => {
    const { asked, url } = await serveApi(await hostFile(), token);
    const at = ["--url", url, "--token-env", "FLOWS_TOKEN"];

    const results = [];
    for (const args of [["flows"], ["run", "ordres"], ["show", token], ["doctor"], ["flows", "--limit", "1"]])
      results.push(await run([...args, ...at], { env }));
    results.push(await run(["flows", ...at], { env: { FLOWS_TOKEN: `${token}-wrong` } }));
    results.push(await run(["flows", "--url", "http://127.0.0.1:9", "--token-env", "FLOWS_TOKEN"], { env }));

    const known = asked.filter((line) => !line.endsWith(`/${token}`));
    expect(known.length).toBeGreaterThan(10);
    expect(known.join("\n")).not.toContain(token);
    const said = results.filter((_, index) => index !== 2).map(({ err, out }) => out + err);
    expect(said.join("\n")).not.toContain(token);
  });

  test("refuses another token, and no token", async () => {
    const { url } = await serveApi(await hostFile(), token);

    const wrong = await run(["flows", "--url", url, "--token-env", "FLOWS_TOKEN"], { env: { FLOWS_TOKEN: "x" } });
    const none = await run(["flows", "--url", url]);

    expect(wrong).toEqual({ code: 1, out: "", err: `poundlock: ${url} does not accept the token in FLOWS_TOKEN\n` });
    expect(none.err).toContain("asks for a token: name the environment variable that it is in by --token-env");
  });

  test("is not asked where the token is not there, or cannot be one", async () => {
    const { asked, url } = await serveApi(await hostFile(), token);
    const at = ["flows", "--url", url, "--token-env", "FLOWS_TOKEN"];

    expect(await run(at)).toMatchObject({ code: 2, err: expect.stringContaining("is not set") as string });
    const odd = await run(at, { env: { FLOWS_TOKEN: "secret\r\nx-evil: 1" } });
    expect(odd).toMatchObject({ code: 2, err: expect.stringContaining("visible ASCII") as string });
    expect(odd.err).not.toContain("secret");
    expect(asked).toEqual([]);
  });
});

test.each([["--token", "abc"], ["--token=abc"]])("a token among the arguments is refused: %s", async (...args) => {
  const { code, err } = await run(["flows", "--url", "http://127.0.0.1:9", ...args]);

  expect(code).toBe(2);
  expect(err).toContain("other users of this computer see the arguments");
});

test("an address with a password in it is refused", async () => {
  const { code, err } = await run(["flows", "--url", "http://me:secret@127.0.0.1:9"]);

  expect(code).toBe(2);
  expect(err).not.toContain("secret");
});

test("an API that is down is said to be", async () => {
  const result = await run(["flows", "--url", "http://127.0.0.1:1"]);

  expect(result.code).toBe(1);
  expect(result.err).toContain("http://127.0.0.1:1 cannot be reached: ");
});

test("many requests leave nothing behind at the signal that ends the program", async () => {
  const { url } = await serveApi(await hostFile(), token);
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };

  await run(["doctor", "--url", url, "--token-env", "FLOWS_TOKEN"], { env, signal });

  expect(listeners).toBe(0);
});

test("a request that takes long ends with the program", async () => {
  const url = await serve(() => undefined);
  const ending = new AbortController();
  const asking = run(["flows", "--url", url], { signal: ending.signal });
  setImmediate(() => ending.abort());

  expect(await asking).toEqual({ code: 1, out: "", err: "" });
});

describe("something else at the address", () => {
  test("a page is known as one, and where its API may be is said", async () => {
    const url = await serve((_request, response) => response.setHeader("content-type", "text/html").end("<p>hello"));

    const { code, err } = await run(["flows", "--url", url]);

    expect(code).toBe(1);
    expect(err).toContain("it is a page: the API of a dashboard is below it, at /api");
  });

  test("a redirect is not followed, so that the token goes nowhere else", async () => {
    const asked: (string | undefined)[] = [];
    const other = await serve((request, response) => {
      asked.push(request.headers.authorization);
      response.end("[]");
    });
    const url = await serve((_request, response) => response.writeHead(308, { location: `${other}/flows` }).end());

    const { err } = await run(["flows", "--url", url, "--token-env", "FLOWS_TOKEN"], { env });

    expect(err).toContain(`leads to ${other}/flows`);
    expect(asked).toEqual([]);
  });

  test.each([
    ["an error without a body", 502, ""],
    ["JSON of something else", 404, '{"detail":"Not Found"}'],
    ["JSON that is none", 200, "{"],
  ])("%s is no API of ours", async (_what, status, body) => {
    const url = await serve((_request, response) =>
      response.writeHead(status, { "content-type": "application/json" }).end(body),
    );

    expect((await run(["flows", "--url", url])).err).toContain(`There is no API of poundlock at ${url}`);
  });

  test("an address below or above that of an API is none of an API", async () => {
    const { url } = await serveApi(await hostFile(), token);

    const { code, err } = await run(["flows", "--url", `${url}/v1`, "--token-env", "FLOWS_TOKEN"], { env });

    expect([code, err]).toEqual([1, `poundlock: There is no API of poundlock at ${url}/v1: it responds with 404\n`]);
  });

  test("what an API refuses is said in its words", async () => {
    const { url } = await serveApi(await hostFile(), token);

    const at = ["--url", url, "--token-env", "FLOWS_TOKEN"];
    const { code, err } = await run(["failures", "--text", "x".repeat(201), ...at], { env });

    expect([code, err]).toEqual([
      1,
      expect.stringContaining("text: expected a string of 1 to 200 characters") as string,
    ]);
  });
});

test("the doctor finds over an API what flows, runs and failures say", async () => {
  const file = await hostFile();
  const { registry, storage } = await openHost(file);
  await registry.define("evil", { name: "\x1b[2J", _exportId: "orders", _importId: "ledger" });
  await storage.close();
  const { url } = await serveApi(file, token);

  const { code, out } = await run(["doctor", "--json", "--url", url, "--token-env", "FLOWS_TOKEN"], { env });

  expect(code).toBe(1);
  expect(documentsIn(out)).toMatchObject([
    { check: "failures", message: expect.stringContaining("2 open failures") as string },
  ]);
});
