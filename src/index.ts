export type { CancelTimer, Clock } from "./clock.ts";
export { systemClock } from "./clock.ts";
export * from "./errors.ts";
export { Events, type RegistryEvents, type SchedulerEvents } from "./events.ts";
export type { Executor, RunNextResult, WorkerOptions } from "./executor/executor.ts";
export { LocalExecutor } from "./executor/local-executor.ts";
export { FlowRegistry } from "./flow-registry.ts";
export type { ExpectedFlow, FlowFilter, RegistryOptions } from "./registry-options.ts";
export { defineExport, defineImport } from "./model/host/define.ts";
export type {
  AcceptOptions,
  AcceptResult,
  Export,
  ExportContext,
  ListenContext,
  Unsubscribe,
} from "./model/host/export.ts";
export { type Failure, type FailureStatus, type Fault, failureStatuses, faults } from "./model/failure.ts";
export type { Flow, FlowInput, FlowPatch } from "./model/flow/flow.ts";
export type { FlowIssue } from "./model/flow/flow-issues.ts";
export type { Exports, Imports } from "./model/host/fitting.ts";
export type { Import, ImportContext, ImportMembers, Result, StandardSchemaV1 } from "./model/host/import.ts";
export type { Json } from "./model/record/json.ts";
export type { Logger } from "./model/logger.ts";
export type { Page } from "./model/host/page.ts";
export {
  type Counts,
  type RetrySelection,
  type Run,
  type RunError,
  type RunStatus,
  type Trigger,
  runStatuses,
  triggers,
} from "./model/run.ts";
export { retryAfter } from "./model/host/retry-after.ts";
export { diagnosticsChannel } from "./run/diagnostics-channel.ts";
export type { Step, StepResult, Tracing } from "./run/tracing.ts";
export type { Retention, SchedulerOptions } from "./scheduler/options.ts";
export type { FailureFilter, RunFilter, RunOptions } from "./scheduler/requests.ts";
export { Scheduler } from "./scheduler/scheduler.ts";
export { MemoryStorage } from "./storage/memory/memory-storage.ts";
export type { ListResult } from "./storage/storage.ts";
