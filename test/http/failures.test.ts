import { describe, expect, test } from "vitest";
import type { Failure, Run } from "../../src/index.ts";
import { createApiWithFailures, idsOf } from "./harness.ts";

describe("failures", () => {
  test("are listed oldest first, by every filter, page by page", async () => {
    const { api, path, failures } = await createApiWithFailures();
    await api.host.scheduler.resolveFailures([failures[0]?._id ?? ""]);

    const all = (await api.send("GET", `${path}/failures`)).json as Failure[];

    expect(idsOf(all)).toEqual(idsOf(failures));
    expect(idsOf((await api.send("GET", `${path}/failures?status=open`)).json)).toEqual(idsOf(failures.slice(1)));
    expect(idsOf((await api.send("GET", `${path}/failures?status=resolved`)).json)).toEqual(
      idsOf(failures.slice(0, 1)),
    );
    expect((await api.send("GET", `${path}/failures?_importId=ledger`)).json).toEqual([]);
    expect((await api.send("GET", `${path}/failures?_runId=${all[0]?._runId ?? ""}&_importId=picky`)).json).toEqual(
      all,
    );
    const { json, next = "" } = await api.send("GET", `${path}/failures?limit=1&exclude=record`);
    expect(json).toEqual([{ ...all[0], record: undefined }]);
    expect(idsOf((await api.send("GET", next)).json)).toEqual(idsOf(failures.slice(1)));
    expect((await api.send("GET", "/flows/gone/failures")).status).toBe(404);
  });

  test("show records that JSON cannot represent in the nearest form", async () => {
    const circle: Record<string, unknown> = { name: "circle" };
    circle.self = circle;
    const shared = { a: 1 };
    const mapOfItself = new Map<string, unknown>();
    mapOfItself.set("a", { b: mapOfItself });
    const setOfItself = new Set<unknown>([1]);
    setOfItself.add(setOfItself);
    const records = [
      "delivered",
      { date: new Date(0), big: 12345678901234567890n, bytes: new Uint8Array([1, 2, 255]), nothing: undefined },
      { map: new Map<unknown, unknown>([["a", new Set([1n, 2])]]), infinite: Infinity, invalid: new Date(NaN) },
      circle,
      { twice: [shared, shared] },
      { map: mapOfItself, set: setOfItself, buffer: Buffer.from([1, 2]) },
    ];
    const { api, path } = await createApiWithFailures(records);

    const { status, json } = await api.send("GET", `${path}/failures`);

    expect([status, (json as Failure[]).map(({ record }) => record)]).toEqual([
      200,
      [
        { date: "1970-01-01T00:00:00.000Z", big: "12345678901234567890", bytes: "AQL/" },
        { map: [["a", ["1", 2]]], infinite: null, invalid: null },
        { name: "circle", self: "[circular]" },
        { twice: [{ a: 1 }, { a: 1 }] },
        { map: [["a", { b: "[circular]" }]], set: [1, "[circular]"], buffer: "AQI=" },
      ],
    ]);
  });

  test("show records as deep as a storage keeps them, and those that it does not keep without their record", async () => {
    const deep = (levels: number) => {
      let map: unknown = "end";
      for (let level = 0; level < levels; level++) map = new Map([["down", map]]);
      return { map };
    };
    const { api, path } = await createApiWithFailures([
      "delivered",
      deep(100),
      deep(1_200),
      { url: new URL("http://x") },
    ]);

    const { status, json } = await api.send("GET", `${path}/failures`);

    const [kept, ...others] = json as Failure[];
    expect([status, JSON.stringify(kept?.record).includes("end")]).toEqual([200, true]);
    expect(others.map((failure) => ["record" in failure, failure.unstorable])).toEqual([
      [false, true],
      [false, true],
    ]);
  });

  test("show of their records the fields that are wanted; what has no fields stays whole", async () => {
    const values = { date: new Date(0), map: new Map([["a", 1]]), bytes: new Uint8Array([1]) };
    const { api, path } = await createApiWithFailures(["delivered", { customer: { name: "Ann", age: 7 }, ...values }]);
    const shown = async (query: string) =>
      ((await api.send("GET", `${path}/failures?${query}`)).json as Failure[]).map(({ record }) => record);

    expect(await shown("include=record.customer.name,record.date,record.none.x")).toEqual([
      { customer: { name: "Ann" }, date: "1970-01-01T00:00:00.000Z" },
    ]);
    for (const both of ["record.customer.name,record.customer", "record.customer,record.customer.name"])
      expect(await shown(`include=${both}`)).toEqual([{ customer: { name: "Ann", age: 7 } }]);
    expect(await shown("exclude=record.customer.age,record.date.x,record.map.x,record.bytes.0,_id")).toEqual([
      { customer: { name: "Ann" }, date: "1970-01-01T00:00:00.000Z", map: [["a", 1]], bytes: "AQ==" },
    ]);
    expect(await shown("include=_id")).toEqual([undefined]);
  });

  test("are sent again by a run, all or those that are named", async () => {
    const { api, path, script, failures } = await createApiWithFailures();
    script.rejects = false;
    const _ids = idsOf(failures.slice(0, 1));

    const some = await api.send("POST", `${path}/failures/retry`, { body: { _ids, _importId: "picky" } });
    await api.host.end(some.json as Run);
    const left = await api.host.failures();
    const rest = await api.send("POST", `${path}/failures/retry`);
    await api.host.end(rest.json as Run);

    expect([some.status, some.json, some.location]).toEqual([
      201,
      expect.objectContaining({ trigger: "retry", retry: { _ids, _importId: "picky" } }),
      `/runs/${(some.json as Run)._id}`,
    ]);
    expect(idsOf(left)).toEqual(idsOf(failures.slice(1)));
    expect(await api.host.failures()).toEqual([]);
  });

  test("are resolved by hand, and returned if they were open", async () => {
    const { api, path, failures } = await createApiWithFailures();
    const body = { _ids: idsOf(failures) };
    const first = await api.send("PUT", `${path}/failures/resolved`, { body: { _ids: body._ids.slice(0, 1) } });

    const again = await api.send("PUT", `${path}/failures/resolved`, { body });

    expect([first.status, first.json]).toEqual([200, { _ids: body._ids.slice(0, 1) }]);
    expect(again.json).toEqual({ _ids: body._ids.slice(1) });
  });

  test("of another flow are not found, nor an unknown one, and then nothing is done", async () => {
    const { api, failures } = await createApiWithFailures();
    const other = await api.host.flow({ _importId: "ledger" });
    for (const _ids of [idsOf(failures), [...idsOf(failures), "gone"]]) {
      const path = `/flows/${_ids.length === 2 ? other._id : (failures[0]?._flowId ?? "")}/failures`;
      expect((await api.send("PUT", `${path}/resolved`, { body: { _ids } })).status).toBe(404);
      expect((await api.send("POST", `${path}/retry`, { body: { _ids } })).status).toBe(404);
    }

    expect(await api.host.failures()).toEqual(failures);
    expect((await api.host.runs()).filter(({ trigger }) => trigger === "retry")).toEqual([]);
  });

  test.each([{}, { _ids: [] }, { _ids: "x" }, { _ids: [1] }, { _ids: ["a"], more: 1 }, [], null])(
    "are not resolved by a body of %j",
    async (body) => {
      const { api, path } = await createApiWithFailures();

      expect((await api.send("PUT", `${path}/failures/resolved`, { body: JSON.stringify(body) })).status).toBe(400);
    },
  );
});
