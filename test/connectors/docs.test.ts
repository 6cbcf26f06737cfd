import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { optionsInDocs, optionsInSource } from "./options-of.ts";

const pages = new URL("../../docs/connectors/", import.meta.url);
const httpImportOptions = ["CommonOptions", "RecordImportOptions", "BatchImportOptions"];

const tables: [page: string, heading: string, names: () => string[]][] = [
  ["composition.md", "Options of delta", () => optionsInSource("delta.ts", "Delta", "DeltaExportOptions")],
  ["composition.md", "Options of withLookup", () => optionsInSource("with-lookup.ts", "LookupOptions")],
  ["composition.md", "Options of childrenOf", () => optionsInSource("children-of.ts", "ChildrenOptions")],
  ["sql.md", "Options of sqlExport", () => optionsInSource("sql/sql-export.ts", "SqlExportOptions")],
  ["sql.md", "Options of sqlImport", () => optionsInSource("sql/sql-import.ts", "SqlTableOptions", "SqlApplyOptions")],
  ["files.md", "Options of csv", () => optionsInSource("files/formats/csv-format.ts", "CsvOptions")],
  ["files.md", "Options of ndjson", () => optionsInSource("files/formats/ndjson-format.ts", "NdjsonOptions")],
  ["files.md", "Options of jsonArray", () => optionsInSource("files/formats/json-format.ts", "JsonArrayOptions")],
  ["files.md", "Options of fileExport", () => optionsInSource("files/file-export.ts", "FileExportOptions")],
  ["files.md", "Options of fileImport", () => optionsInSource("files/file-import.ts", "FileImportOptions")],
  ["files.md", "Options of parquet", () => optionsInSource("files/parquet/parquet-format.ts", "ParquetOptions")],
  ["files.md", "Options of s3Files", () => optionsInSource("files/s3/s3-files.ts", "S3FilesOptions")],
  ["files.md", "Options of sftpFiles", () => optionsInSource("files/sftp/sftp-files.ts", "SftpFilesOptions")],
  ["http.md", "Options of connection", () => optionsInSource("http/connection.ts", "ConnectionOptions")],
  [
    "oauth.md",
    "Options of clientCredentials",
    () => optionsInSource("http/oauth/oauth.ts", "OAuthClient", "ClientCredentialsOptions"),
  ],
  ["singer.md", "Options of both", () => optionsInSource("singer/command.ts", "CommandOptions")],
  ["singer.md", "Options of singerTap", () => optionsInSource("singer/singer-tap.ts", "TapOptions")],
  ["singer.md", "Options of singerTarget", () => optionsInSource("singer/singer-target.ts", "TargetOptions")],
  ["oauth.md", "Options of sqlTokens", () => optionsInSource("http/oauth/sql-tokens.ts", "SqlTokensOptions")],
  ["oauth.md", "Options of refreshToken", () => optionsInSource("http/oauth/oauth.ts", "RefreshTokenOptions")],
  [
    "public-fetch.md",
    "Options of publicFetch",
    () => optionsInSource("http/public-fetch/public-fetch.ts", "PublicFetchOptions"),
  ],
  ["http.md", "Options of limits", () => optionsInSource("http/limits.ts", "LimitOptions")],
  ["http.md", "Options of sqlLimits", () => optionsInSource("http/sql-limits.ts", "SqlLimitOptions")],
  ["http.md", "Options of httpExport", () => optionsInSource("http/http-export.ts", "HttpExportOptions")],
  ["http.md", "Fields of requests", () => optionsInSource("http/request.ts", "HttpRequest")],
  ["http.md", "Options of apiKey", () => optionsInSource("http/auth.ts", "ApiKeyOptions")],
  ["http.md", "Options of hmac", () => optionsInSource("http/auth.ts", "HmacOptions")],
  ["http.md", "Options of nextToken", () => optionsInSource("http/paging.ts", "NextTokenOptions")],
  ["http.md", "Options of pageNumber and offset", () => optionsInSource("http/paging.ts", "PageNumberOptions")],
  ["sql.md", "Options of once", () => optionsInSource("sql/once-marks.ts", "OnceRule")],
  ["sql.md", "Options of sweep", () => optionsInSource("sql/sweep.ts", "SweepRule")],
  ["http.md", "Options of httpImport", () => optionsInSource("http/http-import.ts", ...httpImportOptions)],
];

test.each(tables)("%s names what the source has, and nothing else, under %s", (page, heading, names) => {
  expect(optionsInDocs(page, heading).sort()).toEqual([...new Set(names())].sort());
});

test("no table of options is left out of the test above", () => {
  const headings = readdirSync(pages).flatMap((page) =>
    [...readFileSync(new URL(page, pages), "utf8").matchAll(/^#+ ((?:Options|Fields) of .+)$/gm)].map(
      ([, heading = ""]) => `${page} ${heading}`,
    ),
  );

  expect(tables.map(([page, heading]) => `${page} ${heading}`).sort()).toEqual(headings.sort());
});

test.each(readdirSync(pages).filter((page) => !["README.md", "coming-from.md"].includes(page)))(
  "%s says what is repeated after a crash, and what becomes of what fails",
  (page) => {
    const text = readFileSync(new URL(page, pages), "utf8");

    expect(text).toMatch(/^## What is repeated after a crash$/m);
    expect(text).toMatch(/`(retryLater|stop)`/);
  },
);
