import { existsSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { OpenFile } from "../../../src/storage/sqlite/open-file.ts";
import { SqliteConnection } from "../../../src/storage/sqlite/database.ts";
import { openDatabase } from "../../../src/storage/sqlite/drivers.ts";
import { statement } from "../../../src/storage/sql/database.ts";
import { systemClock } from "../../../src/clock.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { ManualClock, arrayExport, collectingImport } from "../../../src/testing/index.ts";
import { Harness, minute, noon } from "../../support/harness.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-open-file-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

/** A connection to a new file, on a clock that moves by hand. */
async function opened() {
  const file = join(folder, `${++files}.db`);
  const clock = new ManualClock(noon);
  const turning = { ...systemClock, now: () => clock.now() };
  const parts = { synchronous: "normal", busyTimeoutMs: 0, clock: turning, owned: true, file } as const;
  const connection = new SqliteConnection({ ...parts, database: openDatabase(file) });
  await connection.open();
  const write = () =>
    connection.runTransaction(function* () {
      yield statement("select 1 as one");
      return "written";
    });
  return { clock, connection, file, write };
}

describe("a file that was opened", () => {
  test.each([
    ["deleted", (file: string) => rmSync(file), "is there no more"],
    ["renamed", (file: string) => renameSync(file, `${file}.old`), "is there no more"],
    [
      "replaced",
      (file: string) => {
        writeFileSync(`${file}.new`, "another");
        renameSync(`${file}.new`, file);
      },
      "is another one now",
    ],
  ])("and is %s under its process is written to no more, a moment later", async (_, change, says) => {
    const { clock, connection, file, write } = await opened();
    expect(await write()).toBe("written");
    change(file);

    await clock.advance(100);

    await expect(write()).rejects.toThrow(`the file ${file} ${says}`);
    await expect(Promise.all([write(), write()])).rejects.toThrow("Put it back, or restart");
    await connection.close();
  });

  test("is written to again once it is back", async () => {
    const { clock, connection, file, write } = await opened();
    renameSync(file, `${file}.old`);
    await clock.advance(100);
    await expect(write()).rejects.toThrow();

    renameSync(`${file}.old`, file);

    expect(await write()).toBe("written");
    await connection.close();
  });

  test("is looked at again when the clock was set back", async () => {
    const { connection, file } = await opened();
    let now = noon;
    const looked = new OpenFile(file, { ...systemClock, now: () => now });
    rmSync(file);

    expect(() => looked.expectInPlace()).not.toThrow();
    now = noon - 1;
    expect(() => looked.expectInPlace()).toThrow("is there no more");
    await connection.close();
  });

  test("may be reached by another name", async () => {
    const { connection, file } = await opened();
    const link = join(folder, "link.db");
    symlinkSync(file, link);

    const storage = await SqliteStorage.open(link);

    expect(await storage.findFlow("none")).toBeUndefined();
    await storage.close();
    await connection.close();
  });
});

test("a scheduler whose file is deleted accepts nothing more, and says so by itself", async () => {
  const file = join(folder, "deleted.db");
  const storage = await SqliteStorage.open(file);
  const clock = new ManualClock(noon);
  const exports = { from: arrayExport([1]) };
  const harness = new Harness({ storage, clock, exports, imports: { sink: collectingImport<number>() } });
  const { events, scheduler } = harness;
  const { _id } = await harness.flow();
  await scheduler.start();

  rmSync(file);

  const accepted = () =>
    scheduler.accept("from", [2]).then(
      () => "accepted",
      (error: unknown) => (error as { code: string }).code,
    );
  await expect.poll(accepted).toBe("storage_failed");
  await expect(scheduler.run(_id)).rejects.toMatchObject({ code: "storage_failed" });
  await clock.advance(minute);
  expect(events.of("background:error").map(({ error }) => (error as Error).message)).toContainEqual(
    expect.stringContaining("is there no more"),
  );
  await scheduler.stop();
  await storage.close();
  expect(existsSync(file)).toBe(false);
});
