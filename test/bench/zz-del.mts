import { rmSync } from "node:fs";
const root = process.argv[2]!;
const { SqliteStorage } = await import(`${root}/src/storage/sqlite/sqlite-storage.ts`);
const { MemoryStorage } = await import(`${root}/src/storage/memory/memory-storage.ts`);
const N = Number(process.argv[3] ?? 1_000_000);
const file = `/tmp/delivery-del-${process.pid}.db`;
for (const kind of ["sqlite", "memory"]) {
const storage: any = kind === "sqlite" ? await SqliteStorage.open(file) : new MemoryStorage();
const at = Date.now(); const iso = new Date(at).toISOString();
await storage.insertFlow({ _id: "flow", name: "f", _exportId: "e", _importId: "i", disabled: false, createdAt: iso, lastModified: iso });
for (let n = 0; n < N; n += 5000) {
  const ids = Array.from({ length: 5000 }, (_, i) => crypto.randomUUID());
  await storage.appendInbox({ _id: `a${n}`, _exportId: "e", records: ids.map(() => 1), ids, at, starts: [{ _id: `r${n}`, _flowId: "flow", trigger: "realtime", queuedAt: iso }] }, { maxInboxPages: 1e9, dedupeAfter: 0 });
}
const claimed = await storage.claimRun("flow", { token: "t", at, until: at + 1e6 });
const lease = { _runId: claimed.run._id, token: "t" };
const F = N / 10;
for (let n = 0, o = 1; n < F; n += 1000, o++)
  await storage.commitPage(lease, { ordinal: o, at, generated: o, processed: 1, places: [], superseded: [], delivered: [], counts: { i: { numSuccess: 0, numError: 1000, numIgnore: 0 } },
   failures: Array.from({ length: 1000 }, (_, i) => ({ _id: `f${n + i}`, _flowId: "flow", _exportId: "e", _importId: "i", _runId: lease._runId, key: `k${n + i}`, record: { a: n + i, text: "x".repeat(200) }, fault: "reject", message: "no", attempts: 1, occurrences: 1, status: "open", createdAt: iso, lastFailedAt: iso })) });
await storage.endRun(lease, { status: "completed", at, imports: {}, places: [] });
globalThis.gc?.();
let longest = 0, last = performance.now(), on = true;
const tick = () => { const now = performance.now(); longest = Math.max(longest, now - last); last = now; if (on) setImmediate(tick); };
tick();
await new Promise((r) => setTimeout(r, 20)); longest = 0;
const begun = performance.now();
await storage.deleteFlow("flow", { at });
const deleted = performance.now() - begun;
await new Promise((r) => setImmediate(r));
const afterDelete = longest;
let portions = 0;
if (storage.purgeFlows) while (await storage.purgeFlows({ limit: 1000 })) { portions++; await new Promise((r) => setImmediate(r)); }
await new Promise((r) => setTimeout(r, 20));
on = false;
console.log(kind, `${N} ids, ${F} failures: deleteFlow ${deleted.toFixed(0)} ms, block ${afterDelete.toFixed(0)} ms; longest block ${longest.toFixed(0)} ms; ${portions} portions, all ${(performance.now() - begun).toFixed(0)} ms`);
await storage.close();
}
rmSync(file); rmSync(file + "-wal", { force: true }); rmSync(file + "-shm", { force: true });
