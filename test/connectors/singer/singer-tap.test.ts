import { mkdtempSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Export, ExportContext, Logger, Page } from "poundlock";
import { type SingerRecord, type TapOptions, singerTap } from "poundlock/connectors/singer";
import { ManualClock, exportCases } from "poundlock/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { errorOf, exportContext } from "../http/contexts.ts";

const script = fileURLToPath(new URL("tap.mjs", import.meta.url));

function tap(config: object = {}, more: Partial<TapOptions> = {}): Export<SingerRecord> {
  return singerTap({ command: process.execPath, args: [script], config, ...more });
}

function open(from: Export<SingerRecord>, given: Partial<ExportContext> = {}): AsyncIterable<Page<SingerRecord>> {
  const pages = from.pages?.(exportContext({ pageSize: from.pageSize ?? 100, ...given }));
  return (pages ?? expect.unreachable()) as AsyncIterable<Page<SingerRecord>>;
}

/** Pages until the end, or until the error. */
async function pagesOf(from: Export<SingerRecord>, given: Partial<ExportContext> = {}) {
  const pages: Page<SingerRecord>[] = [];
  let error: unknown;
  try {
    for await (const page of open(from, given)) pages.push(page);
  } catch (thrown) {
    error = thrown;
  }
  return { pages, error, ids: pages.flatMap(({ records }) => records.map(({ record }) => record.id)) };
}

describe("a tap", () => {
  const cases = exportCases(() => tap({}, { pageSize: 7 }), {
    abortWithinMs: 10_000,
    empty: () => tap({ count: 0 }),
    records: () =>
      Array.from({ length: 40 }, (_, id) => ({
        ...{ stream: "orders", record: { id, name: `ä ${id}` } },
        timeExtracted: "2030-01-01T00:00:00Z",
      })),
  });
  for (const { title, run } of cases) test(title, run);

  test("is known by its keys: the stream and its key properties", async () => {
    const keyOf = async (from: Export<SingerRecord>) => {
      const [page] = (await pagesOf(from)).pages;
      return from.key?.(page?.records[0] ?? expect.unreachable());
    };

    expect(await keyOf(tap({ count: 1 }))).toBe("orders/0");
    expect(await keyOf(tap({ count: 1, keys: ["name", "id"] }))).toBe('orders/["ä 0",0]');
    expect(await keyOf(tap({ count: 1, keys: [] }))).toMatch(/^orders\/[\w-]{43}$/);
  });

  test("has a checkpoint for each STATE, up to which its records are", async () => {
    const { pages } = await pagesOf(tap({ count: 45, every: 10 }, { pageSize: 1_000 }));

    let read = 0;
    for (const { checkpoint, records } of pages) {
      read += records.length;
      expect(checkpoint).toEqual({ orders: read });
    }
    expect(read).toBe(45);
  });

  test("is given the state that was committed, and reads on from there", async () => {
    expect((await pagesOf(tap(), { checkpoint: { orders: 38 } })).ids).toEqual([38, 39]);
  });

  test("has pages without a checkpoint where its states are rare", async () => {
    const { pages, ids } = await pagesOf(tap({ count: 30, every: 30 }, { pageSize: 8 }));

    expect(ids.length).toBe(30);
    expect(pages.filter(({ checkpoint }) => checkpoint === undefined).length).toBe(3);
    expect(pages.at(-1)?.checkpoint).toEqual({ orders: 30 });
  });

  test("that dies keeps what a STATE stands for, and says why it died", async () => {
    const { error, ids, pages } = await pagesOf(tap({ mode: "dies" }, { pageSize: 1_000 }));

    expect(ids).toEqual(Array.from({ length: 20 }, (_, id) => id));
    expect(pages.at(-1)?.checkpoint).toEqual({ orders: 20 });
    expect((error as Error).message).toBe("tap node ended with exit code 1: CRITICAL it broke");
  });

  test("whose credentials are wrong says so", async () => {
    const { error, ids } = await pagesOf(tap({ mode: "credentials" }));

    expect(ids).toEqual([]);
    expect((error as Error).message).toBe("tap node ended with exit code 1: INFO starting | CRITICAL bad credentials");
  });

  test("that is not there says so", async () => {
    const { error } = await pagesOf(singerTap({ command: "tap-that-is-not-there" }));

    expect((error as Error).message).toBe("tap tap-that-is-not-there could not be started: ENOENT");
  });

  test("that writes what is no message makes a failure of it, and goes on", async () => {
    const { ids, pages } = await pagesOf(tap({ mode: "dirty" }));

    expect(ids.length).toBe(40);
    expect(pages.flatMap(({ unreadable = [] }) => unreadable.map(({ raw }) => raw))).toEqual(["Loading orders ..."]);
  });

  test.each<[mode: string, message: string]>([
    ["batch", "tap node sends batches as files: turn its batch_config off"],
    ["long", "tap node wrote a line of more than maxLineBytes, 4000"],
  ])("ends with an error: %s", async (mode, message) => {
    const { error } = await pagesOf(tap({ mode }, { maxLineBytes: 4_000 }));

    expect((error as Error).message).toBe(message);
  });

  test("that does not heed SIGTERM is killed after graceMs", async () => {
    const clock = new ManualClock();
    const abort = new AbortController();
    const from = tap({ mode: "stubborn" }, { clock, graceMs: 5_000 });
    const reading = open(from, { signal: abort.signal, pageSize: 10 })[Symbol.asyncIterator]();
    await reading.next();

    abort.abort(new Error("the run was canceled"));
    let isOver = false;
    const rest = errorOf(
      (async () => {
        while ((await reading.next()).done !== true);
      })(),
    ).finally(() => (isOver = true));
    while (clock.timers === 0) await clock.settle();
    await clock.advance(4_999);
    expect(isOver).toBe(false);
    await clock.advance(1);

    expect((await rest).message).toBe("the run was canceled");
  });
});

describe("a tap is given", () => {
  const reported = async (config: object, more: Partial<TapOptions> = {}) => {
    const lines: string[] = [];
    const line = (fields: object) => void lines.push(...((fields as { lines?: string[] }).lines ?? []));
    const log: Logger = { debug: line, info: line, warn: line, error: line };
    await pagesOf(tap(config, more), { log });
    return lines.join("\n");
  };

  test("no environment but PATH and LANG and what is given, and its folder", async () => {
    vi.stubEnv("POUNDLOCK_TEST_SECRET", "x");
    onTestFinished(() => void vi.unstubAllEnvs());

    const names = await reported({ report: "environment" }, { env: { TAP_X: "1", NONE: undefined }, cwd: tmpdir() });

    expect(names).toMatch(/^(?:LANG,)?PATH,TAP_X(?:,__\w+)? in /);
  });

  test("a catalog", async () => {
    const catalog = { streams: [{ tap_stream_id: "orders" }] };

    expect(await reported({ report: "catalog" }, { catalog })).toBe(JSON.stringify(catalog));
  });

  test("a configuration that may be a function, whose secrets are in no line of the log", async () => {
    const secrets = { api_token: "s3cret-t0ken", nested: { password: ["passw0rd"] } };

    const lines = await reported({}, { config: async () => ({ report: "config", ...secrets }) });

    expect(lines).toContain('"api_token":"***"');
    expect(lines).not.toMatch(/s3cret-t0ken|passw0rd/);
  });

  test("files that are gone when it has ended, however it ended", async () => {
    const folder = mkdtempSync(join(tmpdir(), "poundlock-tap-"));
    vi.stubEnv("TMPDIR", folder);
    onTestFinished(async () => {
      vi.unstubAllEnvs();
      await rm(folder, { recursive: true });
    });

    await pagesOf(tap({ api_token: "x" }));
    await pagesOf(tap({ mode: "dies" }));
    await pagesOf(singerTap({ command: "tap-that-is-not-there", config: {} }));

    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("singerTap refuses", () => {
  test.each<[options: object, message: string]>([
    [{}, "singerTap.command: expected a string, found undefined"],
    [{ command: "" }, 'singerTap.command: expected a command, found ""'],
    [{ command: "a", config: "b" }, "singerTap.config: expected an object, or a function that returns one"],
    [{ command: "a", pageSize: 0 }, "singerTap.pageSize: expected a whole number, 1 or more, found 0"],
    [{ command: "a", arg: [] }, 'did you mean "args"?'],
  ])("%j", (options, message) => {
    expect(() => singerTap(options as TapOptions)).toThrow(message);
  });
});

describe("messages of taps that go their own way", () => {
  /** A tap that writes these lines and ends with this exit code. */
  const lines = (all: readonly unknown[], code = 0, more: Partial<TapOptions> = {}) => {
    const text = all.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
    const program = `process.stdout.write(${JSON.stringify(text)}, () => process.exit(${code}))`;
    return singerTap({ command: process.execPath, args: ["-e", program, "--"], ...more });
  };
  const record = { type: "RECORD", stream: "orders", record: { id: 1 } };

  test("a record before any schema is known by its content, with or without a time", async () => {
    const from = lines([record, { ...record, time_extracted: "2030-01-01T00:00:00Z" }]);

    const { pages } = await pagesOf(from);

    expect(pages.flatMap(({ records }) => records)).toEqual([
      { stream: "orders", record: { id: 1 } },
      { stream: "orders", record: { id: 1 }, timeExtracted: "2030-01-01T00:00:00Z" },
    ]);
    expect(from.key?.(pages[0]?.records[0] ?? expect.unreachable())).toMatch(/^orders\/[\w-]{43}$/);
  });

  test("a schema without a stream, or with key properties that are no names, makes no key", async () => {
    const schema = { type: "SCHEMA", schema: {} };
    const from = lines([schema, { ...schema, stream: "orders", key_properties: "id" }, record]);

    const [page] = (await pagesOf(from)).pages;

    expect(from.key?.(page?.records[0] ?? expect.unreachable())).toMatch(/^orders\/[\w-]{43}$/);
  });

  test.each([
    ["without a type", { stream: "orders" }, "it has no type"],
    ["that is no object", "7", "it has no type"],
    ["of a record without a stream", { type: "RECORD", record: {} }, "has no stream, or no record"],
    ["of a record that is none", { type: "RECORD", stream: "orders", record: null }, "has no stream, or no record"],
  ])("a message %s is a failure, and the others are read", async (_title, message, words) => {
    const { ids, pages } = await pagesOf(lines([message, record]));

    expect(ids).toEqual([1]);
    expect(pages.flatMap(({ unreadable = [] }) => unreadable.map(({ error }) => String(error)))).toEqual([
      expect.stringContaining(words),
    ]);
  });

  test("a state that is no object ends the reading, and says so", async () => {
    const { error } = await pagesOf(lines([record, { type: "STATE", value: 7 }]));

    expect((error as Error).message).toContain("sent a STATE that is no object, but 7");
  });

  test("records that no state stands for are read only if the tap ended well", async () => {
    const state = { type: "STATE", value: { orders: 1 } };

    expect((await pagesOf(lines([record, state, record]))).ids).toEqual([1, 1]);
    expect((await pagesOf(lines([record, state, record], 3))).ids).toEqual([1]);
  });

  test("a time limit of its own is the export's", () => {
    expect(lines([], 0, { readTimeoutMs: 7 }).readTimeoutMs).toBe(7);
  });
});
