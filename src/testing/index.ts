export { EventRecorder, type RecordedEvent } from "./event-recorder.ts";
export { type ExecutorCaseOptions, type OpenExecutor, executorCases } from "./executor-cases.ts";
export {
  type ArrayExportOptions,
  type CollectingImport,
  type ImportSettings,
  type WriteScript,
  type WriteCall,
  arrayExport,
  collectingImport,
  scriptedImport,
} from "./fakes.ts";
export { exportCases } from "./export-cases.ts";
export type { ExportCaseOptions, MakeExport } from "./export-harness.ts";
export { importCases } from "./import-cases.ts";
export type { ImportCaseOptions, MakeImport } from "./import-harness.ts";
export { ManualClock } from "./manual-clock.ts";
export { type OpenStorage, storageCases } from "./storage/storage-cases.ts";
export type { SkippedCase, TestCase, TestCases } from "./test-case.ts";
