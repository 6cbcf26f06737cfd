import { expectTypeOf, test } from "vitest";
import { FlowRegistry, type Flow, type Run, Scheduler } from "../../src/index.ts";
import { EventRecorder } from "../../src/testing/index.ts";

test("what was recorded has the type of its event, without anyone naming it", () => {
  const registry = new FlowRegistry();
  const flows = new EventRecorder(registry, ["flow:created"]);
  const runs = new EventRecorder(new Scheduler(registry), ["run:completed"]);

  expectTypeOf(flows.of("flow:created")).items.toEqualTypeOf<{ readonly flow: Flow }>();
  expectTypeOf(runs.of("run:completed")).items.toEqualTypeOf<{ readonly run: Run }>();
});
