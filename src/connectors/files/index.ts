export { type CsvOptions, csv } from "./formats/csv-format.ts";
export type { CsvRow } from "./formats/csv-reader.ts";
export type { DoneRule } from "./done-files.ts";
export { type FileExportOptions, fileExport } from "./file-export.ts";
export { type FileImportOptions, fileImport } from "./file-import.ts";
export type { FileProgress, FilesCheckpoint } from "./file-state.ts";
export type { FileEntry, FileSystem, WriteFileOptions } from "./file-system.ts";
export {
  type FilePlace,
  type Format,
  type FormatReader,
  FoundRecords,
  type ReaderOptions,
  RecordFormatError,
} from "./format.ts";
export { type JsonArrayOptions, jsonArray } from "./formats/json-format.ts";
export { localFiles } from "./local-files.ts";
export { type NdjsonOptions, ndjson } from "./formats/ndjson-format.ts";
