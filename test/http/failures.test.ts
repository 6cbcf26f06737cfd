import { describe, expect, test } from "vitest";
import type { Failure, Run } from "../../src/index.ts";
import { failed, ids } from "./run-door.ts";

describe("failures", () => {
  test("are listed oldest first, by every filter, page by page", async () => {
    const { door, path, failures } = await failed();
    await door.stage.scheduler.resolveFailures([failures[0]?._id ?? ""]);

    const all = (await door.ask("GET", `${path}/failures`)).json as Failure[];

    expect(ids(all)).toEqual(ids(failures));
    expect(ids((await door.ask("GET", `${path}/failures?status=open`)).json)).toEqual(ids(failures.slice(1)));
    expect(ids((await door.ask("GET", `${path}/failures?status=resolved`)).json)).toEqual(ids(failures.slice(0, 1)));
    expect((await door.ask("GET", `${path}/failures?_importId=ledger`)).json).toEqual([]);
    expect((await door.ask("GET", `${path}/failures?_runId=${all[0]?._runId ?? ""}&_importId=picky`)).json).toEqual(
      all,
    );
    const { json, headers } = await door.ask("GET", `${path}/failures?limit=1&exclude=record`);
    expect(json).toEqual([{ ...all[0], record: undefined }]);
    const next = /<([^>]+)>/.exec(headers.get("link") ?? "")?.[1] ?? "";
    expect(ids((await door.ask("GET", next)).json)).toEqual(ids(failures.slice(1)));
    expect((await door.ask("GET", "/flows/gone/failures")).status).toBe(404);
  });

  test("show records that JSON cannot hold as near to them as it can", async () => {
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
      { twice: [shared, shared], error: new RangeError("x"), re: /x/g },
      { map: mapOfItself, set: setOfItself, boxed: Object(1n) as unknown, buffer: Buffer.from([1, 2]) },
    ];
    const { door, path } = await failed(records);

    const { status, json } = await door.ask("GET", `${path}/failures`);

    expect([status, (json as Failure[]).map(({ record }) => record)]).toEqual([
      200,
      [
        { date: "1970-01-01T00:00:00.000Z", big: "12345678901234567890", bytes: "AQL/" },
        { map: [["a", ["1", 2]]], infinite: null, invalid: null },
        { name: "circle", self: "[circular]" },
        { twice: [{ a: 1 }, { a: 1 }], error: { name: "RangeError", message: "x" }, re: "/x/g" },
        { map: [["a", { b: "[circular]" }]], set: [1, "[circular]"], boxed: "1", buffer: "AQI=" },
      ],
    ]);
  });

  test("show records as deep as a storage keeps them, but not all that is deep down", async () => {
    let map: unknown = "end";
    for (let level = 0; level < 1_200; level++) map = new Map([["down", map]]);
    const { door, path } = await failed(["delivered", { map }]);

    const { status, text } = await door.ask("GET", `${path}/failures`);

    expect([status, text.includes("[too deep]"), text.includes("end")]).toEqual([200, true, false]);
  });

  test("show of their records the fields that are wanted; what has no fields stays whole", async () => {
    const values = { date: new Date(0), map: new Map([["a", 1]]), bytes: new Uint8Array([1]) };
    const { door, path } = await failed(["delivered", { customer: { name: "Ann", age: 7 }, ...values }]);
    const shown = async (query: string) =>
      ((await door.ask("GET", `${path}/failures?${query}`)).json as Failure[]).map(({ record }) => record);

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
    const { door, path, script, failures } = await failed();
    script.refuses = false;
    const _ids = ids(failures.slice(0, 1));

    const some = await door.ask("POST", `${path}/failures/retry`, { body: { _ids, _importId: "picky" } });
    await door.stage.end(some.json as Run);
    const left = await door.stage.failures();
    const rest = await door.ask("POST", `${path}/failures/retry`);
    await door.stage.end(rest.json as Run);

    expect([some.status, some.json, some.headers.get("location")]).toEqual([
      201,
      expect.objectContaining({ trigger: "retry", retry: { _ids, _importId: "picky" } }),
      `/runs/${(some.json as Run)._id}`,
    ]);
    expect(ids(left)).toEqual(ids(failures.slice(1)));
    expect(await door.stage.failures()).toEqual([]);
  });

  test("are resolved by hand, and answered if they were open", async () => {
    const { door, path, failures } = await failed();
    const body = { _ids: ids(failures) };
    const first = await door.ask("PUT", `${path}/failures/resolved`, { body: { _ids: body._ids.slice(0, 1) } });

    const again = await door.ask("PUT", `${path}/failures/resolved`, { body });

    expect([first.status, first.json]).toEqual([200, { _ids: body._ids.slice(0, 1) }]);
    expect(again.json).toEqual({ _ids: body._ids.slice(1) });
  });

  test("of another flow are not found, nor an unknown one, and then nothing is done", async () => {
    const { door, failures } = await failed();
    const other = await door.stage.flow({ _importId: "ledger" });
    for (const _ids of [ids(failures), [...ids(failures), "gone"]]) {
      const path = `/flows/${_ids.length === 2 ? other._id : (failures[0]?._flowId ?? "")}/failures`;
      expect((await door.ask("PUT", `${path}/resolved`, { body: { _ids } })).status).toBe(404);
      expect((await door.ask("POST", `${path}/retry`, { body: { _ids } })).status).toBe(404);
    }

    expect(await door.stage.failures()).toEqual(failures);
    expect((await door.stage.runs()).filter(({ trigger }) => trigger === "retry")).toEqual([]);
  });

  test.each([{}, { _ids: [] }, { _ids: "x" }, { _ids: [1] }, { _ids: ["a"], more: 1 }, [], null])(
    "are not resolved by a body of %j",
    async (body) => {
      const { door, path } = await failed();

      expect((await door.ask("PUT", `${path}/failures/resolved`, { body: JSON.stringify(body) })).status).toBe(400);
    },
  );
});
