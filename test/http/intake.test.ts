import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type Export, MemoryStorage, NotFoundError } from "../../src/index.ts";
import { type Verify, hmacSignature } from "../../src/http/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { Gate } from "../support/harness.ts";
import { ApiHarness, type ApiSetting } from "./harness.ts";

interface Order {
  readonly id: number;
}

const orders: Export<Order> = { listen: () => () => undefined };
const path = "/exports/orders/records";

async function listening(setting: ApiSetting = {}) {
  const ledger = collectingImport<Order>();
  const api = new ApiHarness({ exports: { orders, others: orders }, imports: { ledger }, ...setting });
  await api.host.scheduler.start();
  const flow = await api.host.flow();
  const written = async () => {
    await api.host.clock.settle();
    return ledger.written;
  };
  return { api, flow, ledger, written };
}

describe("records that arrive", () => {
  test.each<[string, unknown, Order[]]>([
    ["one", { id: 1 }, [{ id: 1 }]],
    ["an array", [{ id: 1 }, { id: 2 }], [{ id: 1 }, { id: 2 }]],
    ["an envelope", { records: [{ id: 1 }, { id: 2 }] }, [{ id: 1 }, { id: 2 }]],
    ["an envelope with ids", { records: [{ id: 1 }, { id: 2 }], ids: ["a", "b"] }, [{ id: 1 }, { id: 2 }]],
    ["an object that is a record though it has records", { id: 1, records: [] }, [{ id: 1, records: [] } as Order]],
    ["none", [], []],
  ])("%s: 202, and they are moved", async (_what, body, expected) => {
    const { api, written } = await listening();

    const { status, json } = await api.send("POST", path, { body });

    expect([status, json]).toEqual([202, { accepted: expected.length, duplicates: 0 }]);
    expect(await written()).toEqual(expected);
  });

  test("are acknowledged when they are stored, and not before", async () => {
    const gate = new Gate();
    class SlowStorage extends MemoryStorage {
      override async appendInbox(...call: Parameters<MemoryStorage["appendInbox"]>) {
        await gate.opened;
        return super.appendInbox(...call);
      }
    }
    const { api } = await listening({ storage: new SlowStorage() });
    let received = false;
    const asking = api.send("POST", path, { body: { id: 1 } }).finally(() => (received = true));
    await api.host.clock.settle();
    const before = received;
    gate.open();

    expect([before, (await asking).status]).toEqual([false, 202]);
  });

  test("with an Idempotency-Key, or ids, are taken once; the key of one record is its event id", async () => {
    const { api, ledger, written } = await listening();
    const headers = { "idempotency-key": "k" };

    const responses = [
      await api.send("POST", path, { body: { id: 1 }, headers }),
      await api.send("POST", path, { body: { id: 1 }, headers }),
      await api.send("POST", path, { body: [{ id: 2 }, { id: 3 }], headers }),
      await api.send("POST", path, { body: [{ id: 2 }, { id: 3 }, { id: 4 }], headers }),
      await api.send("POST", path, { body: { records: [{ id: 5 }, { id: 2 }], ids: ["e", "k.0"] } }),
    ];

    expect(responses.map(({ json }) => json)).toEqual([
      { accepted: 1, duplicates: 0 },
      { accepted: 0, duplicates: 1 },
      { accepted: 2, duplicates: 0 },
      { accepted: 1, duplicates: 2 },
      { accepted: 1, duplicates: 1 },
    ]);
    expect((await written()).map(({ id }) => id)).toEqual([1, 2, 3, 4, 5]);
    expect([...ledger.byKey.keys()]).toEqual(["k", "k.0", "k.1", "k.2", "e"]);
  });

  test.each<[string, unknown, Record<string, string>, number]>([
    ["ids that do not match", { records: [{ id: 1 }], ids: [] }, {}, 400],
    ["ids that are no strings", { records: [{ id: 1 }], ids: [1] }, {}, 400],
    ["an empty id", { records: [{ id: 1 }], ids: [""] }, {}, 400],
    ["both ids and a key", { records: [{ id: 1 }], ids: ["a"] }, { "idempotency-key": "k" }, 400],
    ["an empty key", { id: 1 }, { "idempotency-key": "" }, 400],
    ["an empty key for several", [{ id: 1 }, { id: 2 }], { "idempotency-key": " " }, 400],
    ["a number", 1, {}, 400],
    ["null", null, {}, 400],
    ["a form", "id=1", { "content-type": "application/x-www-form-urlencoded" }, 415],
  ])("with %s are refused, and nothing is taken", async (_what, body, headers, status) => {
    const { api, written } = await listening();
    const sent = typeof body === "string" ? body : JSON.stringify(body);

    expect((await api.send("POST", path, { body: sent, headers })).status).toBe(status);
    expect(await written()).toEqual([]);
  });

  test("for an unknown export are not found, for one that no enabled flow uses a conflict", async () => {
    const { api, flow } = await listening();

    expect((await api.send("POST", "/exports/none/records", { body: {} })).status).toBe(404);
    expect((await api.send("POST", "/exports/others/records", { body: {} })).json).toMatchObject({
      errors: [{ code: "flow_disabled" }],
    });
    await api.host.registry.patch(flow._id, { disabled: true });
    expect((await api.send("POST", path, { body: {} })).status).toBe(409);
  });

  test("that find the inbox full are refused with 429 and Retry-After", async () => {
    const { api, flow } = await listening({ options: { maxInboxPages: 1 } });
    await api.host.scheduler.stop();
    await api.send("POST", path, { body: { id: 1 } });

    const { status, headers } = await api.send("POST", path, { body: { id: 2 } });

    expect([status, headers.has("retry-after")]).toEqual([429, true]);
    expect(await api.host.storage.readInbox(flow._id, { maxRecords: 9 })).toMatchObject([{ records: [{ id: 1 }] }]);
  });

  test("may be as long as maxRecordsBytes, whatever maxBodyBytes says, and no longer", async () => {
    const { api, written } = await listening({ http: { maxRecordsBytes: 50, maxBodyBytes: 10 } });
    const sized = (bytes: number) => JSON.stringify({ id: 1, pad: "" }).replace('""', `"${"x".repeat(bytes - 17)}"`);
    const streamed = (text: string) =>
      new Request(`http://api.test${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: new Blob([text]).stream(),
        duplex: "half",
      });

    expect(sized(50)).toHaveLength(50);
    expect((await api.send("POST", path, { body: sized(50) })).status).toBe(202);
    expect((await api.send("POST", path, { body: sized(51) })).status).toBe(413);
    expect((await api.send("POST", path, { body: "x", headers: { "content-length": "51" } })).status).toBe(413);
    expect((await api.send("POST", path, { body: sized(51), headers: { "content-length": "9" } })).status).toBe(413);
    expect((await api.read(await api.handler(streamed(sized(50))), "POST", path)).status).toBe(202);
    expect((await api.read(await api.handler(streamed(sized(51))), "POST", path)).status).toBe(413);
    expect(await written()).toHaveLength(2);
  });

  test("too long are not read to their end", async () => {
    const { api } = await listening({ http: { maxRecordsBytes: 10 } });
    let pulled = 0;
    let canceled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(to) {
        pulled++;
        to.enqueue(new Uint8Array(8));
      },
      cancel() {
        canceled = true;
      },
    });
    const request = new Request(`http://api.test${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: endless,
      duplex: "half",
    });

    expect((await api.handler(request)).status).toBe(413);
    expect(pulled).toBeLessThan(5);
    expect(canceled).toBe(true);
  });
});

describe("a sender that signs", () => {
  const body = JSON.stringify({ id: 1 });
  const signed = (secret: string, text = body) => createHmac("sha256", secret).update(text).digest("hex");
  const signature = hmacSignature({ secret: ["old", "new"], header: "x-signature", prefix: "sha256=" });
  const refuse = () => false;
  const from = (verify: Verify = signature) => listening({ http: { verify: { orders: verify }, authorize: refuse } });

  test.each(["old", "new"])("with a secret is let in, though authorize refuses everybody: %s", async (secret) => {
    const { api, written } = await from();

    const headers = { "x-signature": `sha256=${signed(secret)}` };
    expect((await api.send("POST", path, { body, headers })).status).toBe(202);
    expect(await written()).toEqual([{ id: 1 }]);
  });

  test.each<[string, Record<string, string>]>([
    ["nothing", {}],
    ["another secret", { "x-signature": `sha256=${signed("x")}` }],
    ["another body", { "x-signature": `sha256=${signed("old", `${body} `)}` }],
    ["no prefix", { "x-signature": signed("old") }],
    ["another prefix", { "x-signature": `sha512=${signed("old")}` }],
    ["half of it", { "x-signature": `sha256=${signed("old").slice(0, 32)}` }],
    ["no hexadecimal", { "x-signature": "sha256=🎈".replace("🎈", "zz") }],
  ])("with %s is refused with 401", async (_what, headers) => {
    const { api, written } = await from();

    expect((await api.send("POST", path, { body, headers })).status).toBe(401);
    expect(await written()).toEqual([]);
  });

  test("may use base64 and another algorithm", async () => {
    const { api } = await from(
      hmacSignature({ secret: "s", header: "X-Hmac", encoding: "base64", algorithm: "sha512" }),
    );
    const headers = { "x-hmac": createHmac("sha512", "s").update(body).digest("base64") };

    expect((await api.send("POST", path, { body, headers })).status).toBe(202);
  });

  test("opens no other export, and nothing else", async () => {
    const { api } = await from(() => true);

    expect((await api.send("POST", path, { body })).status).toBe(202);
    expect((await api.send("POST", "/exports/others/records", { body })).status).toBe(403);
    expect((await api.send("GET", "/flows")).status).toBe(403);
  });

  test("reaches the flows of the scope that verify returns, with the bytes that were verified", async () => {
    const seen: string[] = [];
    const { api, written } = await from(async (request) => {
      seen.push(await request.text());
      return { _integrationId: "acme" };
    });
    const before = await api.send("POST", path, { body });
    await api.host.flow({ _integrationId: "acme" });

    const after = await api.send("POST", path, { body });

    expect([before.status, after.status]).toEqual([409, 202]);
    expect(seen).toEqual([body, body]);
    expect(await written()).toEqual([{ id: 1 }]);
  });

  test("a verify that throws, or returns an invalid result, refuses everyone", async () => {
    const broken: unknown[] = [
      () => {
        throw new Error("secret store is down");
      },
      () => Promise.reject(new Error("secret store is down")),
      () => Promise.reject(new NotFoundError("flow", "secret")),
      () => undefined,
      () => ({}),
    ];
    for (const verify of broken) {
      const { api, written } = await from(verify as Verify);
      const response = await api.handler(api.request("POST", path, { body }));
      expect([response.status, await written()]).toEqual([500, []]);
      expect(await response.text()).not.toContain("secret");
    }
  });

  test.each<[string, object]>([
    ["secret", { secret: "", header: "x" }],
    ["secret", { secret: [], header: "x" }],
    ["secret", { header: "x" }],
    ["header", { secret: "s3cret", header: "not a header" }],
    ["algorithm", { secret: "s3cret", header: "x", algorithm: "md5" }],
    ["encoding", { secret: "s3cret", header: "x", encoding: "utf8" }],
    ["hash", { secret: "s3cret", header: "x", hash: "sha256" }],
  ])("whose %s is invalid is refused at once, and the secret is not shown", (field, options) => {
    const make = () => hmacSignature(options as Parameters<typeof hmacSignature>[0]);

    expect(make).toThrow(
      expect.objectContaining({ code: "invalid_option", option: `hmacSignature.${field}` }) as Error,
    );
    expect(make).not.toThrow(/s3cret/);
  });
});
