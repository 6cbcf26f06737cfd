import { describe, expect, test } from "vitest";
import { createDashboard } from "../../src/dashboard/index.ts";
import { mounts, setting } from "../http/servers.ts";

describe.each(Object.entries(mounts))("a dashboard in %s", (_, mount) => {
  test.each(["", "/a/b.c"])("serves its page, its files and the API below %j", async (basePath) => {
    const { handler } = setting(`${basePath}/api`);
    const origin = await mount(createDashboard({ handler, basePath }), basePath);
    const page = await fetch(`${origin}${basePath}/flows/orders?zone=UTC`);
    const html = await page.text();

    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(html).toContain(`<base href="${basePath}/">`);
    const files = [...html.matchAll(/(?:src|href)="(assets\/[^"]+)"/g)].map(([, file = ""]) => file);
    expect(files).toHaveLength(2);
    for (const file of files) {
      const response = await fetch(`${origin}${basePath}/${file}`);
      expect(response.status, file).toBe(200);
      expect(response.headers.get("content-encoding"), file).toBe("gzip");
      expect(await response.text(), file).toContain(file.endsWith(".css") ? ":root{" : "import(");
    }
    const flows = await fetch(`${origin}${basePath}/api/flows`);
    expect([flows.status, await flows.json()]).toEqual([200, []]);
  });
});
