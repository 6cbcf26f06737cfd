import { BusyError } from "../../errors.ts";
import type { FlowRegistry } from "../../flow-registry.ts";
import type { Flow } from "../../model/flow/flow.ts";
import type { Scheduler } from "../../scheduler/scheduler.ts";
import type { Redaction } from "../access/redaction.ts";
import { EventRing, type StreamEvent } from "./event-ring.ts";
import { SharedEvents, type WatchedChange } from "./shared-events.ts";
import { EventStream, type StreamStart } from "./event-stream.ts";
import { PacedStreams } from "./paced-streams.ts";
import { StreamLimit } from "./stream-limit.ts";

const runEvents = [
  "run:queued",
  "run:started",
  "run:progress",
  "run:retrying",
  "run:completed",
  "run:failed",
  "run:canceled",
  "run:requeued",
] as const;

/** Those that only the process knows of that executes the run. */
const ownEvents = ["run:progress", "run:retrying"] as const;

/** Every event that is sent. */
export const streamEvents = [...runEvents, "flow:created", "flow:updated", "flow:deleted"] as const;
type StreamEventName = (typeof streamEvents)[number];

/** Everything that a broadcast needs. */
export interface EventBroadcastDeps {
  readonly registry: Pick<FlowRegistry, "on" | "clock" | "storage">;
  readonly scheduler: Pick<Scheduler, "on" | "state" | "watch">;
  readonly redaction: Pick<Redaction, "message">;
  /** Events kept for clients that reconnect with `Last-Event-ID`; 1 or more. */
  readonly capacity: number;
  /** Silence after which a stream is sent a comment, so that proxies keep the connection; 1 or more. */
  readonly heartbeatMs: number;
  /** Streams that one caller may have open at a time; 1 or more. */
  readonly maxStreamsPerCaller: number;
}

/**
 * Events of runs and flows as server-sent events. The newest `capacity` events are kept; a reader that falls behind them
 * receives a `gap`, and what happens from then on.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export class EventBroadcast {
  readonly #deps: EventBroadcastDeps;
  readonly #ring: EventRing;
  readonly #streams: PacedStreams;
  readonly #limit: StreamLimit;
  /** What all processes do; undefined if there is this one alone. */
  readonly #shared: SharedEvents | undefined;
  /** How often the scheduler has stopped: streams end with the stop that follows their beginning. */
  #stops = 0;

  constructor(deps: EventBroadcastDeps) {
    const { registry, capacity, heartbeatMs, maxStreamsPerCaller } = deps;
    this.#deps = deps;
    this.#ring = new EventRing(capacity);
    this.#limit = new StreamLimit(maxStreamsPerCaller, () => registry.clock.now());
    this.#streams = new PacedStreams({ clock: registry.clock, heartbeatMs, newest: () => this.#ring.last });
    const { capabilities, changes } = registry.storage;
    if (capabilities.shared && changes !== undefined) this.#shared = this.#sharedEvents();
    this.#listen();
  }

  /** Streams that are being read. */
  get openStreams(): number {
    return this.#streams.size;
  }

  /**
   * A stream that continues until the scheduler stops, also if that has not started yet; once it has stopped, only to the
   * newest event.
   *
   * @throws `busy` if the caller has as many streams open as it may.
   */
  open(start: StreamStart): ReadableStream<Uint8Array> {
    const { caller, _integrationId } = start;
    const slot = this.#limit.acquire(JSON.stringify([caller, caller === undefined ? _integrationId : undefined]));
    if (slot === undefined)
      throw new BusyError("Too many event streams of this caller are open: close one, or try again later");
    const { registry, scheduler } = this.#deps;
    const stops = this.#stops;
    const isStopped = stops > 0 && scheduler.state === "stopped";
    // Before the stream has a position: what was missed before it is none of its gaps.
    const ready = isStopped || this.#shared === undefined ? Promise.resolve() : this.#shared.follow();
    const deps = {
      ring: this.#ring,
      streams: this.#streams,
      now: () => registry.clock.now(),
      slot,
      ready,
      ended: () => isStopped || stops !== this.#stops,
    };
    return new EventStream(deps, start).readable();
  }

  #listen(): void {
    const { redaction, registry, scheduler } = this.#deps;
    // What other processes do, too, is followed together with what this one does.
    for (const name of this.#shared === undefined ? runEvents : ownEvents)
      scheduler.on(name, (data) => {
        const shown = "message" in data ? { ...data, message: redaction.message(data.message) } : data;
        this.#publish({ name, _integrationId: data.run._integrationId, data: shown });
      });
    if (this.#shared === undefined) {
      registry.on("flow:created", ({ flow }) => this.#publish(flowEvent("flow:created", flow)));
      registry.on("flow:deleted", ({ flow }) => this.#publish(flowEvent("flow:deleted", flow)));
      registry.on("flow:updated", ({ flow, previous }) => this.#flowUpdated(flow, previous));
    }
    scheduler.on("scheduler:stopped", () => {
      this.#stops++;
      this.#shared?.end();
      this.#streams.wakeAll();
    });
  }

  #sharedEvents(): SharedEvents {
    const { registry, scheduler } = this.#deps;
    const publish = (change: WatchedChange) => this.#publishChange(change);
    return new SharedEvents({ clock: registry.clock, scheduler, publish, isIdle: () => this.#streams.size === 0 });
  }

  #publishChange(one: WatchedChange): void {
    if (one.change === "gap") {
      this.#ring.cut();
      this.#streams.notify();
    } else if (one.flow === undefined) {
      const { change, run, ...rest } = one;
      this.#publish({ name: `run:${change}`, _integrationId: run._integrationId, data: { run, ...rest } });
    } else if (one.change === "flow:updated") this.#flowUpdated(one.flow, one.previous);
    else this.#publish(flowEvent(one.change, one.flow));
  }

  #flowUpdated(flow: Flow, previous: Flow | undefined): void {
    const left = previous?._integrationId === flow._integrationId ? undefined : previous;
    const departure = left?._integrationId === undefined ? undefined : flowEvent("flow:deleted", left);
    this.#publish(flowEvent("flow:updated", flow), departure);
  }

  #publish(event: StreamEvent, departure?: StreamEvent): void {
    this.#ring.add(event, departure);
    this.#streams.notify();
  }
}

function flowEvent(name: StreamEventName, flow: Flow): StreamEvent {
  return { name, _integrationId: flow._integrationId, data: { flow } };
}
