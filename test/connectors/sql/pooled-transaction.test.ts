import { describe, expect, test } from "vitest";
import { CommitUnknownError } from "../../../src/connectors/sql/database.ts";
import { pooledTransaction } from "../../../src/connectors/sql/pooled-transaction.ts";

/** A connection whose statements do what `answer` does. */
function fakeConnection(answer: (text: string) => Promise<unknown> = async () => undefined) {
  const asked: string[] = [];
  const released: boolean[] = [];
  const connection = {
    query: async (text: string) => {
      asked.push(text);
      await answer(text);
      return [];
    },
    release: (isUsable: boolean) => void released.push(isUsable),
    isRolledBack: () => false,
  };
  return { asked, released, connect: async () => connection };
}

describe("a transaction whose signal aborts", () => {
  const reason = new Error("enough");

  test("while it waits for a connection does nothing, and its connection is used no more", async () => {
    const { asked, connect, released } = fakeConnection();
    const abort = new AbortController();
    const late = () => {
      abort.abort(reason);
      return connect();
    };
    let isDone = false;

    const running = pooledTransaction(late, async () => (isDone = true), abort.signal);

    await expect(running).rejects.toBe(reason);
    expect([isDone, asked, released]).toEqual([false, [], [false]]);
  });

  test("while it works is rejected at once, and commits nothing afterwards", async () => {
    const { asked, connect, released } = fakeConnection();
    const abort = new AbortController();

    const running = pooledTransaction(connect, async () => abort.abort(reason), abort.signal);

    await expect(running).rejects.toBe(reason);
    expect([asked, released]).toEqual([["begin"], [false]]);
  });

  test("while it commits may have committed, and says so", async () => {
    const abort = new AbortController();
    const { connect, released } = fakeConnection(async (text) => {
      if (text !== "commit") return;
      abort.abort(reason);
      await new Promise(() => undefined);
    });

    const running = pooledTransaction(connect, async () => undefined, abort.signal);

    await expect(running).rejects.toThrow(CommitUnknownError);
    expect(released).toEqual([false]);
  });
});
