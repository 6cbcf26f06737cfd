import { expect, test } from "vitest";
import { registry } from "../package/connectors-host.ts";

test("the design's host is one program: every connector takes its options, and flows link any of them", async () => {
  const exports = ["orders", "customers", "prices", "notes", "issues"];
  const imports = ["turnover", "events", "ledger", "invoices", "stock", "parts", "journal"];

  const flows = await Promise.all(
    exports.map((_exportId) => registry.create({ name: _exportId, _exportId, _importIds: imports })),
  );

  expect(flows.map(({ _exportId }) => _exportId)).toEqual(exports);
  expect(flows[0]?._importIds).toEqual(imports);
  await expect(registry.create({ name: "x", _exportId: "orders", _importId: "invoice" as never })).rejects.toThrow(
    "invoice",
  );
});
