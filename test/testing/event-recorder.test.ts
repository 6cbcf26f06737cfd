import { expect, test } from "vitest";
import { type SchedulerEvents, type Run } from "../../src/index.ts";
import { Events, schedulerEventNames } from "../../src/events.ts";
import { EventRecorder } from "../../src/testing/index.ts";

/** Emits what a test wants. */
class Teller extends Events<SchedulerEvents> {
  constructor() {
    super(schedulerEventNames);
  }

  tell<Name extends keyof SchedulerEvents>(name: Name, payload: SchedulerEvents[Name]): void {
    this.emit(name, payload);
  }
}

const runOf = (_id: string) => ({ _id }) as Run;

test("keeps the events it was asked for, in the order they were emitted, and no others", () => {
  const teller = new Teller();
  const events = new EventRecorder(teller, ["run:queued", "run:completed"]);

  teller.tell("run:queued", { run: runOf("1") });
  teller.tell("run:started", { run: runOf("1") });
  teller.tell("run:completed", { run: runOf("1") });
  teller.tell("run:queued", { run: runOf("2") });

  expect(events.names).toEqual(["run:queued", "run:completed", "run:queued"]);
  expect(events.all).toEqual([
    { name: "run:queued", payload: { run: runOf("1") } },
    { name: "run:completed", payload: { run: runOf("1") } },
    { name: "run:queued", payload: { run: runOf("2") } },
  ]);
});

test("returns the payloads of one event, in order", () => {
  const teller = new Teller();
  const events = new EventRecorder(teller, ["run:queued", "run:completed"]);

  teller.tell("run:queued", { run: runOf("1") });
  teller.tell("run:completed", { run: runOf("1") });
  teller.tell("run:queued", { run: runOf("2") });

  expect(events.of("run:queued").map(({ run }) => run._id)).toEqual(["1", "2"]);
  expect(events.of("run:completed").map(({ run }) => run._id)).toEqual(["1"]);
});

test("keeps nothing that was emitted before it listened", () => {
  const teller = new Teller();

  teller.tell("run:queued", { run: runOf("1") });
  const events = new EventRecorder(teller, ["run:queued"]);

  expect(events.all).toEqual([]);
});

test("keeps what listeners throw, if it is asked to", () => {
  const teller = new Teller();
  const events = new EventRecorder(teller, ["run:queued", "listener:error"]);
  teller.on("run:queued", () => {
    throw new Error("a listener's own");
  });

  teller.tell("run:queued", { run: runOf("1") });

  expect(events.of("listener:error")).toEqual([{ event: "run:queued", error: new Error("a listener's own") }]);
});
