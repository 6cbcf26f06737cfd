import { messageOf } from "../model/message.ts";
import type { Step, StepResult } from "../run/tracing.ts";
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  context,
  createContextKey,
  trace,
} from "./api.ts";
import { errorTypeOf } from "./error-type.ts";
import { linksTo } from "./origin.ts";

/** One run, in the context of everything that it does. */
interface RunTrace {
  readonly span: Span;
  readonly link: SpanContext;
  readonly _exportId: string;
  /** Pages so far, as they were read and as they were moved. */
  readonly pages: { read: number; page: number };
  /** Errors that a span of it has recorded: those around it say only that they failed. */
  readonly recorded: RecordedErrors;
}

type Work = () => Promise<StepResult>;
type StepOf<Kind extends Step["kind"]> = Extract<Step, { readonly kind: Kind }>;

const runKey = createContextKey("poundlock run");

/** Makes a span of each step. Of a run that is not recorded, its own span is all that is made. */
export class Spans {
  readonly #tracer: Tracer;
  readonly #maxPages: number;

  constructor({ tracer, maxPagesPerTrace }: { readonly tracer: Tracer; readonly maxPagesPerTrace: number }) {
    this.#tracer = tracer;
    this.#maxPages = maxPagesPerTrace;
  }

  /** Does the work inside a span. */
  around(step: Step, work: Work): Promise<StepResult> {
    switch (step.kind) {
      case "accept":
        return this.#accept(step, work);
      case "run":
        return this.#run(step, work);
      case "read":
      case "page":
        return this.#page(step, work);
      case "write":
      case "commit":
        return this.#part(step, work);
    }
  }

  #accept(step: StepOf<"accept">, work: Work): Promise<StepResult> {
    const attributes = { "messaging.batch.message_count": step.records };
    const span = this.#tracer.startSpan(`accept ${step._exportId}`, { kind: SpanKind.PRODUCER, attributes });
    return this.#inside(span, context.active(), step, work);
  }

  // A root: what queued the run, perhaps in another process, has ended or has other things to do. It is linked.
  #run(step: StepOf<"run">, work: Work): Promise<StepResult> {
    const { flow, origins, run } = step;
    const attributes: Attributes = {
      "poundlock.flow.id": run._flowId,
      "poundlock.run.id": run._id,
      "poundlock.trigger": run.trigger,
    };
    if (flow._integrationId !== undefined) attributes["poundlock.integration.id"] = flow._integrationId;
    const kind = run.trigger === "realtime" ? SpanKind.CONSUMER : SpanKind.INTERNAL;
    const settings = { kind, attributes, links: linksTo(origins) };
    const span = this.#tracer.startSpan(`run ${run._exportId}`, settings, ROOT_CONTEXT);
    const known = { pages: { read: 0, page: 0 }, recorded: new RecordedErrors() };
    const of: RunTrace = { span, link: span.spanContext(), _exportId: run._exportId, ...known };
    return this.#inside(span, ROOT_CONTEXT.setValue(runKey, of), step, work);
  }

  #page(step: StepOf<"read" | "page">, work: Work): Promise<StepResult> {
    const active = context.active();
    const of = runTraceOf(active);
    if (of?.span.isRecording() !== true) return work();
    const isOwnTrace = ++of.pages[step.kind] > this.#maxPages;
    const links = linksTo(step.kind === "page" ? step.origins : []);
    if (isOwnTrace) links.unshift({ context: of.link });
    const around = isOwnTrace ? ROOT_CONTEXT.setValue(runKey, of) : active;
    const attributes = pageAttributes(step);
    const span = this.#tracer.startSpan(`${step.kind} ${of._exportId}`, { attributes, links }, around);
    return this.#inside(span, around, step, work);
  }

  #part(step: StepOf<"write" | "commit">, work: Work): Promise<StepResult> {
    const active = context.active();
    if (runTraceOf(active) === undefined || trace.getSpan(active)?.isRecording() !== true) return work();
    const attributes = step.kind === "write" ? writeAttributes(step) : pageAttributes(step);
    const name = step.kind === "write" ? `write ${step._importId}` : "commit";
    return this.#inside(this.#tracer.startSpan(name, { attributes }, active), active, step, work);
  }

  #inside(span: Span, around: Context, step: Step, work: Work): Promise<StepResult> {
    return context.with(trace.setSpan(around, span), work).then((result) => {
      try {
        if (span.isRecording()) describe(span, step, result, runTraceOf(around)?.recorded);
      } finally {
        span.end();
      }
      return result;
    });
  }
}

function runTraceOf(around: Context): RunTrace | undefined {
  return around.getValue(runKey) as RunTrace | undefined;
}

function describe(span: Span, step: Step, result: StepResult, recorded = new RecordedErrors()): void {
  span.setAttributes(resultAttributes(step, result));
  const { error } = result;
  if (error === undefined) return;
  span.setAttribute("error.type", errorTypeOf(error));
  span.setStatus({ code: SpanStatusCode.ERROR });
  if (recorded.adds(error) || (isPrimitive(error) && innermost.has(step.kind)))
    span.recordException(error instanceof Error ? error : { message: messageOf(error) });
}

/** Steps in which code throws; what is around them says only that they failed. */
const innermost: ReadonlySet<Step["kind"]> = new Set(["read", "write", "commit", "accept"]);

/** Strings, and other primitives, that are remembered of one run: it may go on for days. */
const mostPrimitives = 100;

/** What was thrown in a run and is recorded already. */
class RecordedErrors {
  readonly #objects = new WeakSet();
  readonly #primitives = new Set<unknown>();

  /** Adds it and what caused it; true if none of them was there before. A primitive is the same as its like. */
  adds(error: unknown): boolean {
    let isNew = true;
    let one = error;
    for (let depth = 0; depth < 10 && one !== undefined; depth++) {
      if (isPrimitive(one)) {
        if (this.#primitives.has(one)) isNew = false;
        if (this.#primitives.size >= mostPrimitives) this.#primitives.clear();
        this.#primitives.add(one);
        break;
      }
      if (this.#objects.has(one as object)) isNew = false;
      this.#objects.add(one as object);
      one = causeOf(one as object);
    }
    return isNew;
  }
}

function isPrimitive(thrown: unknown): boolean {
  return typeof thrown !== "function" && (typeof thrown !== "object" || thrown === null);
}

function causeOf(error: object): unknown {
  try {
    return (error as { readonly cause?: unknown }).cause;
  } catch {
    return undefined;
  }
}

function pageAttributes({ page, run }: StepOf<"read" | "page" | "commit">): Attributes {
  return { "poundlock.flow.id": run._flowId, "poundlock.run.id": run._id, "poundlock.page": page };
}

function writeAttributes({ _importId, attempt, run }: StepOf<"write">): Attributes {
  return {
    "poundlock.flow.id": run._flowId,
    "poundlock.run.id": run._id,
    "poundlock.import.id": _importId,
    "poundlock.attempt": attempt,
  };
}

function resultAttributes(step: Step, { counts, outcome }: StepResult): Attributes {
  switch (step.kind) {
    case "read":
      return { "messaging.batch.message_count": counts?.numSuccess ?? 0 };
    case "write":
      return { "poundlock.outcome": outcome };
    case "run":
      return { "poundlock.status": outcome, ...countAttributes(counts) };
    case "page":
      return countAttributes(counts);
    case "accept":
    case "commit":
      return {};
  }
}

function countAttributes(counts: StepResult["counts"]): Attributes {
  if (counts === undefined) return {};
  const { numError, numIgnore, numSuccess } = counts;
  return { "poundlock.success": numSuccess, "poundlock.failed": numError, "poundlock.ignored": numIgnore };
}
