import { AsyncLocalStorage } from "node:async_hooks";
import { type TracingChannelSubscribers, tracingChannel } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Step, diagnosticsChannel, stop } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { Harness, upTo } from "../support/harness.ts";

const kinds = ["accept", "run", "read", "page", "write", "commit"] as const;
interface Message {
  readonly step: Step;
  readonly result?: unknown;
  readonly error?: unknown;
}

const exports = { from: arrayExport(upTo(1)) };
const imports = { sink: collectingImport<number>() };

describe("diagnosticsChannel publishes each step", () => {
  const seen: string[] = [];
  const messages: Message[] = [];
  const subscribersOf = (kind: string): TracingChannelSubscribers<Message> => {
    const note = (event: string) => (message: Message) => {
      seen.push(`${kind} ${event}`);
      messages.push(message);
    };
    return {
      start: note("start"),
      end: note("end"),
      asyncStart: note("asyncStart"),
      asyncEnd: note("asyncEnd"),
      error: note("error"),
    };
  };
  const subscribers = kinds.map(
    (kind) => [tracingChannel<Message, Message>(`poundlock:${kind}`), subscribersOf(kind)] as const,
  );

  beforeEach(() => {
    seen.length = 0;
    messages.length = 0;
    for (const [channel, listeners] of subscribers) channel.subscribe(listeners);
  });
  afterEach(() => {
    for (const [channel, listeners] of subscribers) channel.unsubscribe(listeners);
  });

  test("on the channels of its kind, with its step and then its result", async () => {
    const harness = new Harness({ exports, imports, options: { tracing: diagnosticsChannel() } });

    const run = await harness.move();

    for (const kind of ["run", "read", "page", "write", "commit"])
      expect(seen).toEqual(
        expect.arrayContaining(["start", "end", "asyncStart", "asyncEnd"].map((on) => `${kind} ${on}`)),
      );
    expect(seen.filter((event) => event.endsWith(" error"))).toEqual([]);
    const last = messages.at(-1);
    expect(last?.step).toMatchObject({ kind: "run", run: { _id: run._id } });
    expect(last?.result).toEqual({ outcome: "completed", counts: { numSuccess: 1, numError: 0, numIgnore: 0 } });
  });

  test("and its error, if it failed", async () => {
    const sink = scriptedImport<number>(() => Promise.reject(stop(new Error("revoked"))));
    const harness = new Harness({ exports, imports: { sink }, options: { tracing: diagnosticsChannel() } });

    await harness.move();

    expect(seen).toContain("write error");
    expect(seen).toContain("run error");
    expect(messages.at(-1)?.error).toMatchObject({ code: "stopped_by_import" });
  });
});

test("a store that is bound to a channel surrounds host code", async () => {
  const inside = new AsyncLocalStorage<string>();
  const { start } = tracingChannel<string, Message>("poundlock:write");
  start.bindStore(inside, ({ step }) => `in ${step.kind}`);
  const seen: (string | undefined)[] = [];
  const sink = scriptedImport<number>(async () => {
    await Promise.resolve();
    seen.push(inside.getStore());
  });
  const harness = new Harness({ exports, imports: { sink }, options: { tracing: diagnosticsChannel() } });

  await harness.move();
  start.unbindStore(inside);

  expect(seen).toEqual(["in write"]);
});

test("without subscribers the work is all that is done", async () => {
  const result = Promise.resolve({ outcome: "end" } as const);
  const { run } = { run: undefined as never };

  expect(diagnosticsChannel().around({ kind: "read", run, page: 1 }, () => result)).toBe(result);
});
