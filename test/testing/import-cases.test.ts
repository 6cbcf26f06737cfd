import { describe, expect, test } from "vitest";
import { type Import, type ImportContext, type Result, reject, retryLater } from "../../src/index.ts";
import {
  type ImportCaseOptions,
  type MakeImport,
  type TestCases,
  collectingImport,
  importCases,
} from "../../src/testing/index.ts";

interface Order {
  readonly id: string;
  readonly total: number;
}

const orderAt = (nth: number): Order => ({ id: `order ${nth}`, total: nth });

/** What happens to the next call of an {@link Erp}. */
type Mood = { readonly is: "steady" | "down" | "deaf" | "mute" } | { readonly is: "busy"; readonly afterMs: number };

/** A destination with an API like many: one call upserts a list by key, all or nothing. */
class Erp {
  readonly rows = new Map<string, Order>();
  mood: Mood = { is: "steady" };

  async upsert(rows: readonly (readonly [string, Order])[], signal: AbortSignal): Promise<void> {
    const mood = this.mood;
    this.mood = { is: "steady" };
    if (mood.is === "down") throw new Error("ECONNREFUSED");
    if (mood.is === "busy") throw Object.assign(new Error("429"), { afterMs: mood.afterMs });
    if (mood.is === "deaf") await aborted(signal);
    if (rows.some(([, { total }]) => total < 0)) throw new Error("422");
    await Promise.resolve();
    for (const [key, row] of rows) this.rows.set(key, row);
    if (mood.is === "mute") throw new Error("ECONNRESET");
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, fail) => {
    signal.addEventListener("abort", () => fail(signal.reason as Error));
  });
}

const erps = new WeakMap<object, Erp>();

/** An import over an ERP of its own; good unless some part of it is changed. */
function ledger(change: (erp: Erp) => Partial<Import<Order>> = () => ({})): Import<Order> {
  const erp = new Erp();
  const into = { idempotent: true, write: (...call: Write) => good(erp, ...call), ...change(erp) };
  erps.set(into, erp);
  return into;
}

type Write = [records: readonly Order[], context: ImportContext];

// Errors of the whole call, in the words of a run.
async function good(erp: Erp, records: readonly Order[], { keys, signal }: ImportContext): Promise<void> {
  try {
    await erp.upsert(rowsOf(records, keys), signal);
  } catch (error) {
    throw classified(error);
  }
}

function rowsOf(records: readonly Order[], keys: readonly string[]): readonly (readonly [string, Order])[] {
  return records.map((record, index) => [keys[index] ?? "", record]);
}

function classified(error: unknown): unknown {
  const { message, afterMs } = error as { message: string; afterMs?: number };
  if (message === "422") return reject(error);
  if (message === "429") return retryLater(error, { afterMs: afterMs ?? 0 });
  return message === "ECONNREFUSED" ? retryLater(error) : error;
}

const contents = (into: object) =>
  [...(erps.get(into)?.rows.values() ?? [])].map(({ id, total }) => `${id}: ${total}`).sort();
const moody =
  (mood: (afterMs: number) => Mood) =>
  (into: object, afterMs = 0) => {
    const erp = erps.get(into);
    if (erp !== undefined) erp.mood = mood(afterMs);
  };

const plain: ImportCaseOptions<Order> = {
  record: orderAt,
  abortWithinMs: 100,
  read: contents,
  poison: (nth) => ({ id: `poison ${nth}`, total: -1 }),
};

const options: ImportCaseOptions<Order> = {
  ...plain,
  goDown: moody(() => ({ is: "down" })),
  throttle: moody((afterMs) => ({ is: "busy", afterMs })),
  loseResponse: moody(() => ({ is: "mute" })),
  stall: moody(() => ({ is: "deaf" })),
};

const writing = (write: (erp: Erp, ...call: Write) => Promise<void | readonly Result[]>) => () =>
  ledger((erp) => ({ write: (...call) => write(erp, ...call) }));

/** Writes what it does not remember, as an API does that is given idempotency keys. */
function remembering(marksOf: (context: ImportContext, records: readonly Order[]) => readonly string[]): Import<Order> {
  const known = new Set<string>();
  return ledger((erp) => ({
    async write(records, context) {
      const marks = marksOf(context, records);
      const isNew = (_: unknown, index: number) => !known.has(marks[index] ?? "");
      await good(erp, records.filter(isNew), { ...context, keys: context.keys.filter(isNew) });
      for (const mark of marks) known.add(mark);
    },
  }));
}

let serial = 0;
const never = new Promise<never>(() => undefined);

/** Title of a case that has to fail → an import that breaks this promise. */
const saboteurs: Readonly<Record<string, MakeImport<Order>>> = {
  "it has the parts that it is tested for": () =>
    ledger(() => ({ find: async (records) => records.map(() => undefined) })),

  "its filter, map and schema are synchronous, and let good records through": () =>
    ledger(() => ({ map: (async (order: Order) => Promise.resolve(order)) as unknown as (order: Order) => Order })),

  "it writes good records, one and several, and changes none of them": writing(async (erp, records, context) => {
    for (const record of records) Object.assign(record, { sent: true });
    await good(erp, records, context);
  }),

  "it returns nothing, or one result for each record": writing(async (erp, records, context) => {
    await good(erp, records, context);
    return records.slice(1).map(() => ({ ok: true }));
  }),

  "what is written in one batch is also written in several": writing(async (erp, records, { signal }) => {
    // Keys by the place in the batch.
    await erp.upsert(
      rowsOf(
        records,
        records.map((_, index) => String(index)),
      ),
      signal,
    );
  }),

  "batches that are written at once are all written": () => {
    let pending: readonly Order[] = [];
    return ledger((erp) => ({
      async write(records, context) {
        pending = records;
        await Promise.resolve();
        await good(erp, pending, context);
      },
    }));
  },

  "the same batch twice leaves the destination as it was": writing(async (erp, records, { signal }) => {
    await erp.upsert(
      rowsOf(
        records,
        records.map(() => String(serial++)),
      ),
      signal,
    );
  }),

  "a record sent again among new ones is written once": writing(async (erp, records, { keys, signal }) => {
    // Recognises a batch, and not a record.
    await erp.upsert(
      rowsOf(
        records,
        keys.map((key) => `${keys.join()} ${key}`),
      ),
      signal,
    );
  }),

  "the same keys in another run, attempt and order mean the same records": writing(
    async (erp, records, { keys, run, signal }) => {
      await erp.upsert(
        rowsOf(
          records,
          keys.map((key) => `${run._id} ${key}`),
        ),
        signal,
      );
    },
  ),

  "a record that has changed since it was written is written again, in the same run and in a later one": () =>
    remembering(({ keys }) => keys),

  "a record that can never be written is a reject, wherever it stands, and its neighbours are written": writing(
    async (erp, records, { keys, signal }) => {
      // What it returns is one place off.
      const results: Result[] = [];
      for (const [index, record] of records.entries())
        results.push(
          await erp.upsert([[keys[index] ?? "", record]], signal).then(
            () => ({ ok: true }),
            (error: unknown) => ({ ok: false, fault: "reject", error }),
          ),
        );
      return [...results.slice(1), ...results.slice(0, 1)];
    },
  ),

  "a record that can never be written leaves nothing in the destination": writing(async (erp, records, context) => {
    for (const record of records) if (record.total < 0) erp.rows.set(record.id, record);
    await good(erp, records, context);
  }),

  "while the destination is down nothing counts as written, and nothing as rejected": writing(
    async (erp, records, { keys, signal }) => {
      await erp.upsert(rowsOf(records, keys), signal).catch((error: unknown) => {
        throw reject(error);
      });
    },
  ),

  "after the destination was down another attempt writes everything, once": () => {
    let down = false;
    return ledger((erp) => ({
      async write(records, context) {
        if (down) return;
        await good(erp, records, context).catch((error: unknown) => {
          down = true;
          throw error;
        });
      },
    }));
  },

  "a destination that asks for patience is given the time it asks for": writing(
    async (erp, records, { keys, signal }) => {
      await erp.upsert(rowsOf(records, keys), signal).catch((error: unknown) => {
        throw retryLater(error);
      });
    },
  ),

  "when a response gets lost the outcome is unknown: neither a retry nor a reject, which mean that nothing was applied":
    writing(async (erp, records, { keys, signal }) => {
      await erp.upsert(rowsOf(records, keys), signal).catch((error: unknown) => {
        throw retryLater(error);
      });
    }),

  "after a response got lost another attempt leaves each record there once": writing(
    async (erp, records, { keys, attempt, signal }) => {
      await erp.upsert(
        rowsOf(
          records,
          keys.map((key) => `${attempt} ${key}`),
        ),
        signal,
      );
    },
  ),

  "an abort ends a write within its time": writing(() => never),

  "an abort ends a write that gets no response within its time, and it does not count as written": writing(
    async (erp, records, context) => good(erp, records, context).catch(() => undefined),
  ),

  "what an aborted write says of a record is so": writing(async (erp, records, { keys, signal }) => {
    await erp.upsert(rowsOf(records, keys), signal);
    if (signal.aborted) throw retryLater(signal.reason);
  }),
};

async function run(cases: TestCases, title: string): Promise<void> {
  const found = cases.find((each) => each.title === title);
  await (found ?? expect.fail(`there is no case ${title}`)).run();
}

/** Titles of the cases that fail. */
async function failuresOf(cases: TestCases): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const { title, run: check } of cases) await check().catch(() => failed.push(title));
  return failed;
}

const whereIsIt = "find returns for each record, in order, whether it is there";
const finding = (find: (erp: Erp, ...call: Write) => readonly unknown[]) => () =>
  ledger((erp) => ({ idempotent: false, find: async (...call: Write) => find(erp, ...call) }));

describe("importCases", () => {
  describe("pass an import that does all it should:", () => {
    for (const { title, run: check } of importCases(() => ledger(), options)) test(title, check);
  });

  describe("pass an import that writes record by record, in small batches, with filter, map and schema:", () => {
    const make: MakeImport<Order, Order> = () =>
      ledger((erp) => ({
        batchSize: 2,
        filter: ({ id }) => id !== "",
        map: ({ id, total }) => ({ id, total }),
        schema: {
          "~standard": {
            version: 1,
            vendor: "test",
            validate: (value) =>
              (value as Order).total < -1 ? { issues: [{ message: "too small" }] } : { value: value as Order },
          },
        },
        async write(records, { keys, signal }) {
          const results: Result[] = [];
          for (const [index, record] of records.entries())
            results.push(
              await erp.upsert([[keys[index] ?? "", record]], signal).then(
                () => ({ ok: true }),
                (error: unknown) => resultOf(classified(error)),
              ),
            );
          return results;
        },
      }));

    for (const { title, run: check } of importCases(make, { ...plain, batch: 5 })) test(title, check);
  });

  describe("pass a poison record that its schema refuses before it is sent:", () => {
    const make = () => ledger(() => ({ map: (order) => (order.total < 0 ? fail("below nothing") : order) }));

    for (const { title, run: check } of importCases(make, options)) test(title, check);
  });

  describe("pass collectingImport:", () => {
    const read = (into: Import<Order>) => [...(into as ReturnType<typeof collectingImport<Order>>).byKey].sort();

    for (const { title, run: check } of importCases(() => collectingImport<Order>(), { record: orderAt, read }))
      test(title, check);
  });

  describe("pass an import that is not idempotent and can be asked:", () => {
    const make = finding((erp, _, { keys }) => keys.map((key) => erp.rows.get(key)));

    for (const { title, run: check } of importCases(make, { ...options, idempotent: false, find: true }))
      test(title, check);
  });

  describe("pass an import that hands idempotency keys to an API that remembers them:", () => {
    const cases = importCases(() => remembering(({ idempotencyKeys }) => idempotencyKeys), options);

    for (const { title, run: check } of cases) test(title, check);
  });

  describe("pass an import that goes by an id in the record:", () => {
    const make = writing((erp, records, context) =>
      good(erp, records, { ...context, keys: records.map(({ id }) => id) }),
    );
    const changed = (nth: number) => ({ ...orderAt(nth), total: 100 });

    for (const { title, run: check } of importCases(make, options)) test(title, check);
    for (const { title, run: check } of importCases(make, { ...options, changed }))
      test(`${title}, also by \`changed\``, check);
  });

  const changedIsWritten =
    "a record that has changed since it was written is written again, in the same run and in a later one";

  test.each<[string, MakeImport<Order>, RegExp]>([
    ["that remembers keys", () => remembering(({ keys }) => keys), /in the same run, since its key is known/],
    [
      "that remembers the keys of a run",
      () => remembering(({ keys, run }) => keys.map((key) => `${key} ${run._id}`)),
      /in the same run/,
    ],
    [
      "that remembers the keys of earlier runs",
      () => {
        const known = new Map<string, string>();
        let first: string | undefined;
        return remembering(({ keys, run, idempotencyKeys }) => {
          first ??= run._id;
          return keys.map((key, index) => {
            const mark = (run._id === first ? undefined : known.get(key)) ?? idempotencyKeys[index] ?? "";
            known.set(key, mark);
            return mark;
          });
        });
      },
      /in the next run/,
    ],
    [
      "that refuses a known key",
      () => {
        const known = new Map<string, string>();
        return ledger((erp) => ({
          async write(records, context) {
            for (const [index, key] of context.keys.entries())
              if ((known.get(key) ?? records[index]?.id) !== records[index]?.id) throw reject("409");
            await good(erp, records, context);
            for (const [index, key] of context.keys.entries()) known.set(key, records[index]?.id ?? "");
          },
        }));
      },
      /reject \(409\)/,
    ],
  ])("catch by no other case an import %s and ignores a changed record", async (_, make, message) => {
    const cases = importCases(make, options);

    await expect(run(cases, changedIsWritten)).rejects.toThrow(message);
    expect(await failuresOf(cases)).toEqual([changedIsWritten]);
  });

  test("catch an import that ignores a known id in a record, if they know what a changed record looks like", async () => {
    const make = () => remembering((_, records) => records.map(({ id }) => id));
    const changed = (nth: number) => ({ ...orderAt(nth), total: 100 });

    expect(await failuresOf(importCases(make, options))).toEqual([]);
    expect(await failuresOf(importCases(make, { ...options, changed }))).toEqual([changedIsWritten]);
  });

  test.each(Object.entries(saboteurs))("catch what breaks: %s", async (title, make) => {
    await expect(run(importCases(make, options), title)).rejects.toThrow();
  });

  test.each([
    [
      "that leaves out what it does not find",
      finding((erp, _, { keys }) => keys.flatMap((key) => erp.rows.get(key) ?? [])),
    ],
    [
      "that is one place off",
      finding((erp, _, { keys }) => keys.map((_key, index) => erp.rows.get(keys[index - 1] ?? ""))),
    ],
    ["that finds everything", finding((_erp, records) => records)],
  ])("catch a find %s", async (_, make) => {
    await expect(run(importCases(make, { ...options, idempotent: false, find: true }), whereIsIt)).rejects.toThrow();
  });

  test("catch a poison record that is swallowed, and one that is thrown for unknown", async () => {
    const title = "a record that can never be written is a reject, wherever it stands, and its neighbours are written";
    const swallowing = writing(async (erp, records, context) =>
      good(
        erp,
        records.filter(({ total }) => total >= 0),
        context,
      ),
    );
    const throwing = writing(async (erp, records, { keys, signal }) => erp.upsert(rowsOf(records, keys), signal));

    await expect(run(importCases(swallowing, options), title)).rejects.toThrow("written, written, written");
    await expect(run(importCases(throwing, options), title)).rejects.toThrow("unknown (422)");
  });

  test("catch a `read` that sees nothing", async () => {
    const cases = importCases(() => ledger(), { ...options, read: () => [] });

    await expect(run(cases, "what is written in one batch is also written in several")).rejects.toThrow("`read`");
  });

  test("catch an import that stops the run over a single record", async () => {
    const title = "it writes good records, one and several, and changes none of them";
    const broken = writing(async () => [{ ok: false, fault: "reject", error: new Error("no") }]);

    await expect(run(importCases(broken, options), title)).rejects.toThrow("reject (no)");
  });

  test("have a saboteur each", () => {
    const titles = importCases(() => ledger(), { ...options, find: true }).map(({ title }) => title);

    expect(titles.filter((title) => !(title in saboteurs))).toEqual([whereIsIt]);
  });

  test("list what is left out, and why", () => {
    const { skipped, length } = importCases(() => ledger(), { record: orderAt, idempotent: false });

    expect(new Set(skipped.map(({ reason }) => reason))).toEqual(
      new Set([
        ...["read", "poison", "goDown", "throttle", "loseResponse", "stall"].map((part) => `\`${part}\` is not given`),
        ...["`idempotent: false`", "`find: true` is not given"],
        ...["`finish: true` is not given", "`rewrites: true` is not given"],
      ]),
    );
    expect(length + skipped.length).toBe(Object.keys(saboteurs).length + 4);
  });
});

function resultOf(error: unknown): Result {
  return { ok: false, fault: (error as Error).name === "OutcomeError" ? "reject" : "unknown", error };
}

function fail(message: string): never {
  throw new Error(message);
}
