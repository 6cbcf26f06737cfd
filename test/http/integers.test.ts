import { describe, expect, test } from "vitest";
import { type Export, MemoryStorage } from "../../src/index.ts";
import type { IntakeSettings } from "../../src/model/host/export.ts";
import { SqliteStorage } from "../../src/storage/sqlite/sqlite-storage.ts";
import { collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { ApiHarness } from "./harness.ts";

const path = "/exports/orders/records";
const digits = "7615917337495251231";

async function started(intake?: IntakeSettings, storage = new MemoryStorage() as MemoryStorage | SqliteStorage) {
  const orders: Export<unknown> = { listen: () => () => undefined, ...(intake === undefined ? {} : { intake }) };
  const ledger = collectingImport<unknown>();
  const api = new ApiHarness({ exports: { orders }, imports: { ledger }, storage });
  await api.host.scheduler.start();
  const flow = await api.host.flow();
  const written = async () => {
    await api.host.clock.settle();
    for (const run of await api.host.runs()) await api.host.scheduler.waitFor(run._id);
    return ledger.written;
  };
  return { api, flow, written };
}

const errorsOf = (json: unknown) => (json as { errors: { code: string; field?: string; message: string }[] }).errors;

describe("an integer in a webhook's JSON that JavaScript would change", () => {
  test.each([
    [`{"p_id": ${digits}}`, "p_id"],
    [`[{"id":1},{"lines":[{"id":${digits}}]}]`, "1.lines.0.id"],
    [`{"records":[{"id":${digits}}]}`, "records.0.id"],
    [`{"id":1e400}`, "id"],
  ])("is refused by default, naming the field: %s", async (body, field) => {
    const { api, written } = await started();

    const { status, json } = await api.send("POST", path, { body });

    expect([status, errorsOf(json)]).toMatchObject([422, [{ code: "invalid_request", field }]]);
    expect(await written()).toEqual([]);
  });

  test("is named with every other one, up to a hundred", async () => {
    const { api } = await started({ integers: "refuse" });

    const { json, text } = await api.send("POST", path, { body: `[${Array<string>(5_000).fill(digits).join()}]` });

    expect(errorsOf(json)).toHaveLength(101);
    expect(errorsOf(json).at(-1)?.message).toBe("and 4900 more");
    expect(text.length).toBeLessThan(2 ** 16);
  });

  test.each([
    ["string", digits],
    ["bigint", BigInt(digits)],
  ] as const)("arrives as a %s where the export says so, and is kept so", async (integers, id) => {
    for (const storage of [new MemoryStorage(), await SqliteStorage.open(":memory:")]) {
      const { api, written } = await started({ integers }, storage);

      const body = `{"id":${digits},"small":7,"text":"${digits}","list":[${digits}],"negative":-0}`;
      expect((await api.send("POST", path, { body })).status).toBe(202);

      expect(await written()).toStrictEqual([{ id, small: 7, text: digits, list: [id], negative: -0 }]);
      await storage.close();
    }
  });

  test("that is read as a bigint is shown as a string, and survives a failure and its retry", async () => {
    const script = { rejects: true };
    const picky = scriptedImport<unknown>(({ records }) =>
      records.map(() => (script.rejects ? { ok: false, fault: "reject", error: new Error("no") } : { ok: true })),
    );
    const storage = await SqliteStorage.open(":memory:");
    const orders: Export<unknown> = { listen: () => () => undefined, intake: { integers: "bigint" } };
    const api = new ApiHarness({ exports: { orders }, imports: { picky }, storage });
    await api.host.scheduler.start();
    const flow = await api.host.flow();

    const ended = async () => {
      for (const run of await api.host.runs()) await api.host.scheduler.waitFor(run._id);
    };
    await api.send("POST", path, { body: `{"id":${digits}}` });
    await ended();
    const failures = await api.send("GET", `/flows/${flow._id}/failures`);
    script.rejects = false;
    await api.send("POST", `/flows/${flow._id}/failures/retry`);
    await ended();

    expect(failures.json).toMatchObject([{ record: { id: digits } }]);
    expect(picky.calls.at(-1)?.records).toStrictEqual([{ id: BigInt(digits) }]);
    expect(await api.host.failures()).toEqual([]);
    await storage.close();
  });
});

test("every other route refuses such an integer, too, rather than to change it", async () => {
  const { api, flow } = await started();
  const requests = [
    ["POST", "/flows", `{"name":"x","_exportId":"orders","_importId":"ledger","settings":{"account":${digits}}}`],
    ["PATCH", `/flows/${flow._id}`, `{"settings":{"account":${digits}}}`],
    ["POST", `/flows/${flow._id}/run`, `{"parameters":{"from":${digits}}}`],
    ["PUT", `/flows/${flow._id}/checkpoint`, `{"value":${digits}}`],
  ] as const;

  for (const [method, at, body] of requests) {
    const { status, json } = await api.send(method, at, { body });
    expect([status, errorsOf(json)[0]?.message], at).toMatchObject([400, expect.stringContaining(digits)]);
  }
});
