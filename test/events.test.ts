import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Events, type ListenerError, registryEventNames, schedulerEventNames } from "../src/events.ts";
import { EventRecorder } from "../src/testing/index.ts";

interface BellEvents {
  rung: { readonly times: number };
  broken: { readonly why: string };
  "listener:error": ListenerError;
}

class Bell extends Events<BellEvents> {
  constructor() {
    super(["rung", "broken", "listener:error"]);
  }

  ring(times: number): void {
    this.emit("rung", { times });
  }

  break(why: string): void {
    this.emit("broken", { why });
  }
}

/** Lets promises settle, and node report a rejection that nobody handled. */
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

const unhandled: unknown[] = [];
const keep = (error: unknown) => void unhandled.push(error);
beforeEach(() => void process.on("unhandledRejection", keep));
afterEach(async () => {
  await nextTurn();
  process.off("unhandledRejection", keep);
  expect(unhandled.splice(0)).toEqual([]);
});

describe("a listener", () => {
  test("is given each payload of its event, and of no other", () => {
    const bell = new Bell();
    const heard: unknown[] = [];
    bell.on("rung", (payload) => heard.push(payload));

    bell.ring(1);
    bell.break("rust");
    bell.ring(2);

    expect(heard).toEqual([{ times: 1 }, { times: 2 }]);
  });

  test("is called before emit returns, in the order in which listeners came", () => {
    const bell = new Bell();
    const heard: string[] = [];
    bell.on("rung", () => heard.push("first")).on("rung", () => heard.push("second"));

    bell.ring(1);

    expect(heard).toEqual(["first", "second"]);
  });

  test("added by once hears one", () => {
    const bell = new Bell();
    const heard: number[] = [];
    bell.once("rung", ({ times }) => heard.push(times));

    bell.ring(1);
    bell.ring(2);

    expect(heard).toEqual([1]);
    expect(bell.listenerCount("rung")).toBe(0);
  });

  test("hears nothing after off, while another one still does", () => {
    const bell = new Bell();
    const heard: string[] = [];
    const first = () => heard.push("first");
    bell.on("rung", first).on("rung", () => heard.push("second"));

    bell.off("rung", first);
    bell.ring(1);

    expect(heard).toEqual(["second"]);
  });

  test("added by once can be taken off before it heard anything", () => {
    const bell = new Bell();
    const heard: unknown[] = [];
    const listener = (payload: unknown) => heard.push(payload);
    bell.once("rung", listener);

    bell.off("rung", listener);
    bell.ring(1);

    expect(heard).toEqual([]);
  });

  test("of two events is taken off one of them only", () => {
    const bell = new Bell();
    const heard: unknown[] = [];
    const listener = (payload: unknown) => heard.push(payload);
    bell.on("rung", listener).on("broken", listener);

    bell.off("rung", listener);
    bell.ring(1);
    bell.break("rust");

    expect(heard).toEqual([{ why: "rust" }]);
  });

  test("on two bells is taken off one of them only", () => {
    const [one, other] = [new Bell(), new Bell()];
    const heard: unknown[] = [];
    const listener = (payload: unknown) => heard.push(payload);
    one.on("rung", listener);
    other.on("rung", listener);

    one.off("rung", listener);
    one.ring(1);
    other.ring(2);

    expect(heard).toEqual([{ times: 2 }]);
  });

  test("that was never on may be taken off", () => {
    const bell = new Bell();

    expect(bell.off("rung", () => undefined)).toBe(bell);
  });

  test("counts as long as it is on", () => {
    const bell = new Bell();
    const listener = () => undefined;
    const counts = [bell.listenerCount("rung")];

    bell.on("rung", listener);
    counts.push(bell.listenerCount("rung"));
    bell.off("rung", listener);
    counts.push(bell.listenerCount("rung"));

    expect(counts).toEqual([0, 1, 0]);
  });
});

describe("a listener's own error is reported and harms nothing, when it", () => {
  const error = new Error("listener failed");
  const lazily = { then: (_: unknown, refuse: (error: unknown) => void) => refuse(error) };
  const throwing = () => {
    throw error;
  };

  test.each<[how: string, listener: () => unknown]>([
    ["throws", throwing],
    ["rejects", () => Promise.reject(error)],
    ["returns another library's promise, which rejects", () => lazily],
    ["returns another library's promise, which throws", () => ({ then: throwing })],
  ])("%s", async (_how, listener) => {
    const bell = new Bell();
    const recorder = new EventRecorder(bell, ["listener:error"]);
    const heard: number[] = [];
    bell.on("rung", listener).on("rung", ({ times }) => heard.push(times));

    bell.ring(1);
    await nextTurn();
    bell.ring(2);
    await nextTurn();

    expect(heard).toEqual([1, 2]);
    expect(recorder.of("listener:error")).toEqual([
      { event: "rung", error },
      { event: "rung", error },
    ]);
  });

  test("throws, and was added by once", () => {
    const bell = new Bell();
    const recorder = new EventRecorder(bell, ["listener:error"]);
    bell.once("rung", throwing);

    bell.ring(1);
    bell.ring(2);

    expect(recorder.of("listener:error")).toEqual([{ event: "rung", error }]);
  });

  test.each<[how: string, listener: () => unknown]>([
    ["throws", throwing],
    ["rejects", () => Promise.reject(error)],
  ])("listens to listener:error and %s itself", async (_how, listener) => {
    const bell = new Bell();
    bell.on("rung", throwing).on("listener:error", listener);
    const recorder = new EventRecorder(bell, ["rung", "listener:error"]);

    bell.ring(1);
    await nextTurn();

    expect(recorder.names).toEqual(["listener:error", "rung"]);
  });

  test("throws, and nobody listens to listener:error", () => {
    const bell = new Bell().on("rung", throwing);

    expect(() => bell.ring(1)).not.toThrow();
  });
});

test("a listener may take itself off, or add another, while it is called", () => {
  const bell = new Bell();
  const heard: string[] = [];
  const first = () => {
    heard.push("first");
    bell.off("rung", first).on("rung", () => heard.push("added"));
  };
  bell.on("rung", first).on("rung", () => heard.push("second"));

  bell.ring(1);
  const before = [...heard];
  bell.ring(2);

  expect(before).toEqual(["first", "second"]);
  expect(heard.slice(2)).toEqual(["second", "added"]);
});

test.each(["on", "once", "off"] as const)(
  "an event that does not exist is refused by %s, with the one that was meant",
  (method) => {
    const bell = new Bell();

    expect(() => bell[method]("rang" as "rung", () => undefined)).toThrow(
      expect.objectContaining({
        code: "invalid_option",
        message: 'event: expected one of rung, broken, listener:error, found "rang"; did you mean "rung"?',
      }) as Error,
    );
    expect(bell.listenerCount("rung")).toBe(0);
  },
);

test.each([undefined, null, 5, Symbol("rung"), "constructor", "__proto__"])(
  "a name that no typo explains (%s) is refused without a suggestion",
  (name) => {
    expect(() => new Bell().on(name as "rung", () => undefined)).toThrow(/^event: expected one of .*, found [^;]*$/);
  },
);

test("every event of the two interfaces is known, and emitted under its own name", () => {
  expect(new Set(registryEventNames).size + new Set(schedulerEventNames).size).toBe(
    registryEventNames.length + schedulerEventNames.length,
  );
  expect(schedulerEventNames).toContain("run:retrying");
});
