import assert from "node:assert/strict";
import type { Result } from "../model/import.ts";
import { inTime } from "./connector-harness.ts";
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
    Object.entries(cases).map(([title, { needs = [], play }]) => ({
      title,
      skip: needs.map((need) => reasonAgainst(need, options)).find((reason) => reason !== undefined),
      run: () => play(new ImportHarness(make, options)),
    })),
  );
}

type Part = "read" | "poison" | "goDown" | "throttle" | "loseAnswer" | "stall";
type Need = Part | "find" | "idempotent";

function reasonAgainst(need: Need, options: ImportCaseOptions<unknown>): string | undefined {
  if (need === "find") return options.find === true ? undefined : "`find: true` is not given";
  if (need === "idempotent") return options.idempotent === false ? "`idempotent: false`" : undefined;
  return options[need] === undefined ? `\`${need}\` is not given` : undefined;
}

interface ImportCase {
  readonly needs?: readonly Need[];
  readonly play: (stage: ImportHarness) => Promise<void>;
}

const cases: Readonly<Record<string, ImportCase>> = {
  "it has the parts that it is tested for": {
    async play({ make, options }) {
      const into = await make();

      const found = { idempotent: into.idempotent, find: into.find !== undefined };
      assert.deepEqual(found, { idempotent: options.idempotent ?? true, find: options.find ?? false });
    },
  },

  "its filter, map and schema answer at once, and let good records through": {
    async play(stage) {
      const into = await stage.make();

      for (const nth of stage.numbers(0, stage.size)) stage.shape(into, stage.options.record(nth));
    },
  },

  "it writes good records, one and several, and changes none of them": {
    async play(stage) {
      const into = await stage.make();

      // Records and keys are frozen: changing one throws.
      assertAll("written", await stage.offer(into, [0]));
      assertAll("written", await stage.offer(into, stage.numbers(1, stage.size)));
    },
  },

  "it answers nothing, or one result for each record": {
    async play(stage) {
      const into = await stage.make();

      for (const size of [1, 2, stage.size]) {
        const { results, records } = await stage.call(into, stage.numbers(0, size));
        if (results === undefined) continue;
        assert.ok(Array.isArray(results), "write answered neither nothing nor an array");
        assert.equal(results.length, records.length, `${results.length} results for ${records.length} records`);
        for (const result of results as readonly Result[]) assert.equal(typeof result.ok, "boolean");
      }
    },
  },

  "what is written in one batch is also written in several": {
    needs: ["read"],
    async play(stage) {
      const [one, several] = [await stage.make(), await stage.make()];
      const empty = await stage.read(await stage.make());

      assertAll("written", await stage.offer(one, stage.numbers(0, 2 * stage.size)));
      const whole = await stage.read(one);
      for (const nth of stage.numbers(0, 2 * stage.size)) assertAll("written", await stage.offer(several, [nth]));

      assert.notDeepEqual(whole, empty, "`read` answers the same before and after a write");
      assert.deepEqual(await stage.read(several), whole);
    },
  },

  "batches that are written at once are all written": {
    needs: ["read"],
    async play(stage) {
      const [one, both] = [await stage.make(), await stage.make()];
      const [first, second] = [stage.numbers(0, stage.size), stage.numbers(stage.size, stage.size)];

      await stage.offer(one, [...first, ...second]);
      const outcomes = await Promise.all([stage.offer(both, first), stage.offer(both, second)]);

      assertAll("written", outcomes.flat());
      assert.deepEqual(await stage.read(both), await stage.read(one));
    },
  },

  "the same batch twice leaves the destination as it was": {
    needs: ["idempotent", "read"],
    async play(stage) {
      const into = await stage.make();
      const batch = stage.numbers(0, stage.size);
      await stage.offer(into, batch);
      const before = await stage.read(into);

      assertAll("written", await stage.offer(into, batch));

      assert.deepEqual(await stage.read(into), before);
    },
  },

  "a record sent again among new ones is written once": {
    needs: ["idempotent", "read"],
    async play(stage) {
      const [once, again] = [await stage.make(), await stage.make()];
      await stage.offer(once, stage.numbers(0, stage.size + 1));

      await stage.offer(again, stage.numbers(0, stage.size));
      assertAll("written", await stage.offer(again, stage.numbers(1, stage.size), { attempt: 2 }));

      assert.deepEqual(await stage.read(again), await stage.read(once));
    },
  },

  "the same keys in another run, attempt and order mean the same records": {
    needs: ["idempotent", "read"],
    async play(stage) {
      const into = await stage.make();
      const batch = stage.numbers(0, stage.size);
      await stage.offer(into, batch, { runId: "first-run" });
      const before = await stage.read(into);

      assertAll("written", await stage.offer(into, batch.toReversed(), { runId: "retry-run", attempt: 2 }));

      assert.deepEqual(await stage.read(into), before);
    },
  },

  "a record that can never be written is a reject, wherever it stands, and its neighbours are written": {
    needs: ["poison"],
    async play(stage) {
      for (const place of [0, Math.floor(stage.size / 2), stage.size - 1]) {
        const into = await stage.make();
        const records = stage.withPoison(place);

        const outcomes = await stage.offerRecords(into, records);

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
    async play(stage) {
      const [clean, poisoned] = [await stage.make(), await stage.make()];
      const place = Math.floor(stage.size / 2);
      const records = stage.withPoison(place);

      await stage.offerRecords(poisoned, records);
      await stage.offerRecords(
        clean,
        records.filter((_, index) => index !== place),
      );

      assert.deepEqual(await stage.read(poisoned), await stage.read(clean));
    },
  },

  "while the destination is down nothing counts as written, and nothing as rejected": {
    needs: ["goDown"],
    async play(stage) {
      const into = await stage.make();

      await stage.options.goDown?.(into);
      const outcomes = await stage.attempt(into, stage.oneBatch(into));

      for (const { fate } of outcomes) assert.match(fate, /^(retry|unknown)$/, shownOutcomes(outcomes));
    },
  },

  "after the destination was down another attempt writes everything, once": {
    needs: ["goDown", "read"],
    async play(stage) {
      const [into, steady] = [await stage.make(), await stage.make()];
      const batch = stage.oneBatch(into);
      await stage.offer(steady, batch);

      await stage.options.goDown?.(into);
      const down = await stage.attempt(into, batch);
      const left = batch.filter((_, index) => down[index]?.fate !== "written");
      assertAll("written", await stage.offer(into, left, { attempt: 2 }));

      assert.deepEqual(await stage.read(into), await stage.read(steady));
    },
  },

  "a destination that asks for patience is given the time it asks for": {
    needs: ["throttle"],
    async play(stage) {
      const into = await stage.make();
      const afterMs = 30_000;

      await stage.options.throttle?.(into, afterMs);
      const outcomes = await stage.attempt(into, stage.oneBatch(into));

      assertAll("retry", outcomes);
      for (const outcome of outcomes)
        assert.ok(
          outcome.afterMs !== undefined && outcome.afterMs >= afterMs,
          `afterMs is ${outcome.afterMs ?? "absent"}`,
        );
    },
  },

  "when an answer gets lost the outcome is unknown: neither a retry nor a reject, which mean that nothing was applied":
    {
      needs: ["loseAnswer"],
      async play(stage) {
        const into = await stage.make();

        await stage.options.loseAnswer?.(into);
        const outcomes = await stage.attempt(into, stage.oneBatch(into));

        for (const { fate } of outcomes) assert.match(fate, /^(unknown|written)$/, shownOutcomes(outcomes));
      },
    },

  "after an answer got lost another attempt leaves each record there once": {
    needs: ["loseAnswer", "idempotent", "read"],
    async play(stage) {
      const [into, steady] = [await stage.make(), await stage.make()];
      const batch = stage.oneBatch(into);
      await stage.offer(steady, batch);

      await stage.options.loseAnswer?.(into);
      await stage.attempt(into, batch);
      assertAll("written", await stage.offer(into, batch, { attempt: 2 }));

      assert.deepEqual(await stage.read(into), await stage.read(steady));
    },
  },

  "an abort ends a write within its time": {
    async play(stage) {
      const into = await stage.make();
      const abort = new AbortController();

      const writing = stage.attempt(into, stage.oneBatch(into), { signal: abort.signal });
      abort.abort(new Error("the run was canceled"));

      await inTime("to end write after the abort", stage.abortWithinMs, writing);
    },
  },

  "an abort ends a write that gets no answer within its time, and it does not count as written": {
    needs: ["stall"],
    async play(stage) {
      const into = await stage.make();
      const abort = new AbortController();

      await stage.options.stall?.(into);
      const writing = stage.attempt(into, stage.oneBatch(into), { signal: abort.signal });
      abort.abort(new Error("the run was canceled"));
      const outcomes = await inTime("to end write after the abort", stage.abortWithinMs, writing);

      for (const { fate } of outcomes) assert.match(fate, /^(retry|unknown)$/, shownOutcomes(outcomes));
    },
  },

  "what an aborted write says of a record is so": {
    needs: ["read"],
    async play(stage) {
      const [into, steady] = [await stage.make(), await stage.make()];
      const batch = stage.oneBatch(into);
      const abort = new AbortController();

      const writing = stage.attempt(into, batch, { signal: abort.signal });
      abort.abort(new Error("the run was canceled"));
      const outcomes = await inTime("to end write after the abort", stage.abortWithinMs, writing);

      if (outcomes.some(({ fate }) => fate === "unknown")) return;
      const written = batch.filter((_, index) => outcomes[index]?.fate === "written");
      if (written.length > 0) await stage.offer(steady, written);
      assert.deepEqual(await stage.read(into), await stage.read(steady), shownOutcomes(outcomes));
    },
  },

  "find answers for each record, in order, whether it is there": {
    needs: ["find"],
    async play(stage) {
      const into = await stage.make();
      const written = stage.numbers(0, stage.size);
      await stage.offer(into, written);
      const asked = [stage.size, ...written, stage.size + 1];

      const found = await stage.find(into, asked);

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
