import { describe, expect, test } from "vitest";
import { type FlowInput, FlowRegistry, MemoryStorage } from "../src/index.ts";
import { arrayExport, collectingImport } from "../src/testing/index.ts";

const input: FlowInput = { name: "Orders", _exportId: "orders", _importId: "ledger" };

/** Counts how often a flow is looked at. */
class CountingStorage extends MemoryStorage {
  readonly found: string[] = [];

  override async findFlow(_id: string) {
    this.found.push(_id);
    return super.findFlow(_id);
  }
}

function open() {
  const storage = new CountingStorage();
  const registry: FlowRegistry = new FlowRegistry({
    exports: { orders: arrayExport<object>([]) },
    imports: { ledger: collectingImport<object>() },
    storage,
  });
  return { registry, storage };
}

const problem = (field: string) => ({ issues: [expect.objectContaining({ code: "invalid_ref", field })] });

describe("flows that are run next", () => {
  test("are stored in order, and taken away by null or an empty list", async () => {
    const { registry } = open();
    const [a, b] = [await registry.create(input), await registry.create(input)];

    const flow = await registry.create({ ...input, _runNextFlowIds: [b._id, a._id] });
    const without = await registry.patch(flow._id, { _runNextFlowIds: null });
    const again = await registry.patch(flow._id, { _runNextFlowIds: [a._id] });
    const emptied = await registry.patch(flow._id, { _runNextFlowIds: [] });

    expect(flow._runNextFlowIds).toEqual([b._id, a._id]);
    expect(again._runNextFlowIds).toEqual([a._id]);
    expect("_runNextFlowIds" in without || "_runNextFlowIds" in emptied).toBe(false);
  });

  test("have to be there, by create, update, patch and define; a check at once cannot know", async () => {
    const { registry } = open();
    await registry.define("known", input);
    const wrong = { ...input, _runNextFlowIds: ["known", "gone"] };
    const refused = problem("_runNextFlowIds.1");

    await expect(registry.create(wrong)).rejects.toMatchObject(refused);
    await expect(registry.define("other", wrong)).rejects.toMatchObject(refused);
    await expect(registry.define("self", { ...input, _runNextFlowIds: ["self"] })).rejects.toMatchObject(
      problem("_runNextFlowIds.0"),
    );
    await registry.define("first", input);
    await expect(registry.update("first", wrong)).rejects.toMatchObject(refused);
    await expect(registry.patch("first", { _runNextFlowIds: wrong._runNextFlowIds })).rejects.toMatchObject(refused);
    expect(registry.check(wrong)).toEqual([]);
  });

  test("may not lead back, over however many flows", async () => {
    const { registry } = open();
    await registry.define("c", input);
    await registry.define("b", { ...input, _runNextFlowIds: ["c"] });
    await registry.define("a", { ...input, _runNextFlowIds: ["b"] });

    await expect(registry.patch("c", { _runNextFlowIds: ["a"] })).rejects.toMatchObject(problem("_runNextFlowIds.0"));
    await expect(registry.patch("c", { _runNextFlowIds: ["c"] })).rejects.toMatchObject(problem("_runNextFlowIds.0"));
    expect((await registry.get("c"))._runNextFlowIds).toBeUndefined();
  });

  test("are not looked at again by a patch that does not name them, though one is gone", async () => {
    const { registry, storage } = open();
    await registry.define("next", input);
    await registry.define("first", { ...input, _runNextFlowIds: ["next"] });
    await registry.delete("next");
    storage.found.length = 0;

    const flow = await registry.patch("first", { name: "New" });

    expect(flow._runNextFlowIds).toEqual(["next"]);
    expect(storage.found).toEqual(["first"]);
  });

  test("cost one look for each flow that they lead to", async () => {
    const { registry, storage } = open();
    await registry.define("0", input);
    for (let index = 1; index <= 30; index++) {
      const next = [index - 1, index - 2].filter((other) => other >= 0).map(String);
      await registry.define(String(index), { ...input, _runNextFlowIds: next });
    }
    storage.found.length = 0;

    await registry.create({ ...input, _runNextFlowIds: ["30"] });

    expect(storage.found).toHaveLength(31);
    expect(new Set(storage.found).size).toBe(31);
  });
});

describe("a patch", () => {
  test("changes a flow whose export and zone are not known here, if it does not name them", async () => {
    const { registry, storage } = open();
    const flow = await registry.create(input);
    await storage.replaceFlow(
      { ...flow, _exportId: "elsewhere", schedule: "0 2 * * *", timezone: "Mars/Olympus" },
      { expected: flow.lastModified, reschedule: true, at: 0 },
    );

    expect(
      await registry.patch(flow._id, { name: "New", disabled: true }).catch((error: unknown) => error),
    ).toMatchObject({
      code: "invalid_flow",
      issues: [{ field: "timezone" }],
    });
    expect((await registry.patch(flow._id, { name: "New" })).name).toBe("New");
  });
});

describe("settings", () => {
  test("are read back as they were given, frozen", async () => {
    const { registry } = open();
    const settings = { table: "orders", filter: { paid: true }, limits: [1, 2] };

    const { _id } = await registry.create({ ...input, settings });
    settings.filter.paid = false;

    const flow = await registry.get(_id);
    expect(flow.settings).toEqual({ table: "orders", filter: { paid: true }, limits: [1, 2] });
    expect(Object.isFrozen(flow.settings?.filter)).toBe(true);
  });

  test("are replaced by a patch that names them, and kept by others", async () => {
    const { registry } = open();
    const { _id } = await registry.create({ ...input, settings: { a: 1 } });

    expect((await registry.patch(_id, { name: "New" })).settings).toEqual({ a: 1 });
    expect((await registry.patch(_id, { settings: { b: 2 } })).settings).toEqual({ b: 2 });
    expect("settings" in (await registry.patch(_id, { settings: null }))).toBe(false);
  });
});

describe("an id that is none", () => {
  test.each<[name: string, call: (registry: FlowRegistry, _id: string) => Promise<unknown>]>([
    ["get", (registry, _id) => registry.get(_id)],
    ["find", (registry, _id) => registry.find(_id)],
    ["update", (registry, _id) => registry.update(_id, input)],
    ["patch", (registry, _id) => registry.patch(_id, {})],
    ["delete", (registry, _id) => registry.delete(_id)],
  ])("is refused by %s, and a Promise by its name", async (_name, call) => {
    const { registry } = open();
    const later = registry.create(input).then(({ _id }) => _id) as unknown as string;

    await expect(call(registry, later)).rejects.toMatchObject({
      code: "invalid_request",
      field: "_id",
      message: "_id: expected the id of a document, a string, found a Promise; the id is a Promise: await it",
    });
    await expect(call(registry, undefined as unknown as string)).rejects.toMatchObject({ code: "invalid_request" });
  });

  test("an id whose `then` cannot be read is refused like any other object", async () => {
    const odd = {
      get then() {
        throw new Error("hostile");
      },
    };
    await expect(new FlowRegistry({}).get(odd as never)).rejects.toMatchObject({
      code: "invalid_request",
      message: "_id: expected the id of a document, a string, found an object (then)",
    });
  });

  test("is refused by define, with all else", async () => {
    const later = Promise.resolve("x") as unknown as string;

    await expect(open().registry.define(later, input)).rejects.toThrow("found a Promise");
  });
});

test("a storage that was not awaited is refused by its name", () => {
  const storage = Promise.resolve(new MemoryStorage()) as unknown as MemoryStorage;

  expect(() => new FlowRegistry({ storage })).toThrow(
    "storage: expected a storage that is open, found a Promise: await it",
  );
});

describe("what a due time was computed from", () => {
  const basisOf = async (storage: MemoryStorage) => (await storage.scheduledFlows(10)).map(({ basis }) => basis);

  test("is stored with it, by create, define, and a change of the schedule or the zone", async () => {
    const { registry, storage } = open();
    const scheduled = { ...input, schedule: "0 9 * * *" };
    await registry.define("a", scheduled);
    const first = await basisOf(storage);

    await registry.patch("a", { name: "New" });
    const renamed = await basisOf(storage);
    await registry.patch("a", { timezone: "Asia/Tokyo" });
    const moved = await basisOf(storage);
    await registry.create({ ...scheduled, timezone: "Asia/Tokyo" });

    expect(first[0]).toMatch(/^0 0 9 \* .* utc /);
    expect(renamed).toEqual(first);
    expect(moved[0]).toMatch(/^0 0 9 \* .* asia\/tokyo /);
    expect(await basisOf(storage)).toEqual([moved[0], moved[0]]);
  });
});
