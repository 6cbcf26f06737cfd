import { expect, test } from "vitest";
import { disown, isAwaitable, isPromise } from "../../../src/model/host/awaitable.ts";
import { readPage } from "../../../src/model/host/page.ts";

/** How many promises are rejected without anybody who handles it, once `work` is done. */
async function unhandledAfter(work: () => void): Promise<number> {
  let unhandled = 0;
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", () => unhandled++);
  work();
  await new Promise((resolve) => setImmediate(resolve));
  process.removeAllListeners("unhandledRejection");
  for (const listener of others) process.on("unhandledRejection", listener);
  return unhandled;
}

const rejected = () => Promise.reject(new Error("late"));

test("the promises of an array are disowned in the time that its elements take, however long it says that it is", async () => {
  const list: unknown[] = [rejected()];
  list.length = 4_000_000_000;
  list[3_999_999_999] = rejected();

  expect(await unhandledAfter(() => disown(list))).toBe(0);
});

test("a page that says so is refused in the same time, and its promises are disowned", async () => {
  const records: unknown[] = [rejected()];
  records.length = 4_000_000_000;

  const unhandled = await unhandledAfter(() => {
    expect(() => readPage({ records }, true)).toThrow("found an array of 4000000000");
  });

  expect(unhandled).toBe(0);
});

test("an element that throws when it is looked at keeps none of the others from being disowned", async () => {
  const list: unknown[] = [];
  Object.defineProperty(list, 0, {
    enumerable: true,
    get: () => {
      throw new Error("no");
    },
  });
  list[1] = rejected();

  expect(await unhandledAfter(() => disown(list))).toBe(0);
});

test.each([
  ["a promise whose `then` throws", Object.assign(Promise.resolve(), { then: () => expect.unreachable() })],
  ["a promise behind a proxy", new Proxy(Promise.resolve(), {})],
  ["an array whose elements cannot be listed", new Proxy([], { ownKeys: () => expect.unreachable() })],
])("never throws: %s", (_, value) => {
  expect(() => {
    disown(value);
  }).not.toThrow();
});

test("a promise is data that was not awaited, and what has a method then is awaitable; what only has a field of that name is neither", () => {
  class Deferred extends Promise<unknown> {}
  const thenable = { then: () => undefined };
  const record = { then: "at noon" };
  const values = [rejectedLater(), new Deferred(() => undefined), thenable, record, null, undefined, "then"];

  expect(values.map(isPromise)).toEqual([true, true, false, false, false, false, false]);
  expect(values.map(isAwaitable)).toEqual([true, true, true, false, false, false, false]);
});

function rejectedLater(): Promise<unknown> {
  const promise = rejected();
  disown(promise);
  return promise;
}
