import { describe, expect, test } from "vitest";
import { type Export, type Import, reject } from "../../../src/index.ts";
import { collectingImport } from "../../../src/testing/index.ts";
import { Harness } from "../../support/harness.ts";

const { proxy: revoked, revoke } = Proxy.revocable({}, {});
revoke();

const unreadable = new Proxy(new Error("inside"), {
  getPrototypeOf: () => {
    throw new Error("trap");
  },
});

const from: Export<number> = {
  key: String,
  async *pages() {
    yield [1, 2];
  },
};

const throwing = (error: unknown) => (record: number) => {
  if (record === 2) throw error;
  return record;
};

describe.each([
  ["a proxy that is revoked", revoked],
  ["a proxy whose prototype cannot be read", unreadable],
])("a record whose error is %s is a failure, and the page goes on", (_, error) => {
  test.each<[how: string, into: Partial<Import<number>>]>([
    ["thrown by map", { map: throwing(error) }],
    ["thrown by filter", { filter: (record) => throwing(error)(record) > 0 }],
    ["rejected with", { write: async ([one]) => Promise.reject(reject(one === 2 ? error : "")), batchSize: 1 }],
    ["of a result", { write: async (records) => records.map(() => ({ ok: false, fault: "reject", error })) }],
  ])("%s", async (__, into) => {
    const harness = new Harness({ exports: { from }, imports: { into: { ...collectingImport<number>(), ...into } } });

    const run = await harness.move();

    expect(run).toMatchObject({ status: "completed" });
    const failure = (await harness.failures()).find(({ key }) => key === "2");
    expect(failure).toMatchObject({ fault: "reject", record: 2, message: expect.stringMatching(/./) as string });
  });

  test("given by the export with what is no record", async () => {
    const odd: Export<number> = {
      async *pages() {
        yield { records: [1], unreadable: [{ raw: 2, error, key: "2" }] };
      },
    };
    const harness = new Harness({
      exports: { from: odd },
      imports: { into: collectingImport<number>() },
    });

    expect(await harness.move()).toMatchObject({ status: "completed", numSuccess: 1, numError: 1 });
  });
});
