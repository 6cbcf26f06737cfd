import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Export, type Flow, MemoryStorage, type Result } from "../../src/index.ts";
import type { TenantScope } from "../../src/http/index.ts";
import { routes } from "../../src/http/routes/routes.ts";
import { arrayExport, scriptedImport } from "../../src/testing/index.ts";
import { second } from "../support/harness.ts";
import { ApiHarness, type ApiResponse, type RequestInput } from "./harness.ts";

/** In every text of what another owns, so that no answer can show any of it unseen. */
const mark = "THEIRS";
const refused: Result = { ok: false, fault: "reject", error: new Error(`${mark} cause`) };
const hook: Export<unknown> = { listen: () => () => undefined };

/** Two tenants and flows of nobody, each with runs in every state and failures open and resolved. */
async function shared(scope: Partial<TenantScope> = {}, storage = new MemoryStorage()) {
  const asTenant: TenantScope = { _integrationId: "mine", ...scope };
  const picky = scriptedImport<unknown>(({ records }) =>
    records.map((_, index) => (index < 2 ? refused : { ok: true })),
  );
  const exports = { numbers: arrayExport([1, 2, 3].map((id) => ({ id, text: mark }))), hook };
  const api = new ApiHarness({
    exports,
    imports: { picky, other: scriptedImport(() => undefined) },
    storage,
    http: { authorize: ({ request }) => (request.headers.has("x-host") ? true : asTenant), eventBuffer: 10_000 },
  });
  const { registry, scheduler } = api.host;
  const owned = async (_integrationId?: string) => {
    const name = _integrationId === "mine" ? "mine" : `${mark} ${_integrationId ?? "nobody"}`;
    const _id = _integrationId === "mine" ? "my-flow" : `${mark}-${_integrationId ?? "nobody"}`;
    const of = _integrationId === undefined ? {} : { _integrationId };
    const input = { name, ...of, _importId: "picky" };
    const flow = await registry.define(_id, { ...input, _exportId: "numbers" });
    const listening = await registry.define(`${_id}-hook`, { ...input, _exportId: "hook" });
    await api.host.run(flow._id);
    const failures = await api.host.failures(flow._id);
    await scheduler.resolveFailures([failures[0]?._id ?? ""]);
    return { flow, listening, failures };
  };
  await scheduler.start();
  const [mine, theirs, unowned] = [await owned("mine"), await owned(mark), await owned()];
  await scheduler.stop();
  for (const { flow } of [mine, theirs, unowned]) await scheduler.run(flow._id);
  /** Everything that is not the tenant's. */
  const others = async () => {
    const isOther = ({ _integrationId }: { _integrationId?: string }) => _integrationId !== "mine";
    const flows = (await registry.list({ limit: 1_000 })).items.filter(isOther);
    const inboxes = flows.map(({ _id }) => api.host.storage.readInbox(_id, { maxRecords: 1_000 }));
    return {
      flows,
      runs: (await api.host.runs()).filter(isOther),
      failures: (await scheduler.listFailures({ limit: 1_000 })).items.filter(isOther),
      inboxes: await Promise.all(inboxes),
    };
  };
  return { api, mine, theirs, unowned, others };
}

type SharedHarness = Awaited<ReturnType<typeof shared>>;
const asHost = { headers: { "x-host": "1" } };

const seen = ({ text, headers }: ApiResponse) => text + JSON.stringify([...headers]);

/** What a tenant may try at a route: ids in the path, and what is sent. `ids` are another's; those of nothing are like them. */
interface Attempt {
  /** Ids of what is not the tenant's, of the kind that the path names. */
  readonly ids?: (all: SharedHarness) => Promise<readonly string[]>;
  readonly query?: string;
  readonly sent?: (all: SharedHarness) => RequestInput;
  /** What the tenant gets with ids of its own, or where the path has none. */
  readonly own: number;
}

const flowsOfOthers = async ({ theirs, unowned }: SharedHarness) => [
  theirs.flow._id,
  unowned.flow._id,
  theirs.listening._id,
];
const failuresOfOthers = async ({ others }: SharedHarness) => (await others()).failures.map(({ _id }) => _id);
const runsOfOthers = async ({ others }: SharedHarness) => (await others()).runs.map(({ _id }) => _id);
const input = { name: "new", _exportId: "numbers", _importId: "picky" };
const body = (value: unknown) => () => ({ body: value });

const attempts: Readonly<Record<string, Attempt>> = {
  "GET /flows": { own: 200 },
  "POST /flows": { own: 201, sent: body(input) },
  "GET /flows/{_id}": { own: 200, ids: flowsOfOthers },
  "PUT /flows/{_id}": { own: 200, ids: flowsOfOthers, sent: body(input) },
  "PATCH /flows/{_id}": { own: 200, ids: flowsOfOthers, sent: body({ name: "mine now" }) },
  "DELETE /flows/{_id}": { own: 204, ids: flowsOfOthers },
  "POST /flows/{_id}/clone": { own: 201, ids: flowsOfOthers },
  "GET /flows/{_id}/dependencies": { own: 200, ids: flowsOfOthers },
  "GET /integrations/{_id}/flows": { own: 200 },
  "GET /overview": { own: 200 },
  "GET /statistics": { own: 200, query: "?from=2030-01-01T00:00:00Z&until=2030-01-02T00:00:00Z" },
  "POST /schedules/preview": { own: 200, sent: body({ schedule: "* * * * *", _flowId: `${mark}-${mark}` }) },
  "GET /flows/{_id}/deliveries": { own: 200, ids: flowsOfOthers },
  "PUT /flows/{_id}/checkpoint": { own: 204, ids: flowsOfOthers, sent: body({ value: { after: 1 } }) },
  "POST /flows/{_id}/resume": { own: 200, ids: flowsOfOthers },
  "GET /flows/{_id}/inbox": { own: 200, ids: flowsOfOthers },
  "POST /flows/{_id}/inbox/drop": { own: 200, ids: flowsOfOthers, sent: body({ _ids: ["x"] }) },
  "POST /flows/{_id}/run": { own: 201, ids: flowsOfOthers },
  "GET /flows/{_id}/jobs/latest": { own: 200, ids: flowsOfOthers },
  "GET /runs": { own: 200 },
  "GET /runs/{_id}": { own: 200, ids: runsOfOthers },
  "PUT /runs/{_id}/cancel": { own: 200, ids: runsOfOthers },
  "GET /failures": { own: 200 },
  "GET /failures/{_id}": { own: 200, ids: failuresOfOthers },
  "PATCH /failures/{_id}": {
    own: 200,
    ids: failuresOfOthers,
    sent: () => ({ body: { record: { id: 9 } }, headers: { "if-match": "*" } }),
  },
  "GET /flows/{_id}/failures": { own: 200, ids: flowsOfOthers },
  "POST /flows/{_id}/failures/retry": { own: 201, ids: flowsOfOthers },
  "PUT /flows/{_id}/failures/resolved": {
    own: 200,
    ids: flowsOfOthers,
    sent: ({ mine }) => ({ body: { _ids: mine.failures.map(({ _id }) => _id) } }),
  },
  "GET /causes": { own: 200 },
  "POST /failures/retry": { own: 200, sent: body({ fault: "reject", through: "~" }) },
  "PUT /failures/resolved": { own: 200, sent: body({ fault: "reject", through: "~" }) },
  "GET /exports": { own: 200 },
  "GET /exports/{_id}": { own: 200 },
  "GET /imports": { own: 200 },
  "GET /imports/{_id}": { own: 200 },
  "POST /exports/{_id}/records": { own: 202, sent: body([{ id: 1 }]) },
  "GET /permissions": { own: 200 },
  "GET /events": { own: 200 },
  "GET /health": { own: 200 },
  "GET /openapi.json": { own: 200 },
};

const pathWith = (path: string, _id: string) => path.replace("{_id}", encodeURIComponent(_id));

describe("a tenant at every route", () => {
  test("every route has its attempt", () => {
    expect(Object.keys(attempts)).toEqual(routes.map(({ method, path }) => `${method} ${path}`));
  });

  test.each(Object.entries(attempts))(
    "%s: finds its own, and nothing of others changes or shows",
    async (route, attempt) => {
      const [method = "", path = ""] = route.split(" ");
      const all = await shared();
      const before = await all.others();
      const ownId = path.startsWith("/runs")
        ? ((await all.api.host.runs(all.mine.flow._id))[0]?._id ?? "")
        : path.startsWith("/failures/{")
          ? (all.mine.failures[1]?._id ?? "")
          : path.startsWith("/exports")
            ? "hook"
            : path.startsWith("/imports")
              ? "picky"
              : path.startsWith("/integrations")
                ? "mine"
                : all.mine.flow._id;

      const received = await all.api.send(
        method,
        pathWith(path, ownId) + (attempt.query ?? ""),
        attempt.sent?.(all) ?? {},
      );

      expect(received.status).toBe(attempt.own);
      // The export's records and the cause of its failures are shared here: the tenant's own contain the mark, too.
      const shown = /failures|causes/.test(path) && method !== "POST" ? "" : seen(received);
      expect(shown).not.toContain(mark);
      expect(await all.others()).toEqual(before);
    },
  );

  test.each(Object.entries(attempts).filter(([, { ids }]) => ids !== undefined))(
    "%s: an id of another integration gives the response of an unknown id",
    async (route, attempt) => {
      const [method = "", path = ""] = route.split(" ");
      const all = await shared();
      const before = await all.others();
      const ids = (await attempt.ids?.(all)) ?? [];
      const sent = attempt.sent?.(all) ?? {};

      const unowned = await all.api.send(method, pathWith(path, "unowned-id"), sent);

      expect([ids.length > 0, unowned.status]).toEqual([true, 404]);
      for (const _id of ids) {
        for (const headers of [{}, { "if-match": "*" }, { "if-none-match": "*", prefer: "wait=1" }]) {
          const received = await all.api.send(method, pathWith(path, _id), { ...sent, headers });
          expect([received.status, received.text.replaceAll(_id, "unowned-id")]).toEqual([404, unowned.text]);
        }
      }
      expect(await all.others()).toEqual(before);
    },
  );
});

describe("a tenant's lists", () => {
  test.each([
    [
      "/flows",
      ["_integrationId=mine", "", "_exportId=numbers", "disabled=false", "limit=1", "include=name,_integrationId"],
    ],
    ["/runs", ["_integrationId=mine", "", "status=completed", "trigger=manual", "limit=1", "exclude=error"]],
  ])("%s contain only its own, whatever the query and the cursor", async (path, queries) => {
    const all = await shared();
    const whole = (await all.api.send("GET", `${path}?limit=1000`, asHost)).json as { _id: string }[];
    expect(whole.length).toBeGreaterThan(3);

    for (const query of queries) {
      const { text, json } = await all.api.send("GET", `${path}?${query}`);
      expect([text.includes(mark), (json as object[]).length > 0]).toEqual([false, true]);
      for (const { _id } of whole)
        expect((await all.api.send("GET", `${path}?${query}${query && "&"}after=${_id}`)).status).toBe(400);
      for (let next: string | undefined = `${path}?${query}`; next !== undefined;) {
        const page: ApiResponse = await all.api.send("GET", next);
        expect([page.status, page.text.includes(mark)]).toEqual([200, false]);
        next = page.next;
      }
    }
    for (const query of [`_integrationId=${mark}`, "_integrationId="])
      expect((await all.api.send("GET", `${path}?${query}`)).json).toEqual([]);
  });

  test("of another integration's flows are empty, as those of one that does not exist", async () => {
    const { api } = await shared();

    for (const _id of [mark, "none"]) expect((await api.send("GET", `/integrations/${_id}/flows`)).json).toEqual([]);
  });

  test("by filters of another flow are empty", async () => {
    const { api, theirs } = await shared();

    expect((await api.send("GET", `/runs?_flowId=${theirs.flow._id}`)).json).toEqual([]);
  });
});

describe("a tenant's flows", () => {
  test("belong to its integration, whether they say so or not", async () => {
    const { api, mine } = await shared();
    const path = `/flows/${mine.flow._id}`;

    for (const own of [{}, { _integrationId: null }, { _integrationId: "mine" }, { _integrationId: " mine " }]) {
      for (const [method, at] of [
        ["POST", "/flows"],
        ["PUT", path],
      ] as const)
        expect((await api.send(method, at, { body: { ...input, ...own } })).json).toMatchObject({
          _integrationId: "mine",
        });
      expect((await api.send("PATCH", path, { body: own })).json).toMatchObject({ _integrationId: "mine" });
    }
    const replaced = [{ op: "replace", path: "/_integrationId", value: null }];
    expect((await api.send("PATCH", path, { body: replaced })).status).toBe(204);
    expect((await api.send("POST", `${path}/clone`)).json).toMatchObject({ _integrationId: "mine" });
    expect((await api.send("GET", path)).json).toMatchObject({ _integrationId: "mine" });
  });

  test("cannot be put into another integration, nor made there", async () => {
    const { api, mine, others } = await shared();
    const before = [await others(), await api.host.registry.get(mine.flow._id)];
    const path = `/flows/${mine.flow._id}`;
    const tries: [string, string, unknown][] = [
      ["POST", "/flows", { ...input, _integrationId: mark }],
      ["PUT", path, { ...input, _integrationId: mark }],
      ["PATCH", path, { _integrationId: mark }],
      ["PATCH", path, [{ op: "replace", path: "/_integrationId", value: mark }]],
      ["POST", `${path}/clone`, { _integrationId: mark }],
    ];

    for (const [method, at, sent] of tries) {
      const { status, json } = await api.send(method, at, { body: sent });
      expect([status, json]).toMatchObject([403, { errors: [{ code: "forbidden", field: "_integrationId" }] }]);
    }
    expect([await others(), await api.host.registry.get(mine.flow._id)]).toEqual(before);
  });

  test("use the exports and imports of its scope only; others are as if there were none", async () => {
    const { api, mine } = await shared({ _exportIds: ["hook"], _importIds: ["other"] });
    const codesOf = ({ json }: ApiResponse) =>
      (json as { errors: { code: string; field: string }[] }).errors
        .map(({ code, field }) => `${code} ${field}`)
        .sort();

    expect((await api.send("GET", "/exports?include=_id")).json).toEqual([{ _id: "hook" }]);
    expect((await api.send("GET", "/imports?include=_id")).json).toEqual([{ _id: "other" }]);
    const foreign = await api.send("POST", "/flows", { body: { ...input, name: "" } });
    const unknown = await api.send("POST", "/flows", { body: { name: "", _exportId: "none", _importId: "none" } });
    expect(codesOf(foreign)).toEqual(["invalid_field name", "invalid_ref _exportId", "invalid_ref _importId"]);
    expect(codesOf(unknown)).toEqual(codesOf(foreign));
    const path = `/flows/${mine.flow._id}`;
    expect(codesOf(await api.send("PATCH", path, { body: { name: "", _importIds: ["other", "picky"] } }))).toEqual([
      "invalid_field name",
      "invalid_ref _importIds.1",
    ]);
    expect(codesOf(await api.send("POST", `${path}/clone`))).toEqual([
      "invalid_ref _exportId",
      "invalid_ref _importId",
    ]);
    expect(
      (await api.send("POST", "/flows", { body: { name: "x", _exportId: "hook", _importId: "other" } })).status,
    ).toBe(201);
    expect((await api.send("POST", "/exports/numbers/records", { body: {} })).status).toBe(404);
    for (const [own, foreign] of [
      ["/exports/hook", "/exports/numbers"],
      ["/imports/other", "/imports/picky"],
    ] as const)
      expect([(await api.send("GET", own)).status, (await api.send("GET", foreign)).status]).toEqual([200, 404]);
  });

  test("run none next that are not its own, as if there were none", async () => {
    const { api, mine, theirs, unowned } = await shared();
    const path = `/flows/${mine.listening._id}`;
    const messageFor = async (_id: string) => {
      const { status, text } = await api.send("PATCH", path, { body: { _runNextFlowIds: [mine.flow._id, _id] } });
      return [status, text.replaceAll(_id, "ID")];
    };

    const gone = await messageFor("gone");
    expect(gone).toEqual([422, expect.stringContaining("_runNextFlowIds.1: there is no flow")]);
    for (const { _id } of [theirs.flow, unowned.flow]) expect(await messageFor(_id)).toEqual(gone);
    expect((await api.send("PATCH", path, { body: { _runNextFlowIds: [mine.flow._id] } })).status).toBe(200);
  });

  test("are suggested no export and no import beyond its scope", async () => {
    const { api } = await shared({ _exportIds: ["hook"], _importIds: ["other"] });

    const { text } = await api.send("POST", "/flows", { body: { name: "x", _exportId: "number", _importId: "othr" } });

    expect(text).not.toContain("numbers");
    expect(text).toContain('did you mean \\"other\\"?');
  });

  test("are all that its records reach, though others use the same export", async () => {
    const { api, mine, others } = await shared();
    const before = await others();

    await api.send("POST", "/exports/hook/records", { body: [{ id: 1 }, { id: 2 }] });

    expect(await others()).toEqual(before);
    expect(await api.host.storage.readInbox(mine.listening._id, { maxRecords: 9 })).toMatchObject([
      { records: [{ id: 1 }, { id: 2 }] },
    ]);
  });

  test("that the host moves to it come without the runs and failures of their former integration", async () => {
    const { api, theirs, others } = await shared();
    await api.host.registry.patch(theirs.flow._id, { _integrationId: "mine" });
    const before = await others();
    const path = `/flows/${theirs.flow._id}`;
    const _ids = theirs.failures.map(({ _id }) => _id);

    expect((await api.send("GET", `${path}/failures`)).json).toEqual([]);
    expect((await api.send("GET", `${path}/jobs/latest`)).status).toBe(404);
    expect((await api.send("GET", `${path}/dependencies`)).json).toMatchObject({ usedBy: { runs: [], failures: [] } });
    expect((await api.send("PUT", `${path}/failures/resolved`, { body: { _ids } })).status).toBe(404);
    expect((await api.send("POST", `${path}/failures/retry`, { body: { _ids } })).status).toBe(404);
    const retried = await api.send("POST", `${path}/failures/retry`);
    await api.host.scheduler.start();
    await api.host.end(retried.json as { _id: string });

    expect([retried.status, (await api.host.scheduler.getRun((retried.json as Flow)._id)).numPagesProcessed]).toEqual([
      201, 0,
    ]);
    expect((await others()).failures).toEqual(before.failures);
  });

  test.each<[string, string, unknown]>([
    ["PUT", "", input],
    ["PATCH", "", { name: "mine still" }],
    ["DELETE", "", undefined],
  ])("that the host takes away while %s looks are not changed by it", async (method, below, sent) => {
    const storage = new MemoryStorage();
    const all = await shared({}, storage);
    const { api, mine } = all;
    const find = storage.findFlow.bind(storage);
    let moved: Promise<Flow> | undefined;
    // The host is faster, just after the tenant has seen that the flow is its own.
    storage.findFlow = async (_id) => {
      const flow = await find(_id);
      if (moved === undefined) {
        storage.findFlow = find;
        moved = api.host.registry.patch(mine.flow._id, { _integrationId: mark });
        await moved;
      }
      return flow;
    };

    const { status } = await api.send(method, `/flows/${mine.flow._id}${below}`, { body: sent });

    expect(status).toBe(404);
    expect(await api.host.registry.get(mine.flow._id)).toEqual(await moved);
  });
});

describe("a tenant's events", () => {
  test("are its own, live and from the buffer", async () => {
    const all = await shared();
    const { api, mine, theirs } = all;
    await api.host.scheduler.start();
    const live = await api.handler(api.request("GET", "/events"));
    const [greeting] = await chunks(live, 1);
    const place = /^id: (.+)$/m.exec(greeting ?? "")?.[1] ?? "";
    const reading = chunks(live);

    await api.host.registry.patch(theirs.flow._id, { name: `${mark} again` });
    await api.host.registry.patch(mine.flow._id, { name: "mine again" });
    await api.host.scheduler.run(theirs.flow._id);
    await api.host.scheduler.run(mine.flow._id);
    await api.host.registry.patch(mine.listening._id, { _integrationId: mark });
    await api.host.clock.advance(second);
    const resumed = await api.handler(api.request("GET", "/events", { headers: { "last-event-id": place } }));
    const whole = await api.handler(
      api.request("GET", "/events", { headers: { "last-event-id": place.replace(/\d+$/, "0") } }),
    );
    const reads = [chunks(resumed), chunks(whole)];
    await api.host.clock.settle();
    await api.host.scheduler.stop();

    const received = [await reading, ...(await Promise.all(reads))].map((parts) => parts.join(""));
    for (const text of received) {
      expect(text).not.toContain(mark);
      expect(text).toContain("mine again");
      expect(text).toContain('event: flow:deleted\ndata: {"flow":{"_id":"my-flow-hook"');
    }
    const events = (text = "") => text.match(/^event: .*$/gm);
    expect(events(received[1])).toEqual(events(received[0]));
  });
});

/** What a stream sends, up to `most` chunks or its end. */
async function chunks(response: Response, most = Infinity): Promise<string[]> {
  const stream: ReadableStream<Uint8Array> = response.body ?? new ReadableStream<Uint8Array>();
  const reader = stream.getReader();
  const found: string[] = [];
  while (found.length < most) {
    const read = await reader.read();
    if (read.done) break;
    found.push(new TextDecoder().decode(read.value));
  }
  reader.releaseLock();
  return found;
}

test("no request of a tenant changes what others own, or shows any of it", async () => {
  const all = await shared();
  const { api, theirs, unowned, mine } = all;
  const run = (await all.others()).runs[0]?._id ?? "";
  const ids = [
    theirs.flow._id,
    unowned.flow._id,
    mine.flow._id,
    run,
    theirs.failures[1]?._id ?? "",
    mark,
    "mine",
    "hook",
    "none",
  ];
  const anId = fc.constantFrom(...ids);
  const value = fc.oneof(
    anId,
    fc.constantFrom<unknown>(null, true, false, 1, [], {}),
    fc.array(anId, { maxLength: 3 }),
  );
  const field = fc.constantFrom(
    ...[
      "name",
      "_integrationId",
      "_exportId",
      "_importId",
      "_importIds",
      "_ids",
      "disabled",
      "limit",
      "records",
      "ids",
      "_id",
    ],
  );
  const object = fc.dictionary(field, value, { maxKeys: 5 });
  const operations = fc.array(fc.record({ op: fc.constant("replace"), path: field.map((name) => `/${name}`), value }), {
    maxLength: 3,
  });
  const sent = fc.oneof(
    object,
    operations,
    object.map((some) => ({ ...input, ...some })),
  );
  const query = fc.dictionary(
    fc.constantFrom(
      "_integrationId",
      "_flowId",
      "_exportId",
      "_importId",
      "_runId",
      "after",
      "limit",
      "status",
      "exclude",
    ),
    fc.oneof(anId, fc.constantFrom("1", "open", "queued", "name", "record")),
    { maxKeys: 2 },
  );
  const requests = fc.record({
    route: fc.constantFrom(...routes.filter(({ path }) => path !== "/events")),
    _id: anId,
    query,
    sent,
  });
  const before = await all.others();

  await fc.assert(
    fc.asyncProperty(requests, async ({ route, _id, query, sent }) => {
      const search = new URLSearchParams(query).toString();
      const path = pathWith(route.path, _id) + (search === "" ? "" : `?${search}`);
      const received = await api.send(route.method, path, route.body === undefined ? {} : { body: sent });
      const asked = [_id, ...Object.values(query), JSON.stringify(sent)].join();
      // Only what the tenant has said itself may come back to it, and its own failures.
      if (!asked.includes(mark) && !/failures|causes/.test(route.path)) expect(seen(received)).not.toContain(mark);
      expect(await all.others()).toEqual(before);
    }),
    { numRuns: 1_000 },
  );
});
