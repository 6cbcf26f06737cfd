import fc from "fast-check";
import { expect, test } from "vitest";
import type { Export, Result } from "../../src/index.ts";
import { arrayExport, scriptedImport } from "../../src/testing/index.ts";
import { Harness, aborted, hour, second } from "../support/harness.ts";

const no = (number: number): Result => ({ ok: false, fault: "reject", error: new Error(`no ${number}`) });

test("two runs of one flow never overlap, whatever triggers them, on however many schedulers", async () => {
  const action = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("run" as const), on: fc.nat(2) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("accept" as const), on: fc.nat(2) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), on: fc.nat(2) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("retry" as const), on: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), on: fc.nat(2) }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant("wait" as const), on: fc.integer({ min: 1, max: 90 }) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40 }), async (actions) => {
      let running = 0;
      let most = 0;
      const sink = scriptedImport<number>(async ({ records }, { signal }) => {
        most = Math.max(most, ++running);
        const timer = new Promise<void>((resolve) => first.clock.setTimer(resolve, 25 * second));
        await Promise.race([timer, aborted(signal)]);
        running--;
        if (signal.aborted) throw new Error("aborted");
        return records.map((number) => (number === 2 ? no(number) : { ok: true }));
      });
      const from: Export<number> = { ...(arrayExport([1, 2]) as Export<number>), listen: () => () => undefined };
      const first = new Harness({ exports: { from }, imports: { sink }, options: { graceMs: 0 } });
      const { clock, storage } = first;
      const setting = { exports: { from }, imports: { sink }, options: { graceMs: 0 }, clock, storage };
      const harnesses = [first, new Harness(setting), new Harness(setting)];
      const flow = await first.flow({ schedule: "* * * * *" });
      for (const harness of harnesses) await harness.scheduler.start();

      let accepted = 0;
      for (const { do: what, on } of actions) {
        const { scheduler } = harnesses[on] ?? first;
        const active = (await first.runs()).filter(({ status }) => status === "running" || status === "queued");
        if (what === "run") await scheduler.run(flow._id);
        else if (what === "accept") await scheduler.accept("from", [100 + accepted++]);
        else if (what === "retry") await scheduler.retryFailures(flow._id);
        else if (what === "cancel" && active[0] !== undefined) await scheduler.cancel(active[0]._id);
        else if (what === "restart") {
          const stopping = scheduler.stop();
          await clock.advance(second);
          await stopping;
          await scheduler.start();
        } else if (what === "wait") await clock.advance(on * second);
        expect(
          (await first.runs()).filter(({ status }) => ["running", "canceling"].includes(status)).length,
        ).toBeLessThan(2);
      }
      await first.registry.patch(flow._id, { schedule: null });
      await clock.advance(2 * hour);

      expect(most).toBeLessThan(2);
      const left = await first.runs();
      expect(left.filter(({ status }) => !["completed", "failed", "canceled"].includes(status))).toEqual([]);
      const delivered = new Set(sink.written.filter((number) => number >= 100));
      expect(delivered.size).toBe(accepted);
    }),
    { numRuns: 60 },
  );
});
