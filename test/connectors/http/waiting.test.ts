import { type ConnectionOptions, connection, httpImport } from "poundlock/connectors/http";
import { ManualClock } from "poundlock/testing";
import { describe, expect, test } from "vitest";
import { askedWaitMs } from "../../../src/connectors/http/waiting.ts";
import { errorOf, fateOf, importContext } from "./contexts.ts";
import { type Reply, startServer } from "./server.ts";

const now = Date.parse("2030-01-01T00:00:00Z");
const epoch = now / 1_000;

describe("what an answer asks to wait", () => {
  test.each<[status: number, headers: Record<string, string>, ms: number | undefined]>([
    [503, { "retry-after": "120" }, 120_000],
    [429, { "retry-after": "1.5" }, 1_500],
    [429, { "retry-after": " 7 " }, 7_000],
    [429, { "retry-after": "30, 60" }, 60_000],
    [429, { "retry-after": "Tue, 01 Jan 2030 00:00:42 GMT" }, 42_000],
    [429, { "retry-after": "Tuesday, 01-Jan-30 00:00:42 GMT" }, 42_000],
    [429, { "retry-after": "Tue Jan  1 00:00:42 2030" }, 42_000],
    // The server's clock is an hour behind: what counts is the distance by its own clock.
    [429, { "retry-after": "Mon, 31 Dec 2029 23:00:42 GMT", date: "Mon, 31 Dec 2029 23:00:00 GMT" }, 42_000],
    [429, { "retry-after": "Mon, 31 Dec 2029 00:00:00 GMT" }, 0],
    [429, { "retry-after-ms": "1234", "retry-after": "60" }, 1_234],
    [429, { "x-ms-retry-after-ms": "250", "retry-after": "60" }, 250],
    [500, { "retry-after": "5" }, 5_000],
    [429, { "retry-after": "soon" }, undefined],
    [429, { "retry-after": "-1" }, undefined],
    [429, { "retry-after": "" }, undefined],
    [429, {}, undefined],
    [202, { "retry-after": "5" }, undefined],
    [429, { "x-ratelimit-reset": "30" }, 30_000],
    [429, { "ratelimit-reset": "30" }, 30_000],
    [429, { "x-rate-limit-reset": String(epoch + 900) }, 900_000],
    [429, { "x-ratelimit-reset": String(epoch + 60) }, 60_000],
    [429, { "x-ratelimit-reset": String(now + 1_500) }, 1_500],
    [429, { "x-ratelimit-reset": String(epoch - 60) }, 0],
    [429, { "x-ratelimit-reset": String(epoch - 3_540), date: "Mon, 31 Dec 2029 23:00:00 GMT" }, 60_000],
    [429, { "retry-after": "5", "x-ratelimit-reset": "30" }, 5_000],
    [403, { "x-ratelimit-reset": "30" }, 30_000],
    [403, { "x-ratelimit-reset": "30", "x-ratelimit-remaining": "0" }, 30_000],
    // Forbidden, and not for lack of requests.
    [403, { "x-ratelimit-reset": "30", "x-ratelimit-remaining": "4999" }, undefined],
    [200, { "x-ratelimit-reset": "30", "x-ratelimit-remaining": "0" }, 30_000],
    [200, { "ratelimit-reset": "30", "ratelimit-remaining": "0" }, 30_000],
    [200, { "x-ratelimit-reset": "30", "x-ratelimit-remaining": "1" }, undefined],
    [200, { "x-ratelimit-reset": "30" }, undefined],
    [200, { "x-ratelimit-remaining": "0" }, undefined],
    [404, { "x-ratelimit-reset": "30" }, undefined],
    [200, { ratelimit: '"minute";r=0;t=30, "day";r=500;t=3600' }, 30_000],
    [200, { ratelimit: '"minute";r=0;t=30, "day";r=0;t=3600' }, 3_600_000],
    // What does not say when it is reset is waited for no longer than what does.
    [200, { ratelimit: '"minute";r=0, "day";r=0;t=60' }, 60_000],
    [200, { ratelimit: '"minute";r=0;t=60, "day";r=0' }, 60_000],
    [200, { ratelimit: '"minute";r=3;t=30' }, undefined],
  ])("%i %j: %s ms", (status, headers, ms) => {
    expect(askedWaitMs(status, new Headers(headers), now)).toBe(ms);
  });
});

describe("a connection that is asked to wait", () => {
  const once = async (reply: Reply, options: Partial<ConnectionOptions> = {}) => {
    const server = await startServer(() => ({ body: {} }));
    server.next.push(reply);
    const clock = new ManualClock(now);
    return { server, clock, to: connection({ baseUrl: server.url, clock, ...options }) };
  };

  test("lets no request of anybody's begin before", async () => {
    const { server, clock, to } = await once({ status: 429, headers: { "retry-after": "4" } });

    expect(await fateOf(to.send({}))).toBe("retryLater");
    const other = to.read({});
    await clock.advance(3_999);
    expect(server.seen.length).toBe(1);
    await clock.advance(1);

    await other;
    expect(server.seen.length).toBe(2);
  });

  test("refuses who would wait for long, as not sent, with the time that is left", async () => {
    const { server, clock, to } = await once({ status: 503, headers: { "retry-after": "42" } });

    expect(await errorOf(to.send({}))).toMatchObject({ afterMs: 42_000 });
    await clock.advance(2_000);
    const error = await errorOf(to.send({ path: "x" }));

    expect(error).toMatchObject({ afterMs: 40_000 });
    expect(error.message).toMatch(/^GET .*\/x was not sent: paused for 40 s, as the server asked$/);
    expect(await fateOf(to.send({}))).toBe("retryLater");
    expect(server.seen.length).toBe(1);
  });

  test("waits after a success that used up the quota, too", async () => {
    const { server, to } = await once({
      headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "60" },
      body: {},
    });

    await to.read({});

    expect(await errorOf(to.read({}))).toMatchObject({ afterMs: 60_000 });
    expect(server.seen.length).toBe(1);
  });

  test("does not wait for longer than giveUpAfterMs: an error, or a stop", async () => {
    const headers = { "retry-after": "108000" };
    const { server, to } = await once({ status: 429, headers });
    const error = await errorOf(to.read({}));

    expect(error.message).toMatch(/answered 429: the server asks to wait 30 h, longer than giveUpAfterMs$/);
    expect(error.name).not.toBe("OutcomeError");
    server.next.push({ status: 429, headers });
    expect(await fateOf(to.send({}))).toBe("stop");
    await to.read({});
  });

  test("asks waitOf before the headers", async () => {
    const { to } = await once(
      { status: 429, headers: { "retry-after": "1", "x-wait-minutes": "2" } },
      { waitOf: ({ headers }) => Number(headers.get("x-wait-minutes")) * 60_000 },
    );

    expect(await errorOf(to.send({}))).toMatchObject({ afterMs: 120_000 });
  });

  test("leaves no write hanging: the others of a batch are not sent, and come back", async () => {
    const { server, to } = await once({ status: 429, headers: { "retry-after": "60" } });
    const into = httpImport({
      ...{ connection: to, idempotent: true, concurrency: 1 },
      request: (id: number) => ({ method: "PUT", path: [id] }),
    });

    const results = await into.write([1, 2, 3], importContext(3));

    expect(results).toMatchObject([1, 2, 3].map(() => ({ ok: false, fault: "retry", afterMs: 60_000 })));
    expect(server.seen.length).toBe(1);
  });
});

describe("a request that only reads", () => {
  const failing = async (failures: number, status = 503) => {
    const server = await startServer(() => ({ body: { done: true } }));
    for (let nth = 0; nth < failures; nth++) server.next.push({ status });
    const clock = new ManualClock(now);
    return { server, clock, to: connection({ baseUrl: server.url, clock }) };
  };

  test("is sent up to attempts times, with delays of 10 s at most", async () => {
    const { server, clock, to } = await failing(2);

    const reading = to.read({});
    for (let attempt = 1; attempt <= 2; attempt++) {
      await server.arrived(attempt);
      await clock.settle();
      await nextTimer(clock, 500 * 2 ** (attempt - 1));
    }

    expect(await reading).toEqual({ done: true });
    expect(server.seen.length).toBe(3);
  });

  test("fails with the last answer then", async () => {
    const { server, clock, to } = await failing(9);

    const reading = fateOf(to.read({}));
    for (let attempt = 1; attempt <= 2; attempt++) {
      await server.arrived(attempt);
      await clock.settle();
      await nextTimer(clock, 10_000);
    }

    expect(await reading).toBe("retryLater");
    expect(server.seen.length).toBe(3);
  });

  test("is sent once if it would fail again", async () => {
    const { server, to } = await failing(9, 422);

    expect(await fateOf(to.read({}))).toBe("error");
    expect(server.seen.length).toBe(1);
  });

  test("is not sent again once it is given up", async () => {
    const { server, clock, to } = await failing(9);
    const abort = new AbortController();

    const reading = errorOf(to.read({}, abort.signal));
    await server.arrived(1);
    await clock.settle();
    abort.abort(new Error("the run was canceled"));

    await reading;
    expect(server.seen.length).toBe(1);
    expect(clock.timers).toBe(0);
  });
});

test("a request that writes is sent once, whatever becomes of it", async () => {
  const server = await startServer();
  const to = connection({ baseUrl: server.url });
  server.next.push({ status: 503 }, { status: 500 }, "reset");

  expect(await fateOf(to.send({ body: 1 }))).toBe("retryLater");
  expect(await fateOf(to.send({ body: 1 }))).toBe("error");
  expect(await fateOf(to.send({ body: 1 }))).toBe("error");

  expect(server.seen.length).toBe(3);
});

// The request's own timeout ends with its answer; what is left is the delay before the next attempt.
async function nextTimer(clock: ManualClock, mostMs: number): Promise<void> {
  for (let turn = 0; turn < 1_000; turn++) {
    const { nextTimerIn } = clock;
    if (nextTimerIn !== undefined && nextTimerIn <= mostMs) return clock.advance(nextTimerIn);
    await clock.settle();
  }
  throw new Error("no delay");
}
