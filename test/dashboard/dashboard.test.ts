import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { assets } from "../../src/dashboard/assets.ts";
import { type DashboardOptions, createDashboard } from "../../src/dashboard/index.ts";
import type { Handler } from "../../src/http/index.ts";

const origin = "https://host.test";
const echo: Handler = async (request) => new Response(`${request.method} ${new URL(request.url).pathname}`);

/** What a dashboard responds with. */
async function ask(path: string, options: Partial<DashboardOptions> = {}, init: RequestInit = {}) {
  const dashboard = createDashboard({ handler: echo, ...options });
  const response = await dashboard(new Request(origin + path, init));
  return { status: response.status, headers: response.headers, text: await response.text() };
}

describe("options that are refused", () => {
  test.each<[field: string, options: object]>([
    ["handler", {}],
    ["handler", { handler: echo, api: "/api" }],
    ["handler", { handler: "no" }],
    ["api", { api: "ftp://api.example.com" }],
    ["api", { api: "//elsewhere.example.com" }],
    ["api", { api: "/api/" }],
    ["api", { api: "https://api.example.com/?a=1" }],
    ["api", { api: "https://api.example.com; script-src *" }],
    ["basePath", { handler: echo, basePath: "flows" }],
    ["basePath", { handler: echo, basePath: "/flows/" }],
    ["basePath", { handler: echo, basePath: '/"><script>' }],
    ["signIn", { handler: echo, signIn: "cookie" }],
    ["signIn", { handler: echo, signIn: { url: "javascript:alert(1)" } }],
    ["signIn", { handler: echo, signIn: { url: "//elsewhere.example.com" } }],
    ["signIn", { handler: echo, signIn: { url: "/\\elsewhere.example.com" } }],
    ["readOnly", { handler: echo, readOnly: "yes" }],
    ["frameAncestors", { handler: echo, frameAncestors: ["*"] }],
    ["frameAncestors", { handler: echo, frameAncestors: ["https://a.example.com/path"] }],
    ["frameAncestors", { handler: echo, frameAncestors: ["https://a.example.com; script-src *"] }],
    ["theme.light.accent", { handler: echo, theme: { light: { accent: "red;}" } } }],
    ["theme.dark.text", { handler: echo, theme: { dark: { text: "url(https://elsewhere)" } } }],
    ["theme.dark.text", { handler: echo, theme: { dark: { text: "var(--x)" } } }],
    ["theme.light.link", { handler: echo, theme: { light: { link: "red" } } }],
    ["theme", { handler: echo, theme: { sepia: {} } }],
    ["title", { handler: echo, title: "" }],
    ["title", { handler: echo, title: "x".repeat(61) }],
    ["traceUrl", { handler: echo, traceUrl: "https://traces.example.com/" }],
    ["traceUrl", { handler: echo, traceUrl: "javascript:{runId}" }],
    ["colour", { handler: echo, colour: "red" }],
  ])("%s: %j", (field, options) => {
    expect(() => createDashboard(options)).toThrow(
      expect.objectContaining({ code: "invalid_option", message: expect.stringContaining(field) as string }),
    );
  });

  test.each<DashboardOptions>([
    { api: "https://api.example.com/flows" },
    { api: "/tools/flows" },
    { handler: echo, basePath: "/a/b.c~d-e_f" },
    { handler: echo, signIn: { url: "/login?next={url}" } },
    { handler: echo, signIn: { url: "https://login.example.com/" } },
    { handler: echo, frameAncestors: ["'self'", "https://admin.example.com", "http://localhost:3000"] },
    {
      handler: echo,
      theme: { light: { accent: "#0f5e8c", text: "rgb(1 2 3 / 50%)" }, dark: { border: "oklch(0.5 0.1 200)" } },
    },
    { handler: echo, title: "Flows <&>", traceUrl: "https://traces.example.com/?run={runId}" },
  ])("but not %j", (options) => {
    expect(createDashboard(options)).toBeTypeOf("function");
  });
});

describe("the page", () => {
  test("is what every screen begins with, whatever its address, with the base path that its links start from", async () => {
    const overview = await ask("/flows/", { basePath: "/flows" });
    const deep = await ask("/flows/failures/a.b?x=1", { basePath: "/flows" });

    expect(overview).toMatchObject({ status: 200, text: expect.stringContaining('<base href="/flows/">') as string });
    expect(deep).toMatchObject({ status: 200, text: overview.text });
    expect(overview.text.length).toBeLessThan(1_000);
  });

  test("has a policy that lets it load only what is its own, make no markup of strings, and be shown in no frame", async () => {
    const { headers } = await ask("/");

    expect(headers.get("content-security-policy")?.split("; ")).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "img-src data:",
      "base-uri 'self'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ]);
    expect(Object.fromEntries(headers)).toMatchObject({
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
      "x-content-type-options": "nosniff",
      "cache-control": "no-cache",
    });
  });

  test("may be shown in frames of the origins that are named, and may connect to an API that is elsewhere", async () => {
    const frameAncestors = ["'self'", "https://admin.example.com"];
    const { headers } = await ask("/", {
      handler: undefined,
      api: "https://api.example.com/flows",
      frameAncestors,
    } as never);
    const policy = headers.get("content-security-policy");

    expect(policy).toContain("frame-ancestors 'self' https://admin.example.com;");
    expect(policy).toContain("connect-src 'self' https://api.example.com;");
  });

  test("has no string of the host as markup", async () => {
    const { text } = await ask("/", { title: `</title><script>"'&` });

    expect(text).toContain("<title>&lt;/title&gt;&lt;script&gt;&quot;&#39;&amp;</title>");
    expect(text.match(/<script/g)).toHaveLength(1);
    expect(text).not.toContain(`"title":"</title>`);
  });

  test("of an address that leads nowhere has the status 404", async () => {
    expect((await ask("/nothing/here")).status).toBe(404);
    expect((await ask("/favicon.ico")).text).toBe("There is no such file");
  });

  test("is the same without the slash at the end of the base path, from which some hosts redirect", async () => {
    const [without, whole] = await Promise.all(
      ["/flows?zone=UTC", "/flows/?zone=UTC"].map((path) => ask(path, { basePath: "/flows" })),
    );

    expect(without).toMatchObject({ status: 200, text: expect.stringContaining('<base href="/flows/">') as string });
    expect(without?.text).toBe(whole?.text);
    expect((await ask("/elsewhere", { basePath: "/flows" })).status).toBe(404);
    expect((await ask("/flowsome", { basePath: "/flows" })).status).toBe(404);
  });

  test("is read by GET and HEAD only", async () => {
    const { status, headers } = await ask("/flows", {}, { method: "POST" });

    expect([status, headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect(await ask("/flows", {}, { method: "HEAD" })).toMatchObject({ status: 200, text: "" });
  });
});

describe("files", () => {
  test("are strings that the page names, kept for ever, and never sniffed", async () => {
    const { text: page } = await ask("/");
    for (const name of [assets.script, assets.style]) {
      expect(page).toContain(`assets/${name}`);
      const { status, headers, text } = await ask(`/assets/${name}`);
      expect({ status, text }).toEqual({ status: 200, text: assets.files[name] });
      expect(headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-type")).toMatch(/^text\/(javascript|css); charset=utf-8$/);
    }
    expect((await ask("/assets/none.js")).status).toBe(404);
  });

  test("are compressed for those that ask for it", async () => {
    const path = `/assets/${assets.script}`;
    const dashboard = createDashboard({ handler: echo });
    const sent = (accepted: string) =>
      dashboard(new Request(origin + path, { headers: { "accept-encoding": accepted } }));
    for (const response of [await sent("gzip, br"), await sent("br, gzip;q=0.5")]) {
      expect(response.headers.get("content-encoding")).toBe("gzip");
      expect(gunzipSync(await response.arrayBuffer()).toString()).toBe(assets.files[assets.script]);
    }
    for (const accepted of ["br", "gzip;q=0", "gzip; q=0.0, br"])
      expect((await sent(accepted)).headers.get("content-encoding")).toBeNull();
  });

  test("are left to Next.js to be compressed: it would do so twice, and say so once or never", async () => {
    const request = new Request(`${origin}/assets/${assets.script}`, { headers: { "accept-encoding": "gzip" } });

    const response = await createDashboard({ handler: echo })(Object.assign(request, { nextUrl: {} }));

    expect(response.headers.get("content-encoding")).toBeNull();
    expect(await response.text()).toBe(assets.files[assets.script]);
  });

  test("have the colors of the host, each in its own scheme, and the page names them only if there are some", async () => {
    const theme = { light: { accent: "#123456" }, dark: { accent: "#abcdef", text: "white" } };
    const { text } = await ask("/theme.css", { theme });

    expect(text).toBe(
      "@media (prefers-color-scheme: light){:root{--accent:#123456;}}" +
        "@media (prefers-color-scheme: dark){:root{--accent:#abcdef;--text:white;}}",
    );
    expect((await ask("/", { theme })).text).toContain('href="theme.css"');
    expect((await ask("/")).text).not.toContain("theme.css");
  });

  test("weigh no more than 45 KB of script and 6 KB of style as they are sent", async () => {
    const sizes = { js: 0, css: 0 };
    for (const name of Object.keys(assets.files)) {
      const dashboard = createDashboard({ handler: echo });
      const request = new Request(`${origin}/assets/${name}`, { headers: { "accept-encoding": "gzip" } });
      const { byteLength } = await (await dashboard(request)).arrayBuffer();
      sizes[name.endsWith(".css") ? "css" : "js"] += byteLength;
    }

    expect(sizes.js).toBeLessThanOrEqual(45 * 1_024);
    expect(sizes.css).toBeLessThanOrEqual(6 * 1_024);
  });

  test("have the words of schedules as a module of its own", async () => {
    const [, text = ""] = Object.entries(assets.files).find(([name]) => name.startsWith("part-")) ?? [];
    const words = (await import(`data:text/javascript,${encodeURIComponent(text)}`)) as {
      readonly default: { toString(expression: string): string };
    };

    expect(words.default.toString("*/5 * * * *")).toBe("Every 5 minutes");
  });

  test("contain nothing that would be loaded from elsewhere, and no code that is made of strings", () => {
    for (const [name, text] of Object.entries(assets.files)) {
      expect(text.match(/\bhttps?:\/\/(?!www\.w3\.org\/)[\w.]+/g), name).toBeNull();
      expect(text, name).not.toMatch(/\bnew Function\(|\beval\(|sourceMappingURL/);
    }
  });
});

describe("the API", () => {
  test("gets what is below api", async () => {
    const options = { basePath: "/flows" };

    expect((await ask("/flows/api/runs", options)).text).toBe("GET /flows/api/runs");
    expect((await ask("/flows/api", options)).text).toBe("GET /flows/api");
    expect((await ask("/flows/apix", options)).text).toContain("<base");
    expect((await ask("/flows/api/flows", options, { method: "POST" })).text).toBe("POST /flows/api/flows");
  });

  test("of a read-only dashboard is not asked to change anything", async () => {
    const refused = await ask("/api/flows/a/run", { readOnly: true }, { method: "POST" });

    expect([refused.status, JSON.parse(refused.text)]).toEqual([
      403,
      { errors: [{ code: "forbidden", message: "This dashboard is read-only" }] },
    ]);
    expect((await ask("/api/flows", { readOnly: true })).text).toBe("GET /api/flows");
  });

  test("is not here if it is served elsewhere", async () => {
    const { status } = await ask("/api/flows", { handler: undefined, api: "/tools/flows" } as never);

    expect(status).toBe(404);
  });
});
