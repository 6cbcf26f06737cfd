import { describe, expect, test } from "vitest";
import { minute } from "../support/harness.ts";
import { errorCodes, flowInput, createApiWithFlow } from "./harness.ts";

describe("writing what others write, too", () => {
  test("with the current ETag changes the flow; with an older one is a 412 and changes nothing", async () => {
    const { api, flow, path, etag } = await createApiWithFlow();
    const first = await api.send("PUT", path, { body: { ...flowInput, name: "first" }, headers: { "if-match": etag } });

    const writes: [string, unknown][] = [
      ["PUT", flowInput],
      ["PATCH", { name: "second" }],
      ["DELETE", undefined],
    ];
    for (const [method, body] of writes) {
      const received = await api.send(method, path, { body, headers: { "if-match": etag } });
      expect([received.status, errorCodes(received.json)]).toEqual([412, ["conflict if-match"]]);
    }

    expect(await api.host.registry.get(flow._id)).toEqual(first.json);
    const tag = first.headers.get("etag") ?? "";
    expect((await api.send("DELETE", path, { headers: { "if-match": `"other", W/${tag}` } })).status).toBe(204);
  });

  test("of two writers with the same ETag one gets 412", async () => {
    const { api, path, etag } = await createApiWithFlow();
    const write = (name: string) => api.send("PATCH", path, { body: { name }, headers: { "if-match": etag } });

    const both = await Promise.all([write("one"), write("other")]);

    expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
  });

  test("a conflict that is no lost race is returned, and not tried again", async () => {
    const { api, path, etag } = await createApiWithFlow();
    await api.send("POST", "/exports/orders/records", { body: { id: 1 } });

    const body = { ...flowInput, _exportId: "refunds" };
    const { status } = await api.send("PUT", path, { body, headers: { "if-match": etag } });

    expect(status).toBe(409);
  });

  test("a run that starts in between causes no 412, but a new ETag", async () => {
    const { api, flow, path, etag } = await createApiWithFlow();
    await api.host.scheduler.start();
    await api.host.clock.advance(minute);
    await api.host.run(flow._id);

    const known = await api.send("GET", path, { headers: { "if-none-match": etag } });
    const written = await api.send("PATCH", path, { body: { name: "new" }, headers: { "if-match": etag } });

    expect([known.status, written.status]).toEqual([200, 200]);
  });

  test.each(["", "x", "W/", '"', '""', '"other"', "2030", '"*"'])(
    "If-Match: %s, which is no tag of the flow, gets 412",
    async (tag) => {
      const { api, flow, path } = await createApiWithFlow();

      expect((await api.send("PATCH", path, { body: { name: "new" }, headers: { "if-match": tag } })).status).toBe(412);
      expect(await api.host.registry.get(flow._id)).toEqual(flow);
    },
  );

  test("If-Match: * needs a flow, and nothing more", async () => {
    const { api, path } = await createApiWithFlow();
    const headers = { "if-match": "*" };

    expect((await api.send("PATCH", path, { body: { name: "new" }, headers })).status).toBe(200);
    expect((await api.send("DELETE", "/flows/gone", { headers })).status).toBe(404);
  });

  test("If-None-Match gives 304 without a body as long as nothing has changed", async () => {
    const { api, path, etag } = await createApiWithFlow();

    for (const tags of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const { status, text, headers } = await api.send("GET", path, { headers: { "if-none-match": tags } });
      expect([status, text, headers.get("etag")]).toEqual([304, "", etag]);
    }
    await api.send("PATCH", path, { body: { name: "new" } });
    expect((await api.send("GET", path, { headers: { "if-none-match": etag } })).status).toBe(200);
  });

  test("a response with a flow has the ETag of that flow", async () => {
    const { api, path } = await createApiWithFlow();

    const put = await api.send("PUT", path, { body: { ...flowInput, name: "put" } });
    expect(put.headers.get("etag")).toBe((await api.send("GET", path)).headers.get("etag"));
    const patched = await api.send("PATCH", path, { body: [{ op: "replace", path: "/name", value: "patched" }] });
    expect(patched.headers.get("etag")).toBe((await api.send("GET", path)).headers.get("etag"));
  });
});
