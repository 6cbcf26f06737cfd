import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ImportMembers } from "../../../src/model/host/import.ts";
import { type SingerImport, type SingerRecord, type TargetOptions, singerTarget } from "poundlock/connectors/singer";
import { importCases } from "poundlock/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { errorOf, fateOf, importContext } from "../http/contexts.ts";

const script = fileURLToPath(new URL("target.mjs", import.meta.url));
const paths = new WeakMap<object, string>();

function target(mode = "plain", more: Partial<TargetOptions> = {}): SingerImport {
  const folder = mkdtempSync(join(tmpdir(), "poundlock-target-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "kept.json");
  const keyProperties = ["id"];
  const into = singerTarget({
    ...{ command: process.execPath, args: [script], config: { path, mode }, idempotent: true },
    streams: { orders: { schema: { type: "object" }, keyProperties }, lines: { schema: {}, keyProperties } },
    ...more,
  });
  paths.set(into, path);
  return into;
}

const pathOf = (into: object) => paths.get(into) ?? expect.unreachable();
const order = (id: number): SingerRecord => ({ stream: "orders", record: { id, name: `ä ${id}` } });
const next = (into: object, mode: string) => writeFileSync(`${pathOf(into)}.next`, mode);

function kept(into: object): object {
  return existsSync(pathOf(into)) ? (JSON.parse(readFileSync(pathOf(into), "utf8")) as object) : {};
}

describe("a target", () => {
  const cases = importCases(() => target() as ImportMembers<SingerRecord>, {
    record: order,
    poison: (nth) => ({ stream: "nowhere", record: { id: nth } }),
    read: kept,
    abortWithinMs: 10_000,
    goDown: (into) => next(into, "down"),
    loseResponse: (into) => next(into, "loses"),
    stall: (into) => next(into, "stall"),
  });
  for (const { title, run } of cases)
    // This one reads its whole file and writes it again, so two of its processes at once lose what the other wrote.
    if (title === "batches that are written at once are all written")
      test.skip(`${title}: the target has one file`, run);
    else test(title, run);

  test("gets the schema of each stream, its records, and a state", async () => {
    const into = target();

    await into.write([order(1), { stream: "lines", record: { id: 2 } }, order(3)], importContext(3));

    expect(Object.keys(kept(into)).sort()).toEqual(["lines/2", "orders/1", "orders/3"]);
  });

  test("that ends well without sending the state back has an unknown outcome", async () => {
    const error = await errorOf(target("loses").write([order(1)], importContext(1)));

    expect(error.message).toBe("target node ended without sending the state back, so what it has written is not known");
    expect(await fateOf(Promise.reject(error))).toBe("error");
  });

  test("that fails has an unknown outcome, and says why", async () => {
    const error = await errorOf(target("fails").write([order(1)], importContext(1)));

    expect(error.message).toBe("target node ended with exit code 1: CRITICAL the disk is full");
    expect(await fateOf(Promise.reject(error))).toBe("error");
  });

  test("that is not there stops the import", async () => {
    const into = target("plain", { command: "target-that-is-not-there" });

    expect(await fateOf(into.write([order(1)], importContext(1)))).toBe("stop");
  });

  test("is not started, and nothing is written, if the run was canceled before", async () => {
    const abort = new AbortController();
    abort.abort(new Error("the run was canceled"));

    expect(await fateOf(target().write([order(1)], importContext(1, { signal: abort.signal })))).toBe("retryLater");
  });

  test("is given a large page piece by piece", async () => {
    const into = target();
    const records = Array.from({ length: 20_000 }, (_, id) => order(id));

    expect(await into.write(records, importContext(0))).toHaveLength(20_000);
    expect(Object.keys(kept(into)).length).toBe(20_000);
  });
});

describe("singerTarget refuses", () => {
  const good = { command: "target-x", streams: {}, idempotent: true };

  test.each<[options: object, message: string]>([
    [{ ...good, streams: undefined }, "singerTarget.streams: expected schemas by the names of their streams"],
    [{ ...good, idempotent: undefined }, "singerTarget.idempotent: expected true or false, found undefined"],
    [{ ...good, batchsize: 1 }, 'did you mean "batchSize"?'],
  ])("%j", (options, message) => {
    expect(() => singerTarget(options as TargetOptions)).toThrow(message);
  });
});

describe("a target that goes its own way", () => {
  const program = (code: string, more: Partial<TargetOptions> = {}) =>
    singerTarget({ command: process.execPath, args: ["-e", code, "--"], idempotent: true, streams: { orders: { schema: {} } }, ...more }); // prettier-ignore
  const echoing = 'process.stdin.on("data", (data) => process.stdout.write(String(data).split("\\n").filter((line) => line.includes("STATE")).map((line) => JSON.stringify(JSON.parse(line).value)).join("") + END))'; // prettier-ignore

  test.each(['""', '"\\n"', '"\\n\\n  \\n"'])("has sent the state back, whatever blank follows it: %s", async (end) => {
    const into = program(`const END = ${end};${echoing}`, { batchSize: 2, writeTimeoutMs: 60_000 });

    expect(await into.write([order(1)], importContext(1))).toEqual([{ ok: true }]);
    expect([into.batchSize, into.writeTimeoutMs]).toEqual([2, 60_000]);
  });

  test("is not started for records of streams that it does not have", async () => {
    const into = program("process.exit(7)");

    expect(await into.write([{ stream: "lines", record: {} }], importContext(1))).toMatchObject([
      { ok: false, fault: "reject" },
    ]);
  });

  test("is not started once the run is aborted: nothing was written", async () => {
    const abort = new AbortController();
    abort.abort(new Error("canceled"));
    const into = program("process.exit(7)");

    expect(await fateOf(into.write([order(1)], importContext(1, { signal: abort.signal })))).toBe("retryLater");
  });
});
