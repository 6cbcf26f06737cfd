import { expect, test } from "vitest";
import { type Import, retryLater } from "../../../src/index.ts";
import { OpenFailures } from "../../../src/run/pass/open-failures.ts";
import type { OpenKey, OpenKeyQuery } from "../../../src/storage/storage.ts";
import { arrayExport } from "../../../src/testing/index.ts";
import { Harness, upTo } from "../../support/harness.ts";

test("a run keeps 100,000 open keys of an import in mind, and leaves the rest to later runs", async () => {
  let read = 0;
  const storage = {
    async openKeys({ limit }: OpenKeyQuery) {
      const items = Array.from({ length: limit }, (_, index): OpenKey => {
        const nth = String(read + index);
        return { _id: nth, key: `key ${nth}` };
      });
      read += limit;
      return { items, next: String(read) };
    },
  };
  const open = new OpenFailures({ storage, _flowId: "flow", _exportId: "from", _importId: "into" });

  await open.load();

  expect([open.size, read]).toEqual([100_000, 100_000]);
  expect([open.has("key 0"), open.has("key 99999"), open.has("key 100000")]).toEqual([true, true, false]);
});

test("1,000 batches that wait at once, each with a listener of the host's on its signal, cause no warning", async () => {
  const warnings: string[] = [];
  const note = ({ name }: Error) => void warnings.push(name);
  process.on("warning", note);
  const into: Import<number> = {
    idempotent: true,
    ...{ batchSize: 1, concurrency: 1_000 },
    async write(_, { attempt, signal }) {
      signal.addEventListener("abort", () => undefined);
      if (attempt === 1) throw retryLater("busy", { afterMs: 1_000 });
    },
  };
  const harness = new Harness({ exports: { from: arrayExport(upTo(1_000), { pageSize: 1_000 }) }, imports: { into } });

  const run = await harness.move();
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", note);

  expect(run).toMatchObject({ status: "completed", numSuccess: 1_000 });
  expect(warnings).toEqual([]);
});
