import { describe, expect, test } from "vitest";
import { type Export, MemoryStorage } from "../../src/index.ts";
import { collectingImport } from "../../src/testing/index.ts";
import { Gate, Harness, second } from "../support/harness.ts";

/** Counts the commits of pages, and keeps with which page each run ended. */
class CountedStorage extends MemoryStorage {
  readonly commits: number[] = [];
  readonly ends: (number | undefined)[] = [];

  override commitPage(...call: Parameters<MemoryStorage["commitPage"]>) {
    this.commits.push(call[1].ordinal);
    return super.commitPage(...call);
  }

  override endRun(...call: Parameters<MemoryStorage["endRun"]>) {
    this.ends.push(call[1].page?.ordinal);
    return super.endRun(...call);
  }
}

type Pages = NonNullable<Export<number, number>["pages"]>;

function setting(pages: Pages, settings: Partial<Export<number, number>> = {}, finish?: () => Promise<void>) {
  const storage = new CountedStorage();
  const into = finish === undefined ? collectingImport() : { ...collectingImport(), finish };
  const harness = new Harness({
    exports: { from: { pages, ...settings } },
    imports: { into },
    storage,
    options: { prefetch: 1 },
  });
  return { harness, storage };
}

describe("a last page without records", () => {
  test("is committed with the end of its run, and reported before that", async () => {
    const { harness, storage } = setting(async function* () {
      yield [1];
      yield { records: [], total: 7 };
    });

    const run = await harness.move();

    expect([storage.commits, storage.ends]).toEqual([[1], [2]]);
    expect(run).toMatchObject({ status: "completed", numPagesGenerated: 2, numPagesProcessed: 2, total: 7 });
    expect(await storage.findRun(run._id)).toEqual(run);
  });

  test("that is the only one is reported as progress, before the run completes", async () => {
    const { harness, storage } = setting(async function* () {
      yield [];
    });
    const reported: unknown[] = [];
    harness.scheduler.on("run:progress", ({ run }) => reported.push([run.status, run.numPagesProcessed]));
    harness.scheduler.on("run:completed", ({ run }) => reported.push([run.status, run.numPagesProcessed]));

    await harness.move();

    expect(reported).toEqual([
      ["running", 1],
      ["completed", 1],
    ]);
    expect([storage.commits, storage.ends]).toEqual([[], [1]]);
  });

  test("is committed at once while the export may have more", async () => {
    const gate = new Gate();
    const { harness, storage } = setting(async function* () {
      yield [];
      await gate.opened;
    });

    const moving = harness.move();
    await harness.clock.advance(second);
    const before = [...storage.commits];
    gate.open();
    const run = await moving;

    expect([before, storage.ends, run.numPagesProcessed]).toEqual([[1], [undefined], 1]);
  });

  test.each([
    [
      "a checkpoint",
      async function* () {
        yield { records: [], checkpoint: 1 };
      },
      {},
      undefined,
    ],
    [
      "an export that is notified of what is committed",
      async function* () {
        yield [];
      },
      { committed: async () => undefined },
      undefined,
    ],
    [
      "an import that is finished",
      async function* () {
        yield [];
      },
      {},
      async () => undefined,
    ],
  ] as const)("is committed by itself with %s", async (_, pages, settings, finish) => {
    const { harness, storage } = setting(pages as Pages, settings, finish);

    const run = await harness.move();

    expect([storage.commits, storage.ends, run.numPagesProcessed]).toEqual([[1], [undefined], 1]);
  });
});
