import { describe, expect, test } from "vitest";
import { ForbiddenError, NotFoundError, UnauthorizedError } from "../../src/index.ts";
import { type AuthorizeRequest, type Authorize, actions, bearerToken } from "../../src/http/index.ts";
import type { Route } from "../../src/http/routes/route.ts";
import { routes } from "../../src/http/routes/routes.ts";
import { MemoryStorage } from "../../src/index.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { upTo } from "../support/harness.ts";
import { ApiHarness } from "./harness.ts";

// One route asks about every action: see permissions.test.ts.
const asking = routes.filter(({ action }) => action !== undefined);
const each = asking.map((route) => [`${route.method} ${route.path}`, route] as const);
const pathOf = ({ path }: Route) => path.replace("{_id}", "some%20id");

/** A api whose storage tells when it is asked for anything. */
function watched(authorize: Authorize) {
  const calls: string[] = [];
  const storage = new Proxy(new MemoryStorage(), {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        calls.push(String(name));
        return Reflect.apply(member, target, args) as unknown;
      };
    },
  });
  const lines: object[] = [];
  const line = (fields: object) => void lines.push(fields);
  const logger = { debug: line, info: line, warn: line, error: line };
  const exports = { numbers: arrayExport(upTo(3)) };
  const api = new ApiHarness({
    exports,
    imports: { ledger: collectingImport() },
    storage,
    http: { authorize, logger },
  });
  return { api, calls, lines };
}

describe("every route asks authorize", () => {
  test.each(each)("%s: once, with what it is about, before anything is done", async (_title, route) => {
    const asked: AuthorizeRequest[] = [];
    const { api, calls } = watched((ask) => {
      asked.push(ask);
      return false;
    });
    const request = api.request(route.method, pathOf(route), route.body === undefined ? {} : { body: "no JSON" });

    const { status } = await api.read(await api.handler(request), route.method, pathOf(route));

    expect([status, calls, request.bodyUsed]).toEqual([403, [], false]);
    const id = route.path.includes("{") ? "some id" : undefined;
    const about = route.path.split("/")[1];
    expect(asked).toEqual([
      {
        request,
        action: route.action,
        ...(about === "flows" && id !== undefined ? { flowId: id } : {}),
        ...(about === "failures" && id !== undefined ? { failureId: id } : {}),
        ...(about === "runs" && id !== undefined ? { runId: id } : {}),
        ...(about === "exports" && id !== undefined ? { exportId: id } : {}),
        ...(about === "imports" && id !== undefined ? { importId: id } : {}),
      },
    ]);
  });

  test("and each action is some route's", () => {
    expect([...new Set(asking.map(({ action }) => action))].sort()).toEqual([...actions].sort());
  });
});

describe("authorize", () => {
  test.each<[string, Authorize, number]>([
    ["false", () => false, 403],
    ["ForbiddenError", () => Promise.reject(new ForbiddenError("not you")), 403],
    ["UnauthorizedError", () => Promise.reject(new UnauthorizedError("a token is missing")), 401],
    [
      "UnauthorizedError at once",
      () => {
        throw new UnauthorizedError("a token is missing");
      },
      401,
    ],
  ])("refuses by %s", async (_how, authorize, status) => {
    const { api, calls, lines } = watched(authorize);

    const received = await api.send("GET", "/flows");

    expect([received.status, calls, lines]).toEqual([status, [], []]);
    expect(received.headers.has("www-authenticate")).toBe(status === 401);
  });

  test.each<[string, unknown]>([
    ["nothing", () => undefined],
    ["null", () => null],
    ["a string", () => "yes"],
    ["a number", () => 1],
    ["an empty scope", () => ({})],
    ["a scope of nothing", () => ({ _integrationId: "" })],
    ["a scope of no text", () => ({ _integrationId: ["acme"] })],
    ["a scope with a string for ids", () => ({ _integrationId: "acme", _exportIds: "orders" })],
    ["a caller without access", () => ({ caller: "ops" })],
    ["full access without a caller", () => ({ fullAccess: true })],
    ["full access and a scope", () => ({ fullAccess: true, caller: "ops", _integrationId: undefined })],
    ["a scope with another caller", () => ({ _integrationId: "acme", caller: 1 })],
    ["a promise of nothing", () => Promise.resolve()],
    ["another error", () => Promise.reject(new Error("session store is down"))],
    ["another error of ours", () => Promise.reject(new NotFoundError("flow", "x"))],
  ])("that returns %s refuses everyone: 500, logged", async (_what, authorize) => {
    const { api, calls, lines } = watched(authorize as Authorize);

    const response = await api.handler(api.request("GET", "/flows"));

    expect([response.status, calls, lines.length]).toEqual([500, [], 1]);
    expect(await response.text()).not.toContain("session store");
  });

  test("lets in by true, or a promise of it", async () => {
    for (const answer of [true, Promise.resolve(true)])
      expect((await watched(() => answer).api.send("GET", "/flows")).status).toBe(200);
  });
});

describe("a bearer token", () => {
  const ask = async (authorization: string | undefined, authorize = bearerToken(["first", "second"])) => {
    const headers = authorization === undefined ? {} : { authorization };
    return (await watched(authorize).api.send("GET", "/flows", { headers })).status;
  };

  test.each(["Bearer first", "Bearer second", "bearer first", "BEARER  first "])("%j is let in", async (header) => {
    expect(await ask(header)).toBe(200);
  });

  test.each([
    undefined,
    "",
    "Bearer",
    "Bearer ",
    "Bearer firs",
    "Bearer first1",
    "Bearer FIRST",
    "Basic first",
    "first",
    "Bearer first second",
  ])("%j is not", async (header) => {
    expect(await ask(header)).toBe(401);
  });

  test("may be a single one", async () => {
    expect([await ask("Bearer one", bearerToken("one")), await ask("Bearer two", bearerToken("one"))]).toEqual([
      200, 401,
    ]);
  });

  test.each([[undefined], [""], [[]], [["s3cret", ""]], ["s3cret with spaces"], ["s3crét"], [42]])(
    "that is none is refused at once, and not shown: %j",
    (tokens) => {
      const make = () => bearerToken(tokens as string);

      expect(make).toThrow(expect.objectContaining({ code: "invalid_option" }) as Error);
      expect(make).not.toThrow(/s3cr/);
    },
  );
});

test("unknown paths and methods are received without authorize, and reveal nothing of documents", async () => {
  const { api, calls } = watched(() => false);

  const responses = [
    await api.send("GET", "/flow"),
    await api.send("OPTIONS", "/flows/secret"),
    await api.send("POST", "/flows/secret"),
  ];

  expect(responses.map(({ status }) => status)).toEqual([404, 204, 405]);
  expect([calls, responses.map(({ text }) => text).join()]).toEqual([[], expect.not.stringContaining("secret")]);
});
