export {
  type ChangeTime,
  type Delta,
  type DeltaCheckpoint,
  type DeltaContext,
  type DeltaExportOptions,
  type DeltaPage,
  type DeltaReadingStart,
  delta,
} from "./delta.ts";
