import { LocalExecutor, MemoryStorage } from "../../src/index.ts";
import { executorCases, storageCases } from "../../src/testing/index.ts";

// Prints the first promise of the storage and the executor that is broken.
const cases = [...storageCases(() => new MemoryStorage()), ...executorCases(() => new LocalExecutor())];
for (const { title, run } of cases)
  try {
    await run();
  } catch {
    console.log(`broken: ${title}`);
    process.exit(1);
  }
