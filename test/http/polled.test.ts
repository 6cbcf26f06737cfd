import { describe, expect, test } from "vitest";
import { routes } from "../../src/http/routes/routes.ts";
import { arrayExport } from "../../src/testing/index.ts";
import { ApiHarness } from "./harness.ts";

/** An API with one flow that has run, and the flow's id in a path. */
async function served() {
  const exports = { orders: arrayExport([1, 2, 3]) };
  const ledger = { idempotent: true, write: async () => [1, 2, 3].map((number) => ({ ok: number !== 2 }) as never) };
  const api = new ApiHarness({ exports, imports: { ledger } });
  const run = await api.host.move();
  const path = (of: string) =>
    of.replace("/runs/{_id}", `/runs/${run._id}`).replace("{_id}", run._flowId) +
    (of === "/statistics" ? "?from=2030-01-01T00:00:00Z&until=2030-01-02T00:00:00Z" : "");
  return { api, run, path };
}

const polled = routes.filter(({ method, responses }) => method === "GET" && responses[304] !== undefined);

describe("what a page reads again and again", () => {
  test("is lists, runs and totals", () => {
    expect(polled.map(({ path }) => path).sort()).toEqual([
      "/causes",
      "/failures",
      "/failures/{_id}",
      "/flows",
      "/flows/{_id}",
      "/flows/{_id}/deliveries",
      "/flows/{_id}/inbox",
      "/overview",
      "/runs",
      "/runs/{_id}",
      "/statistics",
    ]);
  });

  test.each(polled.map(({ path }) => path).filter((path) => path !== "/failures/{_id}"))(
    "is not sent again while it has not changed: %s",
    async (of) => {
      const { api, path } = await served();
      const first = await api.send("GET", path(of));
      const etag = first.headers.get("etag") ?? "";

      for (const tags of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
        const again = await api.send("GET", path(of), { headers: { "if-none-match": tags } });
        expect([again.status, again.text, again.headers.get("etag")]).toEqual([304, "", etag]);
        expect(again.headers.get("cache-control")).toBe("private, no-cache");
      }
      const other = await api.send("GET", path(of), { headers: { "if-none-match": `"another"` } });
      expect([other.status, other.text]).toEqual([200, first.text]);
    },
  );

  test("is sent again when it has changed", async () => {
    const { api, run } = await served();
    const before = await api.send("GET", "/overview");
    await api.host.registry.patch(run._flowId, { disabled: true });

    const after = await api.send("GET", "/overview", {
      headers: { "if-none-match": before.headers.get("etag") ?? "" },
    });

    expect(after.status).toBe(200);
    expect(after.text).not.toBe(before.text);
  });

  test("is sent again when only the rest of the list has changed", async () => {
    const { api } = await served();
    const before = await api.send("GET", "/flows?limit=1");
    await api.host.flow({ name: "a later one" });

    const after = await api.send("GET", "/flows?limit=1", {
      headers: { "if-none-match": before.headers.get("etag") ?? "" },
    });

    expect([after.status, after.text]).toEqual([200, before.text]);
    expect([before.next, after.next]).toEqual([undefined, expect.stringContaining("after=")]);
  });

  test("is not compared when it is refused", async () => {
    const { api } = await served();

    expect((await api.send("GET", "/runs/gone", { headers: { "if-none-match": "*" } })).status).toBe(404);
  });
});
