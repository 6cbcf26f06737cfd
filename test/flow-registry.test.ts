import { describe, expect, test } from "vitest";
import {
  type ExpectedFlow,
  type Export,
  type Flow,
  type FlowInput,
  FlowRegistry,
  type Import,
  InvalidFlowError,
  InvalidOptionError,
  MemoryStorage,
  type RegistryEvents,
  type RegistryOptions,
  Scheduler,
} from "../src/index.ts";
import { EventRecorder, ManualClock, arrayExport, collectingImport } from "../src/testing/index.ts";
import { Harness, day, hour, minute } from "./support/harness.ts";

const start = "2030-01-01T12:00:00.000Z";
const input: FlowInput = { name: "Orders", _exportId: "orders", _importId: "ledger" };
const scheduled: FlowInput = { ...input, schedule: "*/5 * * * *" };
const eventNames = ["flow:created", "flow:updated", "flow:deleted", "listener:error"] as const;

/** Lets a test act between what a registry reads and what it writes. */
class MeddledStorage extends MemoryStorage {
  /** Called once, just before the next flow is replaced. */
  beforeReplace: (() => Promise<unknown>) | undefined;
  /** Called once, when a flow could not be inserted because its id is taken. */
  afterRefusal: (() => Promise<unknown>) | undefined;

  override async replaceFlow(...call: Parameters<MemoryStorage["replaceFlow"]>) {
    const meddle = this.beforeReplace;
    this.beforeReplace = undefined;
    await meddle?.();
    return super.replaceFlow(...call);
  }

  override async insertFlow(flow: Flow) {
    const inserted = await super.insertFlow(flow);
    const meddle = inserted ? undefined : this.afterRefusal;
    if (meddle !== undefined) {
      this.afterRefusal = undefined;
      await meddle();
    }
    return inserted;
  }
}

/** A registry on a clock that stands still at noon, with counted ids, and all it tells. */
function setting(options: Omit<RegistryOptions, "exports" | "imports" | "clock"> = {}) {
  const clock = new ManualClock(start);
  const storage = new MeddledStorage();
  let ids = 0;
  const registry: FlowRegistry = new FlowRegistry({
    exports: { orders: arrayExport<object>([]), people: arrayExport<object>([]) },
    imports: { ledger: collectingImport<object>(), mailer: collectingImport<object>(), index: collectingImport() },
    storage,
    clock,
    newId: () => `flow-${String(++ids).padStart(3, "0")}`,
    ...options,
  });
  const events = new EventRecorder<RegistryEvents>(registry, eventNames);
  return { clock, storage, registry, events };
}

/** `code field` of every problem an action is refused for. */
async function problemsOf(action: Promise<unknown>): Promise<string[]> {
  const error: unknown = await action.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error === undefined) return [];
  if (!(error instanceof InvalidFlowError)) throw new Error("refused for another reason", { cause: error });
  return error.issues.map(({ code, field }) => `${code} ${field}`);
}

describe("create", () => {
  test("stores a new flow under an id of its own and returns it", async () => {
    const { registry } = setting();

    const flow = await registry.create({ ...scheduled, _integrationId: "acme", _connectorId: "shop" });

    expect(flow).toStrictEqual({
      _id: "flow-001",
      name: "Orders",
      schedule: "*/5 * * * *",
      _exportId: "orders",
      _importId: "ledger",
      _integrationId: "acme",
      _connectorId: "shop",
      disabled: false,
      createdAt: start,
      lastModified: start,
      nextRunAt: "2030-01-01T12:05:00.000Z",
    });
    expect(await registry.get("flow-001")).toStrictEqual(flow);
  });

  test("makes ids of version 7 by itself, which sort by age", async () => {
    const { exports, imports } = { exports: { orders: arrayExport([]) }, imports: { ledger: collectingImport() } };
    const registry: FlowRegistry = new FlowRegistry({ exports, imports });

    const made = [await registry.create(input), await registry.create(input), await registry.create(input)];

    const ids = made.map(({ _id }) => _id);
    for (const _id of ids) expect(_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(3);
  });

  test("trims what it is given, ids of exports, imports and zones included", async () => {
    const { registry } = setting();
    const spaced = { schedule: " 0 2 * * * ", timezone: " Asia/Tokyo ", _exportId: " orders " };

    const flow = await registry.create({ name: " Orders ", ...spaced, _importIds: [" ledger", "mailer "] });

    expect(flow).toMatchObject({ name: "Orders", schedule: "0 2 * * *", timezone: "Asia/Tokyo", _exportId: "orders" });
    expect([flow._importId, flow._importIds]).toEqual(["ledger", ["ledger", "mailer"]]);
  });

  test("takes the same name twice", async () => {
    const { registry } = setting();

    await registry.create(input);
    await registry.create(input);

    expect((await registry.list()).items.map(({ name }) => name)).toEqual(["Orders", "Orders"]);
  });

  test("refuses an id that newId made before", async () => {
    const { registry } = setting({ newId: () => "same" });
    await registry.create(input);

    await expect(registry.create(input)).rejects.toMatchObject({ code: "conflict" });
  });

  test("ignores read-only fields: what is echoed back makes a flow of its own", async () => {
    const { registry, clock } = setting();
    const first = await registry.create(scheduled);
    await clock.advance(hour);

    const second = await registry.create({ ...first });

    expect(second).toStrictEqual({
      ...first,
      _id: "flow-002",
      createdAt: "2030-01-01T13:00:00.000Z",
      lastModified: "2030-01-01T13:00:00.000Z",
      nextRunAt: "2030-01-01T13:05:00.000Z",
    });
  });

  test("stores nothing and emits nothing if the flow is invalid", async () => {
    const { registry, events } = setting();

    await expect(registry.create({ ...input, name: "" })).rejects.toMatchObject({ code: "invalid_flow" });

    expect((await registry.list()).items).toEqual([]);
    expect(events.all).toEqual([]);
  });
});

describe("a flow is refused, by create, update, define and patch alike, for", () => {
  const cases: [why: string, changes: Partial<FlowInput>, problems: string[]][] = [
    ["an export that is not registered", { _exportId: "gone" }, ["invalid_ref _exportId"]],
    ["an import that is not registered", { _importId: "gone" }, ["invalid_ref _importId"]],
    [
      "imports that are not registered, each by its place",
      { _importId: null, _importIds: ["ledger", "gone", "lost"] },
      ["invalid_ref _importIds.1", "invalid_ref _importIds.2"],
    ],
    ["an export's id as its import", { _importId: "orders" }, ["invalid_ref _importId"]],
    ["an empty schedule", { schedule: " " }, ["invalid_field schedule"]],
    ["a schedule of too few fields", { schedule: "* * *" }, ["invalid_field schedule"]],
    [
      "a schedule with two fields at fault",
      { schedule: "61 25 * * *" },
      ["invalid_field schedule", "invalid_field schedule"],
    ],
    ["a schedule that can fire twice a minute", { schedule: "*/10 * * * * *" }, ["invalid_field schedule"]],
    ["a date that never comes", { schedule: "0 0 30 2 *" }, ["invalid_field schedule"]],
    [
      "a time that the clock of its zone always skips",
      { schedule: "30 1-2/1 * 3 0L", timezone: "Antarctica/Troll" },
      ["invalid_field schedule"],
    ],
    ["a zone that is unknown", { timezone: "Europe/Atlantis" }, ["invalid_field timezone"]],
    [
      "a zone that is unknown beside a good schedule",
      { ...scheduled, timezone: "Nowhere" },
      ["invalid_field timezone"],
    ],
    ["a zone that is too long to be one, once", { timezone: "Z".repeat(300) }, ["invalid_field timezone"]],
    ["a field that is unknown", { shedule: "* * * * *" } as Partial<FlowInput>, ["unknown_field shedule"]],
  ];

  test.each(cases)("%s", async (_why, changes, problems) => {
    const { registry } = setting();
    await registry.define("known", input);

    expect(await problemsOf(registry.create({ ...input, ...changes }))).toEqual(problems);
    expect(await problemsOf(registry.update("known", { ...input, ...changes }))).toEqual(problems);
    expect(await problemsOf(registry.define("new", { ...input, ...changes }))).toEqual(problems);
    expect(await problemsOf(registry.patch("known", changes))).toEqual(problems);
    const found = registry.check({ ...input, ...changes });
    expect(found.map(({ code, field }) => `${code} ${field}`)).toEqual(problems);
  });

  test("none of a flow that holds, which a check does not store", async () => {
    const { registry } = setting();

    expect(registry.check(input)).toEqual([]);
    expect((await registry.list()).items).toEqual([]);
  });

  test("everything at once, each with its field, its code and a reason in words", async () => {
    const { registry } = setting();
    const wrong: object = {
      name: " ",
      schedule: "every day",
      timezone: "Mars/Olympus",
      _exportId: "gone",
      _importIds: ["ledger", "ledger"],
      _importId: "mailer",
      _integrationId: 7,
      disabled: "no",
      priority: 1,
    };

    const error: unknown = await registry.create(wrong as FlowInput).catch((error: unknown) => error);

    if (!(error instanceof InvalidFlowError)) throw error;
    expect(error.issues.map(({ code, field }) => `${code} ${field}`).sort()).toEqual([
      "invalid_field _importId",
      "invalid_field _importIds",
      "invalid_field _integrationId",
      "invalid_field disabled",
      "invalid_field name",
      "invalid_field schedule",
      "invalid_field timezone",
      "invalid_ref _exportId",
      "unknown_field priority",
    ]);
    for (const { field, message } of error.issues) expect(message.startsWith(`${field}: `)).toBe(true);
    for (const { message } of error.issues) expect(error.message).toContain(message);
  });

  test("its wrong id together with all else, if it is defined", async () => {
    const { registry } = setting();

    expect(await problemsOf(registry.define(" spaced ", { ...input, name: "" }))).toEqual([
      "invalid_field _id",
      "invalid_field name",
    ]);
  });

  test.each(["", " ", "spaced ", "x".repeat(256), 5 as unknown as string])("being defined as %j", async (_id) => {
    const { registry } = setting();

    expect(await problemsOf(registry.define(_id, input))).toEqual(["invalid_field _id"]);
  });
});

describe("a document", () => {
  test("is frozen, however it was answered", async () => {
    const { registry, events } = setting();
    const both = { ...scheduled, _importIds: ["ledger", "mailer"] };
    const created = await registry.create(both);
    const answered = [
      created,
      await registry.get(created._id),
      await registry.find(created._id),
      ...(await registry.list()).items,
      await registry.update(created._id, { ...both, name: "New" }),
      await registry.patch(created._id, { name: "Newer" }),
      await registry.define("own", both),
    ];
    await registry.delete(created._id);

    const emitted = [...events.of("flow:created"), ...events.of("flow:updated"), ...events.of("flow:deleted")].map(
      ({ flow }) => flow,
    );
    for (const flow of [...answered, ...emitted])
      expect([flow, flow?._importIds].map(Object.isFrozen)).toEqual([true, true]);
  });

  test("throws when it is changed, and the store stays as it was", async () => {
    const { registry } = setting();
    const flow = await registry.create({ ...input, _importIds: ["ledger", "mailer"] });

    expect(() => Object.assign(flow, { name: "Other" })).toThrow(TypeError);
    expect(() => (flow._importIds as string[]).push("index")).toThrow(TypeError);
    expect(await registry.get(flow._id)).toStrictEqual(flow);
    expect(flow).toMatchObject({ name: "Orders", _importIds: ["ledger", "mailer"] });
  });

  test("is not affected when what it was made from changes later", async () => {
    const { registry } = setting();
    const imports = ["ledger", "mailer"];
    const given = { ...input, _importIds: imports };
    const { _id } = await registry.create(given);

    given.name = "Other";
    imports.push("index");

    expect(await registry.get(_id)).toMatchObject({ name: "Orders", _importIds: ["ledger", "mailer"] });
  });
});

describe("get and find", () => {
  test("differ for an id that is unknown", async () => {
    const { registry } = setting();

    await expect(registry.get("gone")).rejects.toMatchObject({ code: "not_found", kind: "flow", id: "gone" });
    expect(await registry.find("gone")).toBeUndefined();
  });
});

describe("update", () => {
  test("replaces all that can be written: what is left out is taken away", async () => {
    const { registry } = setting();
    const full: FlowInput = { ...scheduled, timezone: "Europe/Oslo", _integrationId: "a", _connectorId: "c" };
    const flow = await registry.create({ ...full, _importIds: ["ledger", "mailer"], disabled: true });

    const updated = await registry.update(flow._id, { name: "Bare", _exportId: "people", _importId: "mailer" });

    expect(updated).toStrictEqual({
      _id: flow._id,
      name: "Bare",
      _exportId: "people",
      _importId: "mailer",
      disabled: false,
      createdAt: start,
      lastModified: "2030-01-01T12:00:00.001Z",
    });
    expect(await registry.get(flow._id)).toStrictEqual(updated);
  });

  test("takes a whole document back with one change, its read-only fields ignored", async () => {
    const { registry, clock } = setting();
    const flow = await registry.create(scheduled);
    await clock.advance(minute);

    const updated = await registry.update(flow._id, { ...flow, _id: "other", createdAt: "1999", name: "New" } as Flow);

    expect(updated).toStrictEqual({ ...flow, name: "New", lastModified: "2030-01-01T12:01:00.000Z" });
  });

  test("of a flow that is unknown is not_found", async () => {
    await expect(setting().registry.update("gone", input)).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("patch", () => {
  test("changes what it names and nothing else", async () => {
    const { registry } = setting();
    const flow = await registry.create({ ...scheduled, _integrationId: "acme" });

    const patched = await registry.patch(flow._id, { disabled: true, _integrationId: null });

    const { _integrationId, nextRunAt, ...rest } = flow;
    expect([_integrationId, nextRunAt]).toEqual(["acme", "2030-01-01T12:05:00.000Z"]);
    expect(patched).toStrictEqual({ ...rest, disabled: true, lastModified: "2030-01-01T12:00:00.001Z" });
  });

  test("ignores read-only fields", async () => {
    const { registry } = setting();
    const flow = await registry.create(input);

    const echoed = { _id: "x", createdAt: "1999", lastModified: "1999", nextRunAt: "1999", lastExecutedAt: "1999" };
    const patched = await registry.patch(flow._id, { ...echoed, name: "New" });

    expect(patched).toStrictEqual({ ...flow, name: "New", lastModified: "2030-01-01T12:00:00.001Z" });
  });

  test("of a flow that is unknown is not_found", async () => {
    await expect(setting().registry.patch("gone", {})).rejects.toMatchObject({ code: "not_found" });
  });

  test("that comes while another one is being stored lands on top of it", async () => {
    const { registry, storage, events } = setting();
    const { _id } = await registry.create(input);

    storage.beforeReplace = () => registry.patch(_id, { _integrationId: "acme" });
    const patched = await registry.patch(_id, { name: "New" });

    expect(patched).toMatchObject({ name: "New", _integrationId: "acme" });
    expect(await registry.get(_id)).toStrictEqual(patched);
    expect(events.of("flow:updated").map(({ previous, flow }) => [previous.name, flow.name])).toEqual([
      ["Orders", "Orders"],
      ["Orders", "New"],
    ]);
  });

  test("and patch at once both land, however many", async () => {
    const { registry } = setting();
    const { _id } = await registry.create(input);

    await Promise.all([
      registry.patch(_id, { name: "New" }),
      registry.patch(_id, { _integrationId: "acme" }),
      registry.patch(_id, { _connectorId: "shop" }),
      registry.patch(_id, { disabled: true }),
    ]);

    const flow = await registry.get(_id);
    expect(flow).toMatchObject({ name: "New", _integrationId: "acme", _connectorId: "shop", disabled: true });
    expect(flow.lastModified).toBe("2030-01-01T12:00:00.004Z");
  });

  test("of a flow that is deleted meanwhile is not_found", async () => {
    const { registry, storage } = setting();
    const { _id } = await registry.create(input);

    storage.beforeReplace = () => registry.delete(_id);

    await expect(registry.patch(_id, { name: "New" })).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("an expected lastModified", () => {
  const actions: [
    name: string,
    act: (registry: FlowRegistry, _id: string, expected: ExpectedFlow) => Promise<unknown>,
  ][] = [
    ["update", (registry, _id, expected) => registry.update(_id, { ...input, name: "New" }, expected)],
    ["patch", (registry, _id, expected) => registry.patch(_id, { name: "New" }, expected)],
    ["delete", (registry, _id, expected) => registry.delete(_id, expected)],
  ];

  test.each(actions)("lets %s pass while it is the flow's", async (_name, act) => {
    const { registry, events } = setting();
    const { _id, lastModified } = await registry.create(input);

    await act(registry, _id, { lastModified });

    expect(events.all).toHaveLength(2);
  });

  test.each(actions)("makes %s a conflict that changes nothing once it has moved", async (_name, act) => {
    const { registry, events } = setting();
    const { _id, lastModified } = await registry.create(input);
    const moved = await registry.patch(_id, { _integrationId: "acme" });

    await expect(act(registry, _id, { lastModified })).rejects.toMatchObject({ code: "conflict" });

    expect(await registry.get(_id)).toStrictEqual(moved);
    expect(events.all).toHaveLength(2);
  });

  test.each(actions.slice(0, 2))("makes %s a conflict if it moves meanwhile", async (_name, act) => {
    const { registry, storage } = setting();
    const { _id, lastModified } = await registry.create(input);

    storage.beforeReplace = () => registry.patch(_id, { _integrationId: "acme" });

    await expect(act(registry, _id, { lastModified })).rejects.toMatchObject({ code: "conflict" });
    expect(await registry.get(_id)).toMatchObject({ name: "Orders", _integrationId: "acme" });
  });

  test("that was never the flow's is a conflict, even if nothing would change", async () => {
    const { registry } = setting();
    const { _id } = await registry.create(input);

    await expect(registry.update(_id, input, { lastModified: "1999" })).rejects.toMatchObject({ code: "conflict" });
  });
});

describe("lastModified strictly increases", () => {
  test("within one millisecond", async () => {
    const { registry } = setting();
    const { _id } = await registry.create(input);

    const first = await registry.patch(_id, { name: "A" });
    const second = await registry.update(_id, { ...input, name: "B" });

    expect([first.lastModified, second.lastModified]).toEqual(["2030-01-01T12:00:00.001Z", "2030-01-01T12:00:00.002Z"]);
  });

  test("when the clock is set back", async () => {
    const { registry, clock } = setting();
    const { _id } = await registry.create(input);
    clock.jumpTo("2029-06-01T00:00:00Z");

    const patched = await registry.patch(_id, { name: "A" });

    expect(patched).toMatchObject({ createdAt: start, lastModified: "2030-01-01T12:00:00.001Z" });
  });

  test("with the clock as soon as that is ahead", async () => {
    const { registry, clock } = setting();
    const { _id } = await registry.create(input);
    await clock.advance(minute);

    expect((await registry.patch(_id, { name: "A" })).lastModified).toBe("2030-01-01T12:01:00.000Z");
  });

  test.each<[name: string, act: (registry: FlowRegistry, flow: Flow) => Promise<Flow>]>([
    ["update", (registry, flow) => registry.update(flow._id, { ...flow, name: " Orders " })],
    ["patch", (registry, flow) => registry.patch(flow._id, { name: "Orders", disabled: null })],
    ["an empty patch", (registry, flow) => registry.patch(flow._id, {})],
  ])("but stays, without an event, when %s changes nothing", async (_name, act) => {
    const { registry, clock, events } = setting();
    const flow = await registry.create(scheduled);
    await clock.advance(minute);

    const same = await act(registry, flow);

    expect(same).toStrictEqual(flow);
    expect(events.names).toEqual(["flow:created"]);
  });
});

describe("define", () => {
  test("creates a flow under the id given", async () => {
    const { registry, events } = setting();

    const flow = await registry.define("nightly orders/1", scheduled);

    expect(flow).toMatchObject({ _id: "nightly orders/1", name: "Orders", nextRunAt: "2030-01-01T12:05:00.000Z" });
    expect(events.all).toEqual([{ name: "flow:created", payload: { flow } }]);
  });

  test("does nothing, and tells nothing, if the flow is as defined", async () => {
    const { registry, clock, events } = setting();
    const flow = await registry.define("own", scheduled);
    await clock.advance(hour);

    const again = await registry.define("own", { ...scheduled, name: " Orders ", disabled: false, timezone: null });

    expect(again).toStrictEqual(flow);
    expect(events.names).toEqual(["flow:created"]);
  });

  test("updates the flow if it differs, as a full replace", async () => {
    const { registry, events } = setting();
    const previous = await registry.define("own", { ...scheduled, _integrationId: "acme" });

    const flow = await registry.define("own", { ...input, name: "New" });

    expect(flow).toStrictEqual({
      ...{ _id: "own", name: "New", _exportId: "orders", _importId: "ledger", disabled: false, createdAt: start },
      lastModified: "2030-01-01T12:00:00.001Z",
    });
    expect(events.of("flow:updated")).toEqual([{ flow, previous, canceledRuns: [] }]);
  });

  test("by several processes at once makes one flow", async () => {
    const { registry, storage, clock, events } = setting();
    const other = new FlowRegistry({
      exports: { orders: arrayExport([]) },
      imports: { ledger: collectingImport() },
      ...{ storage, clock },
    });

    await Promise.all([
      registry.define("own", input),
      other.define("own", { ...input, _exportId: "orders", _importId: "ledger" }),
    ]);

    expect((await registry.list()).items).toHaveLength(1);
    expect(events.of("flow:updated")).toEqual([]);
  });

  test("creates the flow after all if it is deleted while it is being compared", async () => {
    const { registry, storage } = setting();
    await registry.define("own", input);

    storage.afterRefusal = () => registry.delete("own");
    const flow = await registry.define("own", { ...input, name: "New" });

    expect(await registry.get("own")).toStrictEqual(flow);
    expect(flow.name).toBe("New");
  });
});

describe("list", () => {
  /** Five flows that differ in all that can be filtered by. */
  async function library() {
    const made = setting();
    const { registry } = made;
    await registry.define("a", { ...input, _integrationId: "acme" });
    await registry.define("b", { ...input, _integrationId: "acme", disabled: true });
    await registry.define("c", { ...input, _exportId: "people", _connectorId: "shop" });
    await registry.define("d", { ...input, _importIds: ["ledger", "mailer"] });
    await registry.define("e", { ...input, _importId: "mailer", _integrationId: "acme", _connectorId: "shop" });
    return made;
  }

  test.each<[filter: object, ids: string]>([
    [{}, "abcde"],
    [{ _integrationId: "acme" }, "abe"],
    [{ _connectorId: "shop" }, "ce"],
    [{ _exportId: "people" }, "c"],
    [{ _importId: "mailer" }, "de"],
    [{ _importId: "ledger" }, "abcd"],
    [{ disabled: true }, "b"],
    [{ disabled: false }, "acde"],
    [{ _integrationId: "acme", disabled: false }, "ae"],
    [{ _integrationId: "acme", _connectorId: "shop", _importId: "mailer", _exportId: "orders" }, "e"],
    [{ _integrationId: "other" }, ""],
    [{ _integrationId: undefined, disabled: undefined, limit: undefined, after: undefined }, "abcde"],
    [{ after: "b" }, "cde"],
    [{ after: "bb" }, "cde"],
    [{ _integrationId: "acme", after: "a", limit: 1 }, "b"],
  ])("%j finds %s", async (filter, ids) => {
    const { registry } = await library();

    const { items } = await registry.list(filter);

    expect(items.map(({ _id }) => _id).join("")).toBe(ids);
  });

  test("returns the whole documents", async () => {
    const { registry } = await library();

    expect((await registry.list()).items[3]).toStrictEqual(await registry.get("d"));
  });

  test("gives a next only if there is more", async () => {
    const { registry } = await library();

    const nexts = [
      await registry.list({ limit: 4 }),
      await registry.list({ limit: 5 }),
      await registry.list({ disabled: true, limit: 1 }),
    ];

    expect(nexts.map((page) => "next" in page)).toEqual([true, false, false]);
  });

  test("gives 100 flows unless a limit says otherwise, and up to 1000", async () => {
    const { registry } = setting();
    for (let index = 0; index < 1_001; index++) await registry.create({ ...input, name: `Flow ${index}` });

    const [usual, most] = [await registry.list(), await registry.list({ limit: 1_000 })];

    expect([usual.items.length, most.items.length, typeof most.next]).toEqual([100, 1_000, "string"]);
  });

  test.each([{}, { _exportId: "orders" }, { _importId: "ledger", disabled: false }])(
    "page by page with %j gives each flow that is there all the while once, whatever comes and goes",
    async (filter) => {
      const { registry } = setting();
      const lasting = ["b", "d", "f", "h", "j", "l"];
      for (const _id of ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]) await registry.define(_id, input);
      const seen: string[] = [];

      const meddle: ((after: string) => Promise<unknown>)[] = [
        () => registry.delete("c"), // seen already, and the cursor itself
        () => registry.define("a", input), // before the cursor
        () => Promise.all([registry.delete("i"), registry.delete("k")]), // still to come
        () => registry.define("z", input), // at the end
      ];
      let after: string | undefined;
      do {
        const page = await registry.list({ ...filter, limit: 2, ...(after === undefined ? {} : { after }) });
        seen.push(...page.items.map(({ _id }) => _id));
        after = page.next;
        if (after !== undefined) await meddle.shift()?.(after);
      } while (after !== undefined);

      expect(meddle).toEqual([]);
      expect(seen.filter((_id) => lasting.includes(_id))).toEqual(lasting);
      expect(new Set(seen).size).toBe(seen.length);
      expect([...seen].sort()).toEqual(seen);
    },
  );

  test.each<[field: string, filter: object]>([
    ["_integration", { _integration: "acme" }],
    ["toString", { toString: 1 }],
    ["name", { name: undefined }],
    ["disabled", { disabled: "true" }],
    ["_integrationId", { _integrationId: null }],
    ["_exportId", { _exportId: ["orders"] }],
    ["after", { after: 5 }],
    ...[0, -1, 1_001, 1.5, NaN, Infinity, "10", null].map((limit) => ["limit", { limit }] as [string, object]),
  ])("refuses the filter %s in %j", async (field, filter) => {
    await expect(setting().registry.list(filter)).rejects.toMatchObject({ code: "invalid_request", field });
  });

  test.each<[field: string, list: (scheduler: Scheduler) => Promise<unknown>]>([
    ["state", (scheduler) => scheduler.listRuns({ state: "queued" } as object)],
    ["status", (scheduler) => scheduler.listRuns({ status: "done" } as object)],
    ["trigger", (scheduler) => scheduler.listRuns({ trigger: "cron" } as object)],
    ["limit", (scheduler) => scheduler.listRuns({ limit: 1_001 })],
    ["_flow", (scheduler) => scheduler.listFailures({ _flow: "a" } as object)],
    ["status", (scheduler) => scheduler.listFailures({ status: "closed" } as object)],
    ["_ids", (scheduler) => scheduler.listFailures({ _ids: "a" } as object)],
    ["limit", (scheduler) => scheduler.listFailures({ limit: 0 })],
  ])("of runs and failures refuses the filter %s too", async (field, list) => {
    const { scheduler } = new Harness();

    await expect(list(scheduler)).rejects.toMatchObject({ code: "invalid_request", field });
  });
});

describe("nextRunAt", () => {
  const due = "2030-01-01T12:05:00.000Z";

  test("is absent without a schedule, and while disabled", async () => {
    const { registry } = setting();

    expect(await registry.create(input)).not.toHaveProperty("nextRunAt");
    expect(await registry.create({ ...scheduled, disabled: true })).not.toHaveProperty("nextRunAt");
  });

  test("is strictly after now", async () => {
    const { registry } = setting();

    expect((await registry.create({ ...input, schedule: "0 12 * * *" })).nextRunAt).toBe("2030-01-02T12:00:00.000Z");
  });

  test("follows the flow's zone, else the registry's, else UTC", async () => {
    const daily = { ...input, schedule: "0 2 * * *" };

    const utc = await setting().registry.create(daily);
    const tokyo = await setting({ timezone: "Asia/Tokyo" }).registry.create(daily);
    const york = await setting({ timezone: "Asia/Tokyo" }).registry.create({ ...daily, timezone: "America/New_York" });

    expect([utc.nextRunAt, tokyo.nextRunAt, york.nextRunAt]).toEqual([
      "2030-01-02T02:00:00.000Z",
      "2030-01-01T17:00:00.000Z",
      "2030-01-02T07:00:00.000Z",
    ]);
    expect(tokyo).not.toHaveProperty("timezone");
  });

  test.each<[what: string, changes: Partial<FlowInput>]>([
    ["the name", { name: "New" }],
    ["the imports", { _importId: "mailer" }],
    ["the export", { _exportId: "people" }],
    ["the integration", { _integrationId: "acme" }],
    ["nothing", { schedule: "*/5 * * * *" }],
  ])("stays when a change is of %s, though it is past", async (_what, changes) => {
    const { registry, clock } = setting();
    const flow = await registry.create(scheduled);
    await clock.advance(hour);

    expect((await registry.patch(flow._id, changes)).nextRunAt).toBe(due);
    expect((await registry.update(flow._id, { ...scheduled, ...changes })).nextRunAt).toBe(due);
  });

  test.each<[what: string, changes: Partial<FlowInput>, nextRunAt: string | undefined]>([
    ["the schedule", { schedule: "30 * * * *" }, "2030-01-01T13:30:00.000Z"],
    ["the schedule, taken away", { schedule: null }, undefined],
    ["the zone", { timezone: "Asia/Kathmandu" }, "2030-01-01T13:05:00.000Z"],
    ["disabled", { disabled: true }, undefined],
  ])("is computed from now when a change is of %s", async (_what, changes, nextRunAt) => {
    const { registry, clock } = setting();
    const flow = await registry.create(scheduled);
    await clock.advance(hour);

    const patched = await registry.patch(flow._id, changes);

    expect(patched.nextRunAt).toBe(nextRunAt);
    expect("nextRunAt" in patched).toBe(nextRunAt !== undefined);
  });

  test("is computed from now when the flow is enabled: what passed meanwhile is not caught up", async () => {
    const harness = new Harness({ exports: { orders: arrayExport([]) }, imports: { ledger: collectingImport() } });
    const flow = await harness.flow(scheduled);
    await harness.scheduler.start();
    await harness.registry.patch(flow._id, { disabled: true });
    await harness.clock.advance(hour + 2 * minute);

    const enabled = await harness.registry.patch(flow._id, { disabled: false });
    await harness.clock.advance(2 * minute);

    expect(enabled.nextRunAt).toBe("2030-01-01T13:05:00.000Z");
    expect(await harness.runs()).toEqual([]);
    await harness.clock.advance(minute);
    expect((await harness.runs()).map(({ dueAt, trigger }) => [dueAt, trigger])).toEqual([
      [enabled.nextRunAt, "schedule"],
    ]);
    await harness.scheduler.stop();
  });

  test("is never set back by a change that meets a tick of the timetable", async () => {
    const storage = new MeddledStorage();
    const harness = new Harness({
      exports: { orders: arrayExport([]) },
      imports: { ledger: collectingImport() },
      storage,
    });
    const flow = await harness.flow(scheduled);
    await harness.scheduler.start();

    storage.beforeReplace = () => harness.clock.advance(5 * minute);
    const patched = await harness.registry.patch(flow._id, { name: "New" });
    await harness.clock.advance(minute);

    expect(patched.nextRunAt).toBe("2030-01-01T12:10:00.000Z");
    expect((await harness.runs()).map(({ dueAt }) => dueAt)).toEqual([due]);
    await harness.scheduler.stop();
  });

  test("and lastExecutedAt survive a change made while a run is going on", async () => {
    const storage = new MeddledStorage();
    const harness = new Harness({
      exports: { orders: arrayExport([]) },
      imports: { ledger: collectingImport() },
      storage,
    });
    const flow = await harness.flow(input);
    await harness.scheduler.start();

    storage.beforeReplace = () => harness.run(flow._id);
    const patched = await harness.registry.patch(flow._id, { name: "New" });

    expect(patched.lastExecutedAt).toBe(start);
    await harness.scheduler.stop();
  });

  test("keeps its slot for an H of one flow: over changes, restarts and registries", async () => {
    const { registry, clock } = setting();
    const hashed = { ...input, schedule: "H H * * *" };
    const slot = ({ nextRunAt }: Flow) => nextRunAt?.slice(11);
    const flow = await registry.define("own", hashed);

    const enabled = await registry
      .define("own", { ...hashed, disabled: true })
      .then(() => registry.define("own", hashed));
    await clock.advance(3 * day);
    const moved = await registry.define("own", { ...hashed, schedule: "H  H * * *" });
    const elsewhere = await setting().registry.define("own", hashed);

    expect([enabled, moved, elsewhere].map(slot)).toEqual([slot(flow), slot(flow), slot(flow)]);
  });

  test("spreads an H over flows", async () => {
    const { registry } = setting();

    const flows = await Promise.all(
      Array.from({ length: 30 }, (_, index) => registry.define(`flow ${index}`, { ...input, schedule: "H * * * *" })),
    );

    expect(new Set(flows.map(({ nextRunAt }) => nextRunAt)).size).toBeGreaterThan(10);
  });
});

describe("delete", () => {
  test("removes the flow", async () => {
    const { registry } = setting();
    const { _id } = await registry.create(input);

    await registry.delete(_id);

    expect(await registry.find(_id)).toBeUndefined();
    expect((await registry.list()).items).toEqual([]);
    await expect(registry.delete(_id)).rejects.toMatchObject({ code: "not_found", id: _id });
  });
});

describe("what is emitted:", () => {
  test("a new flow", async () => {
    const { registry, events } = setting();

    const flow = await registry.create(input);

    expect(events.all).toEqual([{ name: "flow:created", payload: { flow } }]);
  });

  test("a changed flow, with what it was before", async () => {
    const { registry, events } = setting();
    const previous = await registry.create(input);

    const flow = await registry.patch(previous._id, { name: "New" });

    expect(events.of("flow:updated")).toEqual([{ flow, previous, canceledRuns: [] }]);
  });

  test("the waiting runs that are canceled because a flow is disabled", async () => {
    const harness = new Harness({ exports: { orders: arrayExport([]) }, imports: { ledger: collectingImport() } });
    const events = new EventRecorder<RegistryEvents>(harness.registry, eventNames);
    const flow = await harness.flow();
    const runs = [await harness.scheduler.run(flow._id), await harness.scheduler.run(flow._id)];

    await harness.registry.patch(flow._id, { disabled: true });

    const [updated] = events.of("flow:updated");
    expect(updated?.canceledRuns.map(({ _id, status }) => [_id, status])).toEqual(
      runs.map(({ _id }) => [_id, "canceled"]),
    );
  });

  test("a deleted flow, with its waiting runs; no active run if there was none", async () => {
    const harness = new Harness({ exports: { orders: arrayExport([]) }, imports: { ledger: collectingImport() } });
    const events = new EventRecorder<RegistryEvents>(harness.registry, eventNames);
    const flow = await harness.flow();
    const run = await harness.scheduler.run(flow._id);

    await harness.registry.delete(flow._id);

    const [deleted] = events.of("flow:deleted");
    expect(deleted).toStrictEqual({
      flow,
      canceledRuns: [expect.objectContaining({ _id: run._id, status: "canceled" })],
    });
  });

  test("a deleted flow, with the run that is being aborted", async () => {
    const hanging: Export<object> = {
      async *pages({ signal }) {
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        yield [];
      },
    };
    const harness = new Harness({ exports: { hanging }, imports: { ledger: collectingImport() } });
    const events = new EventRecorder<RegistryEvents>(harness.registry, eventNames);
    const flow = await harness.flow();
    await harness.scheduler.start();
    const run = await harness.scheduler.run(flow._id);
    await harness.clock.settle();

    await harness.registry.delete(flow._id);
    await harness.clock.settle();

    expect(events.of("flow:deleted")[0]?.activeRun).toMatchObject({ _id: run._id, status: "canceling" });
    expect((await harness.scheduler.getRun(run._id)).status).toBe("canceled");
    await harness.scheduler.stop();
  });

  test("a listener that throws, without harm to what it listens to", async () => {
    const { registry, events } = setting();
    const error = new Error("listener broke");
    registry.on("flow:created", () => {
      throw error;
    });

    const flow = await registry.create(input);

    expect(await registry.get(flow._id)).toStrictEqual(flow);
    expect(events.of("listener:error")).toEqual([{ event: "flow:created", error }]);
  });
});

describe("at construction", () => {
  const write = async () => undefined;
  const pages = async function* () {
    yield await Promise.resolve([]);
  };
  const anImport = { write, idempotent: true };

  /** The option that is found wrong. */
  function faultOf(build: () => unknown): string | undefined {
    try {
      build();
      return undefined;
    } catch (error) {
      if (error instanceof InvalidOptionError) return error.option;
      throw error;
    }
  }
  const construct = (options: object) => () => new FlowRegistry(options);

  const numbers = [0, -1, 1.5, NaN, Infinity, "5", null];
  const noFunction = [null, "name", {}, true];
  const wrongExports: [member: string, value: unknown][] = [
    ...[null, undefined, 5, "orders", [], {}, { pages: "x" }].map((value): [string, unknown] => ["", value]),
    [".pages", { listen: write, pages: 5 }],
    [".listen", { pages, listen: true }],
    ...numbers.map((pageSize): [string, unknown] => [".pageSize", { pages, pageSize }]),
    ...noFunction.map((key): [string, unknown] => [".key", { pages, key }]),
    ...["sorted", "", null, 1].map((order): [string, unknown] => [".order", { pages, order }]),
    ...numbers.slice(1).map((value): [string, unknown] => [".checkpointVersion", { pages, checkpointVersion: value }]),
    ...noFunction.map((migrate): [string, unknown] => [".migrate", { pages, migrate }]),
  ];
  const wrongImports: [member: string, value: unknown][] = [
    ...[null, undefined, 5, "ledger", [], {}, { write: true, idempotent: true }].map((value): [string, unknown] => [
      "",
      value,
    ]),
    ...[undefined, null, 1, "yes"].map((idempotent): [string, unknown] => [".idempotent", { write, idempotent }]),
    ...["batchSize", "concurrency", "writeTimeoutMs"].flatMap((name) =>
      numbers.map((value): [string, unknown] => [`.${name}`, { ...anImport, [name]: value }]),
    ),
    ...["filter", "map", "find"].flatMap((name) =>
      noFunction.map((value): [string, unknown] => [`.${name}`, { ...anImport, [name]: value }]),
    ),
    ...[null, {}, () => true, { "~standard": {} }].map((schema): [string, unknown] => [
      ".schema",
      { ...anImport, schema },
    ]),
  ];

  test.each(wrongExports)("an export is refused, naming exports.orders%s: %j", (member, value) => {
    expect(faultOf(construct({ exports: { orders: value } }))).toBe(`exports.orders${member}`);
    expect(faultOf(() => new FlowRegistry().addExport("orders", value as Export<unknown>))).toBe(
      `exports.orders${member}`,
    );
  });

  test.each(wrongImports)("an import is refused, naming imports.ledger%s: %j", (member, value) => {
    expect(faultOf(construct({ imports: { ledger: value } }))).toBe(`imports.ledger${member}`);
    expect(faultOf(() => new FlowRegistry().addImport("ledger", value as Import<unknown>))).toBe(
      `imports.ledger${member}`,
    );
  });

  test.each(["", " orders", "orders\n", "x".repeat(256)])("an id that no flow could name is refused: %j", (_id) => {
    expect(faultOf(construct({ exports: { [_id]: { pages } } }))).toBe(`exports.${_id}`);
    expect(faultOf(construct({ imports: { [_id]: anImport } }))).toBe(`imports.${_id}`);
  });

  test("exports and imports are taken with every member, those that are undefined included", () => {
    const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } } as const;
    const full = {
      ...{ pages, listen: () => write, pageSize: 1, key: () => "", order: "unordered", checkpointVersion: 0 },
      migrate: () => 1,
    };
    const into = { ...anImport, batchSize: 1, concurrency: 1, writeTimeoutMs: 1, filter: () => true, map: write };

    expect(faultOf(construct({ exports: { full, bare: { pages, key: undefined } } }))).toBeUndefined();
    expect(faultOf(construct({ exports: { heard: { listen: write } } }))).toBeUndefined();
    expect(
      faultOf(
        construct({ imports: { full: { ...into, find: write, schema }, bare: { ...anImport, map: undefined } } }),
      ),
    ).toBeUndefined();
  });

  test.each<[option: string, value: unknown]>([
    ["exports", null],
    ["exports", "orders"],
    ["imports", null],
    ...[null, {}, "flows.db", MemoryStorage, Promise.resolve(new MemoryStorage())].map((value): [string, unknown] => [
      "storage",
      value,
    ]),
    ...["", "Mars/Olympus", null, 5].map((value): [string, unknown] => ["timezone", value]),
    ...[null, {}, Date].map((value): [string, unknown] => ["clock", value]),
    ...[null, "id"].map((value): [string, unknown] => ["newId", value]),
    ["export", {}],
    ["toString", {}],
  ])("the option %s is refused for %j", (option, value) => {
    expect(faultOf(construct({ [option]: value }))).toBe(option);
  });

  test("all is as the defaults say if nothing is given, or only undefined", () => {
    const nothing = { exports: undefined, imports: undefined, storage: undefined, timezone: undefined };
    const registries = [new FlowRegistry(), new FlowRegistry({ ...nothing, clock: undefined } as object)];

    for (const { exportIds, importIds, storage, timezone, clock, newId } of registries) {
      expect([exportIds, importIds, timezone]).toEqual([[], [], "UTC"]);
      expect(storage).toBeInstanceOf(MemoryStorage);
      expect(Math.abs(clock.now() - Date.now())).toBeLessThan(minute);
      expect(newId()).not.toBe(newId());
    }
  });
});

describe("an export or import added later", () => {
  test("is found, listed after those before it, and can be named by a flow", async () => {
    const { registry } = setting();
    const tenant = arrayExport<object>([]);
    const sink = collectingImport<object>();

    registry.addExport("tenant-42", tenant);
    registry.addImport("sink-42", sink);

    expect(registry.exportIds).toEqual(["orders", "people", "tenant-42"]);
    expect(registry.importIds).toEqual(["ledger", "mailer", "index", "sink-42"]);
    expect([registry.findExport("tenant-42"), registry.findImport("sink-42")]).toEqual([tenant, sink]);
    expect(await registry.create({ name: "Tenant", _exportId: "tenant-42", _importId: "sink-42" })).toBeDefined();
  });

  test("cannot take the place of another one", () => {
    const { registry } = setting();
    const before = [registry.findExport("orders"), registry.findImport("ledger")];

    expect(() => registry.addExport("orders", arrayExport([]))).toThrow(expect.objectContaining({ code: "conflict" }));
    expect(() => registry.addImport("ledger", collectingImport())).toThrow(
      expect.objectContaining({ code: "conflict" }),
    );
    expect(registry.findExport("orders")).toBe(before[0]);
    expect(registry.findImport("ledger")).toBe(before[1]);
  });

  test("is not there under a name that every object has", () => {
    const { registry } = setting();

    expect([registry.findExport("toString"), registry.findImport("constructor")]).toEqual([undefined, undefined]);
  });
});
