import assert from "node:assert/strict";
import type { Result } from "../model/host/import.ts";
import { inTime, textOf } from "./connector-harness.ts";
import { type ImportCaseOptions, ImportHarness, type MakeImport, type Outcome } from "./import-harness.ts";
import { type TestCases, chooseCases } from "./test-case.ts";

/**
 * What a run relies on when it writes into an import, one case each; those for which something is missing are in
 * `skipped`. Records go through the import's own filter, map, schema and `batchSize` on their way, as in a run.
 *
 * @example
 * const options = { record: orderAt, read: () => erp.contents(), poison: () => ({ id: "" }) };
 * for (const { title, run } of importCases(() => ledgerInto(emptied(erp)), options)) test(title, run);
 */
export function importCases<In, Out = In, R = unknown>(
  make: MakeImport<In, Out, R>,
  options: ImportCaseOptions<In, Out, R>,
): TestCases {
  return chooseCases(
    Object.entries(cases).map(([title, { needs = [], run: check }]) => ({
      title,
      skip: needs.map((need) => reasonAgainst(need, options)).find((reason) => reason !== undefined),
      run: () => check(new ImportHarness(make, options)),
    })),
  );
}

type Part = "read" | "poison" | "goDown" | "throttle" | "loseResponse" | "stall";
type Need = Part | "find" | "finish" | "idempotent" | "byKey" | "rewrites";

function reasonAgainst(need: Need, options: ImportCaseOptions<unknown>): string | undefined {
  if (need === "find" || need === "finish" || need === "rewrites")
    return options[need] === true ? undefined : `\`${need}: true\` is not given`;
  if (need === "byKey") return options.rewrites === true ? "`rewrites: true`" : undefined;
  if (need === "idempotent") return options.idempotent === false ? "`idempotent: false`" : undefined;
  return options[need] === undefined ? `\`${need}\` is not given` : undefined;
}

interface ImportCase {
  readonly needs?: readonly Need[];
  readonly run: (harness: ImportHarness) => Promise<void>;
}

const cases: Readonly<Record<string, ImportCase>> = {
  "it has the parts that it is tested for": {
    async run({ make, options }) {
      const into = await make();

      const { idempotent = true, find = false, finish = false } = options;
      const found = { idempotent: into.idempotent, find: into.find !== undefined, finish: into.finish !== undefined };
      assert.deepEqual(found, { idempotent, find, finish });
    },
  },

  "its filter, map and schema are synchronous, and let good records through": {
    async run(harness) {
      const into = await harness.make();

      for (const nth of harness.numbers(0, harness.size)) harness.shape(into, harness.options.record(nth));
    },
  },

  "it writes good records, one and several, and changes none of them": {
    async run(harness) {
      const into = await harness.make();

      // Records and keys are frozen: changing one throws.
      assertAll("written", await harness.offer(into, [0]));
      assertAll("written", await harness.offer(into, harness.numbers(1, harness.size)));
    },
  },

  "it returns nothing, or one result for each record": {
    async run(harness) {
      const into = await harness.make();

      for (const size of [1, 2, harness.size]) {
        const { results, records } = await harness.call(into, harness.numbers(0, size));
        if (results === undefined) continue;
        assert.ok(Array.isArray(results), "write returned neither nothing nor an array");
        assert.equal(results.length, records.length, `${results.length} results for ${records.length} records`);
        for (const result of results as readonly Result[]) assert.equal(typeof result.ok, "boolean");
      }
    },
  },

  "what is written in one batch is also written in several": {
    needs: ["read"],
    async run(harness) {
      const [one, several] = [await harness.make(), await harness.make()];
      const empty = await harness.read(await harness.make());

      assertAll("written", await harness.offer(one, harness.numbers(0, 2 * harness.size)));
      const whole = await harness.read(one);
      for (const nth of harness.numbers(0, 2 * harness.size)) assertAll("written", await harness.offer(several, [nth]));

      assert.notDeepEqual(whole, empty, "`read` returns the same before and after a write");
      assert.deepEqual(await harness.read(several), whole);
    },
  },

  "batches that are written at once are all written": {
    needs: ["read"],
    async run(harness) {
      const [one, both] = [await harness.make(), await harness.make()];
      const [first, second] = [harness.numbers(0, harness.size), harness.numbers(harness.size, harness.size)];

      await harness.offer(one, [...first, ...second]);
      const outcomes = await Promise.all([harness.offer(both, first), harness.offer(both, second)]);

      assertAll("written", outcomes.flat());
      assert.deepEqual(await harness.read(both), await harness.read(one));
    },
  },

  "the same batch twice leaves the destination as it was": {
    needs: ["idempotent", "read"],
    async run(harness) {
      const into = await harness.make();
      const batch = harness.numbers(0, harness.size);
      await harness.offer(into, batch);
      const before = await harness.read(into);

      assertAll("written", await harness.offer(into, batch));

      assert.deepEqual(await harness.read(into), before);
    },
  },

  "a record sent again among new ones is written once": {
    needs: ["byKey", "idempotent", "read"],
    async run(harness) {
      const [once, again] = [await harness.make(), await harness.make()];
      await harness.offer(once, harness.numbers(0, harness.size + 1));

      await harness.offer(again, harness.numbers(0, harness.size));
      assertAll("written", await harness.offer(again, harness.numbers(1, harness.size), { attempt: 2 }));

      assert.deepEqual(await harness.read(again), await harness.read(once));
    },
  },

  "the same keys in another run, attempt and order mean the same records": {
    needs: ["byKey", "idempotent", "read"],
    async run(harness) {
      const into = await harness.make();
      const batch = harness.numbers(0, harness.size);
      await harness.offer(into, batch, { runId: "first-run" });
      const before = await harness.read(into);

      assertAll("written", await harness.offer(into, batch.toReversed(), { runId: "retry-run", attempt: 2 }));

      assert.deepEqual(await harness.read(into), before);
    },
  },

  "a record that has changed since it was written is written again, in the same run and in a later one": {
    needs: ["read"],
    async run(harness) {
      const into = await harness.make();
      await harness.offer(into, harness.numbers(0, harness.size));

      for (const [nth, runId] of ["sample-run", "later-run"].entries()) {
        const before = await harness.read(into);
        const changed = harness.changed(nth, harness.size + nth);
        const page = harness.size + nth + 1;
        assertAll("written", await harness.offerRecords(into, [changed], { runId, page }));
        const what = `${textOf(changed.record)} was ignored in the ${nth === 0 ? "same" : "next"} run, since its key is known`;
        assert.notDeepEqual(await harness.read(into), before, `${what}: update by key, or go by idempotencyKeys`);
      }
    },
  },

  "a record that can never be written is a reject, wherever it stands, and its neighbours are written": {
    needs: ["poison"],
    async run(harness) {
      for (const place of [0, Math.floor(harness.size / 2), harness.size - 1]) {
        const into = await harness.make();
        const records = harness.withPoison(place);

        const outcomes = await harness.offerRecords(into, records);

        const expected = records.map((_, index) => (index === place ? "reject" : "written"));
        assert.deepEqual(
          outcomes.map(({ fate }) => fate),
          expected,
          shownOutcomes(outcomes),
        );
      }
    },
  },

  "a record that can never be written leaves nothing in the destination": {
    needs: ["poison", "read"],
    async run(harness) {
      const [clean, poisoned] = [await harness.make(), await harness.make()];
      const place = Math.floor(harness.size / 2);
      const records = harness.withPoison(place);

      await harness.offerRecords(poisoned, records);
      await harness.offerRecords(
        clean,
        records.filter((_, index) => index !== place),
      );

      assert.deepEqual(await harness.read(poisoned), await harness.read(clean));
    },
  },

  "while the destination is down nothing counts as written, and nothing as rejected": {
    needs: ["goDown"],
    async run(harness) {
      const into = await harness.make();

      await harness.options.goDown?.(into);
      const outcomes = await harness.attempt(into, harness.oneBatch(into));

      for (const { fate } of outcomes) assert.match(fate, /^(retry|unknown)$/, shownOutcomes(outcomes));
    },
  },

  "after the destination was down another attempt writes everything, once": {
    needs: ["goDown", "read"],
    async run(harness) {
      const [into, steady] = [await harness.make(), await harness.make()];
      const batch = harness.oneBatch(into);
      await harness.offer(steady, batch);

      await harness.options.goDown?.(into);
      const down = await harness.attempt(into, batch);
      const left = batch.filter((_, index) => down[index]?.fate !== "written");
      assertAll("written", await harness.offer(into, left, { attempt: 2 }));

      assert.deepEqual(await harness.read(into), await harness.read(steady));
    },
  },

  "a destination that asks for patience is given the time it asks for": {
    needs: ["throttle"],
    async run(harness) {
      const into = await harness.make();
      const afterMs = 30_000;

      await harness.options.throttle?.(into, afterMs);
      const outcomes = await harness.attempt(into, harness.oneBatch(into));

      assertAll("retry", outcomes);
      for (const outcome of outcomes)
        assert.ok(
          outcome.afterMs !== undefined && outcome.afterMs >= afterMs,
          `afterMs is ${outcome.afterMs ?? "absent"}`,
        );
    },
  },

  "when a response gets lost the outcome is unknown: neither a retry nor a reject, which mean that nothing was applied":
    {
      needs: ["loseResponse"],
      async run(harness) {
        const into = await harness.make();

        await harness.options.loseResponse?.(into);
        const outcomes = await harness.attempt(into, harness.oneBatch(into));

        for (const { fate } of outcomes) assert.match(fate, /^(unknown|written)$/, shownOutcomes(outcomes));
      },
    },

  "after a response got lost another attempt leaves each record there once": {
    needs: ["loseResponse", "idempotent", "read"],
    async run(harness) {
      const [into, steady] = [await harness.make(), await harness.make()];
      const batch = harness.oneBatch(into);
      await harness.offer(steady, batch);

      await harness.options.loseResponse?.(into);
      await harness.attempt(into, batch);
      assertAll("written", await harness.offer(into, batch, { attempt: 2 }));

      assert.deepEqual(await harness.read(into), await harness.read(steady));
    },
  },

  "an abort ends a write within its time": {
    async run(harness) {
      const into = await harness.make();
      const abort = new AbortController();

      const writing = harness.attempt(into, harness.oneBatch(into), { signal: abort.signal });
      abort.abort(new Error("the run was canceled"));

      await inTime("to end write after the abort", harness.abortWithinMs, writing);
    },
  },

  "an abort ends a write that gets no response within its time, and it does not count as written": {
    needs: ["stall"],
    async run(harness) {
      const into = await harness.make();
      const abort = new AbortController();

      await harness.options.stall?.(into);
      const writing = harness.attempt(into, harness.oneBatch(into), { signal: abort.signal });
      abort.abort(new Error("the run was canceled"));
      const outcomes = await inTime("to end write after the abort", harness.abortWithinMs, writing);

      for (const { fate } of outcomes) assert.match(fate, /^(retry|unknown)$/, shownOutcomes(outcomes));
    },
  },

  "what an aborted write says of a record is so": {
    needs: ["read"],
    async run(harness) {
      const [into, steady] = [await harness.make(), await harness.make()];
      const batch = harness.oneBatch(into);
      const abort = new AbortController();

      const writing = harness.attempt(into, batch, { signal: abort.signal });
      abort.abort(new Error("the run was canceled"));
      const outcomes = await inTime("to end write after the abort", harness.abortWithinMs, writing);

      if (outcomes.some(({ fate }) => fate === "unknown")) return;
      const written = batch.filter((_, index) => outcomes[index]?.fate === "written");
      if (written.length > 0) await harness.offer(steady, written);
      assert.deepEqual(await harness.read(into), await harness.read(steady), shownOutcomes(outcomes));
    },
  },

  "the same page of a run again, with other records, replaces what was written of it": {
    needs: ["rewrites", "read"],
    async run(harness) {
      const [again, once] = [await harness.make(), await harness.make()];
      const [first, page] = [harness.numbers(0, harness.size), 2];
      for (const into of [again, once]) await harness.offer(into, [9], { page: 1 });

      await harness.offer(again, first, { page });
      assertAll("written", await harness.offer(again, harness.numbers(1, harness.size), { page }));
      await harness.offer(once, harness.numbers(1, harness.size), { page });

      assert.deepEqual(await harness.read(again), await harness.read(once));
    },
  },

  "finishing twice leaves the destination as it was": {
    needs: ["finish", "read"],
    async run(harness) {
      const into = await harness.make();
      await harness.offer(into, harness.numbers(0, harness.size));
      await harness.finish(into, { whole: true });
      const before = await harness.read(into);

      await harness.finish(into, { whole: true });

      assert.deepEqual(await harness.read(into), before);
    },
  },

  "finishing a run that has not read the whole source deletes nothing": {
    needs: ["finish", "read"],
    async run(harness) {
      const into = await harness.make();
      await harness.offer(into, harness.numbers(0, harness.size), { runId: "first-run" });
      await harness.finish(into, { runId: "first-run", whole: true });
      await harness.offer(into, harness.numbers(harness.size, 1), { runId: "later-run" });
      const before = await harness.read(into);

      await harness.finish(into, { runId: "later-run", whole: false });

      assert.deepEqual(await harness.read(into), before);
    },
  },

  "find returns for each record, in order, whether it is there": {
    needs: ["find"],
    async run(harness) {
      const into = await harness.make();
      const written = harness.numbers(0, harness.size);
      await harness.offer(into, written);
      const asked = [harness.size, ...written, harness.size + 1];

      const found = await harness.find(into, asked);

      const there = asked.map((nth) => written.includes(nth));
      assert.deepEqual(
        found.map((entry) => entry !== undefined),
        there,
      );
    },
  },
};

function assertAll(fate: Outcome["fate"], outcomes: readonly Outcome[]): void {
  for (const outcome of outcomes) assert.equal(outcome.fate, fate, shownOutcomes(outcomes));
}

function shownOutcomes(outcomes: readonly Outcome[]): string {
  return outcomes.map(({ fate, message }) => (message === undefined ? fate : `${fate} (${message})`)).join(", ");
}
