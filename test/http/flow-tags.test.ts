import { describe, expect, test } from "vitest";
import { minute } from "../support/harness.ts";
import { codes, input, withFlow } from "./flow-door.ts";

describe("writing what others write, too", () => {
  test("with the ETag of what was read changes it; with an older one answers 412 and changes nothing", async () => {
    const { door, flow, path, etag } = await withFlow();
    const first = await door.ask("PUT", path, { body: { ...input, name: "first" }, headers: { "if-match": etag } });

    const writes: [string, unknown][] = [
      ["PUT", input],
      ["PATCH", { name: "second" }],
      ["DELETE", undefined],
    ];
    for (const [method, body] of writes) {
      const answered = await door.ask(method, path, { body, headers: { "if-match": etag } });
      expect([answered.status, codes(answered.json)]).toEqual([412, ["conflict if-match"]]);
    }

    expect(await door.stage.registry.get(flow._id)).toEqual(first.json);
    const tag = first.headers.get("etag") ?? "";
    expect((await door.ask("DELETE", path, { headers: { "if-match": `"other", W/${tag}` } })).status).toBe(204);
  });

  test("of two writers with the same ETag one gets 412", async () => {
    const { door, path, etag } = await withFlow();
    const write = (name: string) => door.ask("PATCH", path, { body: { name }, headers: { "if-match": etag } });

    const both = await Promise.all([write("one"), write("other")]);

    expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
  });

  test("a run that starts in between is no reason for 412, but for an answer that is new", async () => {
    const { door, flow, path, etag } = await withFlow();
    await door.stage.scheduler.start();
    await door.stage.clock.advance(minute);
    await door.stage.run(flow._id);

    const known = await door.ask("GET", path, { headers: { "if-none-match": etag } });
    const written = await door.ask("PATCH", path, { body: { name: "new" }, headers: { "if-match": etag } });

    expect([known.status, written.status]).toEqual([200, 200]);
  });

  test.each(["", "x", "W/", '"', '""', '"other"', "2030", '"*"'])(
    "If-Match: %s, which is no tag of the flow, answers 412",
    async (tag) => {
      const { door, flow, path } = await withFlow();

      expect((await door.ask("PATCH", path, { body: { name: "new" }, headers: { "if-match": tag } })).status).toBe(412);
      expect(await door.stage.registry.get(flow._id)).toEqual(flow);
    },
  );

  test("If-Match: * needs a flow, and nothing more", async () => {
    const { door, path } = await withFlow();
    const headers = { "if-match": "*" };

    expect((await door.ask("PATCH", path, { body: { name: "new" }, headers })).status).toBe(200);
    expect((await door.ask("DELETE", "/flows/gone", { headers })).status).toBe(404);
  });

  test("If-None-Match answers 304 without a body as long as nothing has changed", async () => {
    const { door, path, etag } = await withFlow();

    for (const tags of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const { status, text, headers } = await door.ask("GET", path, { headers: { "if-none-match": tags } });
      expect([status, text, headers.get("etag")]).toEqual([304, "", etag]);
    }
    await door.ask("PATCH", path, { body: { name: "new" } });
    expect((await door.ask("GET", path, { headers: { "if-none-match": etag } })).status).toBe(200);
  });

  test("an answer with a flow has the ETag of that flow", async () => {
    const { door, path } = await withFlow();

    const put = await door.ask("PUT", path, { body: { ...input, name: "put" } });
    expect(put.headers.get("etag")).toBe((await door.ask("GET", path)).headers.get("etag"));
    const patched = await door.ask("PATCH", path, { body: [{ op: "replace", path: "/name", value: "patched" }] });
    expect(patched.headers.get("etag")).toBe((await door.ask("GET", path)).headers.get("etag"));
  });
});
