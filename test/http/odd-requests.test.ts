import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { CountsMismatchError, type Export, ForbiddenError } from "../../src/index.ts";
import { httpErrorOf } from "../../src/http/http-error.ts";
import { allowAll, createHandler, webhook } from "../../src/http/index.ts";
import { pathOf } from "../../src/http/router.ts";
import { fieldOf } from "../../src/http/webhooks/senders.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { ApiHarness, createApi, flowInput } from "./harness.ts";

const events: Export<unknown> = { listen: () => () => undefined };

test("a body that is one integer beyond JavaScript's is refused as a whole", async () => {
  const { status, json } = await createApi().send("POST", "/flows", { body: "9007199254740993" });

  expect(status).toBe(400);
  expect(json).toEqual({
    errors: [
      {
        code: "invalid_request",
        message: expect.stringContaining("The body: expected an integer that JavaScript can represent") as string,
      },
    ],
  });
});

test("a page of the inbox is dropped for one import alone, if it is named", async () => {
  const imports = { ledger: collectingImport(), mailer: collectingImport() };
  const api = new ApiHarness({ exports: { events }, imports });
  const { _id } = await api.host.flow();
  await api.host.scheduler.accept("events", [1]);
  const [page] = (await api.host.scheduler.listInbox(_id)).items;
  const body = { _ids: [page?._id], _importId: "ledger" };

  const dropped = await api.send("POST", `/flows/${_id}/inbox/drop`, { body });

  expect(dropped.json).toEqual({ _ids: [page?._id] });
  expect((await api.send("GET", `/flows/${_id}/inbox`)).json).toMatchObject([{ _importIds: ["mailer"] }]);
});

test("two fields that contradict each other are named, whatever they are", async () => {
  const { status, text } = await createApi().send("POST", "/flows", {
    body: { ...flowInput, _exportId: 7, pageGenerators: [{ _exportId: "orders" }] },
  });

  expect(status).toBe(422);
  expect(text).toContain("expected the first of pageGenerators");
});

test.each([
  ["http://a.example", "/"],
  ["http://a.example/x#y", "/x"],
  ["http://a.example/x?y#z", "/x"],
])("the path of %s is %s", (url, path) => {
  expect(pathOf(url)).toBe(path);
});

test("an error that no caller can act on has no status of its own", () => {
  expect(httpErrorOf(new CountsMismatchError("ledger", 2, 1))).toBeUndefined();
  expect(httpErrorOf(new Error("mine"))).toBeUndefined();
});

test("a cursorSecret that is none is refused, and not shown", () => {
  const { scheduler } = createApi().host;

  expect(() => createHandler({ scheduler, authorize: allowAll(), cursorSecret: 7 as never })).toThrow("cursorSecret");
});

describe("a webhook", () => {
  test("is forbidden where its secret says so", async () => {
    const secret = () => {
      throw new ForbiddenError("this shop has left");
    };
    const verify = { events: webhook({ sender: "shopify", secret }) };
    const api = new ApiHarness({ exports: { events }, imports: { ledger: collectingImport() }, http: { verify } });
    await api.host.flow();

    const { status, text } = await api.send("POST", "/exports/events/records", {
      body: {},
      headers: { "x-shopify-hmac-sha256": "eA==" },
    });

    expect([status, text.includes("this shop has left")]).toEqual([403, true]);
  });

  test("is known by its id also without a topic", async () => {
    const verify = { events: webhook({ sender: "shopify", secret: "s3cret" }) };
    const ledger = collectingImport();
    const api = new ApiHarness({ exports: { events }, imports: { ledger }, http: { verify } });
    await api.host.scheduler.start();
    await api.host.flow();
    const signature = createHmac("sha256", "s3cret").update("{}").digest("base64");
    const headers = { "x-shopify-hmac-sha256": signature, "x-shopify-event-id": "e1" };

    for (let times = 0; times < 2; times++) await api.send("POST", "/exports/events/records", { body: "{}", headers });
    await api.host.clock.settle();

    expect(ledger.written).toEqual([{}]);
  });

  test("has no field below what has none", () => {
    const body = { id: { value: 7 } };

    expect([fieldOf(body, "id.value"), fieldOf(body, "id.value.more"), fieldOf(null, "id")]).toEqual([
      7,
      undefined,
      undefined,
    ]);
    expect(fieldOf(body, "constructor.name")).toBeUndefined();
  });
});
