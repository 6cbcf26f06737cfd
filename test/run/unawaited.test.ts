import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Export, StandardSchemaV1 } from "../../src/index.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { Harness } from "../support/harness.ts";

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
let others: NodeJS.UnhandledRejectionListener[] = [];

beforeEach(() => {
  unhandled.length = 0;
  others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", note);
});

afterEach(() => {
  process.removeAllListeners("unhandledRejection");
  for (const listener of others) process.on("unhandledRejection", listener);
});

const late = async (): Promise<never> => {
  await Promise.resolve();
  throw new Error("late");
};

const asynchronous = { "~standard": { version: 1, vendor: "test", validate: late } } as StandardSchemaV1<number>;

async function move(from: object, into: object) {
  const source = { ...arrayExport([1, 2], { key: String }), ...from } as Export<number>;
  const harness = new Harness({
    exports: { from: source },
    imports: { into: { ...collectingImport<number>(), ...into } },
  });
  const run = await harness.move();
  const failures = await harness.failures();
  await new Promise((resolve) => setImmediate(resolve));
  return { run, failures };
}

const dies = { idempotent: false, write: async () => Promise.reject(new Error("may have been written")) };

describe("a promise that is not awaited breaks a contract, and ends no process when it is rejected:", () => {
  test.each<[what: string, from: object, into: object, message: RegExp]>([
    ["results of write", {}, { write: async ([one]: number[]) => [one, late()] }, /result/],
    ["only results of write", {}, { write: async (all: number[]) => all.map(late) }, /Promise\.all.* 0$/],
    ["too many results of write", {}, { write: async () => [late(), late(), late()] }, /3 results for 2 records/],
    [
      "results of find",
      {},
      { ...dies, find: async (all: number[]) => all.map(late) },
      /find returned .*Promise\.all.* 0$/,
    ],
    ["too few results of find", {}, { ...dies, find: async () => [late()] }, /find returned an array of 1/],
    ["what filter returns", {}, { filter: late }, /filter returned a promise/],
    ["what map returns", {}, { map: late }, /map returned a promise/],
    ["what an import's schema returns", {}, { schema: asynchronous }, /validates asynchronously/],
    ["pages", { pages: late }, {}, /async iterable, as async \*pages\(\) does, but a Promise/],
    ["records", { pages: () => pageOf({ records: [late(), late()] }) }, {}, /promises of them/],
    ["the array of records", { pages: () => pageOf({ records: late() }) }, {}, /found a Promise/],
    ["a page that is an array", { pages: () => pageOf([late()]) }, {}, /promises of them/],
  ])("%s", async (_, from, into, message) => {
    const { run } = await move(from, into);

    expect(run).toMatchObject({ status: "failed", numSuccess: 0, error: { code: "contract_violation" } });
    expect(run.error?.message).toMatch(message);
    expect(unhandled).toEqual([]);
  });
});

async function* pageOf(page: unknown) {
  await Promise.resolve();
  yield page;
}

test.each([0, 1, 2])(
  "a promise at place %s of a page is a failure of its own, and the others are written",
  async (at) => {
    const written: unknown[] = [];
    const write = async (batch: readonly unknown[]) => void written.push(...batch);
    const pages = () => pageOf([1, 2].toSpliced(at, 0, late() as never));
    const { run, failures } = await move({ pages, key: undefined }, { write });

    expect(run).toMatchObject({ status: "completed", numSuccess: 2, numError: 1 });
    expect(written).toEqual([1, 2]);
    expect(failures).toMatchObject([{ fault: "reject", unstorable: true }]);
    expect(failures[0]?.message).toContain(`page 1, record ${at}: expected a record, found a promise`);
    expect(unhandled).toEqual([]);
  },
);

test("a promise in the place of what is no record ends no process", async () => {
  const page = { records: [1], unreadable: [{ raw: late(), error: new Error("line 2") }] };
  const { run } = await move({ pages: () => pageOf(page) }, {});

  expect(run).toMatchObject({ numSuccess: 1, numError: 1 });
  expect(unhandled).toEqual([]);
});

describe("a promise that an export returns for a record is that record's failure, and ends no process:", () => {
  test.each<[what: string, from: object]>([
    ["key", { key: late }],
    ["version", { version: late }],
    ["schema", { schema: asynchronous }],
  ])("%s", async (_, from) => {
    const { run, failures } = await move(from, {});

    expect(run).toMatchObject({ status: "completed", numSuccess: 0, numError: 2 });
    expect(failures).toHaveLength(2);
    expect(unhandled).toEqual([]);
  });
});
