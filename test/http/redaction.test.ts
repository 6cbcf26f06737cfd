import { describe, expect, test } from "vitest";
import type { Failure } from "../../src/index.ts";
import { retryLater } from "../../src/index.ts";
import { notShown } from "../../src/http/access/redaction.ts";
import type { RedactInput, RedactResult } from "../../src/http/index.ts";
import { arrayExport, scriptedImport } from "../../src/testing/index.ts";
import { type ApiSetting, ApiHarness, createApiWithFailures } from "./harness.ts";

const mask = ({ key }: RedactInput): RedactResult => ({
  record: "***",
  message: "hidden",
  key: `masked ${key.length}`,
});
const people = ["delivered", { name: "Jane Doe" }, { name: "John Doe" }];

async function masked(redact: (input: RedactInput) => RedactResult = mask, http: ApiSetting["http"] = {}) {
  const all = await createApiWithFailures(people, { http: { redact, ...http } });
  const stored = await all.api.host.failures();
  return { ...all, stored };
}

/** What a list says: its items, where it goes on, and how many were looked at. */
const gist = ({ json, headers }: { json: unknown; headers: Headers }) => [
  json,
  headers.get("link"),
  headers.get("poundlock-examined"),
];

describe("with redact", () => {
  test("no failure shows what it hides, wherever it is listed or read", async () => {
    const { api, path, stored } = await masked();
    await api.host.scheduler.editFailure(stored[0]?._id ?? "", { name: "Jane Roe" });

    for (const at of ["/failures", `${path}/failures`, `/failures/${stored[0]?._id ?? ""}`]) {
      const { status, text } = await api.send("GET", at);
      expect([status, /Doe|Roe/.test(text), text.includes("***")]).toEqual([200, false, true]);
    }
    const { json } = await api.send("GET", `/failures/${stored[0]?._id ?? ""}`);
    expect(json).toMatchObject({ record: "***", original: "***", message: "hidden", _id: stored[0]?._id });
  });

  test("it is given the failure, the scope and the request", async () => {
    const given: RedactInput[] = [];
    const { api, path, stored } = await masked((input) => (given.push(input), mask(input)), {
      authorize: ({ request }) => (request.headers.has("x-tenant") ? { _integrationId: "acme" } : true),
    });
    await api.host.registry.patch(path.slice("/flows/".length), { _integrationId: "acme" });

    await api.send("GET", `/failures/${stored[0]?._id ?? ""}`);
    await api.send("GET", `${path}/failures`, { headers: { "x-tenant": "1" } });

    expect(given).toEqual([{ ...one(stored[0]), failure: stored[0], request: expect.any(Request) as Request }]);
  });

  test("a key finds only failures that show it", async () => {
    const { api, stored } = await masked();
    const key = encodeURIComponent(stored[0]?.key ?? "");

    expect((await api.send("GET", `/failures?key=${key}`)).json).toEqual([]);
  });

  test("a filter by a key that is not shown says nothing of it: neither where to go on, nor how many were looked at", async () => {
    const refusing = () =>
      scriptedImport<unknown>(({ records }) => records.map(() => ({ ok: false, fault: "reject", error: "no" })));
    const api = new ApiHarness({
      exports: { people: arrayExport([{ name: "Jane Doe" }], { key: () => "jane" }) },
      imports: { ledger: refusing(), mailer: refusing() },
      http: { redact: mask },
    });
    const flow = await api.host.flow({ _exportId: "people", _importIds: ["ledger", "mailer"] });
    await api.host.scheduler.start();
    await api.host.run(flow._id);
    expect((await api.host.failures()).map(({ key }) => key)).toEqual(["jane", "jane"]);

    for (const path of ["/failures", `/flows/${flow._id}/failures`])
      for (const filter of ["key=jane", "key=jane&limit=1"])
        expect(gist(await api.send("GET", `${path}?${filter}`)), path).toEqual([[], null, null]);
    for (const filter of ["keyPrefix=j&limit=1", "key=jane&text=hidden", "keyPrefix=j&text=hidden&limit=1"])
      expect(gist(await api.send("GET", `/failures?${filter}`)), filter).toEqual([[], null, null]);
  });

  test("a filter by a key finds page by page what is shown", async () => {
    const { api, stored } = await masked(({ key, message }) => ({ record: "***", message, key }));
    const prefix = encodeURIComponent(stored[0]?.key.slice(0, 1) ?? "");
    const keys = stored.map(({ key }) => key).filter((key) => key.startsWith(decodeURIComponent(prefix)));

    const found: string[] = [];
    for (let path: string | undefined = `/failures?keyPrefix=${prefix}&limit=1`; path !== undefined;) {
      const { json, next } = await api.send("GET", path);
      found.push(...(json as Failure[]).map(({ key }) => key));
      path = next;
    }

    expect(found.toSorted()).toEqual(keys.toSorted());
  });

  test("nobody writes back what hides a record, and a caller that sees all of it may edit it", async () => {
    const { api, stored } = await masked(({ record, message, key, request }) =>
      request?.headers.has("x-clerk") === true ? { record, message, key } : { record: "***", message, key },
    );
    const edit = (headers: Record<string, string>) =>
      api.send("PATCH", `/failures/${stored[0]?._id ?? ""}`, {
        body: { record: { name: "Jane Roe" } },
        headers: { "if-match": "*", ...headers },
      });

    expect((await edit({})).status).toBe(403);
    expect(await api.host.failures()).toEqual(stored);
    expect([(await edit({ "x-clerk": "1" })).status]).toEqual([200]);
  });

  test.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("no mask");
      },
    ],
    ["returns nothing", () => undefined],
    ["returns a promise", () => Promise.resolve({})],
  ])("that %s nothing of the record is shown, and the error is logged", async (_how, redact) => {
    const lines: object[] = [];
    const line = (fields: object) => void lines.push(fields);
    const logger = { debug: line, info: line, warn: line, error: line };
    const { api } = await masked(redact as never, { logger });

    const { status, json } = await api.send("GET", "/failures");

    expect(status).toBe(200);
    for (const failure of json as Failure[]) {
      expect(failure).toMatchObject({ message: notShown, key: notShown });
      expect(failure).not.toHaveProperty("record");
    }
    expect(lines).toHaveLength(2);
  });

  test("the pages of an inbox are shown as it says, record by record", async () => {
    const api = new ApiHarness({
      exports: { hook: { listen: () => () => undefined } },
      imports: { any: scriptedImport<unknown>(() => undefined) },
      http: {
        redact: ({ record, message, key }) => ({ record: { n: (record as { n: number }).n }, message, key: `k${key}` }),
      },
    });
    const flow = await api.host.flow();
    await api.host.scheduler.accept("hook", [{ n: 1, name: "Jane Doe" }, { n: 2 }], { ids: ["a", "b"] });

    const { json } = await api.send("GET", `/flows/${flow._id}/inbox`);

    expect(json).toMatchObject([{ records: [{ n: 1 }, { n: 2 }], keys: ["ka", "kb"] }]);
    expect(JSON.stringify(json)).not.toContain("Doe");
  });

  test("events show no message but as it says", async () => {
    const api = new ApiHarness({
      exports: { numbers: arrayExport(["Jane Doe"]) },
      imports: {
        away: scriptedImport<unknown>(() => {
          throw retryLater(new Error("no mailbox for Jane Doe"));
        }),
      },
      http: { redact: mask },
    });
    await api.host.scheduler.start();
    const flow = await api.host.flow();
    const run = await api.host.scheduler.run(flow._id);
    const stream = await api.handler(api.request("GET", "/events"));
    const reading = stream.text();
    await api.host.end(run);
    await api.host.scheduler.stop();

    const text = await reading;

    expect(run._flowId).toBe(flow._id);
    expect(text).toContain("event: run:retrying");
    expect(text).toContain('"message":"hidden"');
    expect(
      text
        .split("\n")
        .filter((line) => line.includes("run:retrying") || line.includes("attempt"))
        .join(),
    ).not.toContain("Doe");
  });
});

function one(failure: Failure | undefined) {
  return { record: failure?.record, message: failure?.message ?? "", key: failure?.key ?? "" };
}
