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
  type RandomFile,
  type ReaderOptions,
  RecordFormatError,
  type RecordPlace,
} from "./format.ts";
export { type JsonArrayOptions, jsonArray } from "./formats/json-format.ts";
export { localFiles } from "./local-files.ts";
export {
  type ParquetBuffer,
  type ParquetMetadata,
  type ParquetOptions,
  type ParquetReader,
  type ParquetReadOptions,
  parquet,
} from "./parquet/parquet-format.ts";
export {
  type S3CallOptions,
  type S3Client,
  type S3CompleteRequest,
  type S3FilesOptions,
  type S3Listing,
  type S3ListRequest,
  type S3ObjectName,
  type S3PartRequest,
  s3Files,
} from "./s3/s3-files.ts";
export type { SftpAttributes, SftpEntry, SftpSession } from "./sftp/session.ts";
export { type SftpFilesOptions, sftpFiles } from "./sftp/sftp-files.ts";
export { type NdjsonOptions, ndjson } from "./formats/ndjson-format.ts";
