import { describe, expect, test } from "vitest";
import type { Flow, Run } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, second, upTo } from "../support/harness.ts";
import { Door } from "./door.ts";
import { failed, ids } from "./run-door.ts";

/** A door before a flow whose runs wait at a gate. */
async function busy() {
  const gate = new Gate();
  const slow = scriptedImport<number>(async () => gate.opened);
  const door = new Door({ exports: { numbers: arrayExport(upTo(3)) }, imports: { slow } });
  await door.stage.scheduler.start();
  const flow = await door.stage.flow();
  return { door, gate, flow, path: `/flows/${flow._id}` };
}

describe("POST /flows/{_id}/run", () => {
  test("answers 201, the run as it was queued and where to find it", async () => {
    const { door, path } = await busy();

    const { status, json, headers } = await door.ask("POST", `${path}/run`);

    const run = json as Run;
    expect([status, run.status, run.trigger]).toEqual([201, "queued", "manual"]);
    expect(headers.get("location")).toBe(`/runs/${run._id}`);
    expect(await door.ask("GET", headers.get("location") ?? "")).toMatchObject({ status: 200, json: { _id: run._id } });
  });

  test("takes a limit for a sample, and an empty body of any type", async () => {
    const { door, path } = await busy();

    expect((await door.ask("POST", `${path}/run`, { body: { limit: 1 } })).json).toMatchObject({ limit: 1 });
    expect((await door.ask("POST", `${path}/run`, { body: "", headers: { "content-type": "text/html" } })).status).toBe(
      201,
    );
    for (const body of [{ limit: 0 }, { limit: 1.5 }, { limit: "1" }, { limits: 1 }, [], null, "text"])
      expect((await door.ask("POST", `${path}/run`, { body: JSON.stringify(body) })).status).toBe(400);
  });

  test("waits for the end of the run as long as Prefer says", async () => {
    const { door, path, gate } = await busy();
    const waiting = door.ask("POST", `${path}/run`, { headers: { prefer: "respond-async, wait=10" } });
    await door.stage.clock.advance(5 * second);
    gate.open();
    await door.stage.clock.settle();

    const { status, json, headers } = await waiting;

    expect([status, json]).toEqual([201, expect.objectContaining({ status: "completed", numSuccess: 3 })]);
    expect(headers.get("preference-applied")).toBe("wait=10");
  });

  test("answers the run as it is when the wait is over, and leaves no timer behind", async () => {
    const { door, path } = await busy();
    const other = await busy();
    const waiting = door.ask("POST", `${path}/run`, { headers: { prefer: "wait=10" } });
    await other.door.ask("POST", `${other.path}/run`);
    await door.stage.clock.advance(10 * second);
    await other.door.stage.clock.advance(10 * second);

    expect((await waiting).json).toMatchObject({ status: "running" });
    expect(door.stage.clock.timers).toBe(other.door.stage.clock.timers);
  });

  test.each([
    ["wait=1000000", "wait=2"],
    ["wait=0", "wait=0"],
  ])("grants of Prefer: %s no more than %s", async (prefer, applied) => {
    const { door, path } = await busy();
    const limited = new Door({ exports: {}, imports: {}, door: { maxWaitMs: 2_900 } });
    const flow = await limited.stage.registry.storage.insertFlow(await door.stage.registry.get(path.slice(7)));
    const waiting = limited.ask("POST", `${path}/run`, { headers: { prefer } });
    await limited.stage.clock.advance(2 * second);

    expect(flow).toBe(true);
    expect((await waiting).headers.get("preference-applied")).toBe(applied);
  });

  test.each(["wait", "wait=", "wait=x", "nowait=3", "wait=-1", "return=minimal"])(
    "does not wait for Prefer: %s",
    async (prefer) => {
      const { door, path } = await busy();

      const { status, headers } = await door.ask("POST", `${path}/run`, { headers: { prefer } });

      expect([status, headers.has("preference-applied")]).toEqual([201, false]);
    },
  );

  test.each(["before it is heard", "while it waits"])("ends its wait when the client goes away %s", async (when) => {
    const { door, path, gate, flow } = await busy();
    const other = await busy();
    await other.door.ask("POST", `${other.path}/run`);
    await other.door.stage.clock.settle();
    const gone = new AbortController();
    const request = new Request(door.request("POST", `${path}/run`, { headers: { prefer: "wait=50" } }), {
      signal: gone.signal,
    });

    if (when === "before it is heard") gone.abort();
    const waiting = door.handler(request);
    await door.stage.clock.settle();
    gone.abort();

    expect((await waiting).status).toBe(201);
    expect(door.stage.clock.timers).toBe(other.door.stage.clock.timers);
    gate.open();
    const [run] = await door.stage.runs(flow._id);
    expect((await door.stage.end({ _id: run?._id ?? "" })).status).toBe("completed");
  });

  test("of a disabled flow is a conflict, beyond the line is busy with Retry-After, of an unknown flow is not found", async () => {
    const door = new Door({
      exports: { numbers: arrayExport(upTo(3)) },
      imports: { ledger: collectingImport() },
      options: { maxQueued: 1 },
    });
    const flow = await door.stage.flow();
    await door.ask("POST", `/flows/${flow._id}/run`);

    const busy = await door.ask("POST", `/flows/${flow._id}/run`);
    await door.stage.registry.patch(flow._id, { disabled: true });
    const disabled = await door.ask("POST", `/flows/${flow._id}/run`);

    expect(busy).toMatchObject({ status: 429, json: { errors: [{ code: "busy" }] } });
    expect(Number(busy.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(disabled).toMatchObject({ status: 409, json: { errors: [{ code: "flow_disabled" }] } });
    expect(await door.ask("POST", "/flows/gone/run")).toMatchObject({
      status: 404,
      json: { errors: [{ code: "not_found" }] },
    });
  });
});

describe("runs", () => {
  test("are listed newest first, by every filter, page by page", async () => {
    const { door, flow, path } = await failed();
    await door.stage.registry.patch(flow._id, { _integrationId: "acme", _connectorId: "shop" });
    const other = await door.stage.flow({ _importId: "ledger" });
    await door.stage.run(other._id);
    await door.stage.scheduler.stop();
    await door.ask("POST", `${path}/run`);
    const runs = [...(await door.stage.runs())].reverse();

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
      expect((await door.ask("GET", `/runs?${query}`)).json, query).toEqual(runs.filter(holds));
    const first = await door.ask("GET", "/runs?limit=2&include=_id,imports.picky.numError");
    const next = /<([^>]+)>/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
    expect([...ids(first.json), ...ids((await door.ask("GET", next)).json)]).toEqual(ids(runs));
    expect((first.json as object[]).map(Object.keys)).toEqual([
      ["_id", "imports"],
      ["_id", "imports"],
    ]);
    for (const query of ["status=done", "trigger=x", "_runId=x"])
      expect((await door.ask("GET", `/runs?${query}`)).status).toBe(400);
  });

  test("jobs/latest is the newest run of the flow; without one it is not found", async () => {
    const { door, flow, path } = await failed();
    const run = await door.stage.run(flow._id);
    const other = await door.stage.flow();

    expect(await door.ask("GET", `${path}/jobs/latest`)).toMatchObject({ status: 200, json: run });
    expect((await door.ask("GET", `/flows/${other._id}/jobs/latest`)).status).toBe(404);
  });

  test("are canceled at once if they wait, else as soon as they heed it; an ended one stays as it is", async () => {
    const { door, path, gate } = await busy();
    const [running, waiting] = [await door.ask("POST", `${path}/run`), await door.ask("POST", `${path}/run`)];
    await door.stage.clock.settle();
    const cancel = async ({ json }: { json: unknown }) =>
      ((await door.ask("PUT", `/runs/${(json as Run)._id}/cancel`)).json as Run).status;

    expect([await cancel(waiting), await cancel(running)]).toEqual(["canceled", "canceling"]);
    gate.open();
    await door.stage.end(running.json as Run);
    expect(await cancel(running)).toBe("canceled");
    expect((await door.ask("PUT", "/runs/gone/cancel")).status).toBe(404);
    expect((await door.ask("GET", "/runs/gone")).status).toBe(404);
  });
});

describe("what is behind the door", () => {
  test("exports and imports are listed with what they can do", async () => {
    const { door } = await failed();
    door.stage.registry.addExport("hook", { listen: () => () => undefined, pageSize: 7 });

    expect((await door.ask("GET", "/exports")).json).toEqual([
      { _id: "numbers", onDemand: true, realTime: false, order: "ordered", pageSize: 100, checkpointVersion: 1 },
      { _id: "hook", onDemand: false, realTime: true, order: "unordered", pageSize: 7, checkpointVersion: 1 },
    ]);
    expect((await door.ask("GET", "/exports?include=_id")).json).toEqual([{ _id: "numbers" }, { _id: "hook" }]);
    expect((await door.ask("GET", "/imports?exclude=concurrency")).json).toEqual([
      { _id: "picky", idempotent: true },
      { _id: "ledger", idempotent: true },
    ]);
    expect((await door.ask("GET", "/imports?limit=1")).status).toBe(400);
  });

  test("health tells that the storage answers and what the scheduler does", async () => {
    const door = new Door();

    expect((await door.ask("GET", "/health")).json).toEqual({ status: "ok", scheduler: "stopped" });
    expect(door.stage.clock.timers).toBe(0);
    await door.stage.scheduler.start();
    expect((await door.ask("GET", "/health")).json).toEqual({ status: "ok", scheduler: "started" });
  });

  test("health is 503 when the storage fails, or does not answer in five seconds", async () => {
    const door = new Door();
    const { storage, clock } = door.stage;
    storage.nextDueAt = () => Promise.reject(new Error("disk on fire"));
    const failing = await door.ask("GET", "/health").catch((error: unknown) => error);
    storage.nextDueAt = () => new Promise(() => undefined);
    const hanging = door.ask("GET", "/health");
    await clock.advance(5 * second);

    expect(await hanging).toMatchObject({ status: 503, json: { errors: [{ code: "storage_failed" }] } });
    expect(String(failing)).toContain("expected"); // a storage that breaks its contract is nobody's fault but its own
    expect(clock.timers).toBe(0);
  });

  test("the flow of a run may be gone", async () => {
    const { door, flow } = await failed();
    await door.stage.registry.delete(flow._id);

    const [run] = (await door.ask("GET", "/runs")).json as Run[];

    expect((await door.ask("GET", `/runs/${run?._id ?? ""}`)).json).toMatchObject({ _flowId: flow._id });
    expect((await door.ask("GET", "/flows")).json as Flow[]).toEqual([]);
  });
});
