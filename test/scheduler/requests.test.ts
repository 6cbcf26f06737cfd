import { describe, expect, test } from "vitest";
import { InvalidRequestError } from "../../src/index.ts";
import { mostCheckpoint, readJson, readRunOptions } from "../../src/scheduler/requests.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { Harness } from "../support/harness.ts";

/** A string whose JSON has so many bytes; `letter` has two of them in UTF-8, or one. */
function textOf(bytes: number, letter: "x" | "ß" = "x"): string {
  return letter.repeat((bytes - 2) / Buffer.byteLength(letter));
}

const kilobytes64 = 65_536;

describe("the parameters of a run", () => {
  test.each(["x", "ß"] as const)("may have 64 KB of JSON, of %s, and no more", (letter) => {
    expect(readRunOptions({ parameters: textOf(kilobytes64, letter) })).toEqual({
      parameters: textOf(kilobytes64, letter),
    });

    expect(() => readRunOptions({ parameters: textOf(kilobytes64 + 2, letter) })).toThrow(
      expect.objectContaining({
        code: "invalid_request",
        field: "parameters",
        message: expect.stringContaining("expected JSON of at most 64 KB (this has 65538 bytes)") as string,
      }) as InvalidRequestError,
    );
  });

  test("may be as many small values as fit into 64 KB", () => {
    const digits = Array.from({ length: 32_767 }, () => 1);

    expect(JSON.stringify(digits)).toHaveLength(65_535);
    expect(readRunOptions({ parameters: digits })).toEqual({ parameters: digits });
    expect(() => readRunOptions({ parameters: [...digits, 1] })).toThrow("at most 64 KB");
  });

  test("that are far too long are refused before they are copied", () => {
    let reads = 0;
    const counted = new Proxy(
      Array.from({ length: 1_000_000 }, (_, index) => index),
      {
        get(target, name) {
          if (typeof name === "string" && /^\d+$/.test(name)) reads++;
          return Reflect.get(target, name) as unknown;
        },
      },
    );

    expect(() => readRunOptions({ parameters: counted })).toThrow("expected JSON of at most 64 KB");
    expect(reads).toBeLessThanOrEqual(1_000_000);
  });

  test("that are no JSON are refused as that", () => {
    const cycle: Record<string, never> = {};
    Object.assign(cycle, { cycle });

    expect(() => readRunOptions({ parameters: cycle })).toThrow("JSON (parameters.cycle contains itself)");
  });
});

test("a checkpoint that is set by hand may have 16 MB of JSON, and no more", () => {
  const most = textOf(mostCheckpoint);

  expect(readJson("checkpoint", most, mostCheckpoint)).toBe(most);
  expect(() => readJson("checkpoint", `${most}x`, mostCheckpoint)).toThrow(
    "JSON of at most 16 MB (this has 16777217 bytes)",
  );
});

test("10,000 failures may be chosen for a retry, and no more", async () => {
  const harness = new Harness({ exports: { from: arrayExport([1]) }, imports: { sink: collectingImport<number>() } });
  const { _id } = await harness.flow();
  const ids = (size: number) => ({ _ids: Array.from({ length: size }, (_, index) => `f${index}`) });

  await expect(harness.scheduler.retryFailures(_id, ids(10_000))).rejects.toMatchObject({ code: "not_found" });
  await expect(harness.scheduler.retryFailures(_id, ids(10_001))).rejects.toMatchObject({
    code: "invalid_request",
    field: "_ids",
  });
});

describe("what is asked with a name that nobody knows is refused, as all would be meant without it", () => {
  const harness = () =>
    new Harness({ exports: { from: arrayExport([1]) }, imports: { sink: collectingImport<number>() } });
  type Ask = (scheduler: Harness["scheduler"], _flowId: string) => Promise<unknown>;

  test.each<[what: string, hint: RegExp, ask: Ask]>([
    ["run", /limit/, (scheduler, _id) => scheduler.run(_id, { limt: 5 } as never)],
    ["retryFailures", /_runId/, (scheduler, _id) => scheduler.retryFailures(_id, { _runID: "x" } as never)],
    ["setCheckpoint", /_importId/, (scheduler, _id) => scheduler.setCheckpoint(_id, 1, { _importID: "sink" } as never)],
    ["getCheckpoint", /_importId/, (scheduler, _id) => scheduler.getCheckpoint(_id, { importId: "sink" } as never)],
    ["dropInbox", /_importId/, (scheduler, _id) => scheduler.dropInbox(_id, [], { _importids: "sink" } as never)],
    ["cancel", /discard/, (scheduler, _id) => scheduler.cancel(_id, { discrad: true } as never)],
  ])("%s", async (_, hint, ask) => {
    const one = harness();
    const { _id } = await one.flow();

    await expect(ask(one.scheduler, _id)).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringMatching(hint) as string,
    });
  });

  test.each<[what: string, ask: Ask]>([
    ["an id that is missing", (scheduler, _id) => scheduler.retryFailures(_id, { _ids: [undefined as never] })],
    ["ids that are no array", (scheduler, _id) => scheduler.retryFailures(_id, { _ids: "x" as never })],
    ["options that are null", (scheduler, _id) => scheduler.run(_id, null as never)],
    ["a selection that is a string", (scheduler, _id) => scheduler.retryFailures(_id, "x" as never)],
  ])("%s", async (_, ask) => {
    const one = harness();
    const { _id } = await one.flow();

    await expect(ask(one.scheduler, _id)).rejects.toMatchObject({ code: "invalid_request" });
  });

  test.each<[what: string, ask: (scheduler: Harness["scheduler"], _flowId: string, missed: never) => Promise<unknown>]>(
    [
      ["resume", (scheduler, _id, missed) => scheduler.resume(_id, missed)],
      ["setCheckpoint", (scheduler, _id, missed) => scheduler.setCheckpoint(_id, 1, { _importId: missed })],
      ["retryFailures, an import", (scheduler, _id, missed) => scheduler.retryFailures(_id, { _importId: missed })],
      ["retryFailures, a failure", (scheduler, _id, missed) => scheduler.retryFailures(_id, { _ids: [missed] })],
    ],
  )("%s of an id that was not awaited says so", async (_, ask) => {
    const one = harness();
    const { _id } = await one.flow();

    await expect(ask(one.scheduler, _id, Promise.resolve("sink") as never)).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("await it") as string,
    });
  });
});
