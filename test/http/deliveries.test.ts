import { describe, expect, test } from "vitest";
import type { Failure, Run } from "../../src/index.ts";
import { retryLater } from "../../src/index.ts";
import { causeOf } from "../../src/model/cause.ts";
import { arrayExport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, upTo } from "../support/harness.ts";
import { ApiHarness, createApiWithFailures, createApiWithFlow, errorCodes } from "./harness.ts";

/** A flow whose import asked for a wait of a day, so that it is paused. */
async function pausedApi() {
  const script = { isAway: true };
  const away = scriptedImport<unknown>(() => {
    if (script.isAway) throw retryLater(new Error("away"), { afterMs: 86_400_000 });
    return undefined;
  });
  const api = new ApiHarness({ exports: { numbers: arrayExport(upTo(3)) }, imports: { away } });
  const flow = await api.host.flow();
  await api.host.scheduler.start();
  await api.host.run(flow._id);
  return { api, flow, script, path: `/flows/${flow._id}` };
}

describe("the deliveries of a flow", () => {
  test("show where each import stands, and why it is paused", async () => {
    const { api, flow, path } = await pausedApi();

    const { status, json } = await api.send("GET", `${path}/deliveries`);

    expect([status, json]).toEqual([200, JSON.parse(JSON.stringify(await api.host.scheduler.deliveries(flow._id)))]);
    expect(json).toMatchObject([{ _importId: "away", openFailures: 0, paused: { attempts: 1 } }]);
    expect((await api.send("GET", "/flows/gone/deliveries")).status).toBe(404);
  });

  test("are a list with pages, as every other", async () => {
    const { api, path } = await createApiWithFlow();
    await api.send("PATCH", path, { body: { _importIds: ["ledger", "mailer"] } });

    const first = await api.send("GET", `${path}/deliveries?limit=1`);
    const second = await api.send("GET", first.next ?? "");

    expect(first.json).toMatchObject([{ _importId: "ledger" }]);
    expect([second.json, second.next]).toMatchObject([[{ _importId: "mailer" }], undefined]);
    expect((await api.send("GET", `${path}/deliveries?limit=0`)).status).toBe(400);
  });

  test("resume on request, and a flow without a pause has nothing to resume", async () => {
    const { api, path, script } = await pausedApi();
    script.isAway = false;

    const resumed = await api.send("POST", `${path}/resume`, { body: { _importId: "away" } });
    const { run } = resumed.json as { run: Run };
    const ended = await api.host.end(run);

    expect([resumed.status, run.trigger, ended.status]).toEqual([200, "resume", "completed"]);
    expect((await api.send("POST", `${path}/resume`)).json).toEqual({});
    expect((await api.send("POST", `${path}/resume`, { body: { _importId: "other" } })).status).toBe(404);
    expect((await api.send("POST", `${path}/resume`, { body: { importId: "away" } })).status).toBe(400);
  });
});

describe("a checkpoint", () => {
  test("is set for one import or for all, and taken away without a value", async () => {
    const { api, flow, path } = await createApiWithFlow();
    const put = async (body: object) => (await api.send("PUT", `${path}/checkpoint`, { body })).status;

    expect(await put({ value: { after: 7 }, _importId: "ledger" })).toBe(204);
    expect(await api.host.scheduler.getCheckpoint(flow._id)).toEqual({ after: 7 });
    expect(await put({})).toBe(204);
    expect(await api.host.scheduler.getCheckpoint(flow._id)).toBeUndefined();
    expect([await put({ _importId: "other" }), await put({ after: 7 })]).toEqual([404, 400]);
  });

  test("is not set while a run of the flow is active: 409", async () => {
    const gate = new Gate();
    const slow = scriptedImport<unknown>(async () => gate.opened);
    const api = new ApiHarness({ exports: { numbers: arrayExport(upTo(3)) }, imports: { slow } });
    const flow = await api.host.flow();
    await api.host.scheduler.start();
    const run = await api.host.scheduler.run(flow._id);
    await api.host.clock.settle();

    const { status, json } = await api.send("PUT", `/flows/${flow._id}/checkpoint`, { body: { value: 1 } });

    expect([status, errorCodes(json)]).toEqual([409, ["conflict"]]);
    gate.open();
    await api.host.end(run);
  });

  test("of 100,000 levels is refused, and harms nothing", async () => {
    const { api, path } = await createApiWithFlow();
    const body = `{"value":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;

    expect((await api.send("PUT", `${path}/checkpoint`, { body })).status).toBe(400);
  });
});

describe("an inbox", () => {
  test("is listed page by page, and pages are dropped", async () => {
    const { api, path } = await createApiWithFlow();
    for (const id of [1, 2, 3]) await api.send("POST", "/exports/orders/records", { body: { id } });

    const first = await api.send("GET", `${path}/inbox?limit=2`);
    const second = await api.send("GET", first.next ?? "");
    const pages = [...(first.json as { _id: string }[]), ...(second.json as { _id: string }[])];
    const dropped = await api.send("POST", `${path}/inbox/drop`, { body: { _ids: [pages[0]?._id, "gone"] } });

    expect(pages).toMatchObject([1, 2, 3].map((id) => ({ records: [{ id }], _importIds: ["ledger"] })));
    expect([dropped.status, dropped.json]).toEqual([200, { _ids: [pages[0]?._id] }]);
    expect((await api.send("GET", `${path}/inbox?include=_id`)).json).toEqual(
      pages.slice(1).map(({ _id }) => ({ _id })),
    );
    expect((await api.send("POST", `${path}/inbox/drop`, { body: { _ids: [] } })).status).toBe(400);
  });
});

describe("a failure", () => {
  test("is listed over all flows, read, and known by its ETag", async () => {
    const { api, flow, failures } = await createApiWithFailures();
    const path = `/failures/${failures[0]?._id ?? ""}`;

    const all = await api.send("GET", `/failures?_flowId=${flow._id}&limit=1&order=oldest`);
    const read = await api.send("GET", path);
    const known = await api.send("GET", path, { headers: { "if-none-match": read.headers.get("etag") ?? "" } });

    const { cause } = causeOf({ fault: "reject", message: "no" });
    expect([all.json, read.json]).toEqual([[read.json], { ...json(failures[0]), cause }]);
    expect([(await api.send("GET", all.next ?? "")).json, known.status]).toMatchObject([
      [{ _id: failures[1]?._id }],
      304,
    ]);
    expect((await api.send("GET", "/failures/gone")).status).toBe(404);
    expect((await api.send("GET", `/failures?key=${failures[1]?.key ?? ""}&fault=reject`)).json).toHaveLength(1);
  });

  test("is edited with its ETag: the original stays beside it, and retries send the new record", async () => {
    const { api, failures, script, picky, path: flowPath } = await createApiWithFailures();
    const path = `/failures/${failures[0]?._id ?? ""}`;
    const etag = (await api.send("GET", path)).headers.get("etag") ?? "";
    const edit = (headers: Record<string, string>, body: unknown = { record: 22 }) =>
      api.send("PATCH", path, { body, headers });

    const withoutTag = await edit({});
    const edited = await edit({ "if-match": etag });
    const again = await edit({ "if-match": etag });
    script.rejects = false;
    const retried = await api.send("POST", `${flowPath}/failures/retry`, { body: { _ids: [failures[0]?._id] } });
    await api.host.end(retried.json as Run);

    expect([withoutTag.status, edited.status, again.status]).toEqual([400, 200, 412]);
    expect(edited.json as Failure).toMatchObject({ record: 22, original: failures[0]?.record, status: "open" });
    expect(edited.headers.get("etag")).not.toBe(etag);
    expect(picky.calls.at(-1)?.records).toEqual([22]);
  });

  test("is not edited once it is resolved, nor if JSON cannot represent its record: 409", async () => {
    const { api, failures } = await createApiWithFailures([1, 2, new Date(0), { big: 1n }]);
    await api.host.scheduler.resolveFailures([failures[0]?._id ?? ""]);

    for (const { _id } of failures)
      expect(
        (await api.send("PATCH", `/failures/${_id}`, { body: { record: 1 }, headers: { "if-match": "*" } })).status,
      ).toBe(409);
  });
});

const json = (value: unknown) => JSON.parse(JSON.stringify(value)) as object;
