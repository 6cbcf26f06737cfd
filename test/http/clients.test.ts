import { createHmac } from "node:crypto";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { Flow, Run } from "../../src/index.ts";
import { hmacSignature } from "../../src/http/index.ts";
import { upTo } from "../support/harness.ts";
import { EventReader, createApi, createApiWithFailures, createApiWithFlow, errorCodes, flowInput } from "./harness.ts";

describe("the event stream", () => {
  test("begins after the last event id in the query, as with the header", async () => {
    const { api } = await createApiWithFlow();
    await api.host.scheduler.start();
    const open = async (query = "", headers = {}) => {
      const response = await api.handler(api.request("GET", `/events${query}`, { headers }));
      return new EventReader(response.body ?? new ReadableStream());
    };
    const first = await open();
    await first.read();
    const id = first.lastEventId;
    await first.leave();
    await api.host.flow({ name: "missed" });

    const readers = [
      await open(`?lastEventId=${encodeURIComponent(id)}`),
      await open("", { "last-event-id": id }),
      await open("?lastEventId=x", { "last-event-id": id }),
    ];
    await api.host.scheduler.stop();

    for (const reader of readers) expect((await reader.readAll()).names).toEqual(["flow:created"]);
  });
});

describe("query parameters that authorize reads", () => {
  test("are refused by no route, and by every route where no option names them", async () => {
    const authorize = ({ request }: { request: Request }) =>
      new URL(request.url).searchParams.get("access_token") === "s3cret";
    const api = createApi({ http: { authorize, authorizeParameters: ["access_token"] } });
    const other = createApi();

    for (const path of ["/flows", "/health", "/exports", "/openapi.json"]) {
      expect((await api.send("GET", `${path}?access_token=s3cret`)).status, path).toBe(200);
      expect((await api.send("GET", `${path}?access_token=wrong`)).status, path).toBe(403);
      expect((await api.send("GET", `${path}?access_token=s3cret&x=1`)).status, path).toBe(400);
      expect((await other.send("GET", `${path}?access_token=s3cret`)).status, path).toBe(400);
    }
  });

  test("are part of the address of the next page", async () => {
    const { api } = await createApiWithFlow({ http: { authorizeParameters: ["access_token"] } });
    await api.host.registry.create(flowInput);

    const { next = "" } = await api.send("GET", "/flows?limit=1&access_token=x");

    expect(next).toContain("access_token=x");
    expect((await api.send("GET", next)).status).toBe(200);
  });
});

describe("a webhook that verify accepts", () => {
  const body = '{"id":1}';
  async function post(type: string | undefined, verify: boolean) {
    const orders = hmacSignature({ secret: "s", header: "x-signature" });
    const api = createApi({ http: verify ? { verify: { orders } } : {} });
    await api.host.registry.create(flowInput);
    const signature = createHmac("sha256", "s").update(body).digest("hex");
    const headers = { "x-signature": signature, ...(type === undefined ? {} : { "content-type": type }) };
    return (await api.send("POST", "/exports/orders/records", { body, headers })).status;
  }

  test.each([
    "text/plain; charset=UTF-8",
    "text/plain",
    "application/cloudevents+json",
    "application/vnd.api+json; charset=utf-8",
  ])("may be JSON that calls itself %s, which others may not send", async (type) => {
    expect([await post(type, true), await post(type, false)]).toEqual([202, 415]);
  });

  test.each(["application/xml", "text/html", "text/plain; charset=latin1", "application/+json"])(
    "may not be %s",
    async (type) => {
      expect(await post(type, true)).toBe(415);
    },
  );
});

describe("a compressed body", () => {
  const records = upTo(1_000).map((id) => ({ id }));
  const compressors: readonly (readonly [string, (bytes: Buffer) => Uint8Array])[] = [
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["GZIP", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
  ];
  const path = "/exports/orders/records";

  test.each(compressors)("of records is inflated, for authorize and for verify: %s", async (encoding, compress) => {
    const bytes = compress(Buffer.from(JSON.stringify(records)));
    const seen: number[] = [];
    const verify = { orders: async (request: Request) => seen.push((await request.arrayBuffer()).byteLength) > 0 };
    for (const http of [{}, { verify }]) {
      const api = createApi({ http });
      await api.host.registry.create(flowInput);
      expect(await api.send("POST", path, { body: bytes, headers: { "content-encoding": encoding } })).toMatchObject({
        status: 202,
        json: { accepted: 1_000 },
      });
    }
    // What is signed is what is sent.
    expect(seen).toEqual([bytes.length]);
  });

  test.each(compressors)("that inflates beyond the limit is refused with 413: %s", async (encoding, compress) => {
    const api = createApi({ http: { maxRecordsBytes: 100_000 } });
    await api.host.registry.create(flowInput);
    const bomb = compress(Buffer.alloc(50_000_000, " "));
    const before = process.memoryUsage().arrayBuffers;

    const { status } = await api.send("POST", path, { body: bomb, headers: { "content-encoding": encoding } });

    expect([bomb.length < 100_000, status]).toEqual([true, 413]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
  });

  test.each(compressors)(
    "that is something else, or ends early, is refused with 400: %s",
    async (encoding, compress) => {
      const { api } = await createApiWithFlow();
      const whole = compress(Buffer.from(JSON.stringify(records)));

      for (const body of [Buffer.from("{}"), new Uint8Array(0), whole.subarray(0, whole.length >> 1)])
        expect((await api.send("POST", path, { body, headers: { "content-encoding": encoding } })).status).toBe(400);
    },
  );

  test("is refused by every other route, and in every other encoding", async () => {
    const { api } = await createApiWithFlow();
    const headers = (encoding: string) => ({ "content-type": "application/json", "content-encoding": encoding });

    expect((await api.send("POST", "/flows", { body: gzipSync("{}"), headers: headers("gzip") })).status).toBe(415);
    for (const encoding of ["zstd", "compress", "constructor", "gzip, gzip"])
      expect((await api.send("POST", path, { body: "{}", headers: headers(encoding) })).status).toBe(415);
  });
});

describe("a patch without a content type", () => {
  test("is read if it is plainly JSON, and refused otherwise", async () => {
    const { api, path } = await createApiWithFlow();
    const patch = (body: string) => {
      const request = api.request("PATCH", path, { body: Buffer.from(body), headers: { "content-type": "" } });
      request.headers.delete("content-type");
      return api.handler(request);
    };

    expect((await patch(' {"name":"a"}')).status).toBe(200);
    expect((await patch('[{"op":"replace","path":"/name","value":"b"}]')).status).toBe(204);
    for (const body of ["name=c", '"c"', ""]) expect((await patch(body)).status, body).toBe(415);
    expect(((await api.send("GET", path)).json as Flow).name).toBe("b");
  });
});

describe("the latest run", () => {
  test("is an array of the newest runs where limit asks for it", async () => {
    const { api, flow, path } = await createApiWithFailures();
    const second = await api.host.run(flow._id);
    const other = await api.host.flow();
    const ids = async (query: string) =>
      ((await api.send("GET", `${path}/jobs/latest${query}`)).json as Run[]).map(({ _id }) => _id);

    expect(await ids("?limit=1")).toEqual([second._id]);
    expect(await ids("?limit=10")).toEqual((await api.host.runs(flow._id)).map(({ _id }) => _id).reverse());
    expect((await api.send("GET", `/flows/${other._id}/jobs/latest?limit=1`)).json).toEqual([]);
    expect((await api.send("GET", `${path}/jobs/latest?limit=0`)).status).toBe(400);
  });
});

describe("a flow written with pageGenerators and pageProcessors", () => {
  const generators = [{ _exportId: "orders" }];
  const processors = [
    { type: "import", _importId: "ledger", responseMapping: { fields: [], lists: [] } },
    { type: "import", _importId: "mailer", proceedOnFailure: true },
  ];
  const steps = { name: "Orders", pageGenerators: generators, pageProcessors: processors };

  test("has that export and those imports, and is the same in every request that writes one", async () => {
    const { api, path } = await createApiWithFlow();
    const expected = { _exportId: "orders", _importId: "ledger", _importIds: ["ledger", "mailer"] };

    const created = await api.send("POST", "/flows", { body: steps });
    const replaced = await api.send("PUT", path, { body: steps });
    const patched = await api.send("PATCH", path, { body: { pageProcessors: [{ _importId: "mailer" }] } });

    expect([created.status, created.json]).toMatchObject([201, expected]);
    expect([replaced.status, replaced.json]).toMatchObject([200, expected]);
    expect([patched.status, patched.json]).toMatchObject([200, { _exportId: "orders", _importId: "mailer" }]);
    expect(created.json).not.toHaveProperty("pageGenerators");
  });

  test("may name the same export and import a second time, and one import that does not proceed on failure", async () => {
    const api = createApi();
    const body = { ...steps, _exportId: "orders", _importId: " ledger ", pageProcessors: processors.slice(0, 1) };

    expect((await api.send("POST", "/flows", { body })).status).toBe(201);
    const single = [{ _importId: "ledger", proceedOnFailure: false, setupInProgress: false, hooks: {} }];
    expect((await api.send("POST", "/flows", { body: { ...steps, pageProcessors: single } })).status).toBe(201);
  });

  test.each<[string, object, string[]]>([
    ["no export", { pageGenerators: [] }, ["pageGenerators"]],
    ["two exports", { pageGenerators: [...generators, ...generators] }, ["pageGenerators"]],
    ["no imports", { pageProcessors: [] }, ["pageProcessors"]],
    ["a lookup", { pageProcessors: [{ type: "export", _exportId: "x" }] }, [".0.type", ".0._exportId", ".0._importId"]],
    ["a schedule of the export", { pageGenerators: [{ _exportId: "orders", schedule: "x" }] }, ["s.0.schedule"]],
    ["a mapping", { pageProcessors: [{ _importId: "ledger", responseMapping: { fields: [{ a: 1 }] } }] }, ["Mapping"]],
    [
      "an import that keeps records from the next",
      { pageProcessors: [{ _importId: "ledger", proceedOnFailure: false }, { _importId: "mailer" }] },
      [".0.proceedOnFailure"],
    ],
    ["another export", { _exportId: "refunds" }, ["_exportId"]],
    ["another import", { _importId: "mailer" }, ["_importId"]],
    ["two lists of imports", { _importIds: ["ledger"] }, ["_importIds"]],
    ["what is no list", { pageGenerators: "orders" }, ["pageGenerators"]],
    ["what is no step", { pageGenerators: ["orders"] }, ["pageGenerators.0"]],
    ["branches", { routers: [{}] }, ["routers"]],
  ])("is refused with %s, naming the place", async (_what, change, fields) => {
    const { status, json } = await createApi().send("POST", "/flows", { body: { ...steps, ...change } });

    expect(status).toBe(422);
    expect(errorCodes(json)).toHaveLength(fields.length);
    for (const [index, field] of fields.entries()) expect(errorCodes(json)[index]).toContain(field);
  });
});

test("a clone accepts a connectionMap, and ignores it", async () => {
  const { api, path } = await createApiWithFlow();

  expect((await api.send("POST", `${path}/clone`, { body: { connectionMap: { a: "b" }, name: "x" } })).status).toBe(
    201,
  );
});
