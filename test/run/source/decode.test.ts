import { expect, test } from "vitest";
import { type Export, type Import, reject } from "../../../src/index.ts";
import type { Codec } from "../../../src/model/host/export.ts";
import { decodeRecords } from "../../../src/run/source/decode.ts";
import { collectingImport } from "../../../src/testing/index.ts";
import { Harness, minute } from "../../support/harness.ts";

interface Order {
  readonly id: number;
}

/** Does not decode the order 2 while `isBroken` says so. */
function codec(isBroken: () => boolean): Codec<Order> {
  return {
    encode: ({ id }) => ({ id }),
    decode: (value) => {
      const order = value as unknown as Order;
      if (order.id === 2 && isBroken()) throw new Error("no such currency");
      return order;
    },
  };
}

test("a record that arrived and is not decoded is a failure, and the others of the inbox are delivered", async () => {
  let isBroken = true;
  const from: Export<Order> = { listen: () => () => undefined, codec: codec(() => isBroken) };
  const sink = collectingImport<Order>();
  const harness = new Harness({ exports: { from }, imports: { sink } });
  await harness.scheduler.start();
  const flow = await harness.flow();

  await harness.scheduler.accept("from", [{ id: 1 }, { id: 2 }, { id: 3 }]);
  await harness.clock.advance(5 * minute);
  const runs = await harness.runs();
  const failures = await harness.failures();
  isBroken = false;
  await harness.end(await harness.scheduler.retryFailures(flow._id));

  expect(runs).toMatchObject([{ status: "completed", numSuccess: 2, numError: 1 }]);
  expect(failures).toMatchObject([{ record: { id: 2 }, fault: "reject" }]);
  expect(failures[0]?.message).toMatch(/codec does not decode the record: no such currency/);
  expect(sink.written).toEqual([{ id: 1 }, { id: 3 }, { id: 2 }]);
  expect(await harness.failures()).toEqual([]);
});

test("a failure that is not decoded stays one, and the others of its retry are delivered", async () => {
  let isDown = true;
  const written: Order[] = [];
  const sink: Import<Order> = {
    idempotent: true,
    async write(orders) {
      if (isDown) throw reject("422");
      written.push(...orders);
    },
  };
  const from: Export<Order> = {
    key: ({ id }) => String(id),
    async *pages() {
      yield [{ id: 1 }, { id: 2 }, { id: 3 }];
    },
    codec: codec(() => true),
  };
  const harness = new Harness({ exports: { from }, imports: { sink } });
  const { _flowId } = await harness.move();
  isDown = false;

  const run = await harness.end(await harness.scheduler.retryFailures(_flowId));

  expect(run).toMatchObject({ status: "completed", numSuccess: 2, numError: 1 });
  expect(written).toEqual([{ id: 1 }, { id: 3 }]);
  expect(await harness.failures()).toMatchObject([{ key: "2", record: { id: 2 }, occurrences: 2 }]);
});

test("decoded records are frozen, so that no import changes what another gets to see", async () => {
  const seen: unknown[] = [];
  const into = (change: boolean): Import<{ id: number }> => ({
    idempotent: true,
    async write(orders) {
      for (const order of orders) {
        if (change) expect(() => (order.id = 7)).toThrow(TypeError);
        seen.push({ ...order });
      }
    },
  });
  const from: Export<{ id: number }> = {
    listen: () => () => undefined,
    codec: { encode: ({ id }) => ({ id }), decode: (value) => ({ ...(value as unknown as { id: number }) }) },
  };
  const harness = new Harness({ exports: { from }, imports: { one: into(true), other: into(false) } });
  await harness.scheduler.start();
  await harness.flow();

  await harness.scheduler.accept("from", [{ id: 1 }]);
  await harness.clock.settle();

  expect(seen).toEqual([{ id: 1 }, { id: 1 }]);
});

test.each([true, false])(
  "what no codec is to read stays as it is, and nothing is frozen unless (%s) it is asked for",
  (freeze) => {
    const decoded: object[] = [];
    const decode = (value: unknown) => {
      decoded.push({ value });
      return decoded.at(-1);
    };

    const { records, problems } = decodeRecords(
      ["a", "b"],
      { encode: String, decode },
      { freeze, isDecoded: (at) => at === 1 },
    );

    expect(records).toEqual([{ value: "a" }, "b"]);
    expect([decoded.length, Object.isFrozen(records[0]), problems.size]).toEqual([1, freeze, 0]);
  },
);
