import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { type StatementSets, Batching, type StatementsOfMany } from "../../../src/storage/postgres/batching.ts";
import { JoinedReads } from "../../../src/storage/postgres/joined-reads.ts";
import { type SqlValue, type Transaction, execute, rowOf, statement } from "../../../src/storage/sql/database.ts";
import { lockFlow, lockFlowOfRun, lockFlows } from "../../../src/storage/sql/locks.ts";

/** What a database would be asked. A flow of a run is what stands before the dash of the run's id. */
function fakeDatabase(deleted: readonly string[] = [], purged: readonly string[] = []) {
  const asked: string[] = [];
  let refuses: string | undefined;
  const locked: string[][] = [];
  const answer = (sql: string, values: readonly SqlValue[]): readonly unknown[] => {
    if (sql.includes("as own")) {
      const flow = String(values[0]).split("-")[0] ?? "";
      return deleted.includes(flow) ? [] : [{ id: flow, own: flow }];
    }
    return sql.includes("where id in") ? values.map((id) => ({ id })) : [{ found: values[0] }];
  };
  const putOff: StatementSets[] = [];
  const statements: StatementsOfMany = {
    async ask(all) {
      asked.push(...[...putOff.splice(0), ...all].map(({ sets, sql }) => `${sets.length} × ${sql}`), "—");
      return all.map(({ sql, sets }) => {
        if (sets.some(([value]) => value === refuses)) throw new Error("refused");
        return sets.map((values) => answer(sql, values));
      });
    },
    putOff: (change) => void putOff.push(change),
    lockFlows(_flowIds, needed) {
      locked.push([..._flowIds]);
      if (needed.some((id) => purged.includes(id))) throw new Error("a flow is gone");
    },
  };
  const aloneOnes: string[] = [];
  const batching = new Batching({
    clock: systemClock,
    async alone<T>(transaction: Transaction<T>) {
      const body = transaction();
      let step = body.next([]);
      aloneOnes.push(String(step.done === true ? "" : step.value.values[0]));
      while (step.done !== true) {
        const { sql, values } = step.value;
        if (values[0] === refuses) throw new Error("refused");
        step = body.next(answer(sql, values));
      }
      return step.value;
    },
    together: (work) => work(statements),
    mayBeDone: () => false,
  });
  return { batching, asked, putOff, locked, aloneOnes, refuse: (value: string) => (refuses = value) };
}

/** Locks the flow, and looks twice. */
const looking = (flow: string): Transaction<unknown> =>
  function* () {
    yield* lockFlow(flow);
    const row = yield* rowOf<{ found: string }>("select ? as found", `first of ${flow}`);
    yield* rowOf("select ? as again", `second of ${flow}`);
    return row?.found;
  };

const ofRun = (run: string): Transaction<unknown> =>
  function* () {
    yield* lockFlowOfRun(run);
    return (yield* rowOf<{ found: string }>("select ? as found", run))?.found;
  };

const all = (batching: Batching, transactions: readonly Transaction<unknown>[]) =>
  Promise.all(transactions.map((one) => batching.run(one)));

describe("transactions that lock a flow first", () => {
  test("are executed together, each statement once for all", async () => {
    const { asked, batching, locked, aloneOnes } = fakeDatabase();

    const values = await all(batching, ["a", "b", "c"].map(looking));

    expect(values).toEqual(["first of a", "first of b", "first of c"]);
    expect(asked).toEqual(["3 × select ? as found", "—", "3 × select ? as again", "—"]);
    expect(locked).toEqual([["a", "b", "c"]]);
    expect(aloneOnes).toEqual([]);
  });

  test("of one flow are executed one after the other, under one lock of it", async () => {
    const { asked, batching, locked, aloneOnes } = fakeDatabase();

    const values = await all(batching, ["a", "b", "a", "a"].map(looking));

    expect(values).toEqual(["a", "b", "a", "a"].map((flow) => `first of ${flow}`));
    expect(locked).toEqual([["a", "b"]]);
    expect(asked).toEqual([
      ...["2 × select ? as found", "—", "2 × select ? as again", "—"],
      ...["1 × select ? as found", "—", "1 × select ? as again", "—"],
      ...["1 × select ? as found", "—", "1 × select ? as again", "—"],
    ]);
    expect(aloneOnes).toEqual([]);
  });

  test("of one flow wait for the next transaction from the 51st on, and from the first on that locks otherwise", async () => {
    const { batching, locked, aloneOnes } = fakeDatabase();
    const both: Transaction<unknown> = function* () {
      yield* lockFlows(["a", "b"]);
      return (yield* rowOf<{ found: string }>("select ? as found", "both"))?.found;
    };

    const values = await all(batching, [...Array.from({ length: 60 }, () => looking("a")), both, looking("a"), looking("a")]); // prettier-ignore

    expect(values.slice(58)).toEqual(["first of a", "first of a", "both", "first of a", "first of a"]);
    expect(locked).toEqual([["a"], ["a"], ["a", "b"], ["a"]]);
    expect(aloneOnes).toEqual([]);
  });

  test("of one flow are executed alone in their order if one of them fails, which fails alone", async () => {
    const { batching, aloneOnes, refuse } = fakeDatabase();
    const order: string[] = [];
    const named = (name: string): Transaction<unknown> =>
      function* () {
        yield* lockFlow("a");
        yield* rowOf("select ? as found", name);
        order.push(name);
      };
    refuse("two");

    const settled = await Promise.allSettled(["one", "two", "three"].map((name) => batching.run(named(name))));

    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    // Once together, and then alone.
    expect(order).toEqual(["one", "one", "three"]);
    expect(aloneOnes).toEqual(["a", "a", "a"]);
  });

  test("of one flow by its runs are executed one after the other", async () => {
    const { batching, locked, aloneOnes } = fakeDatabase();

    const values = await all(batching, [looking("b"), ofRun("a-1"), ofRun("a-2")]);

    expect(values).toEqual(["first of b", "a-1", "a-2"]);
    expect(locked).toEqual([["b", "a"], ["a"]]);
    expect(aloneOnes).toEqual([]);
  });

  test("of one flow, 100,000 of them, are executed in their order", async () => {
    const { batching } = fakeDatabase();
    const order: number[] = [];
    const numbered = (number: number): Transaction<unknown> =>
      function* () {
        yield* lockFlow("a");
        yield* rowOf("select ? as found", number);
        order.push(number);
      };

    await all(
      batching,
      Array.from({ length: 100_000 }, (_, index) => numbered(index)),
    );

    expect(order).toEqual(Array.from({ length: 100_000 }, (_, index) => index));
  });

  test("are executed by 50, and the rest after them or beside them", async () => {
    const { asked, batching } = fakeDatabase();

    const values = await all(
      batching,
      Array.from({ length: 120 }, (_, index) => looking(`flow ${index}`)),
    );

    expect(new Set(values).size).toBe(120);
    expect(asked.filter((text) => text.endsWith("found"))).toEqual(
      [50, 50, 20].map((size) => `${size} × select ? as found`),
    );
  });

  test("are executed alone if one of them fails, which fails alone", async () => {
    const { batching, aloneOnes, refuse } = fakeDatabase();
    refuse("first of b");

    const settled = await Promise.allSettled(["a", "b", "c"].map((flow) => batching.run(looking(flow))));

    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(aloneOnes).toEqual(["a", "b", "c"]);
  });

  test("are executed alone if what they would lock cannot be looked up without locking it", async () => {
    const { asked, batching, aloneOnes } = fakeDatabase();
    const sharing = (flow: string): Transaction<unknown> =>
      function* () {
        yield { ...statement("select id from poundlock_flows where id = ? for share", flow), locks: "flows" };
        return flow;
      };

    const values = await all(batching, ["a", "b"].map(sharing));

    expect(values).toEqual(["a", "b"]);
    expect(asked).toEqual([]);
    expect(aloneOnes).toEqual(["a", "b"]);
  });

  test("wait for no change: it goes with what is asked next, or at the end, and those of all are one", async () => {
    const { asked, batching, putOff } = fakeDatabase();
    const changing = (flow: string, changes: number): Transaction<unknown> =>
      function* () {
        yield* lockFlow(flow);
        for (let nth = 0; nth < changes; nth++) yield* execute("update flows set at = ?", nth);
        const row = yield* rowOf<{ found: string }>("select ? as found", flow);
        yield* execute("update runs set at = ?", flow);
        return row?.found;
      };

    const values = await all(batching, [changing("a", 2), changing("b", 1), changing("c", 0)]);

    expect(values).toEqual(["a", "b", "c"]);
    expect(asked).toEqual(["2 × update flows set at = ?", "1 × update flows set at = ?", "3 × select ? as found", "—"]);
    expect(putOff.map(({ sets, sql }) => `${sets.length} × ${sql}`)).toEqual(["3 × update runs set at = ?"]);
  });

  test("are executed alone if a flow that one of them found is not there any more when it is locked", async () => {
    const { batching, aloneOnes } = fakeDatabase([], ["gone"]);

    const values = await all(batching, [looking("a"), ofRun("gone-1")]);

    expect(values).toEqual(["first of a", "gone-1"]);
    expect(aloneOnes).toEqual(["a", "gone-1"]);
  });

  test("are executed alone if one of them has to lock more than at first", async () => {
    const { batching, aloneOnes } = fakeDatabase(["gone"]);

    const values = await all(batching, [looking("a"), ofRun("gone-1")]);

    expect(values).toEqual(["first of a", "gone-1"]);
    expect(aloneOnes).toEqual(["a", "gone-1"]);
  });
});

test("a transaction that locks nothing first is executed alone", async () => {
  const { asked, batching, aloneOnes } = fakeDatabase();
  const transaction: Transaction<unknown> = function* () {
    return yield* rowOf("select ? as found", "x");
  };

  await all(batching, [transaction, transaction]);

  expect(asked).toEqual([]);
  expect(aloneOnes).toEqual(["x", "x"]);
});

describe("queries of one turn", () => {
  const reading = (refuses?: string) => {
    const asked: string[] = [];
    const reads = new JoinedReads(systemClock, async (sql, sets) => {
      asked.push(`${sets.length} × ${sql}`);
      if (sets.some(([value]) => value === refuses)) throw new Error("refused");
      return sets.map(([value]) => [{ value }]);
    });
    const read = (sql: string, value: string) => reads.read(statement(sql, value));
    return { asked, read };
  };

  test("that are the same but for their values are joined, by 50", async () => {
    const { asked, read } = reading();

    const one = read("select other", "z");
    const rows = await Promise.all(Array.from({ length: 60 }, (_, index) => read("select ?", String(index))));

    expect(rows).toEqual(Array.from({ length: 60 }, (_, index) => [{ value: String(index) }]));
    expect(await one).toEqual([{ value: "z" }]);
    expect(asked).toEqual(["1 × select other", "50 × select ?", "10 × select ?"]);
  });

  test("have their own results if they fail together", async () => {
    const { read } = reading("b");

    const settled = await Promise.allSettled(["a", "b", "c"].map((value) => read("select ?", value)));

    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });
});
