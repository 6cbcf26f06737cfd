import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type Export, MemoryStorage, NotFoundError } from "../../src/index.ts";
import { type Verify, hmacSignature } from "../../src/http/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { Gate } from "../support/harness.ts";
import { Door, type DoorSetting } from "./door.ts";

interface Order {
  readonly id: number;
}

const orders: Export<Order> = { listen: () => () => undefined };
const path = "/exports/orders/records";

async function listening(setting: DoorSetting = {}) {
  const ledger = collectingImport<Order>();
  const door = new Door({ exports: { orders, others: orders }, imports: { ledger }, ...setting });
  await door.stage.scheduler.start();
  const flow = await door.stage.flow();
  const written = async () => {
    await door.stage.clock.settle();
    return ledger.written;
  };
  return { door, flow, ledger, written };
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
    const { door, written } = await listening();

    const { status, json } = await door.ask("POST", path, { body });

    expect([status, json]).toEqual([202, { accepted: expected.length, duplicates: 0 }]);
    expect(await written()).toEqual(expected);
  });

  test("are answered when they are stored, and not before", async () => {
    const gate = new Gate();
    class SlowStorage extends MemoryStorage {
      override async appendInbox(...call: Parameters<MemoryStorage["appendInbox"]>) {
        await gate.opened;
        return super.appendInbox(...call);
      }
    }
    const { door } = await listening({ storage: new SlowStorage() });
    let answered = false;
    const asking = door.ask("POST", path, { body: { id: 1 } }).finally(() => (answered = true));
    await door.stage.clock.settle();
    const before = answered;
    gate.open();

    expect([before, (await asking).status]).toEqual([false, 202]);
  });

  test("with an Idempotency-Key, or ids, are taken once; the key of one record is its event id", async () => {
    const { door, ledger, written } = await listening();
    const headers = { "idempotency-key": "k" };

    const answers = [
      await door.ask("POST", path, { body: { id: 1 }, headers }),
      await door.ask("POST", path, { body: { id: 1 }, headers }),
      await door.ask("POST", path, { body: [{ id: 2 }, { id: 3 }], headers }),
      await door.ask("POST", path, { body: [{ id: 2 }, { id: 3 }, { id: 4 }], headers }),
      await door.ask("POST", path, { body: { records: [{ id: 5 }, { id: 2 }], ids: ["e", "k.0"] } }),
    ];

    expect(answers.map(({ json }) => json)).toEqual([
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
    ["ids that are no texts", { records: [{ id: 1 }], ids: [1] }, {}, 400],
    ["an empty id", { records: [{ id: 1 }], ids: [""] }, {}, 400],
    ["both ids and a key", { records: [{ id: 1 }], ids: ["a"] }, { "idempotency-key": "k" }, 400],
    ["an empty key", { id: 1 }, { "idempotency-key": "" }, 400],
    ["an empty key for several", [{ id: 1 }, { id: 2 }], { "idempotency-key": " " }, 400],
    ["a number", 1, {}, 400],
    ["null", null, {}, 400],
    ["a form", "id=1", { "content-type": "application/x-www-form-urlencoded" }, 415],
  ])("with %s are refused, and nothing is taken", async (_what, body, headers, status) => {
    const { door, written } = await listening();
    const sent = typeof body === "string" ? body : JSON.stringify(body);

    expect((await door.ask("POST", path, { body: sent, headers })).status).toBe(status);
    expect(await written()).toEqual([]);
  });

  test("for an export nobody knows are not found, for one that no enabled flow uses a conflict", async () => {
    const { door, flow } = await listening();

    expect((await door.ask("POST", "/exports/none/records", { body: {} })).status).toBe(404);
    expect((await door.ask("POST", "/exports/others/records", { body: {} })).json).toMatchObject({
      errors: [{ code: "flow_disabled" }],
    });
    await door.stage.registry.patch(flow._id, { disabled: true });
    expect((await door.ask("POST", path, { body: {} })).status).toBe(409);
  });

  test("that find the inbox full are refused with 429 and Retry-After", async () => {
    const { door, flow } = await listening({ options: { maxInboxPages: 1 } });
    await door.stage.scheduler.stop();
    await door.ask("POST", path, { body: { id: 1 } });

    const { status, headers } = await door.ask("POST", path, { body: { id: 2 } });

    expect([status, headers.has("retry-after")]).toEqual([429, true]);
    expect(await door.stage.storage.readInbox(flow._id, { maxRecords: 9 })).toMatchObject([{ records: [{ id: 1 }] }]);
  });

  test("may be as long as maxRecordsBytes, whatever maxBodyBytes says, and no longer", async () => {
    const { door, written } = await listening({ door: { maxRecordsBytes: 50, maxBodyBytes: 10 } });
    const sized = (bytes: number) => JSON.stringify({ id: 1, pad: "" }).replace('""', `"${"x".repeat(bytes - 17)}"`);
    const streamed = (text: string) =>
      new Request(`http://door.test${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: new Blob([text]).stream(),
        duplex: "half",
      });

    expect(sized(50)).toHaveLength(50);
    expect((await door.ask("POST", path, { body: sized(50) })).status).toBe(202);
    expect((await door.ask("POST", path, { body: sized(51) })).status).toBe(413);
    expect((await door.ask("POST", path, { body: "x", headers: { "content-length": "51" } })).status).toBe(413);
    expect((await door.ask("POST", path, { body: sized(51), headers: { "content-length": "9" } })).status).toBe(413);
    expect((await door.read(await door.handler(streamed(sized(50))), "POST", path)).status).toBe(202);
    expect((await door.read(await door.handler(streamed(sized(51))), "POST", path)).status).toBe(413);
    expect(await written()).toHaveLength(2);
  });

  test("too long are not read to their end", async () => {
    const { door } = await listening({ door: { maxRecordsBytes: 10 } });
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
    const request = new Request(`http://door.test${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: endless,
      duplex: "half",
    });

    expect((await door.handler(request)).status).toBe(413);
    expect(pulled).toBeLessThan(5);
    expect(canceled).toBe(true);
  });
});

describe("a sender who signs", () => {
  const body = JSON.stringify({ id: 1 });
  const signed = (secret: string, text = body) => createHmac("sha256", secret).update(text).digest("hex");
  const signature = hmacSignature({ secret: ["old", "new"], header: "x-signature", prefix: "sha256=" });
  const refuse = () => false;
  const from = (verify: Verify = signature) => listening({ door: { verify: { orders: verify }, authorize: refuse } });

  test.each(["old", "new"])("with a secret is let in, though authorize refuses everybody: %s", async (secret) => {
    const { door, written } = await from();

    const headers = { "x-signature": `sha256=${signed(secret)}` };
    expect((await door.ask("POST", path, { body, headers })).status).toBe(202);
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
    const { door, written } = await from();

    expect((await door.ask("POST", path, { body, headers })).status).toBe(401);
    expect(await written()).toEqual([]);
  });

  test("may use base64 and another algorithm", async () => {
    const { door } = await from(
      hmacSignature({ secret: "s", header: "X-Hmac", encoding: "base64", algorithm: "sha512" }),
    );
    const headers = { "x-hmac": createHmac("sha512", "s").update(body).digest("base64") };

    expect((await door.ask("POST", path, { body, headers })).status).toBe(202);
  });

  test("opens no other export, and nothing else", async () => {
    const { door } = await from(() => true);

    expect((await door.ask("POST", path, { body })).status).toBe(202);
    expect((await door.ask("POST", "/exports/others/records", { body })).status).toBe(403);
    expect((await door.ask("GET", "/flows")).status).toBe(403);
  });

  test("reaches the flows of the scope that verify answers, and what is sent is what was verified", async () => {
    const seen: string[] = [];
    const { door, written } = await from(async (request) => {
      seen.push(await request.text());
      return { _integrationId: "acme" };
    });
    const before = await door.ask("POST", path, { body });
    await door.stage.flow({ _integrationId: "acme" });

    const after = await door.ask("POST", path, { body });

    expect([before.status, after.status]).toEqual([409, 202]);
    expect(seen).toEqual([body, body]);
    expect(await written()).toEqual([{ id: 1 }]);
  });

  test("a verify that breaks, or answers nonsense, lets nobody in", async () => {
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
      const { door, written } = await from(verify as Verify);
      const response = await door.handler(door.request("POST", path, { body }));
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
  ])("whose %s does not hold is refused at once, and the secret is not shown", (field, options) => {
    const make = () => hmacSignature(options as Parameters<typeof hmacSignature>[0]);

    expect(make).toThrow(
      expect.objectContaining({ code: "invalid_option", option: `hmacSignature.${field}` }) as Error,
    );
    expect(make).not.toThrow(/s3cret/);
  });
});
