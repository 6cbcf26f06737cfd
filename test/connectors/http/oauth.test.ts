import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readlinkSync } from "node:fs";
import { mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { type Auth, connection } from "poundlock/connectors/http";
import { type TokenStore, type Tokens, clientCredentials, refreshToken, tokenFile } from "poundlock/connectors/oauth";
import { ManualClock } from "poundlock/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { errorOf, fateOf } from "./contexts.ts";
import { type Reply, type TestServer, closedPort, startServer } from "./server.ts";
import { TokenServer } from "./token-server.ts";

interface Setting {
  readonly tokens: TokenServer;
  readonly server: TestServer;
  readonly api: TestServer;
  readonly client: { readonly tokenUrl: string; readonly clientId: string; readonly clientSecret: string };
}

async function setUp(): Promise<Setting> {
  const tokens = new TokenServer();
  const server = await startServer(tokens.respond);
  const api = await startServer(({ headers }) => ({
    status: tokens.accepts(headers.authorization) ? 200 : 401,
    body: {},
  }));
  const client = { tokenUrl: `${server.url}/token`, clientId: "poundlock", clientSecret: "cl1ent-s3cret" };
  return { tokens, server, api, client };
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "poundlock-tokens-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

async function fileWith(tokens: Tokens): Promise<string> {
  const path = join(folder(), "tokens.json");
  await writeFile(path, JSON.stringify(tokens));
  return path;
}

const many = (to: ReturnType<typeof connection>, count = 50) =>
  Promise.all(Array.from({ length: count }, () => to.send({ body: 1 })));

describe("client credentials", () => {
  test("are one request for all that need a token", async () => {
    const { tokens, server, api, client } = await setUp();
    const to = connection({
      baseUrl: api.url,
      auth: clientCredentials({ ...client, scope: "a b", parameters: { audience: "x" } }),
    });

    await many(to);

    expect(tokens.requests).toBe(1);
    expect(api.seen.length).toBe(50);
    expect(Object.fromEntries(new URLSearchParams(server.seen[0]?.body))).toMatchObject({
      ...{ grant_type: "client_credentials", scope: "a b", audience: "x" },
    });
  });

  test.each(["basic", "post"] as const)("are sent as the server wants them: %s", async (authentication) => {
    const { server, api, client } = await setUp();

    await connection({ baseUrl: api.url, auth: clientCredentials({ ...client, authentication }) }).send({});

    expect(server.seen[0]?.headers.authorization !== undefined).toBe(authentication === "basic");
  });

  test("are renewed earlyMs before the token expires, and not sooner", async () => {
    const { tokens, api, client } = await setUp();
    const clock = new ManualClock();
    const to = connection({ baseUrl: api.url, auth: clientCredentials({ ...client, clock, earlyMs: 60_000 }) });
    await to.send({});

    await clock.advance(3_539_999);
    await to.send({});
    expect(tokens.requests).toBe(1);
    await clock.advance(1);
    await to.send({});

    expect(tokens.requests).toBe(2);
    expect(api.seen.length).toBe(3);
  });

  test("are renewed after half of a life that is shorter than earlyMs", async () => {
    const { tokens, api, client } = await setUp();
    tokens.expiresIn = 30;
    const clock = new ManualClock();
    const to = connection({ baseUrl: api.url, auth: clientCredentials({ ...client, clock }) });

    await many(to, 3);
    await clock.advance(14_999);
    await to.send({});
    expect(tokens.requests).toBe(1);
    await clock.advance(1);
    await to.send({});

    expect(tokens.requests).toBe(2);
  });

  test("are renewed once when the API refuses the token, however many requests it refuses", async () => {
    const { tokens, server, api, client } = await setUp();
    tokens.expiresIn = undefined;
    const to = connection({ baseUrl: api.url, auth: clientCredentials(client) });
    await to.send({});
    // Somebody else has got another one, and the first is valid no more.
    tokens.respond({ ...(server.seen[0] ?? expect.unreachable()) });

    await many(to, 20);

    expect(tokens.requests).toBe(3);
  });
});

describe("a refresh token", () => {
  test("is used once, and the next one is durable before its access token is used", async () => {
    const { tokens, api, client } = await setUp();
    const file = await fileWith({ refreshToken: "refresh-0" });
    const kept: Tokens[] = [];
    api.respond = async ({ headers }) => {
      kept.push(JSON.parse(await readFile(file, "utf8")) as Tokens);
      return { status: tokens.accepts(headers.authorization) ? 200 : 401, body: {} };
    };
    const to = connection({ baseUrl: api.url, auth: refreshToken({ ...client, store: tokenFile(file) }) });

    await many(to);

    expect(tokens).toMatchObject({ requests: 1, isRevoked: false });
    for (const each of kept) expect(each).toMatchObject({ accessToken: "access-1", refreshToken: "refresh-1" });
  });

  test("is used for the next one after a restart, and the token that is valid is used on", async () => {
    const { tokens, api, client } = await setUp();
    const file = await fileWith({ refreshToken: "refresh-0" });
    const clock = new ManualClock(Date.now());
    const open = () =>
      connection({ baseUrl: api.url, auth: refreshToken({ ...client, clock, store: tokenFile(file) }) });

    await open().send({});
    await open().send({});
    expect(tokens.requests).toBe(1);
    await clock.advance(3_600_000);
    await open().send({});

    expect(tokens).toMatchObject({ requests: 2, isRevoked: false });
  });

  test("stays if the server gives no other one", async () => {
    const { tokens, api, client } = await setUp();
    tokens.rotates = false;
    const file = await fileWith({ refreshToken: "refresh-0" });

    await connection({ baseUrl: api.url, auth: refreshToken({ ...client, store: tokenFile(file) }) }).send({});

    expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({
      refreshToken: "refresh-0",
      accessToken: "access-1",
    });
  });

  test("may be given for a store that has none", async () => {
    const { api, client } = await setUp();
    const file = join(folder(), "tokens.json");
    const first = refreshToken({ ...client, store: tokenFile(file), refreshToken: () => "refresh-0" });
    const without = refreshToken({ ...client, store: tokenFile(join(folder(), "tokens.json")) });

    await connection({ baseUrl: api.url, auth: first }).send({});
    const error = await errorOf(connection({ baseUrl: api.url, auth: without }).send({}));

    expect(error.message).toContain("refreshToken.store: expected a store that has a refresh token, or refreshToken");
    if (process.platform !== "win32") expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test("is used once by several processes", { timeout: 60_000 }, async () => {
    const { tokens, server, api, client } = await setUp();
    const file = await fileWith({ refreshToken: "refresh-0" });
    let ready = 0;
    let allReady: () => void = () => undefined;
    const others = new Promise<void>((resolve) => (allReady = resolve));
    server.respond = async (request) => {
      await others;
      return tokens.respond(request);
    };
    const script = fileURLToPath(new URL("token-child.ts", import.meta.url));
    const start = async () => {
      const child = spawn(process.execPath, ["--import", "tsx", script, client.tokenUrl, api.url, file], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      let errors = "";
      child.stderr.on("data", (chunk) => (errors += String(chunk)));
      child.stdout.once("data", () => {
        if (++ready === 3) allReady();
      });
      const [code] = (await once(child, "close")) as [number];
      return { code, errors };
    };

    const ended = await Promise.all([start(), start(), start()]);

    expect(ended).toEqual(ended.map(() => ({ code: 0, errors: "" })));
    expect(tokens).toMatchObject({ requests: 1, isRevoked: false });
    expect(api.seen.length).toBe(15);
    expect((await readdir(join(file, ".."))).sort()).toEqual(["tokens.json"]);
  });
});

describe("a client without a secret", () => {
  const publicServer = async (reply: Reply = { body: { access_token: "a", token_type: "Bearer" } }) => {
    const server = await startServer(() => reply);
    const api = await startServer(() => ({ body: {} }));
    return { server, api, client: { tokenUrl: `${server.url}/token`, clientId: "public" } };
  };

  test.each([{}, { authentication: "none" as const }])("sends its id alone: %o", async (authentication) => {
    const { server, api, client } = await publicServer();

    await connection({ baseUrl: api.url, auth: clientCredentials({ ...client, ...authentication }) }).send({});

    expect(server.seen[0]?.headers.authorization).toBeUndefined();
    expect(new URLSearchParams(server.seen[0]?.body).get("client_id")).toBe("public");
    expect(api.seen[0]?.headers.authorization).toBe("Bearer a");
  });

  test.each<[title: string, reply: Reply, message: string]>([
    [
      "a refusal without a description",
      { status: 400, body: { error: "invalid_grant" } },
      "answered 400: invalid_grant",
    ],
    ["nothing", { status: 200, body: "" }, "127.0.0.1"],
  ])("is refused by %s", async (_title, reply, message) => {
    const { api, client } = await publicServer(reply);
    const to = connection({ baseUrl: api.url, attempts: 1, auth: clientCredentials(client) });

    expect((await errorOf(to.send({}))).message).toContain(message);
    expect(api.seen).toEqual([]);
  });

  test("takes an answer without a content type for JSON, and tries a server again that is broken", async () => {
    let status = 500;
    const { api, client } = await publicServer();
    const fetch = async () => {
      const response = new Response('{"access_token":"b","token_type":"Bearer"}', { status });
      response.headers.delete("content-type");
      return response;
    };
    const to = connection({ baseUrl: api.url, attempts: 1, auth: clientCredentials({ ...client, fetch }) });

    expect(await fateOf(to.send({}))).toBe("retryLater");
    status = 200;
    await to.send({});

    expect(api.seen[0]?.headers.authorization).toBe("Bearer b");
  });
});

test("a token that another connection has renewed in the same file is used, and not renewed again", async () => {
  const { tokens, server, api, client } = await setUp();
  const file = await fileWith({ refreshToken: "refresh-0" });
  const open = () => connection({ baseUrl: api.url, auth: refreshToken({ ...client, store: tokenFile(file) }) });
  const [one, other] = [open(), open()];
  await one.send({});
  await other.send({});
  // The token that both have is valid no more.
  tokens.respond({ ...(server.seen[0] ?? expect.unreachable()), body: "grant_type=client_credentials" });

  await one.send({});
  const renewed = server.seen.length;
  await other.send({});

  expect(server.seen.length).toBe(renewed);
});

describe("a token server", () => {
  const failing = async (
    auth: (client: Setting["client"]) => Auth,
    prepare: (setting: Setting) => void = () => undefined,
  ) => {
    const setting = await setUp();
    prepare(setting);
    const to = connection({ baseUrl: setting.api.url, auth: auth(setting.client), attempts: 1 });
    const error = await errorOf(to.send({}));
    return { error, fate: await fateOf(to.send({})), asExport: await fateOf(to.read({})), api: setting.api };
  };

  test("that refuses the client is an error, or a stop, and is quoted without secrets", async () => {
    const { error, fate, asExport, api } = await failing((client) =>
      clientCredentials({ ...client, clientSecret: "wr0ng-s3cret" }),
    );

    expect([asExport, fate]).toEqual(["error", "stop"]);
    expect(error.message).toContain("the token server answered 401: invalid_client (no client with ***)");
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("wr0ng-s3cret");
    expect(api.seen).toEqual([]);
  });

  test("that has revoked the refresh token is an error, or a stop, and is quoted without it", async () => {
    const file = await fileWith({ refreshToken: "refresh-old" });

    const { error, fate } = await failing((client) => refreshToken({ ...client, store: tokenFile(file) }));

    expect(fate).toBe("stop");
    expect(error.message).toContain("the token server answered 400: invalid_grant (*** was used before)");
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("refresh-old");
  });

  test("that is busy makes a retry, with the time it asks for", async () => {
    const { error, fate, asExport } = await failing(clientCredentials, ({ server }) => {
      server.respond = () => ({ status: 503, headers: { "retry-after": "7" } });
    });

    expect([asExport, fate]).toEqual(["retryLater", "retryLater"]);
    expect(error).toMatchObject({ afterMs: 7_000 });
  });

  test.each(["reset", "cut"] as const)("that breaks off makes a retry: %s", async (fault) => {
    const { fate, asExport } = await failing(clientCredentials, ({ server }) => {
      server.respond = () => fault;
    });

    expect([asExport, fate]).toEqual(["retryLater", "retryLater"]);
  });

  test("that is not there makes a retry", async () => {
    const tokenUrl = `http://127.0.0.1:${await closedPort()}/token`;

    const { fate } = await failing((client) => clientCredentials({ ...client, tokenUrl }));

    expect(fate).toBe("retryLater");
  });

  test("that does not respond in time makes a retry", async () => {
    const { server, api, client } = await setUp();
    server.respond = () => "stall";
    const clock = new ManualClock();
    const to = connection({ baseUrl: api.url, auth: clientCredentials({ ...client, clock, timeoutMs: 5_000 }) });

    const sending = fateOf(to.send({}));
    await server.arrived(1);
    await clock.advance(5_000);

    expect(await sending).toBe("retryLater");
  });

  test.each<[title: string, reply: object]>([
    ["no JSON", { body: "<html>" }],
    ["no token", { body: { token_type: "bearer" } }],
    ["a token of another type", { body: { access_token: "a", token_type: "mac" } }],
  ])("that gives %s is an error, or a stop", async (_title, reply) => {
    const { fate } = await failing(clientCredentials, ({ server }) => (server.respond = () => reply));

    expect(fate).toBe("stop");
  });

  test("may say whom the token is about, in its own words", async () => {
    const { tokens, server, api, client } = await setUp();
    server.respond = (request) => {
      const { body } = tokens.respond(request);
      return { body: { ...(body as object), id_token: "not.a.token" } };
    };

    await connection({ baseUrl: api.url, auth: clientCredentials(client) }).send({});

    expect(api.seen.length).toBe(1);
  });
});

describe("tokenFile", () => {
  const lockOf = (file: string, pid: number, host = hostname()) =>
    writeFile(`${file}.lock`, JSON.stringify({ id: "x", host, pid, pidSpace: pidSpace() }));
  const change = async () => ({ accessToken: "new" });
  const pidSpace = () => {
    try {
      return readlinkSync("/proc/self/ns/pid");
    } catch {
      return "";
    }
  };

  test("makes changes one after the other, each with what the one before has kept", async () => {
    const file = join(folder(), "tokens.json");
    let underWay = 0;
    const add = (store: TokenStore) =>
      store.update(async (current) => {
        expect(++underWay).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        underWay--;
        return { accessToken: `${current?.accessToken ?? ""}x` };
      });

    await Promise.all(Array.from({ length: 5 }, () => add(tokenFile(file))));

    expect(await tokenFile(file).load()).toEqual({ accessToken: "xxxxx" });
  });

  test("takes over the lock of a process that died", async () => {
    const file = join(folder(), "tokens.json");
    const dead = spawn(process.execPath, ["-e", ""]);
    await once(dead, "close");
    await lockOf(file, dead.pid ?? 0);

    await tokenFile(file).update(change);

    expect(await readdir(join(file, ".."))).toEqual(["tokens.json"]);
  });

  test("takes over the lock of another computer when it is two minutes old", async () => {
    const file = join(folder(), "tokens.json");
    await lockOf(file, 1, "elsewhere");
    const clock = new ManualClock(Date.now());

    const updating = tokenFile(file, clock).update(change);
    while (clock.timers === 0) await clock.settle();
    await clock.advance(1_000);
    expect(await tokenFile(file).load()).toBeUndefined();
    clock.jumpTo(Date.now() + 130_000);
    for (let isOver = false; !isOver;) {
      isOver = await Promise.race([updating.then(() => true), clock.advance(50).then(() => false)]);
    }

    expect(await tokenFile(file).load()).toEqual({ accessToken: "new" });
  });

  test("keeps nothing once its lock was taken over", async () => {
    const file = join(folder(), "tokens.json");

    const error = await errorOf(
      tokenFile(file).update(async () => {
        await lockOf(file, process.pid);
        return { accessToken: "late" };
      }),
    );

    expect(error.message).toContain("was taken over by another process");
    expect(await tokenFile(file).load()).toBeUndefined();
    await rm(`${file}.lock`);
  });

  test("leaves the old tokens, and no lock, if there are no new ones", async () => {
    const file = await fileWith({ accessToken: "old" });

    await errorOf(tokenFile(file).update(() => Promise.reject(new Error("no"))));

    expect(await tokenFile(file).load()).toEqual({ accessToken: "old" });
    expect(await readdir(join(file, ".."))).toEqual(["tokens.json"]);
  });

  test("is left to another process that is just taking over, unless that one died, too", async () => {
    const file = join(folder(), "tokens.json");
    const dead = spawn(process.execPath, ["-e", ""]);
    await once(dead, "close");
    await lockOf(file, dead.pid ?? 0);
    const content = await readFile(`${file}.lock`, "utf8");
    const marker = `${file}.lock.${createHash("sha256").update(content).digest("hex").slice(0, 16)}`;
    await writeFile(marker, "another one");
    const clock = new ManualClock(Date.now());

    const updating = tokenFile(file, clock).update(change);
    while (clock.timers === 0) await clock.settle();
    expect(await readFile(`${file}.lock`, "utf8")).toBe(content);
    clock.jumpTo(Date.now() + 130_000);
    for (let isOver = false; !isOver;) {
      isOver = await Promise.race([updating.then(() => true), clock.advance(50).then(() => false)]);
    }

    expect(await readdir(join(file, ".."))).toEqual(["tokens.json"]);
  });

  test("rejects if its folder is not there, or a folder is in its place or in that of its lock", async () => {
    const file = join(folder(), "tokens.json");
    expect(await errorOf(tokenFile(join(file, "none", "tokens.json")).update(change))).toMatchObject({
      code: "ENOENT",
    });
    await mkdir(`${file}.lock`);
    expect(await errorOf(tokenFile(file).update(change))).toMatchObject({ code: "EISDIR" });
    await mkdir(file);
    expect(await errorOf(tokenFile(file).load())).toMatchObject({ code: "EISDIR" });
  });

  test.each(["", 7])("refuses the path %o", (path) => {
    expect(() => tokenFile(path as string)).toThrow("tokenFile.path: expected a path");
  });

  test.each(["[]", "7", "null"])("has no tokens with the content %s", async (content) => {
    const file = join(folder(), "tokens.json");
    await writeFile(file, content);

    expect((await errorOf(tokenFile(file).load())).message).toContain("has no tokens");
  });

  test("does not quote a file that has no tokens", async () => {
    const file = join(folder(), "tokens.json");
    await writeFile(file, '"refresh-s3cret');

    const { message } = await errorOf(tokenFile(file).load());

    expect(message).toMatch(/tokens\.json has no tokens: expected JSON such as/);
    expect(message).not.toContain("s3cret");
  });
});

describe("OAuth refuses", () => {
  const good = { tokenUrl: "https://erp.example/token", clientId: "a", clientSecret: "b" };

  test.each<[make: () => Auth, message: string]>([
    [
      () => clientCredentials({ ...good, tokenUrl: "http://erp.example/token" }),
      "clientCredentials.tokenUrl: expected an https URL",
    ],
    [() => clientCredentials({ ...good, tokenUrl: "erp" }), "clientCredentials.tokenUrl: expected an https URL"],
    [() => clientCredentials({ ...good, clientSecret: "" }), "clientCredentials.clientSecret: expected a string"],
    [
      () => clientCredentials({ tokenUrl: good.tokenUrl, clientId: "a", authentication: "post" }),
      "expected a secret, for this authentication",
    ],
    [() => refreshToken(good as never), "refreshToken.store: expected an object with load and update, found undefined"],
    [() => clientCredentials({ ...good, scopes: "x" } as never), 'did you mean "scope"?'],
  ])("%o", (make, message) => {
    expect(make).toThrow(message);
  });
});
