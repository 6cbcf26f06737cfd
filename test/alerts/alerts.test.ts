import { describe, expect, test } from "vitest";
import type { Alert, AlertOptions, AlertSource } from "../../src/alerts/index.ts";
import { alerts } from "../../src/alerts/index.ts";

import { day, hour, minute, noon } from "../support/harness.ts";
import { AlertHarness } from "./setting.ts";

const isoAt = (ms: number) => new Date(noon + ms).toISOString();
const states = (all: readonly Alert[]) => all.map(({ kind, state }) => `${kind} ${state}`);

describe("a flow that fails", () => {
  test("is alerted of once, and once more when it is over, however often it is looked at", async () => {
    const harness = new AlertHarness();
    await harness.scheduler.start();
    const flow = await harness.orders();
    await harness.fails(flow);

    const first = await harness.look();
    await harness.clock.advance(10 * minute);
    await harness.fails(flow);
    const second = await harness.look(first.checkpoint);
    await harness.clock.advance(10 * minute);
    await harness.completes(flow);
    const third = await harness.look(second.checkpoint);
    const fourth = await harness.look(third.checkpoint);

    const incident = `${flow._id}/failing/${isoAt(0)}`;
    expect(first.alerts).toEqual([
      {
        ...{ _id: `${incident}/firing`, incident, kind: "failing", state: "firing", _flowId: flow._id, count: 1 },
        ...{ since: isoAt(0), title: "Orders is failing", dashboardPath: `/flows/${flow._id}` },
        text: 'Since 2030-01-01 12:00 UTC, 1 run has failed. The last one: export_failed: Export "orders" failed: connect ECONNREFUSED.',
      },
    ]);
    expect(second.pages).toEqual([]);
    expect(third.alerts).toEqual([
      {
        ...{ _id: `${incident}/resolved`, incident, kind: "failing", state: "resolved", _flowId: flow._id },
        ...{ since: isoAt(0), title: "Orders is no longer failing", dashboardPath: `/flows/${flow._id}` },
        text: "It lasted from 2030-01-01 12:00 UTC to 2030-01-01 12:20 UTC.",
      },
    ]);
    expect(third.checkpoint).toEqual({ incidents: [] });
    expect(fourth.pages).toEqual([]);
  });

  test("as a destination is away is one incident for as long as it is, though runs complete without it", async () => {
    const harness = new AlertHarness({ paused: false });
    await harness.scheduler.start();
    harness.outage = new Error("connect ETIMEDOUT");
    const flow = await harness.orders();
    await harness.run(flow._id);
    const first = await harness.look();
    const skipped = await harness.run(flow._id);
    const second = await harness.look(first.checkpoint);
    harness.outage = undefined;
    const resumed = await harness.scheduler.resume(flow._id);
    await harness.scheduler.waitFor(resumed?._id ?? "");
    const third = await harness.look(second.checkpoint);

    expect([skipped.status, skipped.imports.ledger?.status]).toEqual(["completed", "skipped"]);
    expect(states(first.alerts)).toEqual(["failing firing"]);
    expect(second.pages).toEqual([]);
    expect(states(third.alerts)).toEqual(["failing resolved"]);
  });

  test("that recovers and fails again between two looks is over, and another incident", async () => {
    const harness = new AlertHarness();
    await harness.scheduler.start();
    const flow = await harness.orders();
    await harness.fails(flow);
    const { checkpoint } = await harness.look();
    await harness.clock.advance(minute);
    await harness.completes(flow);
    await harness.fails(flow);

    const { alerts: all } = await harness.look(checkpoint);

    expect(all.map(({ _id }) => _id)).toEqual([
      `${flow._id}/failing/${isoAt(0)}/resolved`,
      `${flow._id}/failing/${isoAt(minute)}/firing`,
    ]);
  });

  test("is alerted of once as many runs in a row have failed as the rule says; samples and retries do not count", async () => {
    const harness = new AlertHarness({ failing: { runs: 3 } });
    await harness.scheduler.start();
    const flow = await harness.orders();
    harness.refused.add(1);
    await harness.completes(flow);
    await harness.fails(flow);
    await harness.fails(flow);
    await harness.run(flow._id, { limit: 1 });
    await harness.end(await harness.scheduler.retryFailures(flow._id));

    const early = await harness.look();
    await harness.fails(flow);
    const { alerts: all } = await harness.look();

    expect(early.pages).toEqual([]);
    expect(all).toMatchObject([
      { kind: "failing", count: 3, text: expect.stringContaining("3 runs in a row have failed") as string },
    ]);
  });

  test("is looked at by reading few runs: twice as many as the rule says, then a hundred at a time", async () => {
    const harness = new AlertHarness({ failing: { runs: 3 } });
    await harness.scheduler.start();
    const flow = await harness.orders();
    await harness.fails(flow);
    const asked: unknown[] = [];
    const sample = { trigger: "manual", limit: 1, status: "failed", endedAt: isoAt(0) };
    Object.assign(harness.scheduler, {
      listRuns: async ({ after, limit }: { after?: string; limit?: number }) => {
        asked.push([after, limit]);
        return after === "2" ? { items: [] } : { items: [sample], next: String(asked.length) };
      },
    });

    expect((await harness.look()).pages).toEqual([]);
    expect(asked).toEqual([
      [undefined, 6],
      ["1", 100],
      ["2", 100],
    ]);
  });

  test("has its integration, its name as it is, and its id in the path as an address has it", async () => {
    const harness = new AlertHarness();
    await harness.scheduler.start();
    const [_exportId, _importId] = ["orders", "ledger"];
    await harness.registry.define("a/b", { name: "Ä & co", _exportId, _importId, _integrationId: "acme" });
    harness.broken.add("Ä & co");
    await harness.run("a/b");

    const { alerts: all } = await harness.look();

    expect(all).toMatchObject([
      { _flowId: "a/b", _integrationId: "acme", title: "Ä & co is failing", dashboardPath: "/flows/a%2Fb" },
    ]);
  });

  test("that is the flow which alerts is left out", async () => {
    const harness = new AlertHarness();
    await harness.scheduler.start();
    const flow = await harness.orders();
    await harness.fails(flow);

    expect((await harness.look(undefined, flow._id)).pages).toEqual([]);
  });

  test.each([
    ["disabled", "The flow is disabled now.", "Orders"],
    ["deleted", "The flow was deleted.", "its id"],
  ])("and is %s is alerted of as over, with the reason", async (how, reason, name) => {
    const harness = new AlertHarness();
    await harness.scheduler.start();
    const flow = await harness.orders();
    await harness.fails(flow);
    const { checkpoint } = await harness.look();
    if (how === "disabled") await harness.registry.patch(flow._id, { disabled: true });
    else await harness.registry.delete(flow._id);

    const { alerts: all } = await harness.look(checkpoint);

    const title = `${name === "its id" ? flow._id : name} is no longer failing`;
    expect(all).toMatchObject([{ state: "resolved", title, text: expect.stringContaining(reason) as string }]);
  });

  test("with more failed runs than are looked at says so, and has no count", async () => {
    const harness = new AlertHarness();
    const listed: number[] = [];
    const run = { trigger: "schedule", status: "failed", endedAt: isoAt(0), error: { code: "a", message: "b!" } };
    Object.assign(harness.scheduler, {
      listRuns: async () => ({ items: Array.from({ length: 100 }, () => run), next: String(listed.push(1)) }),
    });
    await harness.scheduler.start();
    const flow = await harness.orders();
    await harness.fails(flow);

    const { alerts: all } = await harness.look();

    expect(listed).toHaveLength(10);
    expect(all[0]?.text).toBe(
      "Since 2030-01-01 12:00 UTC, at least 1000 runs in a row have failed. The last one: a: b!",
    );
    expect(all[0]).not.toHaveProperty("count");
  });
});

test("a flow of which no run has begun for two due times is overdue until one does", async () => {
  const harness = new AlertHarness();
  const flow = await harness.orders("Orders", "*/5 * * * *");
  await harness.clock.advance(9 * minute);
  const early = await harness.look();
  await harness.clock.advance(minute);
  const first = await harness.look();
  await harness.scheduler.start();
  await harness.clock.advance(5 * minute);
  const second = await harness.look(first.checkpoint);
  await harness.scheduler.stop();
  await harness.clock.advance(20 * minute);
  const third = await harness.look(second.checkpoint);

  expect(early.pages).toEqual([]);
  expect(first.alerts).toMatchObject([
    {
      ...{ _id: `${flow._id}/overdue/${isoAt(10 * minute)}/firing`, title: "Orders is overdue" },
      text: "No run has begun for two due times, the second at 2030-01-01 12:10 UTC. None of its runs ever began.",
    },
  ]);
  expect(second.alerts).toMatchObject([{ kind: "overdue", state: "resolved", title: "Orders is no longer overdue" }]);
  expect(third.alerts[0]?.text).toMatch(/The last one began at 2030-01-01 12:\d\d UTC\.$/);
});

describe("an import that is paused", () => {
  const paused = async (rules: AlertOptions) => {
    const harness = new AlertHarness(rules);
    await harness.scheduler.start();
    harness.outage = new Error("connect ETIMEDOUT");
    const flow = await harness.orders();
    await harness.run(flow._id);
    return { flow, harness };
  };

  test("is alerted of once it has been for as long as the rule says, with the reason and what comes next", async () => {
    const { flow, harness } = await paused({ failing: false, paused: { afterMs: 15_000 } });
    const early = await harness.look();
    await harness.clock.advance(15_000);
    const first = await harness.look();
    harness.outage = undefined;
    await harness.scheduler.resume(flow._id);
    const second = await harness.look(first.checkpoint);

    const incident = `${flow._id}/paused/ledger/${isoAt(0)}`;
    expect(early.pages).toEqual([]);
    expect(first.alerts).toMatchObject([
      {
        ...{ _id: `${incident}/firing`, incident, _importId: "ledger", title: "Orders: import ledger is paused" },
        text: expect.stringMatching(
          /^It has got no records since 2030-01-01 12:00 UTC: import_unavailable: .*ETIMEDOUT.* It is tried again at 2030-01-01 12:0\d UTC\.$/,
        ) as string,
      },
    ]);
    expect(second.alerts).toMatchObject([
      { _id: `${incident}/resolved`, title: "Orders: import ledger is no longer paused" },
    ]);
  });

  test("until somebody resumes it says so", async () => {
    const harness = new AlertHarness({ paused: { afterMs: 0 } }, { maxFailures: 1 });
    await harness.scheduler.start();
    harness.records = 5;
    for (const number of [1, 2, 3, 4]) harness.refused.add(number);
    const flow = await harness.orders();
    await harness.run(flow._id);

    const { alerts: all } = await harness.look();

    const text = all.find(({ kind }) => kind === "paused")?.text;
    expect(text).toMatch(/too_many_failures: .* It stays paused until somebody resumes it\.$/);
  });

  test("that is resumed while its alert is made has one without a reason", async () => {
    const { harness } = await paused({ failing: false, paused: { afterMs: 0 } });
    Object.assign(harness.scheduler, { deliveries: async () => [] });

    const { alerts: all } = await harness.look();

    expect(all[0]?.text).toMatch(/^It has got no records since 2030-01-01 12:00 UTC\. It is tried again/);
  });

  test("since a time that is in the future, as the clock was set back, is alerted of", async () => {
    const { harness } = await paused({ failing: false, paused: { afterMs: 15_000 } });
    harness.clock.jumpTo(noon - hour);

    expect((await harness.look()).alerts).toMatchObject([{ kind: "paused", state: "firing" }]);
  });

  test("since a time that is a second ahead, as clocks of processes differ, is not", async () => {
    const { harness } = await paused({ failing: false, paused: { afterMs: 15_000 } });
    harness.clock.jumpTo(noon - 1_000);

    expect((await harness.look()).pages).toEqual([]);
  });
});

test("a flow with more open failures than the rule says is alerted of, with how many, until it has fewer", async () => {
  const harness = new AlertHarness({ openFailures: { above: 2 } });
  await harness.scheduler.start();
  harness.records = 5;
  for (const number of [1, 2]) harness.refused.add(number);
  const flow = await harness.orders();
  await harness.run(flow._id);
  const early = await harness.look();
  harness.refused.add(3);
  await harness.scheduler.setCheckpoint(flow._id, undefined);
  await harness.run(flow._id);
  const first = await harness.look();
  await harness.clock.advance(day);
  const again = await harness.look(first.checkpoint);
  const [one] = await harness.failures();
  await harness.scheduler.resolveFailures([one?._id ?? ""]);
  const second = await harness.look(again.checkpoint);

  const incident = `${flow._id}/openFailures/${isoAt(0)}`;
  expect(early.pages).toEqual([]);
  expect(first.alerts).toMatchObject([
    {
      ...{ _id: `${incident}/firing`, count: 3, title: "Orders has 3 open failures" },
      dashboardPath: `/failures?flow=${flow._id}`,
      text: "3 records were not delivered, and can be retried or resolved; more than 2 are alerted of.",
    },
  ]);
  expect(again.alerts).toMatchObject([{ _id: `${incident}/reminder-1`, title: "Orders still has 3 open failures" }]);
  expect(second.alerts).toMatchObject([
    { _id: `${incident}/resolved`, title: "Orders no longer has too many open failures" },
  ]);
});

test("a run that waits for longer than the rule says is alerted of, and no flow with it", async () => {
  const harness = new AlertHarness({ queueAge: { aboveMs: 10 * minute } });
  const flow = await harness.orders();
  const run = await harness.scheduler.run(flow._id);
  const early = await harness.look();
  await harness.clock.advance(10 * minute);
  const first = await harness.look();
  await harness.clock.advance(day);
  const again = await harness.look(first.checkpoint);
  await harness.scheduler.cancel(run._id);
  const second = await harness.look(again.checkpoint);

  expect(early.pages).toEqual([]);
  expect(first.alerts).toEqual([
    {
      ...{ _id: `queueAge/${isoAt(10 * minute)}/firing`, incident: `queueAge/${isoAt(10 * minute)}` },
      ...{ kind: "queueAge", state: "firing", since: isoAt(10 * minute), count: 1, title: "Runs wait too long" },
      text: "1 run waits, the oldest since 2030-01-01 12:00 UTC; more than 10 minutes is alerted of.",
      dashboardPath: "/runs?status=queued",
    },
  ]);
  expect(again.alerts).toMatchObject([{ state: "reminder", title: "Runs still wait too long" }]);
  expect(second.alerts).toMatchObject([{ state: "resolved", title: "Runs no longer wait too long" }]);
});

test("a limit of less than a minute is in seconds", async () => {
  const harness = new AlertHarness({ queueAge: { aboveMs: 1_000 } });
  await harness.scheduler.run((await harness.orders())._id);
  await harness.clock.advance(minute);

  expect((await harness.look()).alerts[0]?.text).toContain("more than 1 second is alerted of");
});

describe("an incident that lasts", () => {
  test("is alerted of again once a day, each time under another id", async () => {
    const harness = new AlertHarness();
    await harness.scheduler.start();
    await harness.fails(await harness.orders());
    await harness.scheduler.stop();
    let { checkpoint } = await harness.look();
    const ids: string[] = [];
    for (let hours = 1; hours <= 49; hours++) {
      await harness.clock.advance(hour);
      const looked = await harness.look(checkpoint);
      checkpoint = looked.checkpoint;
      ids.push(...looked.alerts.map(({ _id }) => `after ${hours}: ${_id.split("/").at(-1) ?? ""}`));
    }

    expect(ids).toEqual(["after 24: reminder-1", "after 48: reminder-2"]);
  });

  test("is never alerted of again if reminders are off", async () => {
    const harness = new AlertHarness({ remindAfterMs: false });
    await harness.scheduler.start();
    await harness.fails(await harness.orders());
    await harness.scheduler.stop();
    const { checkpoint } = await harness.look();
    await harness.clock.advance(10 * day);

    expect((await harness.look(checkpoint)).pages).toEqual([]);
  });

  test("is alerted of once more, and then as ever, when the clock is set back by a year", async () => {
    const harness = new AlertHarness();
    await harness.scheduler.start();
    await harness.fails(await harness.orders());
    await harness.scheduler.stop();
    const first = await harness.look();
    harness.clock.jumpTo(noon - 365 * day);
    const second = await harness.look(first.checkpoint);
    await harness.clock.advance(hour);
    const third = await harness.look(second.checkpoint);
    await harness.clock.advance(day);
    const fourth = await harness.look(third.checkpoint);

    expect(states(second.alerts)).toEqual(["failing reminder"]);
    expect(third.pages).toEqual([]);
    expect(states(fourth.alerts)).toEqual(["failing reminder"]);
  });

  test("and is looked for no more, as its rule was turned off, is alerted of as over", async () => {
    const before = new AlertHarness();
    await before.scheduler.start();
    await before.fails(await before.orders());
    await before.scheduler.stop();
    const { checkpoint } = await before.look();
    const source = alerts(before.scheduler, { failing: false, overdue: false, paused: false });
    Object.assign(before, { source });

    expect(states((await before.look(checkpoint)).alerts)).toEqual(["failing resolved"]);
  });
});

describe("what was committed before it was sent", () => {
  test("is sent as it was after a crash, though the flow has recovered meanwhile, and then that it has", async () => {
    const harness = new AlertHarness();
    await harness.scheduler.start();
    const flow = await harness.orders();
    await harness.fails(flow);
    const [intent, page] = (await harness.look()).pages;
    await harness.clock.advance(minute);
    await harness.completes(flow);

    const { pages } = await harness.look(intent?.checkpoint);

    expect(intent?.records).toEqual([]);
    expect(page?.records).toHaveLength(1);
    expect(pages[0]).toEqual(page);
    expect(states(pages.flatMap(({ records }) => records))).toEqual(["failing firing", "failing resolved"]);
  });
});

describe("many flows that fail at once", () => {
  /** A source of which so many flows fail, each with one run. */
  const failing = (harness: AlertHarness, ids: Set<string>): AlertSource => {
    const { scheduler } = harness;
    const activity = { failingSince: isoAt(0), openFailures: 0, paused: [] };
    const overview = async () => ({ ...(await scheduler.overview()), failing: ids.size });
    const registry = {
      clock: harness.clock,
      exportIds: [],
      findExport: () => undefined,
      find: async () => undefined,
      list: async ({ after = "", state }: { readonly after?: string; readonly state?: string } = {}) => {
        const items = [...ids].filter((_id) => _id > after).slice(0, 100);
        const next = items.length < 100 ? {} : { next: items.at(-1) };
        return {
          items: state === "failing" ? items.map((_id) => ({ _id })) : [],
          ...(state === "failing" ? next : {}),
        };
      },
    };
    return {
      ...{ state: "started", logger: scheduler.logger, registry, overview, on: () => scheduler },
      activities: async (given: readonly string[]) => given.map((_id) => (ids.has(_id) ? activity : undefined)),
      listRuns: async () => ({ items: [] }),
    } as unknown as AlertSource;
  };
  const idOf = (number: number) => `flow-${String(number).padStart(5, "0")}`;
  const some = (last: number) => new Set(Array.from({ length: last }, (_, index) => idOf(index + 1)));

  test("are alerted of one by one up to a thousand, and then together, until there is room again", async () => {
    const harness = new AlertHarness();
    const ids = some(1_002);
    Object.assign(harness, { source: alerts(failing(harness, ids)) });

    const first = await harness.look();
    const again = await harness.look(first.checkpoint);
    ids.delete(idOf(1));
    const second = await harness.look(first.checkpoint);
    ids.delete(idOf(2));
    const third = await harness.look(second.checkpoint);
    for (const _id of [...ids].slice(0, 500)) ids.delete(_id);
    const fourth = await harness.look(third.checkpoint);

    expect(first.alerts).toHaveLength(1_001);
    expect(first.pages.filter(({ records }) => records.length > 0)).toHaveLength(11);
    expect(first.alerts.at(-1)).toMatchObject({
      ...{ kind: "more", state: "firing", count: 2, title: "Up to 2 more incidents", dashboardPath: "/" },
      text: "Up to 2 more are not alerted of one by one: see the dashboard.",
    });
    expect(again.pages).toEqual([]);
    expect(states(second.alerts)).toEqual(["failing resolved", "failing firing"]);
    expect(states(third.alerts)).toEqual(["failing resolved", "failing firing", "more resolved"]);
    expect(third.alerts.at(-1)?.title).toBe("All incidents are alerted of again");
    expect(third.checkpoint?.incidents).toHaveLength(1_000);
    expect(fourth.alerts).toHaveLength(500);
    expect(fourth.checkpoint?.incidents).toHaveLength(500);
  });

  test("are reminded of together, too, and do not count what is not looked for", async () => {
    const harness = new AlertHarness();
    const rules = { overdue: false, paused: false, remindAfterMs: day } as const;
    Object.assign(harness, { source: alerts(failing(harness, some(1_001)), rules) });
    const first = await harness.look();
    await harness.clock.advance(day);

    const { alerts: all } = await harness.look(first.checkpoint);

    expect(all).toHaveLength(1_001);
    expect(all.at(-1)).toMatchObject({ state: "reminder", count: 1, title: "Still up to 1 more incident" });
  });

  test("are not looked at any further when the run is to end", async () => {
    const harness = new AlertHarness();
    Object.assign(harness, { source: alerts(failing(harness, some(1))) });

    const reading = harness.pages(undefined, "alerts", AbortSignal.abort(new Error("stopped")));

    await expect(reading[Symbol.asyncIterator]().next()).rejects.toThrow("stopped");
  });
});

describe("options", () => {
  const { scheduler } = new AlertHarness();

  test.each<[AlertOptions, string]>([
    [{ failing: { runs: 0 } }, "failing.runs: expected a whole number from 1 to 1000, found 0"],
    [{ failing: true as never }, "failing: expected false, or an object with runs, found true"],
    [{ failing: { run: 1 } as never }, 'failing.run: expected one of runs, found "run"; did you mean "runs"?'],
    [{ overdue: 1 as never }, "overdue: expected true or false, found 1"],
    [{ paused: { afterMs: -1 } }, "paused.afterMs: expected a number of milliseconds, 0 or more, found -1"],
    [{ openFailures: {} as never }, "openFailures.above: expected a whole number, 0 or more, found undefined"],
    [
      { queueAge: { aboveMs: Infinity } },
      "queueAge.aboveMs: expected a number of milliseconds, 0 or more, found Infinity",
    ],
    [{ remindAfterMs: 1 }, "remindAfterMs: expected false, or a whole number of milliseconds, 60000 or more, found 1"],
    [
      { reminder: 1 } as never,
      "reminder: expected one of failing, overdue, paused, openFailures, queueAge, remindAfterMs",
    ],
  ])("%j are refused, naming the field", (options, message) => {
    expect(() => alerts(scheduler, options)).toThrow(message);
  });

  test("without a scheduler are refused", () => {
    expect(() => alerts({} as never)).toThrow("scheduler: expected a Scheduler, found an object ()");
  });
});
