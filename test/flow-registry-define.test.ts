import { describe, expect, test, vi } from "vitest";
import {
  type Flow,
  type FlowInput,
  FlowRegistry,
  InvalidFlowError,
  MemoryStorage,
  type RegistryEvents,
  Scheduler,
} from "../src/index.ts";
import { EventRecorder, ManualClock, arrayExport, collectingImport } from "../src/testing/index.ts";

const input: FlowInput = { name: "Orders", _exportId: "orders", _importId: "ledger" };
const eventNames = ["flow:created", "flow:updated", "flow:deleted", "flow:kept", "listener:error"] as const;

/** A storage in which pages of their former export wait in the inboxes of some flows. */
class UnreadStorage extends MemoryStorage {
  readonly unread = new Map<string, number>();

  override async replaceFlow(...call: Parameters<MemoryStorage["replaceFlow"]>) {
    const [flow] = call;
    const pages = this.unread.get(flow._id) ?? 0;
    const stored = await this.findFlow(flow._id);
    if (pages > 0 && stored?._exportId !== flow._exportId) return { outcome: "unread" as const, pages };
    return super.replaceFlow(...call);
  }
}

/** A registry on a clock that stands still at noon, and all it emits. */
function open(storage = new UnreadStorage()) {
  const clock = new ManualClock("2030-01-01T12:00:00.000Z");
  const registry: FlowRegistry = new FlowRegistry({
    exports: { orders: arrayExport<object>([]), people: arrayExport<object>([]) },
    imports: { ledger: collectingImport<object>(), mailer: collectingImport<object>() },
    storage,
    clock,
  });
  const events = new EventRecorder<RegistryEvents>(registry, eventNames);
  return { clock, storage, registry, events };
}

/** The problems of every flow that an action is refused for. */
async function issuesOf(action: Promise<unknown>) {
  const error: unknown = await action.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof InvalidFlowError)) throw new Error("not refused", { cause: error });
  return error.issues.map(({ code, field }) => `${code} ${field}`);
}

async function flowsOf(registry: FlowRegistry): Promise<readonly Flow[]> {
  return (await registry.list()).items;
}

const stateOf = ({ _id, disabled, disabledBy, group }: Flow) => [_id, disabled, disabledBy, group];

describe("define without `disabled`", () => {
  test("leaves a flow disabled that an operator disabled, and changes the rest", async () => {
    const { registry } = open();
    await registry.define("own", input);
    await registry.patch("own", { disabled: true });

    const flow = await registry.define("own", { ...input, name: "New" });

    expect([flow.name, flow.disabled]).toEqual(["New", true]);
  });

  test("leaves a flow enabled that an operator enabled, though it is new that the code says nothing", async () => {
    const { registry } = open();
    await registry.define("own", { ...input, disabled: true });
    await registry.patch("own", { disabled: false });

    expect((await registry.define("own", input)).disabled).toBe(false);
  });

  test("enables a flow that an earlier definition disabled", async () => {
    const { registry } = open();

    const disabled = await registry.define("own", { ...input, disabled: true });
    const enabled = await registry.define("own", input);

    expect([disabled, enabled].map(stateOf)).toEqual([
      ["own", true, "code", undefined],
      ["own", false, undefined, undefined],
    ]);
  });

  test("leaves a flow disabled that was disabled by an operator first, and then by a definition, too", async () => {
    const { registry } = open();
    await registry.define("own", input);
    await registry.patch("own", { disabled: true });
    await registry.define("own", { ...input, disabled: true });

    expect((await registry.define("own", input)).disabled).toBe(true);
  });

  test("does nothing to what is as it says", async () => {
    const { registry, events } = open();
    const flow = await registry.define("own", { ...input, settings: { table: "a", rest: 1 } });

    expect(await registry.define("own", { ...input, settings: { rest: 1, table: "a" } })).toStrictEqual(flow);
    expect(events.of("flow:updated")).toEqual([]);
  });
});

test("define with `disabled: false` enables what an operator disabled", async () => {
  const { registry } = open();
  await registry.define("own", input);
  await registry.patch("own", { disabled: true });

  expect((await registry.define("own", { ...input, disabled: false })).disabled).toBe(false);
});

test("an update keeps the mark of what code disabled, until the flow is enabled", async () => {
  const { registry } = open();
  await registry.define("own", { ...input, disabled: true });

  const renamed = await registry.update("own", { ...input, name: "New", disabled: true });
  const enabled = await registry.update("own", input);
  const disabled = await registry.patch("own", { disabled: true });

  expect([renamed, enabled, disabled].map(({ disabledBy }) => disabledBy)).toEqual(["code", undefined, undefined]);
});

describe("another export, while the inbox holds pages of the former,", () => {
  async function withPages(pages: number) {
    const opened = open();
    const flow = await opened.registry.define("own", input);
    opened.storage.unread.set("own", pages);
    return { ...opened, flow };
  }

  test("is refused by update and patch", async () => {
    const { registry, flow } = await withPages(2);
    const message = 'Flow own cannot get another export while its inbox has 2 pages of export "orders"';

    const changes = [
      registry.update("own", { ...input, _exportId: "people" }),
      registry.patch("own", { _exportId: "people" }),
    ];

    for (const change of changes)
      await expect(change).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringContaining(message) as unknown,
      });
    expect(await registry.get("own")).toStrictEqual(flow);
  });

  test("leaves a definition as it was, and is reported", async () => {
    const { registry, flow, events } = await withPages(1);

    const defined = await registry.define("own", { ...input, name: "New", _exportId: "people" });
    const { own, other } = await registry.defineAll({
      own: { ...input, _exportId: "people" },
      other: { ...input, _exportId: "people" },
    });

    expect([defined, own]).toStrictEqual([flow, flow]);
    expect(other._exportId).toBe("people");
    expect(events.of("flow:kept").map((kept) => [kept.flow._id, kept.error.code])).toEqual([
      ["own", "conflict"],
      ["own", "conflict"],
    ]);
  });

  test("is written to the console if nothing listens", async () => {
    const storage = new UnreadStorage();
    await open(storage).registry.define("own", input);
    storage.unread.set("own", 1);
    const deaf = new FlowRegistry({
      exports: { people: arrayExport([]) },
      imports: { ledger: collectingImport() },
      storage,
    });
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);

    await deaf.define("own", { ...input, _exportId: "people", _importId: "ledger" });

    expect(warn.mock.calls).toEqual([[expect.stringContaining('1 page of export "orders"')]]);
    warn.mockRestore();
  });

  test("is taken when they are gone", async () => {
    const { registry, storage } = await withPages(1);
    storage.unread.clear();

    expect((await registry.define("own", { ...input, _exportId: "people" }))._exportId).toBe("people");
  });
});

describe("defineAll", () => {
  test("creates what is new, updates what differs, and leaves the rest alone", async () => {
    const { registry, events } = open();
    await registry.defineAll({ a: input, b: input });
    const before = await registry.get("a");

    const flows = await registry.defineAll({ a: input, b: { ...input, name: "New" }, c: input });

    expect(Object.keys(flows)).toEqual(["a", "b", "c"]);
    expect([flows.a, flows.b.name]).toStrictEqual([before, "New"]);
    expect(await flowsOf(registry)).toStrictEqual(Object.values(flows));
    expect(events.of("flow:created").map(({ flow }) => flow._id)).toEqual(["a", "b", "c"]);
    expect(events.of("flow:updated").map(({ flow }) => flow._id)).toEqual(["b"]);
  });

  test("stores nothing if one of them is invalid, and reports all problems of all", async () => {
    const { registry } = open();
    const flows = {
      good: input,
      bad: { ...input, name: "", shedule: "* * * * *" },
      " spaced": { ...input, _exportId: "order" },
      none: 5,
    } as unknown as Record<string, FlowInput>;

    expect(await issuesOf(registry.defineAll(flows))).toEqual([
      "unknown_field bad.shedule",
      "invalid_field bad.name",
      "invalid_field  spaced._id",
      "invalid_ref  spaced._exportId",
      "invalid_field none",
    ]);
    expect(await flowsOf(registry)).toEqual([]);
  });

  test("takes flows that run each other, in whatever order they are written", async () => {
    const { registry } = open();

    const { first } = await registry.defineAll({
      first: { ...input, _runNextFlowIds: ["second"] },
      second: { ...input, _runNextFlowIds: ["third"] },
      third: input,
    });

    expect(first._runNextFlowIds).toEqual(["second"]);
    expect(
      await issuesOf(registry.defineAll({ third: { ...input, _runNextFlowIds: ["first"] }, other: input })),
    ).toEqual(["invalid_ref third._runNextFlowIds.0"]);
  });

  test("keeps what is not named any more, unless it is asked for more", async () => {
    const { registry } = open();
    await registry.defineAll({ a: input, b: input }, { group: "shop" });

    await registry.defineAll({ a: input }, { group: "shop" });

    expect((await flowsOf(registry)).map(stateOf)).toEqual([
      ["a", false, undefined, "shop"],
      ["b", false, undefined, "shop"],
    ]);
  });

  test("disables what its group does not name any more, and enables it when it is named again", async () => {
    const { registry, events } = open();
    await registry.defineAll({ a: input, b: input }, { group: "shop" });

    await registry.defineAll({ a: input }, { group: "shop", removed: "disable" });
    const disabled = await registry.get("b");
    await registry.defineAll({ a: input }, { group: "shop", removed: "disable" });
    const again = await registry.defineAll({ a: input, b: input }, { group: "shop", removed: "disable" });

    expect([disabled, again.b].map(stateOf)).toEqual([
      ["b", true, "code", "shop"],
      ["b", false, undefined, "shop"],
    ]);
    expect(events.of("flow:updated")).toHaveLength(2);
  });

  test("leaves disabled what an operator disabled, also when it was not named for a while", async () => {
    const { registry } = open();
    await registry.defineAll({ a: input }, { removed: "disable" });
    await registry.patch("a", { disabled: true });

    await registry.defineAll({}, { removed: "disable" });
    const { a } = await registry.defineAll({ a: input }, { removed: "disable" });

    expect(a.disabled).toBe(true);
  });

  test("deletes what its group does not name any more", async () => {
    const { registry, events } = open();
    await registry.defineAll({ a: input, b: input }, { removed: "delete" });

    await registry.defineAll({ a: input }, { removed: "delete" });

    expect((await flowsOf(registry)).map(({ _id }) => _id)).toEqual(["a"]);
    expect(events.of("flow:deleted").map(({ flow }) => flow._id)).toEqual(["b"]);
  });

  test("touches no flow of another group, nor one that no group named", async () => {
    const { registry } = open();
    await registry.define("own", input);
    await registry.create(input);
    await registry.defineAll({ theirs: input }, { group: "crm" });
    await registry.defineAll({ ours: input }, { group: "shop" });

    await registry.defineAll({}, { group: "shop", removed: "delete" });

    expect((await flowsOf(registry)).map(({ _id }) => _id).filter((_id) => !_id.includes("-"))).toEqual([
      "own",
      "theirs",
    ]);
    expect(await flowsOf(registry)).toHaveLength(3);
  });

  test("takes a flow over from the group that named it before", async () => {
    const { registry } = open();
    await registry.defineAll({ moved: input }, { group: "crm" });
    await registry.defineAll({ moved: input }, { group: "shop" });

    await registry.defineAll({}, { group: "crm", removed: "delete" });

    expect((await flowsOf(registry)).map(stateOf)).toEqual([["moved", false, undefined, "shop"]]);
  });

  test("disables what is removed together with its export, which is not registered any more", async () => {
    const storage = new UnreadStorage();
    await open(storage).registry.defineAll({ a: input, b: { ...input, _exportId: "people" } });
    const next = new FlowRegistry({
      exports: { orders: arrayExport([]) },
      imports: { ledger: collectingImport() },
      storage,
    });

    await next.defineAll({ a: { ...input, _exportId: "orders", _importId: "ledger" } }, { removed: "disable" });

    expect((await next.get("b")).disabled).toBe(true);
  });

  test("finds what it made among thousands of flows", async () => {
    const { registry } = open();
    const many = Object.fromEntries(Array.from({ length: 1_500 }, (_, index) => [`flow ${index}`, input]));
    await registry.defineAll(many, { group: "shop" });

    await registry.defineAll({ "flow 7": input }, { group: "shop", removed: "delete" });

    expect((await flowsOf(registry)).map(({ _id }) => _id)).toEqual(["flow 7"]);
  });

  test("does the same when two processes start at once", async () => {
    const storage = new UnreadStorage();
    const [one, other] = [open(storage), open(storage)];

    const [first, second] = await Promise.all([
      one.registry.defineAll({ a: input, b: input }),
      other.registry.defineAll({ a: input, b: input }),
    ]);

    expect(first).toEqual(second);
    expect([...one.events.of("flow:created"), ...other.events.of("flow:created")]).toHaveLength(2);
  });

  test.each<[field: string, flows: unknown, options?: object]>([
    ["removed", {}, { removed: "drop" }],
    ["group", {}, { group: " shop" }],
    ["remove", {}, { remove: "delete" }],
    ["flows", []],
    ["flows", undefined],
  ])("refuses %s in %j, %j", async (field, flows, options) => {
    const { registry } = open();

    await expect(registry.defineAll(flows as Record<string, FlowInput>, options)).rejects.toMatchObject({
      code: "invalid_request",
      field,
    });
  });

  test("suggests the option that was meant", async () => {
    await expect(open().registry.defineAll({}, { remove: "delete" } as object)).rejects.toThrow(
      'did you mean "removed"?',
    );
  });
});

test("a flow keeps its export while pages wait in its inbox, and gets another when they are dropped", async () => {
  const registry: FlowRegistry = new FlowRegistry({
    exports: { orders: { listen: () => () => undefined }, people: arrayExport<object>([]) },
    imports: { ledger: collectingImport<object>() },
    clock: new ManualClock("2030-01-01T12:00:00.000Z"),
  });
  const scheduler = new Scheduler(registry);
  const events = new EventRecorder<RegistryEvents>(registry, eventNames);
  const flow = await registry.define("own", input);
  await scheduler.accept("orders", [{ id: 1 }]);

  expect(await registry.define("own", { ...input, _exportId: "people" })).toStrictEqual(flow);
  const { items } = await scheduler.listInbox("own");
  await scheduler.dropInbox(
    "own",
    items.map(({ _id }) => _id),
  );
  const changed = await registry.define("own", { ...input, _exportId: "people" });

  expect([items.length, changed._exportId]).toEqual([1, "people"]);
  expect(events.of("flow:kept").map(({ error }) => error.message)).toEqual([
    expect.stringContaining('its inbox has 1 page of export "orders"'),
  ]);
});
