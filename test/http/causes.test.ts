import { describe, expect, test, vi } from "vitest";
import type { Failure, Run } from "../../src/index.ts";
import { arrayExport, scriptedImport } from "../../src/testing/index.ts";
import { causeOf } from "../../src/model/cause.ts";
import { ApiHarness, type ApiSetting, idsOf } from "./harness.ts";

/** Two flows of which each record fails, for one of two causes, until `script.rejects` is false. */
async function failing(setting: ApiSetting = {}) {
  const script = { rejects: true };
  const picky = scriptedImport<{ id: number }>(({ records }) =>
    records.map(({ id }) => {
      if (!script.rejects) return { ok: true };
      const error = new Error(id % 2 === 0 ? `customer ${id} has no name` : `order ${id} is closed`);
      return { ok: false, fault: "reject", error };
    }),
  );
  const numbers = arrayExport(
    [1, 2, 3].map((id) => ({ id })),
    { key: ({ id }) => `o-${id}` },
  );
  const api = new ApiHarness({ exports: { numbers }, imports: { picky }, ...setting });
  const first = await api.host.flow({ name: "first", _integrationId: "acme" });
  const second = await api.host.flow({ name: "second" });
  await api.host.scheduler.start();
  await api.host.run(first._id);
  await api.host.run(second._id);
  const failures = await api.host.failures();
  return { api, script, first, second, failures, newest: failures.at(-1)?._id ?? "" };
}

const closed = causeOf({ fault: "reject", message: "order 1 is closed" }).cause;
const nameless = causeOf({ fault: "reject", message: "customer 2 has no name" }).cause;
const messages = (json: unknown) => (json as Failure[]).map(({ message }) => message);

describe("the causes of failures", () => {
  test("are counted over all flows, the most frequent first, and by import of one flow", async () => {
    const { api, first, failures } = await failing();

    const all = await api.send("GET", "/causes");
    const one = await api.send("GET", `/causes?_flowId=${first._id}&limit=1`);

    expect(all.json).toMatchObject([
      { cause: closed, pattern: "order # is closed", fault: "reject", open: 4, flows: 2 },
      { cause: nameless, pattern: "customer # has no name", open: 2, flows: 2 },
    ]);
    expect(failures.map(({ _id }) => _id)).toContain((all.json as { sample: string }[])[0]?.sample);
    expect(one.json).toMatchObject([{ cause: closed, _importId: "picky", open: 2, flows: 1 }]);
    expect(all.headers.has("poundlock-complete")).toBe(false);
  });

  test("are those of flows that are disabled, or of those that are enabled", async () => {
    const { api, second } = await failing();
    await api.host.registry.patch(second._id, { disabled: true });
    const asked = async (query: string) =>
      ((await api.send("GET", `/causes?${query}`)).json as { open: number; flows: number }[]).map(
        ({ flows, open }) => `${open} in ${flows}`,
      );

    expect(await asked("disabled=true")).toEqual(["2 in 1", "1 in 1"]);
    expect(await asked(`disabled=false&_flowId=${second._id}`)).toEqual([]);
    expect((await api.send("GET", "/causes?disabled=yes")).status).toBe(400);
  });

  test("are those of the caller's integration", async () => {
    const { api, second } = await failing({ http: { authorize: () => ({ _integrationId: "acme" }) } });

    expect((await api.send("GET", "/causes")).json).toMatchObject([{ open: 2, flows: 1 }, { open: 1 }]);
    expect((await api.send("GET", `/causes?_flowId=${second._id}`)).json).toEqual([]);
    expect((await api.send("GET", "/causes?_integrationId=other")).json).toEqual([]);
  });

  test("say so while failures of an earlier version are still being counted", async () => {
    const { api, newest } = await failing();
    const { storage } = api.host;
    const listCauses = storage.listCauses.bind(storage);
    const flowsOfFailures = storage.flowsOfFailures.bind(storage);
    storage.listCauses = async (query) => ({ ...(await listCauses(query)), complete: false });
    storage.flowsOfFailures = async (query) => ({ ...(await flowsOfFailures(query)), complete: false });

    expect((await api.send("GET", "/causes")).headers.get("poundlock-complete")).toBe("false");
    const retried = await api.send("POST", "/failures/retry", { body: { cause: closed, through: newest } });
    expect([retried.status, await api.host.scheduler.listRuns({ status: "queued" })]).toEqual([409, { items: [] }]);
  });
});

describe("failures that match", () => {
  test("are listed newest first, by cause, by how their key begins, and by what they say", async () => {
    const { api, failures } = await failing();
    const list = async (query: string) => await api.send("GET", `/failures?${query}`);

    expect(idsOf((await list("")).json)).toEqual(failures.map(({ _id }) => _id).reverse());
    expect(idsOf((await list("order=oldest")).json)).toEqual(failures.map(({ _id }) => _id));
    expect(messages((await list(`cause=${nameless}&status=open`)).json)).toHaveLength(2);
    expect(idsOf((await list("keyPrefix=o-1")).json)).toEqual([failures[3]?._id, failures[0]?._id]);
    const found = await list("text=NO%20NAME&limit=1");
    expect([messages(found.json), found.headers.get("poundlock-examined")]).toEqual([["customer 2 has no name"], "2"]);
    const rest = await api.send("GET", found.next ?? "");
    expect([messages(rest.json), rest.next]).toEqual([["customer 2 has no name"], undefined]);
    expect((await list("text=")).status).toBe(400);
    expect((await list(`keyPrefix=${"x".repeat(201)}`)).status).toBe(400);
    expect((await list("order=best")).status).toBe(400);
  });

  test("are retried by one run for each flow, as far as somebody has seen, and no others", async () => {
    const { api, script, failures, first, second } = await failing();
    script.rejects = false;
    // Up to the newest of the first flow and the oldest of the second one.
    const body = { cause: closed, through: failures[3]?._id };

    const { status, json } = await api.send("POST", "/failures/retry", { body });
    const { runs } = json as { runs: string[] };
    for (const _id of runs) await api.host.end({ _id });

    expect([status, json]).toEqual([200, { runs, refused: [] }]);
    const ended = await Promise.all(runs.map((_id) => api.host.scheduler.getRun(_id)));
    expect(ended.map(({ _flowId, numSuccess, trigger }) => [_flowId, numSuccess, trigger])).toEqual([
      [first._id, 2, "retry"],
      [second._id, 1, "retry"],
    ]);
    expect(messages(await api.host.failures(second._id))).toEqual(["customer 2 has no name", "order 3 is closed"]);
    expect((await api.send("GET", `/runs/${runs[0] ?? ""}`)).json).toMatchObject({ retry: body });
  });

  test("of flows that cannot run are named, and the others are retried", async () => {
    const { api, first, second, newest } = await failing();
    await api.host.registry.patch(first._id, { disabled: true });

    const { json } = await api.send("POST", "/failures/retry", { body: { fault: "reject", through: newest } });

    expect(json).toMatchObject({ refused: [{ _flowId: first._id, code: "flow_disabled" }] });
    const [run = ""] = (json as { runs: string[] }).runs;
    expect((await api.host.scheduler.getRun(run))._flowId).toBe(second._id);
  });

  test("are resolved as far as somebody has seen, and no others", async () => {
    const { api, failures } = await failing();
    const body = { cause: closed, through: failures[3]?._id };

    const resolved = await api.send("PUT", "/failures/resolved", { body });

    expect([resolved.status, resolved.json]).toEqual([200, { resolved: 3 }]);
    expect((await api.send("PUT", "/failures/resolved", { body })).json).toEqual({ resolved: 0 });
    expect(messages(await api.host.failures())).toEqual([
      ...["customer 2 has no name", "customer 2 has no name", "order 3 is closed"],
    ]);
  });

  test.each(["POST /failures/retry", "PUT /failures/resolved"])(
    "%s takes a filter, and one that it knows",
    async (route) => {
      const [method = "", path = ""] = route.split(" ");
      const { api, newest, failures } = await failing();
      const send = (body: object) => api.send(method, path, { body });

      expect((await send({ through: newest })).status).toBe(400);
      expect((await send({ cause: closed })).status).toBe(400);
      expect((await send({ cause: closed, through: newest, text: "" })).status).toBe(400);
      expect((await send({ cause: closed, through: newest, keyPrefix: "x".repeat(201) })).status).toBe(400);
      expect((await send({ cause: closed, through: newest, status: "open" })).status).toBe(400);
      expect((await send({ cause: closed, through: newest, fault: "bad" })).status).toBe(400);
      expect([await api.host.failures(), (await api.host.runs()).length]).toEqual([failures, 2]);
    },
  );

  test.each([
    [{ text: "ORDER 3" }, ["order 3 is closed"]],
    [{ keyPrefix: "o-1" }, ["order 1 is closed"]],
    [{ text: "closed", keyPrefix: "o-" }, ["order 1 is closed", "order 3 is closed"]],
    [{ text: "closed", _exportId: "numbers" }, ["order 1 is closed", "order 3 is closed"]],
    [{ text: "closed", _exportId: "another" }, []],
    [{ text: "has no name", cause: closed }, []],
  ])("are retried and resolved by what the list shows for %j", async (filter, expected) => {
    for (const [method, path] of [
      ["POST", "/failures/retry"],
      ["PUT", "/failures/resolved"],
    ] as const) {
      const { api, script, failures } = await failing();
      script.rejects = false;
      // What the second flow stored after its first failure has not been seen.
      const through = failures[3]?._id ?? "";
      const query = new URLSearchParams({ ...filter, status: "open", order: "oldest" });
      const shown = ((await api.send("GET", `/failures?${query.toString()}`)).json as Failure[]).filter(
        ({ _id }) => failures.findIndex((failure) => failure._id === _id) <= 3,
      );

      const { json } = await api.send(method, path, { body: { ...filter, through } });
      for (const _id of (json as { runs?: string[] }).runs ?? []) await api.host.end({ _id });

      const left = idsOf(await api.host.failures());
      expect(idsOf(failures).filter((_id) => !left.includes(_id))).toEqual(idsOf(shown));
      expect(messages(shown).slice(0, expected.length)).toEqual(expected);
      expect((json as { runs?: string[] }).runs?.length ?? 0).toBe(
        method === "PUT" ? 0 : new Set(shown.map(({ _flowId }) => _flowId)).size,
      );
    }
  });

  test("of another integration are neither retried nor resolved", async () => {
    const { api, failures, newest, first } = await failing({
      http: { authorize: () => ({ _integrationId: "acme" }) },
    });
    const own = failures.filter(({ _flowId }) => _flowId === first._id);
    const body = { fault: "reject", through: newest };

    const retried = await api.send("POST", "/failures/retry", { body });
    const resolved = await api.send("PUT", "/failures/resolved", { body });
    const foreign = await api.send("PUT", "/failures/resolved", { body: { ...body, _integrationId: "other" } });

    const runs = await Promise.all(
      (retried.json as { runs: string[] }).runs.map((_id) => api.host.scheduler.getRun(_id)),
    );
    expect(runs.map(({ _flowId }: Run) => _flowId)).toEqual([first._id]);
    expect([resolved.json, foreign.status]).toEqual([{ resolved: own.length }, 403]);
    expect(await api.host.failures()).toHaveLength(failures.length - own.length);
  });

  test("are retried in one flow by cause, and up to one that was seen", async () => {
    const { api, first, failures } = await failing();

    const { json, status } = await api.send("POST", `/flows/${first._id}/failures/retry`, {
      body: { cause: closed, through: failures[0]?._id, fault: "reject", key: "o-1" },
    });
    const run = await api.host.end(json as Run);

    expect([status, run.numError, run.numPagesProcessed]).toEqual([201, 1, 1]);
  });
});

describe("with redact", () => {
  const redact = ({ message, key }: { message: string; key: string }) => ({
    record: null,
    message: message.slice(0, 5),
    key,
  });

  test("a search finds only what is shown, and says how many were looked at", async () => {
    const { api } = await failing({ http: { redact } });

    const hidden = await api.send("GET", "/failures?text=no%20name");
    const shown = await api.send("GET", "/failures?text=order&limit=2");

    expect([hidden.json, hidden.headers.get("poundlock-examined")]).toEqual([[], "6"]);
    expect([messages(shown.json), shown.next === undefined]).toEqual([["order", "order"], false]);
    expect(messages((await api.send("GET", shown.next ?? "")).json)).toEqual(["order", "order"]);
  });

  test("a search reads failures in portions, and not one by one, however few are wanted", async () => {
    const { api, failures } = await failing({ http: { redact } });
    const listed = vi.spyOn(api.host.scheduler, "listFailures");

    await api.send("GET", "/failures?text=nothing-like-it&limit=1");
    const limits = listed.mock.calls.map(([query]) => query?.limit);
    const pages: string[][] = [];
    for (let path: string | undefined = "/failures?text=order&limit=1"; path !== undefined;) {
      const { json, next } = await api.send("GET", path);
      pages.push(idsOf(json));
      path = next;
    }

    expect(limits).toEqual([200]);
    const expected = failures.filter(({ message }) => message.startsWith("order")).map(({ _id }) => _id);
    expect(pages).toEqual(expected.reverse().map((_id) => [_id]));
  });

  test("nothing is chosen by a key or a string that may not be shown as it is", async () => {
    const { api, first, newest } = await failing({ http: { redact } });

    for (const filter of [{ key: "o-1" }, { keyPrefix: "o-" }, { text: "closed" }])
      for (const [method, path] of [
        ["POST", "/failures/retry"],
        ["PUT", "/failures/resolved"],
        ["POST", `/flows/${first._id}/failures/retry`],
      ] as const)
        expect((await api.send(method, path, { body: { ...filter, through: newest } })).status, path).toBe(403);
  });
});
