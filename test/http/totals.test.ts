import { describe, expect, test } from "vitest";
import type { Flow, Result } from "../../src/index.ts";
import { collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { noon, pagesExport } from "../support/harness.ts";
import { ApiHarness } from "./harness.ts";

const refused: Result = { ok: false, fault: "reject", error: new Error("no") };

/** Two flows: `orders` of `acme`, of whose three records one fails, and `broken`, whose export does not answer. */
async function setUp(scope?: string) {
  const api = new ApiHarness({
    exports: {
      orders: pagesExport([[1, 2, 3]]),
      broken: {
        async *pages() {
          yield [];
          throw new Error("ECONNREFUSED");
        },
      },
    },
    imports: {
      picky: scriptedImport<number>(({ records }) => records.map((one) => (one === 2 ? refused : { ok: true }))),
      ledger: collectingImport<number>(),
    },
    http: { authorize: () => (scope === undefined ? true : { _integrationId: scope }) },
  });
  const { registry, scheduler } = api.host;
  const orders = await registry.create({
    ...{ name: "Orders to ledger", _exportId: "orders", _importId: "picky", _integrationId: "acme" },
  });
  const broken = await registry.create({ name: "Prices", _exportId: "broken", _importId: "ledger" });
  await scheduler.start();
  await api.host.run(orders._id);
  await api.host.run(broken._id);
  return { api, orders, broken };
}

const names = (json: unknown) => (json as Flow[]).map(({ name }) => name);
const today = "from=2030-01-01T00:00:00Z&until=2030-01-02T00:00:00Z";

describe("GET /overview", () => {
  test("says how all flows do", async () => {
    const { api } = await setUp();

    expect((await api.send("GET", "/overview")).json).toEqual({
      ...{ flows: { enabled: 2, disabled: 0 }, runs: { running: 0, queued: 0 } },
      ...{ failing: 1, overdue: 0, paused: 0, openFailures: 1, inboxPages: 0 },
    });
    expect((await api.send("GET", "/overview?_integrationId=acme")).json).toMatchObject({
      ...{ flows: { enabled: 1 }, failing: 0, openFailures: 1 },
    });
  });

  test("shows a tenant its own flows, and nothing of another integration, whatever it asks for", async () => {
    const { api } = await setUp("acme");
    const { api: another } = await setUp("zeta");

    expect((await api.send("GET", "/overview")).json).toMatchObject({ flows: { enabled: 1 }, failing: 0 });
    for (const query of ["", "?_integrationId=acme", "?_integrationId="])
      expect((await another.send("GET", `/overview${query}`)).json).toEqual({
        ...{ flows: { enabled: 0, disabled: 0 }, runs: { running: 0, queued: 0 } },
        ...{ failing: 0, overdue: 0, paused: 0, openFailures: 0, inboxPages: 0 },
      });
  });
});

describe("GET /statistics", () => {
  const sum = { from: "2030-01-01T12:00:00.000Z", completed: 1, failed: 1, canceled: 0, numSuccess: 2, numError: 1 };

  test("says what was moved, once it was saved, by hour and by day", async () => {
    const { api } = await setUp();
    await api.host.clock.advance(10_000);

    expect((await api.send("GET", `/statistics?${today}`)).json).toMatchObject([sum]);
    expect((await api.send("GET", `/statistics?${today}&step=day`)).json).toMatchObject([
      { ...sum, from: "2030-01-01T00:00:00.000Z" },
    ]);
    expect((await api.send("GET", `/statistics?${today}&_integrationId=acme`)).json).toMatchObject([
      { ...sum, failed: 0 },
    ]);
  });

  test("reads those of a flow from its runs", async () => {
    const { api, orders } = await setUp();

    const { json, headers } = await api.send("GET", `/statistics?${today}&_flowId=${orders._id}`);

    expect(json).toMatchObject([{ ...sum, failed: 0 }]);
    expect(headers.get("poundlock-complete")).toBeNull();
  });

  test("shows a tenant its own, and nothing of another integration, whatever it asks for", async () => {
    const { api } = await setUp("acme");
    const { api: another, orders } = await setUp("zeta");
    for (const one of [api, another]) await one.host.clock.advance(10_000);

    expect((await api.send("GET", `/statistics?${today}`)).json).toMatchObject([{ ...sum, failed: 0 }]);
    for (const query of ["", "&_integrationId=acme", "&_integrationId=", `&_flowId=${orders._id}`])
      expect((await another.send("GET", `/statistics?${today}${query}`)).json).toEqual([]);
  });

  test.each([
    ["from=2030-01-01T00:00:00Z", "until"],
    ["from=yesterday&until=2030-01-02T00:00:00Z", "from"],
    ["from=2030-02-31T99:00:00Z&until=2030-01-02T00:00:00Z", "from"],
    ["from=2030-01-02T00:00:00Z&until=2030-01-01T00:00:00Z", "until"],
    ["from=2030-01-01T00:00:00Z&until=2030-03-01T00:00:00Z", "until"],
    [`${today}&step=week`, "step"],
  ])("refuses ?%s because of %s", async (query, field) => {
    const { api } = await setUp();

    const { status, json } = await api.send("GET", `/statistics?${query}`);

    expect([status, (json as { errors: { field: string }[] }).errors.map((one) => one.field)]).toEqual([400, [field]]);
  });
});

test.each(["/statistics", "/statistics?", "/statistics?#part"])(
  "%s says which parameters are missing",
  async (path) => {
    const { api } = await setUp();

    const { status, json } = await api.send("GET", path);

    const messages = (json as { errors: { message: string }[] }).errors.map(({ message }) => message);
    expect([status, messages]).toEqual([
      400,
      [
        "from: expected a time such as 2030-01-01T12:00:00Z, found nothing",
        "until: expected a time such as 2030-01-01T12:00:00Z, found nothing",
      ],
    ]);
  },
);

describe("a list of flows", () => {
  test("is of those with a part of their name, or in a state", async () => {
    const { api } = await setUp();

    expect(names((await api.send("GET", "/flows?q=LEDGER")).json)).toEqual(["Orders to ledger"]);
    expect(names((await api.send("GET", "/flows?state=failing")).json)).toEqual(["Prices"]);
    expect(names((await api.send("GET", "/flows?state=failures&q=orders")).json)).toEqual(["Orders to ledger"]);
    expect(names((await api.send("GET", "/integrations/acme/flows?state=failing")).json)).toEqual([]);
    for (const query of ["q=", "state=fine"]) expect((await api.send("GET", `/flows?${query}`)).status).toBe(400);
  });

  test("says how each flow does only if it is asked to", async () => {
    const { api, broken } = await setUp();

    const { json } = await api.send("GET", "/flows?include=name,activity");
    const { json: part } = await api.send("GET", "/flows?state=failing&include=activity.failingSince");

    expect(json).toMatchObject([
      { name: "Orders to ledger", activity: { lastRun: { status: "completed", numError: 1 }, openFailures: 1 } },
      { name: "Prices", activity: { lastRun: { status: "failed" }, openFailures: 0, paused: [] } },
    ]);
    expect(part).toEqual([{ activity: { failingSince: new Date(noon).toISOString() } }]);
    for (const path of ["/flows", `/flows/${broken._id}`])
      expect((await api.send("GET", path)).text).not.toContain("activity");
  });

  test("shows a tenant of a flow that moved only what happened there", async () => {
    const { api, orders } = await setUp("zeta");
    await api.host.registry.patch(orders._id, { _integrationId: "zeta" });

    expect((await api.send("GET", "/flows?include=activity")).json).toEqual([
      { activity: { openFailures: 0, paused: [] } },
    ]);
  });
});

test("a run says how many records there are to read, also after the event that said so", async () => {
  const api = new ApiHarness({
    exports: {
      orders: {
        async *pages() {
          yield { records: [1, 2], total: 40 };
        },
      },
    },
    imports: { ledger: collectingImport<number>() },
  });
  const run = await api.host.move();

  expect((await api.send("GET", `/runs/${run._id}`)).json).toMatchObject({ total: 40, numSuccess: 2 });
});
