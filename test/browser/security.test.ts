import { describe, expect } from "vitest";
import { bearerToken, createHandler } from "../../src/http/index.ts";
import { toNodeListener } from "../../src/http/node.ts";
import { routes } from "../../src/http/routes/routes.ts";
import { hostWithFlows, loaded, openWindow, serve, siteOf, test, token, visit } from "./site.ts";

const html = (body: string) => `<!doctype html><link rel="icon" href="data:,"><title>x</title>${body}`;

/** A page of another site. */
function otherSite(body: string): Promise<string> {
  return serve((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(html(body)));
}

test.each(["", "/a", "/a/b.c"])(
  "the page works below the base path %j, also when a deep address is loaded again",
  async (basePath) => {
    const { scheduler } = await hostWithFlows();
    const site = await siteOf(scheduler, { basePath });
    const page = await visit(site, "flows/orders");
    await page.getByText("Definition").waitFor();
    await page.getByRole("link", { name: "Runs", exact: true }).click();
    await page.locator("tbody").getByText("by hand").first().waitFor();
    expect(page.url()).toBe(`${site}runs`);
    await page.reload();
    await page.locator("tbody").getByText("by hand").first().waitFor();
    await page.goto(site.slice(0, -1));

    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByRole("link", { name: "Flows", exact: true }).click();
    await page.locator("tbody").getByText("orders").first().waitFor();
    expect(page.url()).toBe(`${site}flows`);
  },
);

test("an API of another origin is used as far as the guide says that its host has to allow it", async () => {
  const { host, scheduler } = await hostWithFlows();
  const api = toNodeListener(createHandler({ scheduler, authorize: bearerToken(token) }));
  let site = "";
  const address = await serve((request, response) => {
    response.setHeader("access-control-allow-origin", site.slice(0, -1));
    response.setHeader("access-control-expose-headers", "ETag, Link, Poundlock-Complete, Poundlock-Examined");
    if (request.method !== "OPTIONS") {
      api(request, response);
      return;
    }
    response.setHeader("access-control-allow-methods", "GET, POST, PUT, PATCH");
    response.setHeader(
      "access-control-allow-headers",
      "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID",
    );
    response.writeHead(204).end();
  });
  site = await siteOf(scheduler, { dashboard: { handler: undefined, api: address } as object });
  const page = await visit(site, "failures?text=1234", { allowed: /status of 404/ });

  await page.getByText("looked at 3 failures").first().waitFor();
  await page.getByRole("link", { name: "1234" }).first().click();
  await page.getByRole("button", { name: "Edit and retry" }).click();
  await page.getByLabel("Record as JSON").fill('{ "id": "1234", "customer": 777 }');
  await page.getByRole("button", { name: "Save and retry" }).click();
  await page.getByText("A retry run was queued").waitFor();

  await expect.poll(() => host.clock.settle().then(() => host.failures())).toHaveLength(2);
});

test("the token is in no address, no history and no referrer", async () => {
  const { scheduler } = await hostWithFlows();
  const site = await siteOf(scheduler);
  const page = await openWindow({ token: undefined });
  const seen: string[] = [];
  page.on("request", (request) => seen.push(request.url(), request.headers().referer ?? ""));
  await page.goto(`${site}flows`);
  await page.getByLabel("Access token").fill(token);
  await page.keyboard.press("Enter");
  await page.getByText("Orders to ledger").first().waitFor();
  await page.getByRole("link", { name: "Orders to ledger" }).click();
  await page.getByText("Definition").waitFor();
  await loaded(page);

  expect(seen.filter((text) => text.includes(token))).toEqual([]);
  expect(seen.filter((text) => text !== "" && text.startsWith(site) && text.endsWith("flows"))).not.toEqual([]);
  expect(page.url()).not.toContain(token);
});

describe("a page of another site", () => {
  test.each([
    ["is not allowed to show it in a frame", [], false],
    ["is allowed to if it is named", ["other"], true],
  ] as const)("%s", async (_, ancestors, isShown) => {
    const { scheduler } = await hostWithFlows();
    let frame = "";
    const other = await serve((_request, response) =>
      response
        .writeHead(200, { "content-type": "text/html" })
        .end(html(`<iframe src="${frame}" width="900" height="600"></iframe>`)),
    );
    const site = await siteOf(scheduler, { dashboard: { frameAncestors: ancestors.map(() => other) } });
    frame = `${site}flows?embed`;
    const page = await openWindow({ allowed: /frame-ancestors|Framing|refused/i });
    await page.goto(other);
    const inside = page.frameLocator("iframe");

    if (isShown) {
      await inside.getByText("Orders to ledger").waitFor();
      expect(await inside.locator("header").count()).toBe(0);
    } else {
      await expect.poll(() => page.frames().length).toBe(2);
      await page.waitForLoadState("networkidle");
      expect(await inside.locator("#app").count()).toBe(0);
    }
  });

  test("gives the frame a token only if it is named", async () => {
    const { scheduler } = await hostWithFlows();
    let frame = "";
    const other = await serve((request, response) => {
      if (request.url === "/parent.js")
        return response.writeHead(200, { "content-type": "text/javascript" }).end(
          `addEventListener("message", ({ data, source, origin }) => {
             if (data.poundlock === "ready") source.postMessage({ token: ${JSON.stringify(token)} }, origin);
           });`,
        );
      return response
        .writeHead(200, { "content-type": "text/html" })
        .end(html(`<script src="/parent.js"></script><iframe src="${frame}" width="900" height="600"></iframe>`));
    });
    const site = await siteOf(scheduler, { dashboard: { frameAncestors: [other] } });
    frame = `${site}flows?embed`;
    const page = await openWindow({ token: undefined });
    await page.goto(other);

    await page.frameLocator("iframe").getByText("Orders to ledger").waitFor();
  });

  const unsafe = routes.filter(({ method }) => method !== "GET");
  test("changes nothing with a visitor's cookie, by any route", async () => {
    const { scheduler } = await hostWithFlows();
    const asked: string[] = [];
    const site = await siteOf(scheduler, {
      dashboard: { signIn: "none" },
      http: {
        authorize: ({ request, action }) => {
          asked.push(action);
          return request.headers.get("cookie")?.includes("session=1") === true;
        },
      },
    });
    const page = await openWindow({ token: undefined, allowed: /CORS|ERR_FAILED|status of 403/ });
    // Another port is another origin of the same site, to which even strict cookies are sent.
    await page.context().addCookies([{ name: "session", value: "1", url: site }]);
    await page.goto(`${site}flows`);
    await page.getByText("Orders to ledger").first().waitFor();
    await page.goto(await otherSite("other"));
    asked.length = 0;

    const responses = page.context();
    const statuses: number[] = [];
    responses.on("response", (response) => statuses.push(response.status()));
    for (const { method, path } of unsafe) {
      const address = site.slice(0, -1) + "/api" + path.replace("{_id}", "orders");
      await page.evaluate(
        ([to, how]) =>
          fetch(to ?? "", {
            method: how ?? "",
            mode: how === "POST" ? "no-cors" : "cors",
            credentials: "include",
          }).catch(() => undefined),
        [address, method],
      );
    }

    expect(unsafe.length).toBeGreaterThan(8);
    expect(asked).toEqual([]);
    expect(statuses.filter((status) => status < 400)).toEqual([]);
  });
});

test("strings cannot become markup or code: the policy requires trusted types and allows none", async () => {
  const { scheduler } = await hostWithFlows();
  const page = await visit(await siteOf(scheduler), "flows", {
    allowed: /TrustedHTML|trusted|violates|Content Security|eval|script/i,
  });

  const refused = await page.evaluate(`
    [
      ["innerHTML", () => (document.body.innerHTML += "<b>x</b>")],
      ["createPolicy", () => trustedTypes.createPolicy("mine", {})],
    ].flatMap(([name, attempt]) => {
      try {
        attempt();
        return [];
      } catch {
        return [name];
      }
    })
  `);

  expect(refused).toEqual(["innerHTML", "createPolicy"]);
});
