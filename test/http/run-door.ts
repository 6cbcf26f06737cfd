import type { Result } from "../../src/index.ts";
import { arrayExport, collectingImport, scriptedImport } from "../../src/testing/index.ts";
import { upTo } from "../support/harness.ts";
import { Door } from "./door.ts";

const refused: Result = { ok: false, fault: "reject", error: new Error("no") };

/** A door before a flow of which all records but the first were refused; not any more once `script.refuses` is false. */
export async function failed(records: readonly unknown[] = upTo(3)) {
  const script = { refuses: true };
  const picky = scriptedImport<unknown>(({ records }) =>
    records.map((_, index) => (script.refuses && index > 0 ? refused : { ok: true })),
  );
  const door = new Door({ exports: { numbers: arrayExport(records) }, imports: { picky, ledger: collectingImport() } });
  const flow = await door.stage.flow({ _importId: "picky" });
  await door.stage.scheduler.start();
  await door.stage.run(flow._id);
  return { door, flow, script, picky, path: `/flows/${flow._id}`, failures: await door.stage.failures() };
}

/** The ids of a list. */
export const ids = (json: unknown) => (json as { _id: string }[]).map(({ _id }) => _id);
