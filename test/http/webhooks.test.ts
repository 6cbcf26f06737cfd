import { createHmac } from "node:crypto";
import { sign as signForGithub } from "@octokit/webhooks-methods";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { describe, expect, test } from "vitest";
import { type Export, ForbiddenError } from "../../src/index.ts";
import {
  type HandlerOptions,
  type WebhookOptions,
  type WebhookSender,
  hmacSignature,
  webhook,
} from "../../src/http/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { ApiHarness } from "./harness.ts";

const path = "/exports/events/records";
const events: Export<unknown> = { listen: () => () => undefined };

async function started(options: WebhookOptions<never>, http: Partial<HandlerOptions> = {}) {
  const ledger = collectingImport<unknown>();
  const verify = { events: webhook(options) };
  const api = new ApiHarness({
    exports: { events, others: events },
    imports: { ledger },
    http: { authorize: () => false, verify, ...http },
  });
  await api.host.scheduler.start();
  const flow = await api.host.flow();
  const written = async () => {
    await api.host.clock.settle();
    return ledger.written;
  };
  const post = (body: string, headers: Record<string, string>) => api.send("POST", path, { body, headers });
  return { api, flow, ledger, written, post };
}

/** How a sender signs: what its own library, or its own documentation, makes of it. `at` is in epoch milliseconds. */
interface Signing {
  readonly secrets: readonly [string, string];
  readonly sign: (body: string, secret: string, at: number) => Record<string, string> | Promise<Record<string, string>>;
  /** The headers of one signature by each of two secrets, as the sender has them while one replaces another. */
  readonly join?: (one: Record<string, string>, other: Record<string, string>) => Record<string, string>;
  /** What makes the event's id another one. */
  readonly body: (id: string) => string;
  readonly headers: (id: string) => Record<string, string>;
  readonly eventId: (id: string) => string;
}

const hmac = (secret: string, text: string) => createHmac("sha256", secret).update(text);
const base64Secret = (text: string) => `whsec_${Buffer.from(text.repeat(4)).toString("base64")}`;

const signings: Readonly<Record<WebhookSender, Signing>> = {
  standard: {
    secrets: [base64Secret("secret-a"), base64Secret("secret-b")],
    sign: (body, secret, at) => ({
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(at / 1_000)),
      "webhook-signature": new StandardWebhook(secret).sign("msg_1", new Date(at), body),
    }),
    join: (one, other) => ({
      ...one,
      "webhook-signature": `v1a,bm90IG91cnM= ${one["webhook-signature"] ?? ""} ${other["webhook-signature"] ?? ""}`,
    }),
    body: () => '{"type":"order.paid","data":{"id":1}}',
    headers: () => ({}),
    eventId: () => "msg_1",
  },
  stripe: {
    secrets: ["whsec_one", "whsec_two"],
    sign: (payload, secret, at) => ({
      "stripe-signature": Stripe.webhooks.generateTestHeaderString({
        payload,
        secret,
        timestamp: Math.floor(at / 1_000),
      }),
    }),
    join: (one, other) => ({
      "stripe-signature": `${one["stripe-signature"] ?? ""},${(other["stripe-signature"] ?? "").replace(/^t=\d+,/, "")},v0=00`,
    }),
    body: (id) => JSON.stringify({ id, object: "event", data: { object: { id: "in_1" } } }),
    headers: () => ({}),
    eventId: (id) => id,
  },
  github: {
    secrets: ["one", "two"],
    sign: async (body, secret) => ({ "x-hub-signature-256": await signForGithub(secret, body) }),
    body: () => '{"action":"opened","number":1}',
    headers: (id) => ({ "x-github-delivery": id, "x-github-event": "pull_request" }),
    eventId: (id) => id,
  },
  shopify: {
    secrets: ["one", "two"],
    // https://shopify.dev/docs/apps/build/webhooks/verify-deliveries
    sign: (body, secret) => ({ "x-shopify-hmac-sha256": hmac(secret, body).digest("base64") }),
    body: () => '{"id":820982911946154500,"email":"jon@example.com"}',
    headers: (id) => ({ "x-shopify-event-id": id, "x-shopify-topic": "orders/create" }),
    eventId: (id) => `orders/create ${id}`,
  },
  slack: {
    secrets: ["8f742231b10e8888abcd99yyyzzz85a5", "two"],
    // https://docs.slack.dev/authentication/verifying-requests-from-slack
    sign(body, secret, at) {
      const timestamp = String(Math.floor(at / 1_000));
      const signature = `v0=${hmac(secret, `v0:${timestamp}:${body}`).digest("hex")}`;
      return { "x-slack-request-timestamp": timestamp, "x-slack-signature": signature };
    },
    body: (id) => JSON.stringify({ type: "event_callback", event_id: id, event: { type: "message" } }),
    headers: () => ({}),
    eventId: (id) => id,
  },
};
const all = Object.entries(signings) as [WebhookSender, Signing][];
const withTimestamp = all.filter(([sender]) => sender !== "github" && sender !== "shopify");

describe.each(all)("a webhook of %s", (sender, { secrets, sign, join, body, headers, eventId }) => {
  const [secret, other] = secrets;

  test("is accepted with the sender's own signature, once for each event", async () => {
    const { api, ledger, post, written } = await started({ sender, secret });
    const sent = body("evt_1");
    const signed = { ...headers("evt_1"), ...(await sign(sent, secret, api.host.clock.now())) };

    expect((await post(sent, signed)).json).toEqual({ accepted: 1, duplicates: 0 });
    expect((await post(sent, signed)).json).toEqual({ accepted: 0, duplicates: 1 });

    expect(await written()).toEqual([JSON.parse(sent)]);
    expect([...ledger.byKey.keys()]).toEqual([eventId("evt_1")]);
  });

  test("is refused with a signature of another secret or body, with a part of one, and without", async () => {
    const { api, post, written } = await started({ sender, secret });
    const [sent, now] = [body("evt_1"), api.host.clock.now()];
    const signed = { ...headers("evt_1"), ...(await sign(sent, secret, now)) };
    const attempts = [
      { ...signed, ...(await sign(sent, other, now)) },
      { ...signed, ...(await sign(`${sent} `, secret, now)) },
      ...Object.keys(signed)
        .filter((name) => name.includes("signature") || name.includes("hmac"))
        .flatMap((name) => [
          { ...signed, [name]: (signed as Record<string, string>)[name]?.slice(0, -8) ?? "" },
          { ...signed, [name]: "" },
          { ...signed, [name]: "v1=,v1,=,v0=" },
          Object.fromEntries(Object.entries(signed).filter(([one]) => one !== name)),
        ]),
    ];

    for (const attempt of attempts) expect((await post(sent, attempt)).status).toBe(401);
    expect(await written()).toEqual([]);
  });

  test("may be signed with either of two secrets, at our side or at the sender's", async () => {
    const both = await started({ sender, secret: [other, secret] });
    const one = await started({ sender, secret: other });
    const [sent, now] = [body("evt_1"), both.api.host.clock.now()];
    const signatures = [await sign(sent, secret, now), await sign(sent, other, now)] as const;

    expect((await both.post(sent, { ...headers("a"), ...signatures[0] })).status).toBe(202);
    expect((await both.post(sent, { ...headers("b"), ...signatures[1] })).status).toBe(202);
    if (join === undefined) return;
    expect((await one.post(sent, { ...headers("a"), ...join(...signatures) })).status).toBe(202);
    expect((await one.post(sent, { ...headers("a"), ...signatures[0] })).status).toBe(401);
  });

  test("is verified by the secret that a function finds for the request", async () => {
    const { api, post } = await started({ sender, secret: () => undefined });
    const found = await started({
      sender,
      secret: async (request) => (request.headers.get("x-tenant") === "acme" ? [secret] : undefined),
    });
    const sent = body("evt_1");
    const signed = { ...headers("evt_1"), ...(await sign(sent, secret, api.host.clock.now())) };

    expect((await post(sent, signed)).status).toBe(401);
    expect((await found.post(sent, { ...signed, "x-tenant": "acme" })).status).toBe(202);
    expect((await found.post(sent, signed)).status).toBe(401);
  });

  test("without an id of the event is accepted each time", async () => {
    const { api, post } = await started({ sender, secret, id: () => undefined });
    const sent = body("evt_1");
    const signed = { ...headers("evt_1"), ...(await sign(sent, secret, api.host.clock.now())) };

    for (let time = 0; time < 2; time++)
      expect((await post(sent, signed)).json).toEqual({ accepted: 1, duplicates: 0 });
  });
});

describe.each(withTimestamp)("the timestamp of a webhook of %s", (sender, { secrets: [secret], sign, body }) => {
  test.each([
    [299_000, 202],
    [-299_000, 202],
    [301_000, 401],
    [-301_000, 401],
  ])("%i ms ago: %i", async (age, status) => {
    const { api, post } = await started({ sender, secret });

    const sent = body("evt_1");
    expect((await post(sent, { ...(await sign(sent, secret, api.host.clock.now() - age)) })).status).toBe(status);
  });

  test("is compared with the tolerance that the host gives, and with a clock that goes on", async () => {
    const { api, post } = await started({ sender, secret, toleranceMs: 10_000 });
    const sent = body("evt_1");
    const signed = { ...(await sign(sent, secret, api.host.clock.now())) };

    expect((await post(sent, signed)).status).toBe(202);
    await api.host.clock.advance(12_000);
    expect((await post(sent, signed)).status).toBe(401);
  });

  test.each(["", "now", "1e9", "-1", "9".repeat(30)])("that is %j is refused", async (timestamp) => {
    const { api, post } = await started({ sender, secret });
    const sent = body("evt_1");
    const signed = await sign(sent, secret, api.host.clock.now());

    for (const name of Object.keys(signed)) {
      const value = name === "stripe-signature" ? signed[name]?.replace(/^t=\d+/, `t=${timestamp}`) : timestamp;
      expect((await post(sent, { ...signed, [name]: value ?? "" })).status).toBe(401);
    }
  });
});

test("the published examples of Slack and GitHub are verified", async () => {
  const slack =
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
  const verified = async (options: WebhookOptions, headers: Record<string, string>, body: string, now = 0) => {
    const request = new Request("http://x/", { method: "POST", headers });
    return webhook(options).verify({ request, bytes: new TextEncoder().encode(body), now });
  };

  await expect(
    verified(
      { sender: "slack", secret: "8f742231b10e8888abcd99yyyzzz85a5" },
      {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
      },
      slack,
      1_531_420_618_000,
    ),
  ).resolves.toBe(true);
  await expect(
    verified(
      { sender: "github", secret: "It's a Secret to Everybody" },
      { "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" },
      "Hello, World!",
    ),
  ).resolves.toBe(true);
});

test("Svix's own names of the headers mean the same as those of the standard", async () => {
  const { secrets, sign, body } = signings.standard;
  const { api, ledger, post, written } = await started({ sender: "standard", secret: secrets[0] });
  const sent = body("");
  const signed = await sign(sent, secrets[0], api.host.clock.now());
  const renamed = Object.fromEntries(
    Object.entries(signed).map(([name, value]) => [name.replace("webhook", "svix"), value]),
  );

  expect((await post(sent, renamed)).status).toBe(202);

  await written();
  expect([...ledger.byKey.keys()]).toEqual(["msg_1"]);
});

describe("a challenge", () => {
  const { sign, secrets } = signings.slack;

  test("of Slack is responded to, once it is verified, and is no record", async () => {
    const { api, post, written } = await started({ sender: "slack", secret: secrets[0] });
    const sent = JSON.stringify({ type: "url_verification", challenge: "3eZbrw1aB", token: "x" });
    const signed = await sign(sent, secrets[0], api.host.clock.now());

    const { status, text, headers } = await post(sent, signed);

    expect([status, text, headers.get("content-type")]).toEqual([200, "3eZbrw1aB", "text/plain"]);
    expect((await post(sent, {})).status).toBe(401);
    expect(await written()).toEqual([]);
  });

  test("of GitHub, a ping, is responded to, though no flow is enabled", async () => {
    const { api, flow, post } = await started({ sender: "github", secret: "s" });
    await api.host.registry.patch(flow._id, { disabled: true });
    const sent = '{"zen":"Keep it logically awesome.","hook_id":1}';
    const signed = { "x-hub-signature-256": await signForGithub("s", sent), "x-github-event": "ping" };

    expect(await post(sent, signed)).toMatchObject({ status: 200, text: "pong" });
  });

  test("of any other sender is responded to as the host says, also as JSON", async () => {
    const { post, written } = await started({
      verify: () => true,
      challenge: async ({ event, plainToken }: { event: string; plainToken: string }) =>
        event === "endpoint.url_validation"
          ? { plainToken, encryptedToken: hmac("s", plainToken).digest("hex") }
          : undefined,
    });

    const { status, json } = await post('{"event":"endpoint.url_validation","plainToken":"p"}', {});

    expect([status, json]).toEqual([200, { plainToken: "p", encryptedToken: hmac("s", "p").digest("hex") }]);
    expect((await post('{"event":"meeting.started"}', {})).status).toBe(202);
    expect(await written()).toEqual([{ event: "meeting.started" }]);
  });
});

describe("the records of a webhook", () => {
  const open = { verify: () => true } as const;

  test("are taken out of the envelope by the host's function, and share the event's id", async () => {
    const { ledger, post, written } = await started({
      ...open,
      records: (body: { orders: unknown[] }, request) =>
        body.orders.map((order) => ({ order, topic: request.headers.get("x-topic") })),
      id: { field: "meta.id" },
    });
    const body = '{"meta":{"id":7},"orders":[{"id":1},{"id":2}]}';

    expect((await post(body, { "x-topic": "paid" })).json).toEqual({ accepted: 2, duplicates: 0 });
    expect((await post(body, { "x-topic": "paid" })).json).toEqual({ accepted: 0, duplicates: 2 });

    expect(await written()).toEqual([
      { order: { id: 1 }, topic: "paid" },
      { order: { id: 2 }, topic: "paid" },
    ]);
    expect([...ledger.byKey.keys()]).toEqual(["7.0", "7.1"]);
  });

  test("may have an id each, or one of a header", async () => {
    const each = await started({
      ...open,
      records: ({ items }: { items: unknown[] }) => items,
      id: (item: { id?: string }) => item.id,
    });
    const header = await started({ ...open, id: { header: "X-Event" } });
    const body = '{"items":[{"id":"a"},{"id":"b"},{}]}';

    expect((await each.post(body, {})).json).toEqual({ accepted: 3, duplicates: 0 });
    expect((await each.post(body, {})).json).toEqual({ accepted: 1, duplicates: 2 });
    expect((await header.post("{}", { "x-event": "1" })).json).toEqual({ accepted: 1, duplicates: 0 });
    expect((await header.post("{}", { "x-event": "1", "idempotency-key": "other" })).json).toMatchObject({
      duplicates: 1,
    });
    expect((await header.post("{}", {})).json).toMatchObject({ accepted: 1 });
  });

  test.each<[string, unknown, unknown[]]>([
    ["one object", { id: 1 }, [{ id: 1 }]],
    ["an object with records and ids in it, which is one record", { records: [], ids: [] }, [{ records: [], ids: [] }]],
    ["an array", [{ id: 1 }, { id: 2 }], [{ id: 1 }, { id: 2 }]],
    ["an empty array", [], []],
  ])("are the body: %s", async (_what, body, expected) => {
    const { post, written } = await started(open);

    const { status, json } = await post(JSON.stringify(body), { "content-type": "text/plain" });

    expect([status, json]).toEqual([202, { accepted: expected.length, duplicates: 0 }]);
    expect(await written()).toEqual(expected);
  });

  test("may be none: the sender gets 202, though no flow is enabled", async () => {
    const { api, flow, post } = await started({ ...open, records: () => undefined });
    await api.host.registry.patch(flow._id, { disabled: true });

    expect(await post("{}", {})).toMatchObject({ status: 202, json: { accepted: 0, duplicates: 0 } });
  });

  test.each<[string, WebhookOptions<never>]>([
    ["records", { ...open, records: ({ a }: { a: { b: string } }) => a.b }],
    ["id", { ...open, id: () => Promise.reject(new Error("late")) }],
    ["id", { ...open, id: () => ({}) as string }],
    ["id", { ...open, id: { field: "object" } }],
    ["challenge", { ...open, challenge: () => Promise.reject(new Error("down")) }],
  ])("a defect of the host's %s is a 500, so that the sender tries again", async (_name, options) => {
    const { api, written } = await started(options);

    const response = await api.handler(api.request("POST", path, { body: { object: {} } }));

    expect([response.status, await written()]).toEqual([500, []]);
  });

  test("large integers in them are read as the export says, and a body that is no JSON is refused", async () => {
    const { post } = await started({ ...open, records: (body: { id: unknown }) => ({ id: body.id }) });

    expect((await post('{"id":7615917337495251231}', {})).status).toBe(422);
    expect((await post("id=1", { "content-type": "application/x-www-form-urlencoded" })).status).toBe(415);
    expect((await post("{", {})).status).toBe(400);
  });
});

describe("a webhook's tenant", () => {
  const secrets: Readonly<Record<string, string>> = { acme: "s-acme", globex: "s-globex" };
  const tenant = ({ headers }: Request) => headers.get("x-shopify-shop-domain") ?? "";
  const options = {
    sender: "shopify",
    secret: (request: Request) => secrets[tenant(request)],
    scope: (request: Request) => ({ _integrationId: tenant(request), caller: "shop" }),
  } as const;
  const signed = (shop: string, secret: string) => ({
    "x-shopify-hmac-sha256": hmac(secret, "{}").digest("base64"),
    "x-shopify-shop-domain": shop,
  });

  test("is given the records alone, and only by its own secret", async () => {
    const { api, post, written } = await started(options);
    const acme = await api.host.flow({ _integrationId: "acme" });

    expect((await post("{}", signed("acme", "s-acme"))).status).toBe(202);
    expect((await post("{}", signed("acme", "s-globex"))).status).toBe(401);
    expect((await post("{}", signed("globex", "s-globex"))).status).toBe(409);
    expect((await post("{}", signed("nobody", "s-acme"))).status).toBe(401);

    expect(await written()).toEqual([{}]);
    expect(await api.host.runs()).toMatchObject([{ _flowId: acme._id }]);
  });

  test("is what scope says of the body, and refusals and defects of it are those of authorize", async () => {
    const verify = hmacSignature({ secret: "s", header: "x-signature" });
    const results = new Map<string, unknown>([
      ["acme", { _integrationId: "acme" }],
      ["no", false],
      ["odd", {}],
    ]);
    const { api } = await started({
      verify,
      scope(_request, { tenant: name }: { tenant: string }) {
        if (name === "banned") throw new ForbiddenError("This is not allowed");
        return results.get(name) as boolean;
      },
    });
    await api.host.flow({ _integrationId: "acme" });
    const post = async (name: string) => {
      const body = JSON.stringify({ tenant: name });
      const headers = { "x-signature": hmac("s", body).digest("hex") };
      return (await api.handler(api.request("POST", path, { body, headers }))).status;
    };

    const statuses = [
      await post("acme"),
      await post("no"),
      await post("banned"),
      await post("odd"),
      await post("none"),
    ];

    expect(statuses).toEqual([202, 403, 403, 500, 500]);
  });

  test("opens no other export, and nothing else", async () => {
    const { api } = await started({ verify: () => true });

    expect((await api.send("POST", "/exports/others/records", { body: {} })).status).toBe(403);
    expect((await api.send("GET", "/flows")).status).toBe(403);
  });
});

describe("a webhook whose option is invalid is refused at once, and no secret is shown", () => {
  test.each<[string, object]>([
    ["sender", { sender: "strip", secret: "s3cret" }],
    ["sender", { secret: "s3cret" }],
    ["secret", { sender: "stripe" }],
    ["secret", { sender: "stripe", secret: "" }],
    ["secret", { sender: "stripe", secret: [] }],
    ["secret", { sender: "stripe", secret: ["s3cret", 7] }],
    ["secret", { sender: "standard", secret: "s3cret!" }],
    ["secret", { sender: "standard", secret: ["d2hhdA==", "whsec_"] }],
    ["toleranceMs", { sender: "stripe", secret: "s3cret", toleranceMs: 0 }],
    ["toleranceMs", { sender: "github", secret: "s3cret", toleranceMs: 1_000 }],
    ["id", { sender: "stripe", secret: "s3cret", id: "header" }],
    ["id", { sender: "stripe", secret: "s3cret", id: { header: "a b" } }],
    ["id", { sender: "stripe", secret: "s3cret", id: { field: "" } }],
    ["records", { sender: "stripe", secret: "s3cret", records: "data" }],
    ["tolerance", { sender: "stripe", secret: "s3cret", tolerance: 5 }],
    ["secret", { verify: () => true, secret: "s3cret" }],
    ["verify", { verify: "s3cret" }],
  ])("%s: %j", (option, options) => {
    const make = () => webhook(options as WebhookOptions);

    expect(make).toThrow(expect.objectContaining({ code: "invalid_option", option: `webhook.${option}` }) as Error);
    if (option === "secret") expect(make).not.toThrow(/s3cret/);
  });

  test("a secret that a function finds and that is none is a 500, and not shown", async () => {
    const { sign, body, secrets } = signings.standard;
    const lines: unknown[] = [];
    const line = (fields: object) => void lines.push(fields);
    const logger = { debug: line, info: line, warn: line, error: line };
    const { api } = await started({ sender: "standard", secret: () => "s3cret!" }, { logger });
    const headers = await sign(body(""), secrets[0], api.host.clock.now());

    const response = await api.handler(api.request("POST", path, { body: body(""), headers }));

    expect(response.status).toBe(500);
    expect(JSON.stringify([await response.text(), lines])).not.toContain("s3cret");
    expect(JSON.stringify(lines)).toContain("webhook.secret: expected a secret in base64");
  });
});

test("many signatures cost time in proportion to the header", async () => {
  const { post } = await started({ sender: "stripe", secret: "s" });

  const signature = `t=1,${Array<string>(100_000).fill("v1=00").join()}`;
  expect((await post("{}", { "stripe-signature": signature })).status).toBe(401);
});
