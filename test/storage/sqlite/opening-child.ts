import { SqliteStorage } from "../../../src/storage/sqlite/sqlite-storage.ts";
import { flowOf } from "../../../src/testing/storage/harness.ts";

/** A process that opens each file it is sent, adds a flow of its own, and returns what became of it. */
const name = process.argv[2] ?? "";

async function work(file: string): Promise<string> {
  try {
    // Eight of them want two cores, which others may want, too.
    const storage = await SqliteStorage.open(file, { busyTimeoutMs: 30_000 });
    const added = await storage.insertFlow(flowOf(name));
    await storage.close();
    return added ? "added" : "taken";
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

process.on("message", (file: string) => {
  void work(file).then((answer) => process.send?.(answer));
});
process.send?.("ready");
