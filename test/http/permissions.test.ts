import { describe, expect, test } from "vitest";
import { ForbiddenError, UnauthorizedError } from "../../src/index.ts";
import { type AuthorizeRequest, actions, bearerToken } from "../../src/http/index.ts";
import { createApi } from "./harness.ts";

describe("the permissions of a caller", () => {
  test("are every action, each with whether it is allowed", async () => {
    const asked: AuthorizeRequest[] = [];
    const api = createApi({
      http: {
        authorize: (ask) => {
          asked.push(ask);
          if (ask.action === "flows.delete") throw new ForbiddenError("not you");
          if (ask.action === "flows.create") throw new UnauthorizedError("another token");
          return ask.action.startsWith("flows.");
        },
      },
    });

    const { status, json } = await api.send("GET", "/permissions");

    const allowed = (action: string) =>
      action.startsWith("flows.") && action !== "flows.delete" && action !== "flows.create";
    expect([status, json]).toEqual([
      200,
      { actions: Object.fromEntries(actions.map((action) => [action, allowed(action)])) },
    ]);
    expect(asked.map(({ action }) => action)).toEqual(actions);
  });

  test("name the only integration that it may see", async () => {
    const api = createApi({ http: { authorize: () => ({ _integrationId: "acme" }) } });

    expect((await api.send("GET", "/permissions")).json).toMatchObject({ _integrationId: "acme" });
  });

  test("name the caller as the hook does", async () => {
    const scoped = createApi({ http: { authorize: () => ({ _integrationId: "acme", caller: "ann" }) } });
    const full = createApi({ http: { authorize: () => ({ fullAccess: true, caller: "bob" }) } });

    expect((await scoped.send("GET", "/permissions")).json).toMatchObject({ _integrationId: "acme", caller: "ann" });
    expect((await full.send("GET", "/permissions")).json).toMatchObject({ caller: "bob" });
  });

  test("are 401 without a token, and all with one", async () => {
    const api = createApi({ http: { authorize: bearerToken("secret") } });
    const headers = { authorization: "Bearer secret" };

    expect((await api.send("GET", "/permissions")).status).toBe(401);
    const { json } = await api.send("GET", "/permissions", { headers });
    expect(Object.values((json as { actions: object }).actions)).toEqual(actions.map(() => true));
  });

  test("are an error of the hook, and not permissions, if it throws another one", async () => {
    const api = createApi({ http: { authorize: () => Promise.reject(new Error("session store is down")) } });

    const response = await api.handler(api.request("GET", "/permissions"));

    expect(response.status).toBe(500);
  });
});
