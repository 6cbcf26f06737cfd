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
export type { CommittedContext } from "../model/host/export.ts";
export type { FinishContext } from "../model/host/import.ts";
export { type ChildrenOptions, childrenOf } from "./children-of.ts";
export type { WritingImport } from "./composed.ts";
export { firstMatch } from "./first-match.ts";
export { inSequence } from "./in-sequence.ts";
export { mapPages } from "./map-pages.ts";
export { perItem } from "./per-item.ts";
export { type LookupCache, type LookupOptions, withLookup } from "./with-lookup.ts";
