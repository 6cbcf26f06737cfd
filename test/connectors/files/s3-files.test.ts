import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3 } from "@aws-sdk/client-s3";
import S3rver from "s3rver";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type S3Client, ndjson, fileImport, s3Files } from "../../../src/connectors/files/index.ts";
import { fateOf, importContext } from "../http/contexts.ts";
import { fileExportCases, fileImportCases, fileSystemCases, textOf } from "./file-system-cases.ts";

const { signal } = new AbortController();
let folder = "";
let server: S3rver;
let client: S3;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "poundlock-s3-"));
  const options = { port: 0, address: "127.0.0.1", silent: true, directory: folder };
  server = new S3rver({ ...options, configureBuckets: [{ name: "drop", configs: [] }] });
  const { port } = await server.run();
  client = new S3({
    endpoint: `http://127.0.0.1:${port}`,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" },
  });
});
afterAll(async () => {
  client.destroy();
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

let folders = 0;
/** A folder of the bucket that nothing else uses. */
const open = async () => {
  let isDown = false;
  const down: S3Client = new Proxy<S3Client>(client, {
    get(target, name: keyof S3Client) {
      if (name !== "putObject" || !isDown) return target[name].bind(target);
      isDown = false;
      return () => Promise.reject(failing("SlowDown", 503));
    },
  });
  return {
    files: s3Files({ client: down, bucket: "drop", folder: `test-${++folders}` }),
    goDown: () => (isDown = true),
  };
};

/** The client, but for some methods. */
const stubbed = (methods: object) =>
  new Proxy<S3Client>(client, {
    get: (target, name: keyof S3Client) =>
      name in methods ? (Reflect.get(methods, name) as unknown) : target[name].bind(target),
  });

const failing = (name: string, httpStatusCode?: number) =>
  Object.assign(new Error("it says so"), { name, $metadata: { httpStatusCode } });

describe("files in a bucket", () => {
  for (const { title, run } of fileSystemCases(open)) test(title, run);
  for (const { title, run } of fileImportCases(open, { path: true })) test(title, run);
  const exportCases = fileExportCases(open);
  for (const { title, run } of exportCases) test(title, run);
  test("no case of an export is skipped", () => expect(exportCases.skipped).toEqual([]));

  test("that stand for folders, as consoles make them, are none", async () => {
    const { files } = await open();
    await client.putObject({ Bucket: "drop", Key: `test-${folders}/in/folder/`, Body: "" });
    await files.write("in/a.txt", Buffer.from("x"), { sync: "full" });

    expect((await files.list("in", signal)).map(({ path }) => path)).toEqual(["in/a.txt"]);
  });

  // s3rver makes its tokens with a cipher that OpenSSL 3 does not have.
  test("are listed beyond a page of the listing", async () => {
    const asked: (string | undefined)[] = [];
    const page = (from: number) => [from, from + 1].map((id) => ({ Key: `in/${id}.txt`, Size: 1 }));
    const listObjectsV2: S3Client["listObjectsV2"] = async ({ ContinuationToken: token }) => {
      asked.push(token);
      const from = Number(token ?? 0);
      return { Contents: page(from), IsTruncated: from < 4, NextContinuationToken: String(from + 2) };
    };
    const stub = new Proxy<S3Client>(client, {
      get: (target, name: keyof S3Client) => (name === "listObjectsV2" ? listObjectsV2 : target[name].bind(target)),
    });

    expect(await s3Files({ client: stub, bucket: "drop" }).list("in", signal)).toHaveLength(6);
    expect(asked).toEqual([undefined, "2", "4"]);
  });

  test("are written in parts beyond 16 MiB, and nothing is there when a part fails", async () => {
    const bytes = Buffer.alloc(17 * 1024 * 1024, "0123456789");
    const { files } = await open();
    const aborted: unknown[] = [];
    const parts: S3Client = new Proxy<S3Client>(client, {
      get(target, name: keyof S3Client) {
        if (name === "uploadPart") return () => Promise.reject(failing("InternalError", 500));
        if (name === "abortMultipartUpload") return async (request: unknown) => aborted.push(request);
        return target[name].bind(target);
      },
    });
    const failingFiles = s3Files({ client: parts, bucket: "drop", folder: `test-${folders}` });

    await files.write("large.bin", bytes, { sync: "full" });

    expect(await files.sizeOf?.("large.bin")).toBe(bytes.length);
    expect((await textOf(files, "large.bin", bytes.length - 5)).length).toBe(5);
    expect(await fateOf(failingFiles.write("other.bin", bytes, { sync: "full" }))).toBe("retryLater");
    expect(aborted).toHaveLength(1);
    expect(await files.sizeOf?.("other.bin")).toBeUndefined();
  });

  test("are read from a byte up to another one, and where there is none nothing is asked for", async () => {
    const { files } = await open();
    await files.write("range.txt", Buffer.from("0123456789"), { sync: "full" });
    const part = async (start: number, end: number) => {
      const parts: Uint8Array[] = [];
      for await (const chunk of files.read("range.txt", start, end)) parts.push(chunk);
      return Buffer.concat(parts).toString();
    };

    expect(await Promise.all([part(2, 5), part(0, 3), part(5, 5), part(7, 3)])).toEqual(["234", "012", "", ""]);
  });

  test("are what is left of them with a server that names neither sizes nor bodies nor tags", async () => {
    const completed: unknown[] = [];
    const empty = { getObject: async () => ({}), headObject: async () => ({}), uploadPart: async () => ({}) };
    const multipart = {
      createMultipartUpload: async () => ({ UploadId: "1" }),
      completeMultipartUpload: async (request: object) => completed.push(request),
    };
    const files = s3Files({ client: stubbed({ ...empty, ...multipart }), bucket: "drop" });

    await files.write("a", Buffer.alloc(17 * 1024 * 1024), { sync: "full" });

    expect(await textOf(files, "a")).toBe("");
    expect(await files.sizeOf?.("a")).toBe(0);
    expect(completed).toMatchObject([{ MultipartUpload: { Parts: [{ PartNumber: 1 }, { PartNumber: 2 }] } }]);
  });

  test("can be added to by no import", async () => {
    const { files } = await open();

    expect(() => fileImport({ files, format: ndjson(), append: "all.ndjson" })).toThrow(/append and sizeOf/);
  });
});

describe("what a bucket says", () => {
  test.each([
    ["SlowDown", 503, "retryLater"],
    ["InternalError", 500, "retryLater"],
    ["TooManyRequests", 429, "retryLater"],
    ["RequestTimeout", 400, "retryLater"],
    ["TimeoutError", undefined, "retryLater"],
    ["AccessDenied", 403, "stop"],
    ["NoSuchBucket", 404, "stop"],
    ["CredentialsProviderError", undefined, "stop"],
  ])("%s (%s) makes an import end with %s, and names the place", async (name, status, expected) => {
    const never = () => Promise.reject(failing(name, status));
    const stub = { listObjectsV2: never, getObject: never, headObject: never, putObject: never } as unknown as S3Client;
    const files = s3Files({ client: stub, bucket: "drop", folder: "out" });
    const into = fileImport<object>({ files, format: ndjson(), path: () => "a.ndjson" });

    const written = into.write([{ id: 1 }], importContext(1));

    expect(await fateOf(Promise.resolve(written))).toBe(expected);
    await expect(written).rejects.toThrow("drop/out/a.ndjson: ");
    await expect(files.list("", signal)).rejects.toThrow("it says so");
  });

  test.each<[what: string, error: unknown, expected: string]>([
    ["an error without a response", new Error("socket hang up"), "retryLater"],
    ["what is no error", "socket hang up", "retryLater"],
    ["an abort, which stays one", Object.assign(new Error("aborted"), { name: "AbortError" }), "error"],
  ])("%s is for now", async (_, error, expected) => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as a client of another author may
    const files = s3Files({ client: stubbed({ headObject: () => Promise.reject(error) }), bucket: "drop" });

    expect(await fateOf(files.sizeOf?.("a") ?? Promise.resolve())).toBe(expected);
  });

  test("that breaks off in the middle of a body is read again later", async () => {
    const Body = (async function* () {
      yield Buffer.from("half");
      throw new Error("aborted");
    })();
    const getObject = () => Promise.resolve({ Body });
    const stub = { getObject, listObjectsV2: getObject, headObject: getObject, putObject: getObject };
    const files = s3Files({ client: stub as unknown as S3Client, bucket: "drop" });

    expect(await fateOf(textOf(files, "a"))).toBe("retryLater");
  });

  test("a client without the methods, and a bucket without a name, are refused", () => {
    expect(() => s3Files({ client: { send: () => undefined } as unknown as S3Client, bucket: "drop" })).toThrow(
      /an S3 of/,
    );
    expect(() => s3Files({ client, bucket: "" })).toThrow(/s3Files.bucket/);
  });
});
