import type { Flow } from "../../src/index.ts";
import { arrayExport, collectingImport } from "../../src/testing/index.ts";
import { upTo } from "../support/harness.ts";
import { Door, type DoorSetting } from "./door.ts";

/** What a client writes of a flow from the export `orders` to the import `ledger`, every hour. */
export const input = { name: "Orders", schedule: "0 * * * *", _exportId: "orders", _importId: "ledger" };

/** A door with the exports `orders` (three records) and `refunds` (none), the imports `ledger` and `mailer`, and no flow. */
export function opened(setting: DoorSetting = {}): Door {
  return new Door({
    exports: { orders: arrayExport(upTo(3)), refunds: arrayExport([]) },
    imports: { ledger: collectingImport(), mailer: collectingImport() },
    ...setting,
  });
}

/** The same door with the flow of {@link input}, its path and its `ETag`. */
export async function withFlow(setting: DoorSetting = {}) {
  const door = opened(setting);
  const answered = await door.ask("POST", "/flows", { body: input });
  const flow = answered.json as Flow;
  return { door, flow, path: `/flows/${flow._id}`, etag: answered.headers.get("etag") ?? "" };
}

/** Of each error its code, and its field if it has one. */
export const codes = (json: unknown) =>
  (json as { errors: { code: string; field?: string }[] }).errors.map(({ code, field }) =>
    field === undefined ? code : `${code} ${field}`,
  );
