export type { Answer, BodyCheck, HttpError, HttpErrorKind, Verdict } from "./answer.ts";
export {
  type ApiKeyOptions,
  type Auth,
  type HmacOptions,
  type Secret,
  type SignedRequest,
  apiKey,
  basic,
  bearer,
  hmac,
} from "./auth.ts";
export { type Connection, type ConnectionOptions, type ExchangeOptions, connection } from "./connection.ts";
export {
  type FullCheckpoint,
  type HttpCheckpoint,
  type HttpExportOptions,
  type RequestContext,
  httpExport,
} from "./http-export.ts";
export {
  type BatchImportOptions,
  type HttpImport,
  type RecordContext,
  type RecordImportOptions,
  httpImport,
} from "./http-import.ts";
export { type LimitOptions, type Limits, localLimits } from "./limits.ts";
export {
  type Next,
  type NextTokenOptions,
  type OffsetOptions,
  type PageAnswer,
  type PageNumberOptions,
  type Paging,
  linkHeader,
  nextToken,
  nextUrl,
  offset,
  pageNumber,
  sinceLast,
} from "./paging.ts";
export type { HttpRequest, PreparedRequest, QueryValue, RequestBody } from "./request.ts";
export { type SqlLimitOptions, sqlLimits } from "./sql-limits.ts";
