import { describe, expect, test } from "vitest";
import { type Alert, alerts } from "../../src/alerts/index.ts";
import { type Export, FlowRegistry, type Import, MemoryStorage, Scheduler, retryLater } from "../../src/index.ts";
import { silentLogger } from "../../src/model/logger.ts";
import { ManualClock, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Gate, gatedClock, viewedStorage } from "../simulation/process.ts";
import { Chance } from "../support/chance.ts";
import { faltering, minute, noon, second } from "../support/harness.ts";
import { AlertHarness } from "./setting.ts";

const titles = (all: readonly Alert[]) => all.map(({ title }) => title);

describe("in the process where something goes wrong", () => {
  const prompted = async (sent = collectingImport<Alert>()) => {
    const harness = new AlertHarness({}, {}, sent);
    await harness.scheduler.start();
    const alerting = await harness.alerting();
    return { alerting, harness };
  };

  test("a run of alerts begins at once, and then at most one in five seconds", async () => {
    const { alerting, harness } = await prompted();
    const all = await Promise.all(["One", "Two", "Three"].map((name) => harness.orders(name)));
    for (const flow of all) await harness.fails(flow);
    await harness.clock.settle();
    const atOnce = titles(harness.sent.written);
    await harness.clock.advance(5 * second - 1);
    const early = (await harness.runs(alerting._id)).length;
    await harness.clock.advance(1);

    expect(atOnce).toEqual(["One is failing"]);
    expect(early).toBe(1);
    expect(titles(harness.sent.written)).toEqual(["One is failing", "Two is failing", "Three is failing"]);
    expect(await harness.runs(alerting._id)).toHaveLength(2);
    await harness.clock.advance(minute);
    expect(await harness.runs(alerting._id)).toHaveLength(2);
  });

  test("a run of alerts that waits is enough", async () => {
    const { alerting, harness } = await prompted();
    const queued = await harness.scheduler.run(alerting._id, { parameters: "keeps the flow busy" });
    const next = await harness.scheduler.run(alerting._id);
    await harness.fails(await harness.orders());
    await harness.end(queued);
    await harness.end(next);
    await harness.clock.settle();

    expect(await harness.runs(alerting._id)).toHaveLength(2);
  });

  test("a pause and a flow that is overdue are a reason, too", async () => {
    const harness = new AlertHarness({ failing: false, paused: { afterMs: 0 } }, { concurrency: 2 });
    await harness.scheduler.start();
    await harness.alerting();
    harness.outage = new Error("ETIMEDOUT");
    const flow = await harness.orders();
    await harness.run(flow._id);
    await harness.clock.settle();

    expect(titles(harness.sent.written)).toEqual(["Orders: import ledger is paused"]);
    const emitted = harness.scheduler as unknown as { emit: (name: string, payload: object) => void };
    await harness.clock.advance(10 * second);
    const before = (await harness.scheduler.listRuns({ _exportId: "alerts" })).items.length;
    emitted.emit("flow:overdue", { flow, dueAt: "" });
    await harness.clock.settle();
    expect((await harness.scheduler.listRuns({ _exportId: "alerts" })).items).toHaveLength(before + 1);
  });

  test("that the flow of alerts itself fails is no reason to run it again", async () => {
    const { alerting, harness } = await prompted(
      scriptedImport<Alert>(() => {
        throw new Error("Slack is away");
      }),
    );
    await harness.fails(await harness.orders());
    await harness.clock.advance(10 * second);

    const all = await harness.runs(alerting._id);
    expect(all.map(({ trigger }) => trigger)).toEqual(["manual"]);
  });

  test("a listener of the host's that throws, and was there before, keeps no alert from being sent", async () => {
    const harness = new AlertHarness({ failing: false });
    harness.scheduler.on("run:failed", () => {
      throw new Error("a listener is broken");
    });
    const mail = collectingImport<Alert>();
    harness.registry.addExport("others", alerts(harness.scheduler));
    harness.registry.addImport("mail", mail);
    await harness.scheduler.start();
    await harness.registry.create({ name: "Others", _exportId: "others", _importId: "mail" });
    await harness.fails(await harness.orders());
    await harness.clock.settle();

    expect(harness.events.of("listener:error")).toMatchObject([{ event: "run:failed" }]);
    expect(titles(mail.written)).toEqual(["Orders is failing"]);
  });

  test("each of two registries alerts of its own flows, though those have the same ids", async () => {
    const [one, other] = [new AlertHarness({}), new AlertHarness({})];
    for (const { registry, scheduler } of [one, other]) {
      await scheduler.start();
      await registry.define("orders", { name: "Orders", _exportId: "orders", _importId: "ledger" });
      const refs = { _exportId: "alerts", _importId: "slack" };
      await registry.define("alerts", { name: "Alerts", schedule: "* * * * *", ...refs });
    }
    const sent = () => [one, other].map((harness) => titles(harness.sent.written));
    const later = async () => {
      for (const { clock } of [one, other]) await clock.advance(2 * minute);
    };

    await one.fails(await one.registry.get("orders"));
    await later();
    expect(sent()).toEqual([["Orders is failing"], []]);
    await other.fails(await other.registry.get("orders"));
    await one.completes(await one.registry.get("orders"));
    await later();
    expect(sent()).toEqual([["Orders is failing", "Orders is no longer failing"], ["Orders is failing"]]);
  });

  test("nothing is left of it when the scheduler stops", async () => {
    const { alerting, harness } = await prompted();
    await harness.fails(await harness.orders("One"));
    await harness.fails(await harness.orders("Two"));
    await harness.scheduler.stop();
    await harness.clock.advance(minute);

    expect(harness.clock.timers).toBe(0);
    expect((await harness.runs(alerting._id)).length).toBeLessThan(3);
  });

  test("is no flow of alerts, nothing happens", async () => {
    const harness = new AlertHarness({});
    await harness.scheduler.start();
    await harness.fails(await harness.orders());
    await harness.clock.advance(minute);

    expect((await harness.scheduler.listRuns({ _exportId: "alerts" })).items).toEqual([]);
  });

  test("is an export that no registry has, nothing happens", async () => {
    const harness = new AlertHarness({});
    alerts(harness.scheduler);
    await harness.scheduler.start();
    await harness.alerting();
    await harness.fails(await harness.orders());
    await harness.clock.settle();

    expect((await harness.scheduler.listRuns({ _exportId: "alerts" })).items).toHaveLength(1);
  });

  test("a storage that fails meanwhile is written to the log, and the run that failed is not harmed", async () => {
    const lines: string[] = [];
    const clock = new ManualClock(noon);
    const storage = faltering(new MemoryStorage(), { method: "listFlows", fails: () => true });
    const registry = new FlowRegistry({ storage, clock });
    const warn = (_: object, message: string) => void lines.push(message);
    const scheduler = new Scheduler(registry, { logger: { ...silentLogger, warn } });
    registry.addExport("alerts", alerts(scheduler));
    registry.addExport("orders", {
      async *pages() {
        throw new Error("away");
      },
    });
    registry.addImport("ledger", collectingImport());
    await scheduler.start();
    const flow = await registry.create({ name: "Orders", _exportId: "orders", _importId: "ledger" });
    const run = await scheduler.run(flow._id);
    await clock.settle();

    expect((await scheduler.getRun(run._id)).status).toBe("failed");
    expect(lines).toContain("no run of alerts was queued: they come by the schedule");
    await scheduler.stop();
  });
});

describe("several imports are several channels", () => {
  test("of which one that is away gets the same alerts later, and does not keep the other from any", async () => {
    const harness = new AlertHarness({});
    let isAway = true;
    const mail = scriptedImport<Alert>(
      () => {
        if (isAway) throw new Error("451 try again later");
        return undefined;
      },
      { filter: ({ kind }) => kind === "failing" },
    );
    harness.registry.addImport("mail", mail);
    await harness.scheduler.start();
    const alerting = await harness.alerting("* * * * *", ["slack", "mail"]);
    const flow = await harness.orders();
    await harness.fails(flow);
    await harness.clock.advance(5 * minute);
    const toSlack = titles(harness.sent.written);
    await harness.completes(flow);
    await harness.clock.advance(2 * minute);
    isAway = false;
    await harness.clock.advance(40 * minute);

    expect(toSlack).toEqual(["Orders is failing"]);
    expect(titles(harness.sent.written)).toEqual(["Orders is failing", "Orders is no longer failing"]);
    const idsOf = (all: readonly Alert[]) => all.map(({ _id }) => _id);
    expect(idsOf(mail.written)).toEqual(idsOf(harness.sent.written));
    const again = (await harness.scheduler.deliveries(alerting._id)).map(({ behind, paused }) => ({ behind, paused }));
    expect(again).toEqual([{ behind: false }, { behind: false }]);
  });
});

test("an import with a finish gives a sign of life with each run, with alerts or without", async () => {
  let signs = 0;
  const harness = new AlertHarness({});
  harness.registry.addImport("signOfLife", {
    idempotent: true,
    filter: () => false,
    write: async () => undefined,
    finish: async () => {
      signs++;
    },
  });
  await harness.scheduler.start();
  const alerting = await harness.alerting(null, ["slack", "signOfLife"]);
  await harness.run(alerting._id);
  await harness.fails(await harness.orders());
  await harness.run(alerting._id);

  expect(signs).toBe((await harness.runs(alerting._id)).length);
  expect(titles(harness.sent.written)).toEqual(["Orders is failing"]);
});

describe("an import that does not return", () => {
  test("is left behind, and keeps neither the flows nor later alerts from running", async () => {
    let isHanging = true;
    const sent = scriptedImport<Alert>(() => (isHanging ? new Promise<undefined>(() => undefined) : undefined), {
      writeTimeoutMs: 10 * second,
    });
    const harness = new AlertHarness({}, {}, sent);
    await harness.scheduler.start();
    await harness.alerting("* * * * *");
    const [one, two] = [await harness.orders("One"), await harness.orders("Two")];
    await harness.fails(one);
    await harness.completes(two);
    await harness.clock.advance(minute);
    const numbers = await harness.runs(two._id);
    isHanging = false;
    await harness.clock.advance(30 * minute);

    expect(numbers.map(({ status }) => status)).toEqual(["completed"]);
    expect(titles(sent.written)).toEqual(["One is failing"]);
  });
});

describe("several processes, of which some are killed while a receiver refuses three calls in ten", () => {
  const names = ["a", "b", "c"];
  const orders = (broken: ReadonlySet<string>): Export<number> => ({
    async *pages({ flow }) {
      if (broken.has(flow._id)) throw new Error("away");
      yield [];
    },
  });

  test.each([0, 1, 2, 3])("send every alert, and a repetition is the same alert, seed %i", async (seed) => {
    const chance = new Chance(seed);
    const [clock, storage] = [new ManualClock(noon), new MemoryStorage()];
    const broken = new Set<string>();
    const received: Alert[] = [];
    let [ids, kills] = [0, 0];
    const newId = () => `id-${String(++ids).padStart(6, "0")}`;
    const begin = () => {
      const gate = new Gate();
      const own = gatedClock(clock, gate, { ms: chance.between(-500, 500) });
      const conditions = () => ({ slowMs: 0, faults: 0 });
      const view = { gate, clock: own, chance, shared: true, onCall: () => undefined, conditions };
      const registry = new FlowRegistry({ storage: viewedStorage(storage, view), clock: own, newId });
      const options = { logger: silentLogger, leaseMs: 10_000, random: () => chance.next() };
      const scheduler = new Scheduler(registry, options);
      registry.addExport("alerts", alerts(scheduler, { overdue: false, paused: false }));
      registry.addExport("orders", orders(broken));
      registry.addImport("ledger", collectingImport());
      const slack: Import<Alert> = {
        idempotent: true,
        batchSize: 1,
        async write([alert]: readonly Alert[]) {
          if (chance.happens(0.3)) throw retryLater(new Error("429"));
          if (alert !== undefined) received.push(alert);
          if (received.length === 2 || chance.happens(0.2)) {
            gate.shut();
            kills++;
          }
          await gate.passed();
        },
      };
      registry.addImport("slack", slack);
      // One that is killed while it starts never has.
      void scheduler.start();
      return gate;
    };
    const [slack, ledger] = [collectingImport<Alert>(), collectingImport<number>()];
    const exports = { orders: orders(broken), alerts: alerts(new Scheduler(new FlowRegistry())) };
    const setUp = new FlowRegistry({ storage, clock, newId, exports, imports: { ledger, slack } });
    const schedule = "* * * * *";
    for (const _id of names) await setUp.define(_id, { name: _id, schedule, _exportId: "orders", _importId: "ledger" });
    await setUp.define("alerts", { name: "Alerts", schedule, _exportId: "alerts", _importId: "slack" });

    const processes = [begin(), begin()];
    for (let minutes = 0; minutes < 80; minutes++) {
      if (minutes === 0 || minutes === 40) for (const _id of names) broken.add(_id);
      if (minutes === 20 || minutes === 60) broken.clear();
      await clock.advance(minute);
      for (const [index, gate] of processes.entries()) if (!gate.isOpen) processes[index] = begin();
    }

    const byId = new Map<string, Alert>();
    for (const alert of received) {
      expect(alert).toEqual(byId.get(alert._id) ?? alert);
      byId.set(alert._id, alert);
    }
    const statesOf: Record<string, string[]> = {};
    for (const { incident, state } of byId.values()) (statesOf[incident] ??= []).push(state);
    expect(Object.values(statesOf)).toEqual(Array.from({ length: 6 }, () => ["firing", "resolved"]));
    expect(kills).toBeGreaterThan(0);
    for (const gate of processes) gate.shut();
  });
});
