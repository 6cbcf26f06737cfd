import { describe, expect, test } from "vitest";
import type { Flow, Run } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, second, upTo } from "../support/harness.ts";
import { ApiHarness, createApiWithFailures, idsOf } from "./harness.ts";

/** A api before a flow whose runs wait at a gate. */
async function busy() {
  const gate = new Gate();
  const slow = scriptedImport<number>(async () => gate.opened);
  const api = new ApiHarness({ exports: { numbers: arrayExport(upTo(3)) }, imports: { slow } });
  await api.host.scheduler.start();
  const flow = await api.host.flow();
  return { api, gate, flow, path: `/flows/${flow._id}` };
}

describe("POST /flows/{_id}/run", () => {
  test("returns 201, the queued run and its Location", async () => {
    const { api, path } = await busy();

    const { status, json, location } = await api.send("POST", `${path}/run`);

    const run = json as Run;
    expect([status, run.status, run.trigger]).toEqual([201, "queued", "manual"]);
    expect(location).toBe(`/runs/${run._id}`);
    expect(await api.send("GET", location)).toMatchObject({ status: 200, json: { _id: run._id } });
  });

  test("takes a limit for a sample, and an empty body of any type", async () => {
    const { api, path } = await busy();

    expect((await api.send("POST", `${path}/run`, { body: { limit: 1 } })).json).toMatchObject({ limit: 1 });
    expect((await api.send("POST", `${path}/run`, { body: "", headers: { "content-type": "text/html" } })).status).toBe(
      201,
    );
    for (const body of [{ limit: 0 }, { limit: 1.5 }, { limit: "1" }, { limits: 1 }, [], null, "text"])
      expect((await api.send("POST", `${path}/run`, { body: JSON.stringify(body) })).status).toBe(400);
  });

  test("waits for the end of the run as long as Prefer says", async () => {
    const { api, path, gate } = await busy();
    const waiting = api.send("POST", `${path}/run`, { headers: { prefer: "respond-async, wait=10" } });
    await api.host.clock.advance(5 * second);
    gate.open();
    await api.host.clock.settle();

    const { status, json, headers } = await waiting;

    expect([status, json]).toEqual([201, expect.objectContaining({ status: "completed", numSuccess: 3 })]);
    expect(headers.get("preference-applied")).toBe("wait=10");
  });

  test("returns the current run when the wait is over, and leaves no timer behind", async () => {
    const { api, path } = await busy();
    const other = await busy();
    const waiting = api.send("POST", `${path}/run`, { headers: { prefer: "wait=10" } });
    await other.api.send("POST", `${other.path}/run`);
    await api.host.clock.advance(10 * second);
    await other.api.host.clock.advance(10 * second);

    expect((await waiting).json).toMatchObject({ status: "running" });
    expect(api.host.clock.timers).toBe(other.api.host.clock.timers);
  });

  test.each([
    ["wait=1000000", "wait=2"],
    ["wait=0", "wait=0"],
  ])("grants of Prefer: %s no more than %s", async (prefer, applied) => {
    const { api, path } = await busy();
    const limited = new ApiHarness({ exports: {}, imports: {}, http: { maxWaitMs: 2_900 } });
    const flow = await limited.host.registry.storage.insertFlow(await api.host.registry.get(path.slice(7)));
    const waiting = limited.send("POST", `${path}/run`, { headers: { prefer } });
    await limited.host.clock.advance(2 * second);

    expect(flow).toBe(true);
    expect((await waiting).headers.get("preference-applied")).toBe(applied);
  });

  test.each(["wait", "wait=", "wait=x", "nowait=3", "wait=-1", "return=minimal"])(
    "does not wait for Prefer: %s",
    async (prefer) => {
      const { api, path } = await busy();

      const { status, headers } = await api.send("POST", `${path}/run`, { headers: { prefer } });

      expect([status, headers.has("preference-applied")]).toEqual([201, false]);
    },
  );

  test.each(["before the wait begins", "while it waits"])(
    "ends its wait when the client goes away %s",
    async (when) => {
      const { api, path, gate, flow } = await busy();
      const other = await busy();
      await other.api.send("POST", `${other.path}/run`);
      await other.api.host.clock.settle();
      const gone = new AbortController();
      const request = new Request(api.request("POST", `${path}/run`, { headers: { prefer: "wait=50" } }), {
        signal: gone.signal,
      });

      if (when === "before the wait begins") gone.abort();
      const waiting = api.handler(request);
      await api.host.clock.settle();
      gone.abort();

      expect((await waiting).status).toBe(201);
      expect(api.host.clock.timers).toBe(other.api.host.clock.timers);
      gate.open();
      const [run] = await api.host.runs(flow._id);
      expect((await api.host.end({ _id: run?._id ?? "" })).status).toBe("completed");
    },
  );

  test("of a disabled flow is a conflict, beyond the line is busy with Retry-After, of an unknown flow is not found", async () => {
    const api = new ApiHarness({
      exports: { numbers: arrayExport(upTo(3)) },
      imports: { ledger: collectingImport() },
      options: { maxQueued: 1 },
    });
    const flow = await api.host.flow();
    await api.send("POST", `/flows/${flow._id}/run`);

    const busy = await api.send("POST", `/flows/${flow._id}/run`);
    await api.host.registry.patch(flow._id, { disabled: true });
    const disabled = await api.send("POST", `/flows/${flow._id}/run`);

    expect(busy).toMatchObject({ status: 429, json: { errors: [{ code: "busy" }] } });
    expect(Number(busy.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(disabled).toMatchObject({ status: 409, json: { errors: [{ code: "flow_disabled" }] } });
    expect(await api.send("POST", "/flows/gone/run")).toMatchObject({
      status: 404,
      json: { errors: [{ code: "not_found" }] },
    });
  });
});

describe("runs", () => {
  test("are listed newest first, by every filter, page by page", async () => {
    const { api, flow, path } = await createApiWithFailures();
    await api.host.registry.patch(flow._id, { _integrationId: "acme", _connectorId: "shop" });
    const other = await api.host.flow({ _importId: "ledger" });
    await api.host.run(other._id);
    await api.host.scheduler.stop();
    await api.send("POST", `${path}/run`);
    const runs = [...(await api.host.runs())].reverse();

    const cases: [string, (run: Run) => boolean][] = [
      ["", () => true],
      [`_flowId=${flow._id}`, ({ _flowId }) => _flowId === flow._id],
      ["_exportId=numbers", () => true],
      ["_exportId=none", () => false],
      ["_importId=ledger", ({ _flowId }) => _flowId === other._id],
      ["_importId=picky", ({ _flowId }) => _flowId === flow._id],
      ["_importId=picky&status=queued", ({ _flowId, status }) => _flowId === flow._id && status === "queued"],
      ["_integrationId=acme", ({ _integrationId }) => _integrationId === "acme"],
      ["_connectorId=shop", ({ _connectorId }) => _connectorId === "shop"],
      ["status=queued", ({ status }) => status === "queued"],
      ["trigger=manual&status=completed", ({ trigger, status }) => trigger === "manual" && status === "completed"],
    ];
    for (const [query, holds] of cases)
      expect((await api.send("GET", `/runs?${query}`)).json, query).toEqual(runs.filter(holds));
    const first = await api.send("GET", "/runs?limit=2&include=_id,imports.picky.numError");
    expect([...idsOf(first.json), ...idsOf((await api.send("GET", first.next ?? "")).json)]).toEqual(idsOf(runs));
    expect((first.json as object[]).map(Object.keys)).toEqual([
      ["_id", "imports"],
      ["_id", "imports"],
    ]);
    for (const query of ["status=done", "trigger=x", "_runId=x"])
      expect((await api.send("GET", `/runs?${query}`)).status).toBe(400);
  });

  test("jobs/latest is the newest run of the flow; without one it is not found", async () => {
    const { api, flow, path } = await createApiWithFailures();
    const run = await api.host.run(flow._id);
    const other = await api.host.flow();

    expect(await api.send("GET", `${path}/jobs/latest`)).toMatchObject({ status: 200, json: run });
    expect((await api.send("GET", `/flows/${other._id}/jobs/latest`)).status).toBe(404);
  });

  test("are canceled at once if queued, otherwise when their code reacts; an ended one is not changed", async () => {
    const { api, path, gate } = await busy();
    const [running, waiting] = [await api.send("POST", `${path}/run`), await api.send("POST", `${path}/run`)];
    await api.host.clock.settle();
    const cancel = async ({ json }: { json: unknown }) =>
      ((await api.send("PUT", `/runs/${(json as Run)._id}/cancel`)).json as Run).status;

    expect([await cancel(waiting), await cancel(running)]).toEqual(["canceled", "canceling"]);
    gate.open();
    await api.host.end(running.json as Run);
    expect(await cancel(running)).toBe("canceled");
    expect((await api.send("PUT", "/runs/gone/cancel")).status).toBe(404);
    expect((await api.send("GET", "/runs/gone")).status).toBe(404);
  });
});

describe("the catalog and the service", () => {
  test("exports and imports are listed with what they can do", async () => {
    const { api } = await createApiWithFailures();
    api.host.registry.addExport("hook", { listen: () => () => undefined, pageSize: 7 });

    expect((await api.send("GET", "/exports")).json).toEqual([
      { _id: "numbers", onDemand: true, realTime: false, order: "ordered", pageSize: 100, checkpointVersion: 1 },
      { _id: "hook", onDemand: false, realTime: true, order: "unordered", pageSize: 7, checkpointVersion: 1 },
    ]);
    expect((await api.send("GET", "/exports?include=_id")).json).toEqual([{ _id: "numbers" }, { _id: "hook" }]);
    expect((await api.send("GET", "/imports?exclude=concurrency")).json).toEqual([
      { _id: "picky", idempotent: true },
      { _id: "ledger", idempotent: true },
    ]);
    const first = await api.send("GET", "/imports?limit=1&include=_id");
    const second = await api.send("GET", first.next ?? "");
    expect([first.json, second.json, second.next]).toEqual([[{ _id: "picky" }], [{ _id: "ledger" }], undefined]);
    expect((await api.send("GET", "/exports/hook")).json).toMatchObject({ _id: "hook", pageSize: 7 });
    expect((await api.send("GET", "/imports/picky")).json).toMatchObject({ _id: "picky" });
    for (const path of ["/exports/gone", "/imports/gone"]) expect((await api.send("GET", path)).status).toBe(404);
  });

  test("health reports that the storage responds and the scheduler's state", async () => {
    const api = new ApiHarness();

    expect((await api.send("GET", "/health")).json).toEqual({ status: "ok", scheduler: "stopped" });
    expect(api.host.clock.timers).toBe(0);
    await api.host.scheduler.start();
    expect((await api.send("GET", "/health")).json).toEqual({ status: "ok", scheduler: "started" });
  });

  test("health is 503 when the storage fails, or does not respond in five seconds", async () => {
    const api = new ApiHarness();
    const { storage, clock } = api.host;
    storage.nextDueAt = () => Promise.reject(new Error("disk on fire"));
    const failing = await api.send("GET", "/health").catch((error: unknown) => error);
    storage.nextDueAt = () => new Promise(() => undefined);
    const hanging = api.send("GET", "/health");
    await clock.advance(5 * second);

    expect(await hanging).toMatchObject({ status: 503, json: { errors: [{ code: "storage_failed" }] } });
    expect(String(failing)).toContain("expected"); // a storage that breaks its contract is nobody's fault but its own
    expect(clock.timers).toBe(0);
  });

  test("the flow of a run may be gone", async () => {
    const { api, flow } = await createApiWithFailures();
    await api.host.registry.delete(flow._id);

    const [run] = (await api.send("GET", "/runs")).json as Run[];

    expect((await api.send("GET", `/runs/${run?._id ?? ""}`)).json).toMatchObject({ _flowId: flow._id });
    expect((await api.send("GET", "/flows")).json as Flow[]).toEqual([]);
  });
});
