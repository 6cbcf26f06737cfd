import { AsyncLocalStorage } from "node:async_hooks";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import type { Step, StepResult, Tracing } from "../../src/index.ts";
import { openTelemetry } from "../../src/opentelemetry/index.ts";

/** One step as it was seen; `below`: the steps that began inside it, in order. */
export interface SeenStep {
  readonly step: Step;
  readonly parent: SeenStep | undefined;
  readonly below: SeenStep[];
  result: StepResult | undefined;
}

/** A tracer that keeps every step, and knows which one surrounds host code. */
export class StepRecorder implements Tracing {
  readonly #inside = new AsyncLocalStorage<SeenStep>();
  readonly seen: SeenStep[] = [];
  /** What the next requests come from. */
  from: string | undefined;

  around = (step: Step, work: () => Promise<StepResult>): Promise<StepResult> => {
    const parent = this.#inside.getStore();
    const one: SeenStep = { step, parent, below: [], result: undefined };
    this.seen.push(one);
    parent?.below.push(one);
    return this.#inside.run(one, async () => (one.result = await work()));
  };

  origin = (): string | undefined => this.from;

  /** The step that surrounds the caller. */
  get current(): SeenStep | undefined {
    return this.#inside.getStore();
  }

  /** All steps of one kind. */
  of<Kind extends Step["kind"]>(kind: Kind) {
    type OfKind = SeenStep & { readonly step: Extract<Step, { kind: Kind }> };
    return this.seen.filter((one): one is OfKind => one.step.kind === kind);
  }

  /** How each step of one kind went. */
  outcomes(kind: Step["kind"]): (string | undefined)[] {
    return this.of(kind).map(({ result }) => result?.outcome);
  }
}

const steadyResult = Promise.resolve({ outcome: "failed" } as const);

/** Tracers that do what they must not, or nothing at all, and how each is made. */
export const oddTracers: Readonly<Record<string, () => Tracing | undefined>> = {
  "is not there": () => undefined,
  "only calls work": () => ({ around: (_, work) => work() }),
  "records the steps": () => new StepRecorder(),
  "makes spans and metrics": () =>
    openTelemetry({
      tracer: new BasicTracerProvider().getTracer("test"),
      meter: new MeterProvider().getMeter("test"),
    }),
  "throws before work": () => ({
    around: () => {
      throw new Error("the tracer is broken");
    },
    origin: () => {
      throw new Error("the tracer is broken");
    },
  }),
  "throws after work was called": () => ({
    around: (_, work) => {
      void work();
      throw new Error("the tracer is broken");
    },
  }),
  "returns nothing": () => ({ around: ((_: Step, work: () => unknown) => void work()) as never }),
  "calls work twice": () => ({
    around: async (_, work) => {
      await Promise.all([work(), work()]);
      return work();
    },
  }),
  "never calls work": () => ({ around: () => steadyResult }),
  "calls work too late": () => ({
    around: async (_, work) => {
      await Promise.resolve();
      return work();
    },
  }),
  "returns another result": () => ({
    around: async (_, work) => {
      await work();
      return { outcome: "lost", error: new Error("made up") };
    },
  }),
  "rejects when work has ended": () => ({
    around: async (_, work) => {
      await work();
      throw new Error("the tracer is broken");
    },
  }),
  "never resolves": () => ({
    around: (_, work) => {
      void work();
      return new Promise(() => undefined);
    },
  }),
  "gives origins that are none": () => ({ around: (_, work) => work(), origin: () => "x".repeat(513) }),
};

/** One of the odd tracers: the same for the same number. */
export function oddTracer(number: number): Tracing | undefined {
  const makers = Object.values(oddTracers);
  return makers[number % makers.length]?.();
}
