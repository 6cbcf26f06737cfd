import { describe, expect, test } from "vitest";
import { errorCodes, createApi } from "./harness.ts";

describe("the preview of a schedule", () => {
  test("has the expression, the zone and the next due times", async () => {
    const api = createApi();

    const { status, json } = await api.send("POST", "/schedules/preview", {
      body: { schedule: "0 2 * * MON", timezone: "Europe/Oslo", count: 2 },
    });

    expect([status, json]).toEqual([
      200,
      {
        expression: "0 2 * * MON",
        timezone: "Europe/Oslo",
        dueAt: ["2030-01-07T01:00:00.000Z", "2030-01-14T01:00:00.000Z"],
      },
    ]);
  });

  test("says what `H` means for a flow, and is what the flow gets", async () => {
    const api = createApi();
    const flow = await api.host.flow({ schedule: "H H * * *" });
    const preview = async (_flowId: string) =>
      (await api.send("POST", "/schedules/preview", { body: { schedule: "H H * * *", _flowId } })).json as {
        expression: string;
        dueAt: string[];
      };

    const own = await preview(flow._id);

    expect([own.dueAt.length, own.dueAt[0]]).toEqual([10, flow.nextRunAt]);
    expect(own.expression).toMatch(/^\d+ \d+ \* \* \*$/);
    expect((await preview("another")).expression).not.toBe(own.expression);
  });

  test.each([
    ["? 0 2 ? * *", "0 2 * * *"],
    ["30 0 2 * * *", "30 0 2 * * *"],
    ["@daily", "0 0 * * *"],
    ["  */5   * * * * ", "*/5 * * * *"],
  ])("of %j says %j", async (schedule, expression) => {
    const { json } = await createApi().send("POST", "/schedules/preview", { body: { schedule } });

    expect(json).toMatchObject({ expression, timezone: "UTC" });
  });

  test("of what a flow may not have is refused as for a flow", async () => {
    const api = createApi();
    const send = (body: object) => api.send("POST", "/schedules/preview", { body });

    const refused = await send({ schedule: "* * *", timezone: "Mars" });
    const asFlow = await api.send("POST", "/flows", {
      body: { name: "x", _exportId: "orders", _importId: "ledger", schedule: "* * *", timezone: "Mars" },
    });

    expect([refused.status, refused.json]).toEqual([422, asFlow.json]);
    expect(errorCodes((await send({ schedule: "* * * * *", count: 51 })).json)).toEqual(["invalid_request count"]);
    expect((await send({ schedule: "* * * * *", count: 0 })).status).toBe(400);
    expect((await send({ timezone: "UTC" })).status).toBe(400);
  });
});
